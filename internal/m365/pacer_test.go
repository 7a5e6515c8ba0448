package m365

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	const date, later = "Thu, 01 Jan 2026 10:00:00 GMT", "Thu, 01 Jan 2026 10:00:30 GMT"
	tests := []struct {
		name   string
		values []string
		date   string
		want   time.Duration
	}{
		{"absent", nil, "", 0},
		{"seconds", []string{"5"}, "", 5 * time.Second},
		{"decimal", []string{"2.128"}, "", 2128 * time.Millisecond},
		{"rounded up", []string{"0.0001"}, "", time.Millisecond},
		{"space", []string{" 7 "}, "", 7 * time.Second},
		{"largest of several lines", []string{"5", "9", "x"}, "", 9 * time.Second},
		{"largest of a list", []string{"5, 12.5, 9"}, "", 12500 * time.Millisecond},
		{"date relative to Date", []string{later}, date, 30 * time.Second},
		{"date relative to now", []string{"Thu, 01 Jan 2026 12:01:00 GMT"}, "", time.Minute},
		{"date in the past", []string{date}, later, 0},
		{"date far away", []string{"Thu, 01 Jan 2099 10:00:30 GMT"}, date, 0},
		{"negative", []string{"-5"}, "", 0},
		{"garbage", []string{"soon"}, "", 0},
		{"exponent", []string{"1e3"}, "", 0},
		{"not a number", []string{"NaN"}, "", 0},
		{"dots", []string{"..."}, "", 0},
		{"absurd", []string{"99999999999999999999"}, "", 0},
		{"long but possible", []string{"7200"}, "", 2 * time.Hour},
	}
	for _, tt := range tests {
		h := http.Header{"Retry-After": tt.values}
		if tt.date != "" {
			h.Set("Date", tt.date)
		}
		if got := RetryAfter(h, now); got != tt.want {
			t.Errorf("%s: RetryAfter(%q) = %v, want %v", tt.name, tt.values, got, tt.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("5", "")
	f.Add("2.128, 7", "Thu, 01 Jan 2026 10:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		d := RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, time.Unix(0, 0))
		if d < 0 || d > maxRetryAfter+time.Second {
			t.Errorf("RetryAfter(%q) = %v", value, d)
		}
	})
}

// demand sends requests as fast as the pacer allows for d and returns how many there were.
func demand(t *testing.T, p *Pacer, d time.Duration) (n int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestPacerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacers(clock.Real{}).For("t", 600)
		if n := demand(t, p, time.Minute); n < 590 || n > 635 {
			t.Errorf("%d requests in a minute at 600 a minute", n)
		}
		if got := p.PerMinute(); got != 600 {
			t.Errorf("a rate below the default grew to %v", got)
		}
	})
}

func TestPacerAdapts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacers(clock.Real{}).For("t", DefaultPerMinute)
		_ = clock.Real{}.Sleep(t.Context(), time.Hour) // idle time earns nothing; in the bubble of synctest this takes no time
		_ = p.Wait(t.Context())
		if got := p.PerMinute(); got != DefaultPerMinute {
			t.Errorf("idle: %v a minute", got)
		}
		demand(t, p, 30*time.Minute)
		if got := p.PerMinute(); got != MaxPerMinute {
			t.Errorf("after half an hour of demand: %v a minute, want %v", got, MaxPerMinute)
		}
		p.Penalize(0)
		p.Penalize(0) // the answer to a request that was under way too
		if got := p.PerMinute(); got != MaxPerMinute/2 {
			t.Errorf("after throttling: %v a minute, want one halving", got)
		}
		for range 20 {
			_ = clock.Real{}.Sleep(t.Context(), cutGuard)
			p.Penalize(0)
		}
		if got := p.PerMinute(); got != minPerMinute {
			t.Errorf("after much throttling: %v a minute, want %v", got, minPerMinute)
		}
		demand(t, p, 10*time.Minute)
		if got := p.PerMinute(); got <= minPerMinute {
			t.Errorf("it does not recover: %v a minute", got)
		}
	})
}

func TestPacerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pacers := NewPacers(clock.Real{})
		p := pacers.For("AAAA", 0)
		if p != pacers.For("aaaa", 0) || p == pacers.For("bbbb", 0) {
			t.Fatal("pacers are not one per directory id")
		}
		if !p.PausedUntil().IsZero() {
			t.Error("paused from the beginning")
		}
		p.Penalize(time.Minute)
		p.Penalize(time.Second) // never shortens
		if got := time.Until(p.PausedUntil()); got != time.Minute {
			t.Errorf("paused for %v", got)
		}
		if err := p.Wait(t.Context()); !fault.Is(err, fault.Throttled) || fault.RetryAfterOf(err) != time.Minute {
			t.Errorf("long pause: %v", err)
		}
		_ = clock.Real{}.Sleep(t.Context(), 57*time.Second)
		begin := time.Now()
		if err := p.Wait(t.Context()); err != nil || time.Since(begin) != 3*time.Second {
			t.Errorf("short pause: %v after %v", err, time.Since(begin))
		}
		if !p.PausedUntil().IsZero() {
			t.Error("paused after the pause")
		}
		p.Penalize(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Wait(ctx); err == nil {
			t.Error("an ended context does not end the wait")
		}
	})
}
