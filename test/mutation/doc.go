// Package mutation keeps the tests of the collection path honest. It takes one rule at a time out of the program and demands
// that a named test fails, for the reason that is written beside it. A rule whose removal nobody notices is a rule that the
// next change will break.
//
//	SLUICE_MUTATIONS=1 go test -v -timeout 90m ./test/mutation                   what make mutations does: all of them
//	SLUICE_MUTATIONS=1 go test -v ./test/mutation -run 'TestMutations/overlap'   one of them
//	go test ./test/mutation                                                      the five that matter most
//
// # A mutation
//
// A mutation is a text of one source file and what stands there instead. The text has to occur exactly once; when the code has
// changed and it does not, the mutation is out of date and the test says so, so that the list cannot rot. The changed file is
// given to the compiler with the flag -overlay of the go command: the tree is never written to, and several mutations can be
// tried at the same time.
//
//	mutations_*.go ─► check: the old text is there once
//	                    │
//	                    ├─► go test, as the code is      each test has to pass, once per package
//	                    └─► go test -overlay, mutated    the same test has to fail, with the text that is expected
//
// Only a test that ran to its end and failed counts. A mutation that does not compile, a test that hangs until its time is over,
// one that is skipped or fails with another text proves nothing, and is a failure here too.
//
// # What is in the list
//
// The rules of the collection path (docs/design.md), each by its number, and the laws of the promise for what stands outside of
// that path: which host gets a token, which answer is whole, when to ask again. TestEveryRuleIsTakenAway holds the list to that.
// A mutation names the cheapest test that shows the damage as a user would have it: records lost, twice, or counted wrong. Where a second
// line of defence repairs the damage, the test demands that the first one was enough.
package mutation
