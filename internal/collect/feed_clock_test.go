package collect

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

// clockedSource is a service whose clock is right. As a client does, it learns how far this machine's clock is from it
// with every answer. What lies too far back for it is refused.
type clockedSource struct {
	*fakeSource
	local clock.Clock
	skew  atomic.Int64
}

func (s *clockedSource) Skew() time.Duration { return time.Duration(s.skew.Load()) }

func (s *clockedSource) answer() time.Time {
	now := clock.Real{}.Now()
	s.skew.Store(int64(now.Sub(s.local.Now())))
	return now
}

func (s *clockedSource) Prepare(context.Context, []string) (started []string, failed map[string]error) {
	s.answer()
	return nil, nil
}

func (s *clockedSource) List(ctx context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	if now := s.answer(); w.From.Before(now.Add(-7*24*time.Hour - time.Hour)) {
		return func(yield func(record.Unit, error) bool) {
			yield(record.Unit{}, fault.New(fault.Config, "list", "the service refused the time window"))
		}
	}
	return s.fakeSource.List(ctx, w)
}

func newClockedFeed(t *testing.T) (*oneFeed, *clockedSource) {
	h := newHarness(t)
	src := &clockedSource{fakeSource: newFakeSource()}
	o := newOneFeed(h, h.start(), src)
	src.local = o.now
	return o, src
}

// settles polls as the schedule does after failures, at most three times.
func (o *oneFeed) settles(units int64) {
	o.t.Helper()
	for range 3 {
		_ = o.f.poll(o.t.Context())
	}
	o.listed(units)
}

// TestClockThatIsPutRight: the machine started with a wrong clock, which the service's answers showed. Then the clock is
// put right, and what was learned is wrong until the next answer.
func TestClockThatIsPutRight(t *testing.T) {
	const days = 10 * 24 * time.Hour
	for name, wrong := range map[string]time.Duration{"was ahead": days, "was behind": -days, "a zone ahead": 8 * time.Hour} {
		for _, quiet := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", no content before"}[quiet], func(t *testing.T) {
				o, src := newClockedFeed(t)
				units := int64(0)
				o.now.move(wrong)
				if !quiet {
					units++
					src.add(general, "before", time.Now().Add(-10*time.Minute), rec("b", ""))
				}
				o.listed(units)
				if !quiet {
					o.land(1)
				}
				o.now.move(-wrong)
				src.add(general, "after", time.Now().Add(-time.Minute), rec("a", ""))
				o.settles(units + 1)
				marks, err := o.f.loadMarks(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, at := range []time.Time{marks.ListedUntil, marks.SweptDay, marks.SweptAll} {
					if d := time.Since(at); d < -time.Minute || d > time.Minute {
						t.Errorf("a mark is %v off", d)
					}
				}
				if gaps, err := o.state.Gaps(t.Context(), "c1"); err != nil || len(gaps) > 0 {
					t.Errorf("gaps %+v, %v", gaps, err)
				}
			})
		}
	}
}

// TestMarksOfAClockThatWasAhead: a service that does not tell its time. What it lists late is found by sweeps, which are not
// done for days yet by the marks that were made under the wrong time.
func TestMarksOfAClockThatWasAhead(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	o := newOneFeed(h, h.start(), src)
	o.now.move(5 * 24 * time.Hour)
	o.listed(0)
	o.now.move(-5 * 24 * time.Hour)
	src.add(general, "late", time.Now().Add(-20*time.Hour), rec("1", ""))
	o.listed(1)
}

// TestRetriesDoNotWaitForAClockThatWasSetBack: the next try of a unit was minutes away, by a clock that was a day ahead.
func TestRetriesDoNotWaitForAClockThatWasSetBack(t *testing.T) {
	o, src := newClockedFeed(t)
	u := src.add(general, "u", time.Now().Add(-time.Hour), rec("1", ""))
	src.fail[u.Key] = []error{errReset.WithRetryAfter(time.Minute)}
	o.now.move(24 * time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c := newCrew(o.f)
		o.f.dispatch(ctx, c)
		c.wait()
	}()
	defer func() { stop(); <-ended }()
	o.listed(1)
	o.waitFor("the first try", func() bool { return o.total(general).Retrying == 1 })
	o.now.move(-24 * time.Hour)
	signal(o.f.wake)
	o.waitLanded(general, 1)
}

// TestVerifyByTheServicesClock: the clock of the machine is hours behind, and nobody has asked the service for anything yet.
func TestVerifyByTheServicesClock(t *testing.T) {
	o, src := newClockedFeed(t)
	o.now.move(-3 * time.Hour)
	src.add(general, "u", time.Now().Add(-time.Hour), rec("1", ""))
	m := NewManager(o.f.r.deps, nil)
	report, err := m.Verify(t.Context(), o.f.r.cfg, VerifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if listed := report.Feeds[0].Tally.Listed; listed != 1 {
		t.Errorf("%d units are listed, want 1", listed)
	}
}

// offSource is a service whose subscription somebody can stop.
type offSource struct {
	*fakeSource
	on atomic.Bool
}

func (s *offSource) Prepare(_ context.Context, contentTypes []string) (started []string, failed map[string]error) {
	if s.on.Swap(true) {
		return nil, nil
	}
	return contentTypes, nil
}

func (s *offSource) List(ctx context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	if s.on.Load() {
		return s.fakeSource.List(ctx, w)
	}
	return func(yield func(record.Unit, error) bool) {
		yield(record.Unit{}, fault.New(fault.Conflict, "list", "the subscription was disabled").WithCode("AF20023"))
	}
}

// TestSubscriptionThatWasOff: what appeared while somebody had stopped the subscription cannot be read, and that is not silent.
func TestSubscriptionThatWasOff(t *testing.T) {
	h := newHarness(t)
	src := &offSource{fakeSource: newFakeSource()}
	o := newOneFeed(h, h.start(), src)
	gaps := func() []state.Gap {
		t.Helper()
		got, err := h.state.Gaps(t.Context(), "c1")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	o.listed(0)
	if got := gaps(); len(got) > 0 {
		t.Fatalf("the first start left %+v", got)
	}
	marks, err := o.f.loadMarks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	on := marks.ListedUntil.Truncate(time.Microsecond)
	src.on.Store(false)
	o.now.move(time.Hour)
	if err := o.f.poll(t.Context()); fault.CodeOf(err) != "AF20023" {
		t.Fatal(err)
	}
	src.add(general, "after", o.now.Now().Add(-time.Minute), rec("a", ""))
	o.listed(1)
	got := gaps()
	if len(got) != 1 || !got[0].From.Equal(on) || got[0].To.Sub(on).Round(time.Minute) != time.Hour {
		t.Fatalf("gaps %+v, want one of an hour from %v", got, on)
	}
	o.listed(1)
	if again := gaps(); len(again) != 1 || again[0] != got[0] {
		t.Errorf("later %+v, was %+v", again, got)
	}
}
