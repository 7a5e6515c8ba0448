package collect

import (
	"log/slog"
	"testing"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/record"
)

// TestFeedCountsFailedUnits: the count of failed attempts only rises, and listings do not count.
func TestFeedCountsFailedUnits(t *testing.T) {
	r := NewRunner(RunnerConfig{Connector: record.Connector{Name: "contoso"}, ContentTypes: []string{"Audit.General"}},
		Deps{Clock: clock.Real{}, Logger: slog.New(slog.DiscardHandler)})
	f := r.feeds[0]
	away := fault.New(fault.Unavailable, "fetch", "away")
	f.failed(fetching, away)
	f.failed(listing, away)
	f.failed(fetching, away)
	f.succeeded(fetching)
	f.failed(fetching, away)
	s := r.Status()["Audit.General"]
	if s.Failed != 3 || s.Fetching.Failures != 1 || s.Listing.Failures != 1 {
		t.Errorf("got %+v", s)
	}
}
