// Package lake is where records end: Apache Iceberg tables of Parquet files, written exactly once and readable by any
// engine that knows the format.
//
//	journal --Feed--> Writer --shred--> columns in memory --commit--> Parquet files + snapshot + journal position
//	                                                                        |
//	search <--child process-- engine <--file list-- Plan <------------------+
//
// # Layout
//
// There is one table per index of the record (windows_events, syslog, alerts) and two more: quarantine holds what
// could not be understood, sluice_audit what operators did. A row has the core columns of package normalize under
// their dotted names, the columns of this package (_id, _unit, _batch, _seq, write_time and those below), and one
// column per top-level field of the Microsoft record: "office365.Operation". Tables are partitioned by the day of
// the event time and by nothing else. Every column is optional and none is ever renamed or dropped.
//
// # Nothing altered
//
// The record itself is not stored; it is taken apart (shredding) and put together again (Rebuild):
//
//   - _shape lists the keys as they were written, in order, each with a letter for the way its value is stored;
//   - a string is stored as its text, an integer and a boolean as such, everything else as its JSON text;
//   - a value that does not suit its column, a second member of the same column, or a column too many is kept
//     verbatim in _overflow, an object of such members in order;
//   - _style says how the writer escaped strings.
//
// Each record is rebuilt from what is about to be stored and compared with what came. The few that do not come back
// byte for byte (white space between tokens, mixed escapes) are stored as they are in _raw besides, and Rebuild
// answers from there. Column names are folded, because DuckDB ignores case: "CorrelationID" and "CorrelationId" share
// the column that was seen first.
//
// # Nothing twice
//
// Every table carries the identity of the journal's stream and the last sequence it contains as table properties,
// written in the same commit as the data files and fenced by an assertion on the main branch. The Writer starts at the
// smallest position of all tables, skips per table what it has, ignores what comes again and stops at a gap. Files and
// folders are synced before the catalog points at them. A commit whose outcome is unknown is decided by loading the
// table and looking at its position; nothing is deleted meanwhile. What a crash leaves behind is an unreferenced file,
// which Sweep removes after a grace period.
//
// # Things that go wrong
//
// A data file that somebody deleted is left out of plans and reported there; Check finds files that are missing or
// damaged, Forget takes them out of their tables, and whoever keeps the books collects their records anew. Package
// census tells the books what the lake really holds. A catalog that was lost, or came back from an old backup, is
// filled again from the metadata files in the warehouse (recover.go). A warehouse works in the folder where it was made.
//
// # Maintenance
//
// Small commits make small files, so Compact rewrites closed days into larger files sorted by action and time. Expire
// forgets old snapshots. Files that are replaced stay on disk for the grace period, longer than any query runs:
// whoever holds a Plan can read every file of it.
package lake
