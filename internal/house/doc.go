// Package house holds the rules of this repository that a compiler does not know and a reader relies on, as tests:
//
//   - every package begins with a comment that explains it to a newcomer,
//   - imports follow the arrows of the design: who may know whom is a table (Arrows), each line with its reason,
//   - a package that starts goroutines checks in its tests that none is left behind,
//   - links between the documents of the repository lead somewhere.
//
// The rules look at the syntax of the files that are built on this platform; files behind a build tag are left out.
// A rule that stands in somebody's way is changed in the table, together with its reason, and not worked around.
package house
