// Package memsql evaluates, against one record in memory, the SQL conditions that package query compiles.
//
// A log filter and a search must agree on what a query means. There is one definition of that meaning: the text that
// query.Query.Compile writes. The lake runs this text in DuckDB; a filter, which sees records long before the lake
// does, runs the same text here. What query decides (which comparison a value means, how a date is rounded, what a
// missing field does) is therefore decided once, and this package only has to compute what the engine computes.
//
//	Compile   text -> Program; done once per query and shape of record
//	Match     Program + Row -> true or false; done per record
//
// # What it reads
//
// The vocabulary is that of query and nothing more: AND, OR, NOT, comparisons, BETWEEN, IN, LIKE, CASE, casts, a dozen
// functions, the macros of query.Prelude and the one lambda that they are used with. Any other text is an error of
// kind fault.Internal at Compile, never a wrong answer at Match. SQL's third truth value is kept: NULL is neither true
// nor false until coalesce, CASE or the end of the condition makes it false.
//
// # Limits of the likeness
//
// The tests run the same queries on the same records in both engines. Three corners are known to differ and are of no
// consequence for log records: numbers of JSON that are not written in their shortest form, inside of a list or object
// that is compared as text; times in spellings other than ISO 8601 in text fields; letters whose lower case changed
// between versions of Unicode.
//
// A Program is immutable and safe for concurrent use. A Machine holds the buffers of one goroutine.
package memsql
