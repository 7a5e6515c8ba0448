// Package state is Sluice's memory in SQL: connectors, the ledger of units, the index of record identities, open
// batches, terms, and small values. It runs on SQLite (one file, the default) and on PostgreSQL with the same
// behaviour; one contract suite holds both to it.
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
//   - Only the holder of the current term writes. Every write of the collection path names its Term, and the epoch is
//     checked inside the transaction that writes, so a publisher that was replaced cannot change anything any more.
//   - A batch number is never used again.
//
// # The life of a batch
//
//	OpenBatch ─► Claim, Count ─► commit ─► the caller publishes ─► Confirm   the batch row goes away: absent = published
//	                                                          └─► Void      its ids may be claimed again, its counts
//	                                                                        are taken back, its units are listed again
//
// A batch that is open after a crash was either published or not, and only the journal knows. The caller asks it and
// answers with Confirm or Void. Rows of void batches stay for ever, because ids may still point at them; there are as
// many as publications that failed.
//
// # The ledger
//
//	          ┌────────── Void, Requeue ──────────┐
//	          ▼                                   │
//	listed ───┬─► (body complete, batches open) ──┴─► landed
//	          ├─► retrying ─► ...
//	          ├─► lost
//	          └─► interrupted (imports only)
//
// A unit whose body is complete but whose batches are not confirmed yet is still pending, but it is not due: fetching
// it again could bring nothing.
//
// Totals are sums kept in the transactions that change units, never scans, and equal the sum over the units of a feed
// (one connector and content type) at any time.
//
// # Speed
//
// The index of identities is by far the largest table, and Claim the only operation that runs per record. Its key
// begins with the event's second, so that the records of a batch fall on neighbouring pages. A chunk of up to 1,024
// claims travels as one binary parameter that SQL cuts up (substr over a table of numbers, or generate_series): on
// SQLite this costs a third of the CPU of a multi-row VALUES list, where binding dominates. The usual case, all ids
// new, is one INSERT per chunk; only a chunk in which fewer rows arrived than were sent is looked up.
//
// # Errors and time
//
// All errors carry a kind of package fault: Conflict (name taken, term lost, batch settled otherwise), NotFound,
// Config (unusable database, fixed property), Full, Unavailable (locked, unreachable: try again). Times are kept to
// the microsecond, in UTC; the zero time means "none". A Store is safe for concurrent use, a Step is not.
package state
