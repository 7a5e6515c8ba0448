//go:build sluicetest

package main

import (
	"os"
	"strconv"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// clockVariable names the clock of a server that was built for tests (go build -tags sluicetest): FACTOR@UNIXNANO, see
// clock.ParseScaled. Processes with the same text share one time that runs FACTOR times as fast as the wall clock. Without the
// tag the variable does nothing.
//
// # What lives on this clock
//
// Everything that decides: intervals, sweeps, look-back, back-off, Retry-After, pacing, pauses, the life of access tokens, leases and
// their renewal, expiry, retention, the lake's commit interval and upkeep, ages in searches.
//
// # What does not
//
// Work itself takes wall time: a millisecond of CPU is a second at factor 1000, so a busy machine looks like a slow
// service. And some limits are measured on the wall clock, because libraries or the kernel measure them. They are FACTOR times
// longer than they look from inside:
//
//   - HTTP: connect and TLS 10 s, a whole request 120 s, sign-in 30 s, idle connections 90 s (package m365). A stall of an hour is
//     waited out at factor 60 and above.
//   - azidentity keeps access tokens by the wall clock. Package m365 translates their remaining life into this clock's time and
//     asks for a new token in time; a service that lets them end by this clock sees what a real one would.
//   - JetStream: publish 30 s, the window in which it knows repeated message ids (10 minutes), start (2 minutes).
//   - The pause of 50 ms in which the publisher groups fragments, its drain at the end (10 s), the last commit of the lake
//     writer (30 s), the end of API requests (3 s), deadlines of queries and of their child processes, SQLite's busy time-out.
//   - On PostgreSQL leases are on the database's clock.
const clockVariable = "SLUICE_TEST_CLOCK"

// testClock is the clock that a test asks for, nil when it asks for none.
func testClock() (clock.Clock, error) {
	text := os.Getenv(clockVariable)
	if text == "" {
		return nil, nil
	}
	c, err := clock.ParseScaled(text)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "read "+clockVariable, err)
	}
	return c, nil
}

// testJournalBytes is the budget of the embedded journal that a test asks for with SLUICE_TEST_JOURNAL_BYTES, 0 when it
// asks for none.
func testJournalBytes() int64 {
	n, err := strconv.ParseInt(os.Getenv("SLUICE_TEST_JOURNAL_BYTES"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
