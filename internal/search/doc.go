// Package search answers queries on the lake.
//
//	text, index, time range --parse--> query.Query
//	                        --plan---> the files that can hold matches (Config.Plan, the lake)
//	                        --compile-> SQL over the columns of these tables
//	                        --run----> a query child (package lake/worker), rows streamed back
//
// # Newest first
//
// Results come in the order of their time, newest first, with _id and _seq as tie-break, because that is what an analyst
// looks at. So a query with a limit does not read the whole range: it reads the newest day, and only while rows are
// missing the days before, in groups that double. Results without a limit are read page by page within a group, each
// page beginning after the last row of the one before, so that neither side ever holds more than a page.
//
// # Who sees what
//
// Request.TenantNames becomes a condition in the views of the child, below whatever a query says; so does the time range.
//
// SQL that people write goes the same way with other fences: see package lake/engine.
package search
