// Package query compiles LQ, the search language of the lake, to a DuckDB condition.
//
// LQ is the Lucene/Kibana query-string language that analysts type (spec/query-languages.md section 2):
//
//	msg_class: office365_audit_general AND Operation:(File*loaded OR MailItemsAccessed) -UserId:bob@x.com timestamp:>now-1d
//
// The text goes through three stages, none of which touches a database:
//
//	Parse      text -> tree; every mistake is an error with the position of the character that is wrong
//	resolve    field names -> columns of the Catalogue (core name, vendor path, bare vendor name, wildcard, alias)
//	Compile    tree -> SQL condition, with notices for the reader and the time bounds that select files
//
// # What the SQL may contain
//
// Identifiers come from the catalogue only, and every literal passes through the one function Literal. The one part of
// a query that reaches SQL structure is the path below a JSON column, which is quoted as a JSON path and then as a
// literal. Each leaf is wrapped in coalesce(leaf, false), because with SQL's third truth value NOT f:x would drop the
// records that lack f.
//
// The condition calls the macros of Prelude and the scalar function IPKeyFunction; whoever runs it provides them
// (package lake/engine does).
//
// # Meaning
//
// A clause on a field that exists in several places is true when any of them matches. Columns that hold JSON text are
// multi-valued: any element may match, at any depth of arrays. Name/value arrays are also reachable by name:
// office365.Parameters.ForwardTo reads the Value of the element whose Name is ForwardTo. Bare words search every text
// column for the word, ignoring case. Text comparisons ignore case unless Options.CaseSensitive is set.
package query
