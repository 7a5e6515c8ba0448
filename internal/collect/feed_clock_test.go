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
	o := newOneFeed(h, src)
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
	o := newOneFeed(h, src)
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

// TestExpiredByTheServicesClock: a unit cannot be read, for a reason of which the service knows nothing, and by the clock of this
// machine it has expired. The service is asked for the time.
func TestExpiredByTheServicesClock(t *testing.T) {
	for name, age := range map[string]time.Duration{"expired": 8 * 24 * time.Hour, "not expired": time.Hour} {
		t.Run(name, func(t *testing.T) {
			o, src := newClockedFeed(t)
			u := src.add(general, "u", time.Now().UTC().Add(-time.Hour), rec("1", ""))
			src.fail[u.Key] = []error{fault.New(fault.Config, "fetch", "the service named an address of another host")}
			o.listed(1)
			if _, err := o.state.DB().ExecContext(t.Context(), `UPDATE units SET expires = ?`, time.Now().Add(7*24*time.Hour-age).UnixMicro()); err != nil {
				t.Fatal(err)
			}
			o.now.move(30 * 24 * time.Hour) // nothing has been asked since
			o.land(1)
			want := map[bool]state.Total{true: {Lost: 1}, false: {Pending: 1}}[age > 7*24*time.Hour]
			if total := o.total(general); total.Lost != want.Lost || total.Pending != want.Pending {
				t.Errorf("lost %d, pending %d, want %d and %d", total.Lost, total.Pending, want.Lost, want.Pending)
			}
		})
	}
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

// offSource is a service whose subscription somebody can stop. A refused listing starts it again if mends says so, as the real
// driver does.
type offSource struct {
	*fakeSource
	mends bool
	on    atomic.Bool
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
	kind := fault.Conflict
	if s.mends {
		kind = fault.Unavailable
		s.on.Store(true)
	}
	return func(yield func(record.Unit, error) bool) {
		yield(record.Unit{}, fault.New(kind, "list", "the subscription was disabled").WithCode("AF20023"))
	}
}

// timedSource is one that knows the service's time.
type timedSource struct{ *offSource }

func (timedSource) Skew() time.Duration { return 0 }

func (o *oneFeed) gaps() []state.Gap {
	o.t.Helper()
	got, err := o.state.Gaps(o.t.Context(), "c1")
	if err != nil {
		o.t.Fatal(err)
	}
	return got
}

// TestSubscriptionThatWasOff: what appeared while somebody had stopped the subscription cannot be read, and that is not silent.
func TestSubscriptionThatWasOff(t *testing.T) {
	for _, mends := range []bool{false, true} {
		t.Run(map[bool]string{false: "started by the next preparation", true: "started by the listing"}[mends], func(t *testing.T) {
			h := newHarness(t)
			src := &offSource{fakeSource: newFakeSource(), mends: mends}
			o := newOneFeed(h, src)
			o.listed(0)
			if got := o.gaps(); len(got) > 0 {
				t.Fatalf("the first start left %+v", got)
			}
			marks, err := o.f.loadMarks(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			on := marks.ListedUntil.Truncate(time.Microsecond)
			src.on.Store(false)
			o.now.move(time.Hour)
			if err := o.f.poll(t.Context()); mends && err != nil || !mends && fault.CodeOf(err) != "AF20023" {
				t.Fatal(err)
			}
			off := time.Hour
			if !mends { // until it is prepared again
				off += time.Hour / 2
				o.now.move(time.Hour / 2)
			}
			src.add(general, "after", o.now.Now().Add(-time.Minute), rec("a", ""))
			o.listed(1)
			got := o.gaps()
			if len(got) != 1 || !got[0].From.Equal(on) || got[0].To.Sub(on).Round(time.Minute) != off {
				t.Fatalf("gaps %+v, want one of %v from %v", got, off, on)
			}
			o.listed(1)
			if again := o.gaps(); len(again) != 1 || again[0] != got[0] {
				t.Errorf("later %+v, was %+v", again, got)
			}
		})
	}
}

// TestSubscriptionThatAVerificationStarts: the schedule finds it on again.
func TestSubscriptionThatAVerificationStarts(t *testing.T) {
	for _, mends := range []bool{false, true} {
		t.Run(map[bool]string{false: "by its preparation", true: "by its listing"}[mends], func(t *testing.T) {
			h := newHarness(t)
			src := &offSource{fakeSource: newFakeSource()}
			o := newOneFeed(h, src)
			o.listed(0)
			src.on.Store(false)
			o.now.move(time.Hour)
			var service source.Source = src
			if mends { // the verification begins with a listing for the service's time
				src.mends = true
				service = timedSource{src}
			}
			cfg := o.f.r.cfg
			cfg.Source = service
			report, err := NewManager(o.f.r.deps, nil).Verify(t.Context(), cfg, VerifyRequest{})
			if err != nil {
				t.Fatal(err)
			}
			o.listed(0)
			got := o.gaps()
			if len(got) != 1 || got[0].To.Sub(got[0].From).Round(time.Minute) != time.Hour {
				t.Fatalf("gaps %+v, want one of an hour", got)
			}
			if told := report.Feeds[0].Gaps; len(told) != 1 || told[0] != got[0] {
				t.Errorf("the report tells %+v", told)
			}
		})
	}
}
