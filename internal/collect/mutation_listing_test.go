package collect

import (
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

// movedClock is the wall clock, some time ahead.
type movedClock struct {
	clock.Real
	mu    sync.Mutex
	ahead time.Duration
}

func (c *movedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Real.Now().Add(c.ahead)
}

func (c *movedClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// oneFeed is a feed that lists and fetches when it is told to, on a clock, also of its publisher, that is moved when it is told to.
type oneFeed struct {
	*harness
	now *movedClock
	f   *feed
}

func newOneFeed(h *harness, src source.Source) *oneFeed {
	now := &movedClock{}
	h.clock = now
	r := h.start()
	cfg := connectorConfig(src, general)
	cfg.Start = now.Now().Add(-cfg.Retention)
	runner := NewRunner(cfg, Deps{State: h.state, Publisher: r.publisher, Clock: now, Logger: slog.New(slog.DiscardHandler)})
	return &oneFeed{harness: h, now: now, f: runner.feeds[0]}
}

// listed demands that the service's content is listed that far, after one more listing.
func (o *oneFeed) listed(units int64) {
	o.t.Helper()
	if err := o.f.poll(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	if got := o.total(general).Listed; got != units {
		o.t.Fatalf("%d units are listed, want %d", got, units)
	}
}

// land fetches the units that are due, which have to be so many, and waits until they are done with.
func (o *oneFeed) land(units int) {
	o.t.Helper()
	due, err := o.f.due(o.t.Context(), 100)
	if err != nil {
		o.t.Fatal(err)
	}
	if len(due) != units {
		what := "fetched"
		if o.total(general).Pending == 0 {
			what = "looked at again"
		}
		o.t.Fatalf("%d units are %s, want %d", len(due), what, units)
	}
	c := newCrew(o.f)
	defer c.wait()
	for _, u := range due {
		o.f.take(u.ID)
		if err := c.start(o.t.Context(), u); err != nil {
			o.t.Fatal(err)
		}
	}
	o.waitFor("the end of the fetches", func() bool {
		o.f.mu.Lock()
		defer o.f.mu.Unlock()
		return len(o.f.inflight) == 0
	})
}

// TestLateContent: content appears in windows that were read already. How far back decides which listing finds it.
func TestLateContent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behind time.Duration   // the newest content, which has landed
		hidden []time.Duration // moves of the clock after which it is not found yet, which shows that the next one matters
		found  time.Duration
	}{
		{"within the overlap", overlap - 10*time.Minute, nil, time.Minute},
		{"within a day", 20 * time.Hour, []time.Duration{time.Minute}, sweepDayEvery},
		{"within what the service lists", 6 * 24 * time.Hour, []time.Duration{time.Minute, sweepDayEvery}, sweepAllEvery},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			src := newFakeSource()
			o := newOneFeed(h, src)
			newest := o.now.Now().UTC().Add(-10 * time.Minute)
			src.add(general, "newest", newest, rec("n", ""))
			o.listed(1)
			o.land(1)
			src.add(general, "late", newest.Add(-tt.behind), rec("l", ""))
			for _, d := range tt.hidden {
				o.now.move(d)
				o.listed(1)
			}
			o.now.move(tt.found)
			o.listed(2)
			o.land(1)
			if got := h.once(); got != 2 {
				t.Errorf("%d records, want 2", got)
			}
		})
	}
}

// TestASweepThatFailedIsRepeated: a sweep counts only when all of it was listed.
func TestASweepThatFailedIsRepeated(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	o := newOneFeed(h, src)
	newest := o.now.Now().UTC().Add(-10 * time.Minute)
	src.add(general, "newest", newest, rec("n", ""))
	o.listed(1)
	o.land(1)
	src.add(general, "late", newest.Add(-20*time.Hour), rec("l", ""))
	o.now.move(sweepDayEvery)
	src.mu.Lock()
	src.listErr = []error{errGone} // no waiting helps
	src.mu.Unlock()
	if err := o.f.poll(t.Context()); err == nil {
		t.Fatal("the listing did not fail: this test shows nothing")
	}
	o.now.move(time.Minute)
	o.listed(2)
}

// TestUnitsAreLookedAtAgain: an hour after they landed, and what they have then lands too.
func TestUnitsAreLookedAtAgain(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	o := newOneFeed(h, src)
	o.f.r.cfg.SecondLook = 1
	created := o.now.Now().UTC().Add(-10 * time.Minute)
	grows := src.add(general, "grows", created, rec("1", ""))
	src.add(general, "stays", created, rec("2", ""))
	o.listed(2)
	o.land(2)
	src.mu.Lock()
	src.bodies[grows.Key] = append(src.bodies[grows.Key], rec("3", ""))
	src.mu.Unlock()
	o.now.move(lookAfter - time.Minute)
	o.land(0)
	o.now.move(2 * time.Minute)
	o.land(2)
	if got := h.once(); got != 3 {
		t.Errorf("%d records, want 3", got)
	}
}

// TestAnEmptyUnitIsLookedAtAgain: the service promises at least one record, so one without any is not believed. It is in no sample.
func TestAnEmptyUnitIsLookedAtAgain(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	o := newOneFeed(h, src)
	created := o.now.Now().UTC().Add(-10 * time.Minute)
	u := src.add(general, "empty", created)
	src.add(general, "other", created, rec("1", ""))
	o.listed(2)
	o.land(2)
	src.mu.Lock()
	src.bodies[u.Key] = []string{rec("2", "")}
	src.mu.Unlock()
	o.now.move(lookAfter + time.Minute)
	o.land(1)
	if got := h.once(); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}

// TestGrowthMakesAllUnitsLookedAtAgain: units that were in no sample, those of the time before included.
func TestGrowthMakesAllUnitsLookedAtAgain(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	o := newOneFeed(h, src)
	created := o.now.Now().UTC().Add(-10 * time.Minute)
	o.f.r.cfg.SecondLook = 1
	grows := src.add(general, "grows", created, rec("1", ""))
	o.listed(1)
	o.land(1)
	o.f.r.cfg.SecondLook = 0
	missed := src.add(general, "missed", created, rec("2", ""))
	o.listed(2)
	o.land(1)
	src.mu.Lock()
	for _, u := range []record.Unit{grows, missed} {
		src.bodies[u.Key] = append(src.bodies[u.Key], rec(u.ContentID, ""))
	}
	src.mu.Unlock()
	o.now.move(lookAfter + time.Minute)
	o.land(1)
	o.listed(2)
	o.land(1) // the one that was missed
	o.now.move(lookAfter + time.Minute)
	o.land(2) // both have grown, so both are looked at once more
	if got := h.once(); got != 4 {
		t.Errorf("%d records, want 4", got)
	}
}

// TestContentThatExpiredIsShownAsLost: the service fails for so long that it has thrown the content away meanwhile. By a clock
// alone it has not: this machine's may be wrong, and nobody answers who knows better.
func TestContentThatExpiredIsShownAsLost(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	o := newOneFeed(h, src)
	u := src.add(general, "u", o.now.Now().UTC().Add(-10*time.Minute), rec("1", ""))
	src.fail[u.Key] = []error{errReset, errReset, errSignIn, errReset.WithStatus(http.StatusServiceUnavailable)}
	o.listed(1)
	fail := func() state.Total {
		t.Helper()
		o.now.move(time.Hour)
		due, err := o.f.due(t.Context(), 10)
		if err != nil || len(due) != 1 {
			t.Fatalf("%d units are due, %v", len(due), err)
		}
		tries := src.fetches(u.Key)
		c := newCrew(o.f)
		if err := c.start(t.Context(), due[0]); err != nil {
			t.Fatal(err)
		}
		if c.wait(); src.fetches(u.Key) != tries+1 {
			t.Fatal("nothing was fetched: this test shows nothing")
		}
		return o.total(general)
	}
	if total := fail(); total.Lost != 0 || total.Pending != 1 {
		t.Errorf("after the first failure %+v, want one pending", total)
	}
	o.now.move(7 * 24 * time.Hour)
	for _, what := range []string{"nobody answers", "the sign-in fails"} {
		if total := fail(); total.Lost != 0 || total.Pending != 1 {
			t.Errorf("a week later, when %s: %+v, want one pending", what, total)
		}
	}
	if total := fail(); total.Lost != 1 || total.Pending != 0 {
		t.Errorf("a week later %+v, want one lost", total)
	}
}
