package m365

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/clock"
)

// movedClock is the wall clock, some time ahead.
type movedClock struct {
	clock.Real
	ahead atomic.Int64
}

func (c *movedClock) Now() time.Time { return c.Real.Now().Add(time.Duration(c.ahead.Load())) }

// TestClockThatIsSetBack: a machine starts with a clock that is ahead by its time zone, and before it has a network. Nothing that
// was to last for seconds or minutes lasts until the old time is reached again.
func TestClockThatIsSetBack(t *testing.T) {
	const zone = 8 * time.Hour
	t.Run("a sign-in that failed", func(t *testing.T) {
		s, clk := newService(t, false), &movedClock{}
		clk.ahead.Store(int64(zone))
		s.tokenErr = func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true }
		c := s.client(t, func(cfg *Config) { cfg.Clock = clk })
		if _, err := read(t.Context(), c, "/x"); err == nil {
			t.Fatal("signed in: this test shows nothing")
		}
		s.mu.Lock()
		s.tokenErr = nil
		s.mu.Unlock()
		clk.ahead.Store(0)
		if _, err := read(t.Context(), c, "/x"); err != nil {
			t.Error(err)
		}
	})
	t.Run("a token that was refused", func(t *testing.T) {
		s, clk := newService(t, false), &movedClock{}
		clk.ahead.Store(int64(zone))
		refuse := ""
		s.api = func(w http.ResponseWriter, r *http.Request) {
			if token := r.Header.Get("Authorization"); refuse == "" || refuse == token {
				refuse = token
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, "ok")
		}
		c := s.client(t, func(cfg *Config) { cfg.Clock = clk })
		if _, err := read(t.Context(), c, "/x"); err != nil {
			t.Fatal(err)
		}
		clk.ahead.Store(0)
		refuse = "" // the present one has expired
		if _, err := read(t.Context(), c, "/x"); err != nil {
			t.Error(err)
		}
	})
	t.Run("a pause", func(t *testing.T) {
		clk := &movedClock{}
		clk.ahead.Store(int64(zone))
		p := NewPacers(clk).For("t", 1200)
		p.Penalize(30 * time.Second)
		clk.ahead.Store(0)
		if left := time.Until(p.PausedUntil()); left > 31*time.Second || left < 20*time.Second {
			t.Errorf("paused for %v", left)
		}
		p.Penalize(time.Minute)
		if left := time.Until(p.PausedUntil()); left > 61*time.Second || left < 50*time.Second {
			t.Errorf("paused for %v", left)
		}
		if rate := p.PerMinute(); rate != 300 {
			t.Errorf("rate %v after two answers", rate)
		}
	})
}

// TestPaceIsForOneRequest: who has waited for its turn does not wait again, but only once.
func TestPaceIsForOneRequest(t *testing.T) {
	s := newService(t, false)
	c := s.client(t, func(cfg *Config) { cfg.Pacer = NewPacers(clock.Real{}).For(tenant, 1) })
	ctx, err := c.Pace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(ctx, c, "/x"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := read(ctx, c, "/x"); err == nil {
		t.Error("the second request did not wait")
	}
}
