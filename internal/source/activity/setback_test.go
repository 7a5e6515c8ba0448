package activity

import (
	"testing"
	"time"

	"sluice/internal/clock"
)

// aheadClock is the wall clock, some time ahead.
type aheadClock struct {
	clock.Real
	ahead time.Duration
}

func (c *aheadClock) Now() time.Time { return c.Real.Now().Add(c.ahead) }

// TestStartsDoNotWaitForAClockThatWasSetBack: a start is repeated after 15 minutes at the latest, and at once when nobody knows
// how long the last one is past.
func TestStartsDoNotWaitForAClockThatWasSetBack(t *testing.T) {
	clk := &aheadClock{ahead: 8 * time.Hour}
	s := &Source{clock: clk, started: map[string]lastStart{}, hooks: map[string]hookState{}}
	s.claimStart("Audit.General")
	if _, wait := s.claimStart("Audit.General"); wait <= 0 {
		t.Error("started twice: this test shows nothing")
	}
	clk.ahead = 0
	if wait := s.hookWait("Audit.General"); wait > 0 {
		t.Errorf("the webhook waits %v", wait)
	}
	if _, wait := s.claimStart("Audit.General"); wait > 0 {
		t.Errorf("the start waits %v", wait)
	}
}
