// Package census asks the lake what it holds. The lake is the only place that knows for certain: the ledger and the index
// of ids are books about it, and books can be wrong after a crash, an old backup or a hand that deletes a file.
//
//	Units    per unit: rows, different ids, rows in quarantine, a checksum of the ids   -> verify compares with the ledger
//	Old      per hour of events and unit: rows and a checksum of the ids, of old events  -> retention counts what it drops
//	Present  are these ids in the lake, and with which record?                          -> claims that the index cannot decide
//	Since    every record after a place in the journal, in its order                    -> ids are rebuilt from it
//
// # How it asks
//
// Each question pins one plan of the lake, so that its answer is that of one moment however long it takes, and runs
// generated SQL in one query child (package worker). The SQL is not a person's: it passes no gate, and its views have
// names of their own, so that of an alert it sees every version, not only the latest. Questions are cut into steps, days
// of events for Units, Old and Present and ranges of _seq for Since; each step is one query over some files, small enough
// for the limits of a child. What is kept between steps is the answer, never rows.
//
// Files that hold nothing for a question are not opened: the day is the partition of a file, and _seq and write_time
// have bounds in the manifests and in the footers. Files written before write_time had bounds are read whole.
//
// # What it does not see
//
// Rows in files that are missing are not there; every answer says how many files that are. A file that is damaged
// fails the question: lake.Check finds it, and lake.Forget takes it out of the way. The journal is not looked at:
// what is not committed yet is absent, and the position in the answer tells up to where that is known.
package census
