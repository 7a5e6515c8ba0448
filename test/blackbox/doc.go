// Package blackbox tests the program that people run: it builds the binary, starts it as a process with a data folder of
// its own, and looks at it from outside only, through the command line, the API and signals. What Microsoft would answer
// comes from package m365sim, which also says what a perfect collector must end with.
//
//	accounting_test.go  every record once and unaltered, whatever the service does
//	crash_test.go       the same across kill -9 and Ctrl-C
//	import_test.go      the same for files, against a count that shares no code with Sluice
//	filters_test.go     what log filters drop, count and leave to others
//	movein_test.go      the configuration of another collector, applied as it is
//	mistakes_test.go    what an operator reads after a mistake, and the exit code
//	hostile_test.go     links that lead elsewhere, full disks, secrets
//	demo_test.go        the first ten minutes: sluice up --demo and every command of README.md
//
// SLUICE_TEST_BINARY names a binary to test instead of building one.
package blackbox
