// Package state is Sluice's memory in SQL: connectors and log filters, the ledger of units, the index of record
// identities, batches that are on their way to the lake, terms, gaps, and small values. It runs on SQLite (one file, the
// default) and on PostgreSQL with the same behaviour; one contract suite holds both to it.
//
// # What it promises
//
// The collection path rests on a few facts that this package alone can keep, because each of them is one SQL
// transaction:
//
//   - A record's identity is claimed by at most one batch that is not void. Claiming ids, counting records per unit
//     and adding up totals commit together or not at all (Store.Step).
//   - A unit lands only when all of its body was read and every batch that holds a record of it is published. That
//     includes batches of others to which it lost a record as a duplicate.
//   - A batch can be taken back until the lake has it: its counts exactly, and every unit that depends on it.
//   - Only the holder of the current term writes. Every write of the collection path names its Term, and the epoch is
//     checked inside the transaction that writes, so a publisher that was replaced cannot change anything any more.
//   - A batch number is never used again.
//
// # The life of a batch
//
//	OpenBatch ─► open: Claim, Count ─► commit ─► the caller publishes ─► Confirm ─► published ─► Settle ─► gone
//	               │                                                                  │
//	               └──────────────────────────────► Void ◄────────────────────────────┘
//
// Open: nobody but the journal knows whether the batch exists. After a crash the caller asks it, and answers with
// Confirm or Void. Published: it is in the journal, its units have landed, and its rows are kept, because the journal can
// still lose it (a disk, a restored backup). Settle says up to where the lake has everything; only then are the rows
// forgotten, and a batch without a row is one that the lake has. Void, from open or published, gives the ids free, takes
// the counts back and lists the units again. Rows of void batches stay for ever, because ids may still point at them;
// there are as many as publications that failed. A batch that the journal has and this database does not know (an older
// copy of it was restored) is adopted, and is published from then on.
//
// Units are bound to a batch by a row that says what it contributed to them. A unit that lost a record as a duplicate to
// a batch that is not settled has such a row too, with nothing in it: it depends on the batch all the same.
//
// # The ledger
//
//	          ┌───────────── Void, Heal ──────────┐
//	          ▼                                   │
//	listed ───┬─► (body complete, batches open) ──┴─► landed ─► folded
//	          ├─► retrying ─► ...
//	          ├─► lost ─► Retry, Heal
//	          └─► interrupted (imports only)
//
// A unit whose body is complete but whose batches are not confirmed yet is still pending, but it is not due: fetching
// it again could bring nothing. A landed unit can be looked at a second time (Look, DueLooks, Looked): what the second
// fetch brings is counted into it, and it stays landed.
//
// Totals are sums kept in the transactions that change units, never scans. They equal the sum over the units of a feed
// (one connector and content type) and over its folded hours at any time. Fold replaces old landed units, which nobody
// will list again, by one row per hour of their creation; what remains is enough to compare with the lake: counts, and
// the XOR of a hash of every id (UnitCount.IDSum). Recount repairs totals after somebody changed tables by hand.
//
// # Retention
//
// The lake drops records by the age of their events, so also those of units that landed yesterday. Before it does, the
// caller counts the rows by unit and tells Dropped, which adds them to the unit, or to the hour that it was folded into,
// and moves the DropMark in the same transaction. The mark says which rows were counted: those of events before a time
// that came with messages of the journal up to a sequence. So it does not matter when they really go, and a late record
// of the same day is not among them. Records minus DroppedRecords is what the lake must have outside the mark.
//
// # Asking the lake
//
// The index of identities says which batch holds an id. Two things it cannot know alone, and for those the caller asks
// the lake first and says so in the Claim:
//
//   - Ids of old events. Prune raises a floor, a second of event time, and removes ids below it: the lake knows them. A
//     claim below the floor without an answer of the lake is refused (ErrAskLake), never guessed. Prune removes no id of
//     a batch that is not settled, since the lake may not have it yet.
//   - Records that the lake lost. The index believes that their batch landed, and would call them duplicates for ever.
//     Heal queues their units again with AskLake set. If the lake answers that an id is absent although it had read the
//     whole batch that holds it, the claim takes the id over.
//
// The lake's answer is as old as its position: a claim says up to which batch it had everything, and an id held by a
// later one is decided by the index. An id that the lake has and the index does not know is entered as held by no batch,
// so that the fate of the batch that happened to ask does not free it.
//
// # Speed
//
// The index of identities is by far the largest table, and Claim the only operation that runs per record. Its key
// begins with the event's second, so that the records of a batch fall on neighbouring pages. A chunk of up to 1,024
// claims travels as one binary parameter that SQL cuts up (substr over a table of numbers, or generate_series): on
// SQLite this costs a third of the CPU of a multi-row VALUES list, where binding dominates. The usual case, all ids
// new, is one INSERT per chunk; only a chunk in which fewer rows arrived than were sent is looked up, and then the
// states of those batches that hold its ids. Claims that asked the lake always look first.
//
// # Errors and time
//
// All errors carry a kind of package fault: Conflict (name taken, term lost, batch settled otherwise), NotFound,
// Config (unusable database, fixed property), Full, Unavailable (locked, unreachable: try again). Times are kept to
// the microsecond, in UTC; the zero time means "none". A Store is safe for concurrent use, a Step is not.
package state
