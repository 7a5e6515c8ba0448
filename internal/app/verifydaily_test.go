package app

import (
	"testing"
	"time"

	"sluice/internal/api"
)

func TestVerifyIsDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	complete := func(d time.Duration) api.VerifyReport { return api.VerifyReport{Finished: ago(d), Complete: true} }
	for _, tt := range []struct {
		name   string
		report api.VerifyReport
		tried  time.Time
		want   bool
	}{
		{name: "never", want: true},
		{name: "an hour ago", report: complete(time.Hour), tried: ago(time.Hour)},
		{name: "by hand since", report: complete(time.Hour), tried: ago(30 * time.Hour)},
		{name: "a day ago", report: complete(verifyEvery), tried: ago(verifyEvery + time.Minute), want: true},
		{name: "before the start, two days ago", report: complete(48 * time.Hour), want: true},
		{name: "it failed a moment ago", report: complete(48 * time.Hour), tried: ago(time.Hour)},
		{name: "it failed some hours ago", report: complete(48 * time.Hour), tried: ago(verifyRetry), want: true},
		{name: "by hand, and what is missing was not queued", report: api.VerifyReport{Finished: ago(time.Hour)}, want: true},
		{name: "by hand with repair, nothing to queue", report: api.VerifyReport{Finished: ago(time.Hour), Repair: true}},
		{name: "the daily run, what is lost cannot be queued", report: api.VerifyReport{Finished: ago(5 * time.Hour), Scheduled: true}, tried: ago(5 * time.Hour)},
		{name: "queued an hour ago", report: api.VerifyReport{Finished: ago(time.Hour), Scheduled: true, Repaired: 3}, tried: ago(time.Hour)},
		{name: "a content type was left out an hour ago", report: api.VerifyReport{Finished: ago(time.Hour), Scheduled: true, Omitted: 1}, tried: ago(time.Hour)},
		{name: "a content type was left out some hours ago", report: api.VerifyReport{Finished: ago(verifyRetry), Scheduled: true, Omitted: 1}, tried: ago(verifyRetry), want: true},
		{name: "queued some hours ago", report: api.VerifyReport{Finished: ago(verifyRetry), Scheduled: true, Repaired: 3}, tried: ago(verifyRetry), want: true},
		{name: "the clock was set back", report: complete(-48 * time.Hour), tried: ago(-48 * time.Hour), want: true},
	} {
		if got := verifyIsDue(now, tt.report, tt.tried); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
