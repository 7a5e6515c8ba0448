//go:build !sluicetest

package main

import "sluice/internal/clock"

// testClock is the clock that a test asks for. This build has none: SLUICE_TEST_CLOCK does nothing.
func testClock() (clock.Clock, error) { return nil, nil }

// testJournalBytes bounds the journal for a test; 0 in this build.
func testJournalBytes() int64 { return 0 }
