package app

import (
	"testing"
	"time"
)

func TestVerifyIsDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tt := range []struct {
		name            string
		verified, tried time.Time
		want            bool
	}{
		{name: "never", want: true},
		{name: "an hour ago", verified: ago(time.Hour), tried: ago(time.Hour)},
		{name: "by hand since", verified: ago(time.Hour), tried: ago(30 * time.Hour)},
		{name: "a day ago", verified: ago(verifyEvery), tried: ago(verifyEvery + time.Minute), want: true},
		{name: "before the start, two days ago", verified: ago(48 * time.Hour), want: true},
		{name: "it failed a moment ago", verified: ago(48 * time.Hour), tried: ago(time.Hour)},
		{name: "it failed some hours ago", verified: ago(48 * time.Hour), tried: ago(verifyRetry), want: true},
	} {
		if got := verifyIsDue(now, tt.verified, tt.tried); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
