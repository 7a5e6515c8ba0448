// Package collect runs connectors: it decides when to list, what to fetch, when to try again and in which order the
// effects of all this become durable. Drivers (package source) only list and fetch; everything that has to do with
// time or with promises is here.
//
//	         per connector and content type                       one for the process
//	┌───────────────────────────────────────────────┐   ┌──────────────────────────────────────┐
//	│ feed: list ─► ledger ─► due units ─► fetchers ─┼──►│ publisher: group ─► claim ─► journal  │
//	└───────────────────────────────────────────────┘   └──────────────────────────────────────┘
//
// # Order of effects
//
// A unit is written to the ledger as soon as it was listed. A fetcher streams its body, gives every record its identity,
// drops what the connector's log filters do not let through (nothing remains of it but a count), and hands fragments to
// the publisher. The publisher groups fragments into a batch and claims, in one SQL transaction, the ids of its records:
// an id that is held already is a duplicate, or a variant when the content differs. The frozen batch goes to the journal;
// after the acknowledgement a second transaction confirms it, and only then do the units whose bodies ended complete
// become landed. A crash between any two steps only repeats work: Recover asks the journal which open batches exist, and
// the units behind the others are fetched again.
//
// # Failures
//
// All waiting is decided in one function, Backoff, from the kind of the failure. A unit that cannot be read stays in
// the ledger with its next try until it lands or Microsoft says that it is gone; then it is shown as lost. The mark
// from which listing starts never passes a unit that is still open.
//
// # Memory
//
// Bytes between a response body and the journal are counted against one budget. A fetcher that cannot get more of it
// hands over what it has as a fragment that does not complete its unit, so a body of any size passes.
package collect
