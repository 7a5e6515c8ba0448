// Package engine runs queries on the lake with DuckDB. It is the only package that imports DuckDB, and it runs only in
// child processes: a crash of the engine or a query that eats memory ends a child, never the collection.
//
// Main is the whole life of a child; it speaks the protocol of package worker/wire. The fences go up in this order,
// which matters (each later one would break an earlier step):
//
//	RLIMIT_DATA        a query that outgrows it ends in a clean "out of memory"
//	nice               collection comes first
//	open, warm up      threads, memory limit, private temporary folder with a size limit
//	functions, macros  the scalar functions and macros that generated SQL calls
//	allowed_paths      exactly the files of the plan; then no external access at all
//	lock_configuration nothing of the above can be undone
//	Landlock           the kernel refuses other files and the network too, best effort; before the engine's threads
//	                   exist it would make the engine abort
//
// # Two kinds of queries
//
// SQL that Sluice generated from LQ is trusted: it sees every column of the tables. SQL that a person wrote passes the
// gate first (gate.go): one SELECT statement, whose tree names only the views of the lake, its own common table
// expressions and functions of an allow-list. It sees views without the lake's internal columns and with the computed
// column raw, the record as Microsoft sent it.
//
// A view per table gives every column of the table's schema, also those that no file of this query has, so that a query
// means the same on every day. Tables without files are empty views. Of an alert, which is written again when it
// grows, the views show the latest version.
package engine
