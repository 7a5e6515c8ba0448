package collect

import (
	"context"
	"iter"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
)

// sleepless is a clock on which waiting takes no time.
type sleepless struct{ *movedClock }

func (c sleepless) Sleep(ctx context.Context, d time.Duration) error {
	c.move(d)
	return ctx.Err()
}

// longSource takes its time for every listing. It fails at the end of every window that is longer than it can finish, and
// at once for those that have to do with the time before bad.
type longSource struct {
	*fakeSource
	now   *movedClock
	takes time.Duration
	most  time.Duration
	bad   time.Time
	calls int
}

func (s *longSource) List(ctx context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	s.calls++
	s.now.move(s.takes)
	return func(yield func(record.Unit, error) bool) {
		if w.From.Before(s.bad) {
			yield(record.Unit{}, fault.New(fault.Unavailable, "list", "an internal error"))
			return
		}
		for u, err := range s.fakeSource.List(ctx, w) {
			if w.To.Sub(w.From) > s.most && !u.Created.Before(w.From.Add(s.most)) { // not reached
				continue
			}
			if !yield(u, err) {
				return
			}
		}
		if w.To.Sub(w.From) > s.most {
			yield(record.Unit{}, fault.New(fault.Unavailable, "list", "the link to page 500 was refused"))
		}
	}
}

func newLongFeed(t *testing.T, takes, most time.Duration) (*oneFeed, *longSource) {
	h := newHarness(t)
	src := &longSource{fakeSource: newFakeSource(), takes: takes, most: most}
	o := newOneFeed(h, src)
	src.now = o.now
	o.f.r.deps.Clock = sleepless{o.now}
	o.f.r.cfg.Interval = 5 * time.Minute
	return o, src
}

// TestLongListingIsCut: a listing that takes longer than patience lasts and never comes to its end gets through in parts.
func TestLongListingIsCut(t *testing.T) {
	o, src := newLongFeed(t, 6*time.Minute, 3*time.Hour)
	now := o.now.Now().UTC()
	o.f.r.cfg.Start = now.Add(-24 * time.Hour)
	for hour := range 24 {
		src.add(general, time.Duration(hour).String(), now.Add(-time.Duration(hour)*time.Hour-time.Minute), rec("1", ""))
	}
	o.listed(24)
}

// TestADamagedDayDoesNotHoldUpTheNewestContent: the parts of a window do not have all the patience of the window each.
func TestADamagedDayDoesNotHoldUpTheNewestContent(t *testing.T) {
	o, src := newLongFeed(t, time.Second, 24*time.Hour)
	now := o.now.Now().UTC()
	o.f.r.cfg.Start = now.Add(-47 * time.Hour)
	src.bad = now.Add(-24 * time.Hour)
	src.add(general, "newest", now.Add(-time.Minute), rec("1", ""))
	if err := o.f.poll(t.Context()); err == nil {
		t.Fatal("the listing did not fail: this test shows nothing")
	}
	if got := o.total(general).Listed; got != 1 {
		t.Errorf("%d units are listed, want 1", got)
	}
	if took := o.now.Now().Sub(now); took > time.Hour {
		t.Errorf("it took %v and %d listings", took, src.calls)
	}
}
