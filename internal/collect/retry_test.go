package collect

import (
	"testing"
	"time"

	"sluice/internal/fault"
)

func TestBackoff(t *testing.T) {
	tests := []struct {
		name     string
		err      error
		attempt  int
		min, max time.Duration
	}{
		{"throttled, first", fault.New(fault.Throttled, "", ""), 1, 5 * time.Second, 5500 * time.Millisecond},
		{"throttled, third", fault.New(fault.Throttled, "", ""), 3, 20 * time.Second, 22 * time.Second},
		{"throttled, for long", fault.New(fault.Throttled, "", ""), 50, 5 * time.Minute, 330 * time.Second},
		{"unavailable, first", fault.New(fault.Unavailable, "", ""), 1, 500 * time.Millisecond, 2 * time.Second},
		{"unavailable, for long", fault.New(fault.Unavailable, "", ""), 99, 75 * time.Second, 5 * time.Minute},
		{"wrong secret", fault.New(fault.Auth, "", ""), 1, time.Minute, 66 * time.Second},
		{"permission, for long", fault.New(fault.Permission, "", ""), 9, 15 * time.Minute, 990 * time.Second},
		{"a wait that was asked for", fault.New(fault.Throttled, "", "").WithRetryAfter(7 * time.Second), 9, 7 * time.Second, 7700 * time.Millisecond},
		{"a long wait that was asked for", fault.New(fault.Unavailable, "", "").WithRetryAfter(2 * time.Hour), 1, 2 * time.Hour, 132 * time.Minute},
		{"disk full", fault.New(fault.Full, "", ""), 2, 10 * time.Second, 11 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 200 {
				if d := Backoff(tt.err, tt.attempt); d < tt.min || d > tt.max {
					t.Fatalf("Backoff = %v, want between %v and %v", d, tt.min, tt.max)
				}
			}
		})
	}
}
