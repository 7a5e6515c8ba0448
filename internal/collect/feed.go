package collect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

const (
	// overlap is how far behind the mark every listing starts: content can show up in a window that was already
	// read (spec/management-activity-api.md section 6.2).
	overlap = 2 * time.Hour
	// marginToRetention keeps the start of a listing inside what the service accepts while the request travels.
	marginToRetention = 10 * time.Minute
	// skewLimit is the difference to the service's clock from which windows use the service's time.
	skewLimit = 5 * time.Minute
	// A sweep lists further back than the mark asks for, because content can appear in a window long after it was read:
	// a day every hour, everything that the service still lists twice a day (spec/management-activity-api.md section
	// 6.5), and at once after a start.
	sweepDay, sweepDayEvery = 24 * time.Hour, time.Hour
	sweepAllEvery           = 12 * time.Hour
	// smallestWindow is the shortest part that a window whose listing keeps failing is cut into.
	smallestWindow = 10 * time.Minute
	// listChunk is how many listed units are written to the ledger in one transaction.
	listChunk = 500
)

// feed collects one content type of one connector.
type feed struct {
	r           *Runner
	contentType string
	log         *slog.Logger
	wake        chan struct{} // units may be due
	poke        chan struct{} // list now
	preparing   chan struct{} // a token: who holds it prepares the content type

	mu       sync.Mutex
	inflight map[record.UnitID]bool
	settled  map[record.UnitID]bool // since due units were last read, while they are being handed out; else nil
	status   FeedStatus
	prepared bool
	marks    *state.FeedMarks // as stored; nil before they were read
	growing  bool             // a second look brought more

	startedAt time.Time // when it was last found to be off, and started; zero once that is recorded
}

// FeedStatus is what a feed knows of itself; counts are in the ledger.
type FeedStatus struct {
	Listed      bool      // a listing succeeded since the start
	LastSuccess time.Time // last listing or fetch that succeeded
	NextRun     time.Time
	Listing     Trouble
	Fetching    Trouble
	Failed      int64 // attempts at units that failed, failures to find due ones included, counted up since the runner was made
}

// Trouble is a row of failures of one kind of work. It is over with the next success of that work.
type Trouble struct {
	Failures int   // in a row
	Err      error // the last one; nil when there is none
	At       time.Time
}

func newFeed(r *Runner, contentType string) *feed {
	return &feed{
		r: r, contentType: contentType, log: r.log.With("content_type", contentType),
		wake: make(chan struct{}, 1), poke: make(chan struct{}, 1), preparing: make(chan struct{}, 1), inflight: map[record.UnitID]bool{},
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// schedule lists at once and then every interval, sooner after a failure.
func (f *feed) schedule(ctx context.Context) {
	failures := 0
	for {
		err := f.poll(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := f.r.cfg.Interval + jitter(f.r.cfg.Interval/20)
		if err != nil {
			failures++
			f.failed(listing, err)
			if wait = f.slow(err, Backoff(err, failures)); wait > f.r.cfg.Interval && !waitsLong(err) {
				wait = f.r.cfg.Interval
			}
		} else {
			failures = 0
			f.succeeded(listing)
		}
		f.setNext(f.r.deps.Clock.Now().Add(wait))
		select {
		case <-ctx.Done():
			return
		case <-f.poke:
		case <-f.r.deps.Clock.After(wait):
		}
	}
}

// waitsLong tells failures whose wait may exceed the interval: the far side or the operator has to act first.
func waitsLong(err error) bool {
	switch fault.KindOf(err) {
	case fault.Throttled, fault.Config, fault.Auth, fault.Permission, fault.NotFound:
		return true
	default:
		return false
	}
}

func (f *feed) setNext(t time.Time) {
	f.mu.Lock()
	f.status.NextRun = t
	f.mu.Unlock()
}

// slow pauses the connector after a throttled request, and its tenant when the answer named no wait. It returns the
// wait. Without the pause every due unit would be tried in vain.
func (f *feed) slow(err error, wait time.Duration) time.Duration {
	if !fault.Is(err, fault.Throttled) {
		return wait
	}
	f.r.pause(wait)
	if s, ok := f.r.cfg.Source.(source.Slower); ok && fault.RetryAfterOf(err) == 0 {
		s.Slow(wait)
	}
	return wait
}

// work is one of the two things that a feed does. Their failures are kept apart: content that can still be fetched must
// not hide that nothing can be listed any more.
type work string

const (
	listing  work = "list"
	fetching work = "fetch"
)

func (s *FeedStatus) trouble(w work) *Trouble {
	if w == listing {
		return &s.Listing
	}
	return &s.Fetching
}

// failed notes a failure. The log has the first of a row of failures of one kind.
func (f *feed) failed(w work, err error) {
	f.mu.Lock()
	t := f.status.trouble(w)
	same := t.Err != nil && fault.KindOf(t.Err) == fault.KindOf(err)
	t.Failures++
	t.Err, t.At = err, f.r.deps.Clock.Now()
	if w == fetching {
		f.status.Failed++
	}
	f.mu.Unlock()
	f.r.deps.Metrics.failure(f.r.cfg.Connector.Name, f.contentType, fault.KindOf(err))
	if !same {
		f.log.Warn("collecting failed", "step", string(w), "kind", string(fault.KindOf(err)), "error", err.Error(), "hint", fault.HintOf(err))
	}
}

func (f *feed) succeeded(w work) {
	f.mu.Lock()
	t := f.status.trouble(w)
	failures := t.Failures
	*t = Trouble{}
	f.status.Listed = f.status.Listed || w == listing
	f.status.LastSuccess = f.r.deps.Clock.Now()
	f.mu.Unlock()
	if failures > 0 {
		f.log.Info("works again", "step", string(w), "failures", failures)
	}
}

// now is the service's time when it differs much from ours, else our own.
func (f *feed) now() time.Time {
	now := f.r.deps.Clock.Now()
	if skew := f.skew(); skew.Abs() > skewLimit {
		return now.Add(skew)
	}
	return now
}

// expired reports whether the service has forgotten a unit that could not be read. By this machine's clock alone it has not:
// the clock may be wrong, and the service be out of reach.
func (f *feed) expired(ctx context.Context, u *record.Unit, err error) bool {
	past := func() bool { return !u.Expires.IsZero() && f.now().After(u.Expires) }
	return past() && (answered(err) || f.askTime(ctx) && past())
}

// answered reports whether a failure is an answer of the service, which tells its time too. Of settings or a sign-in that
// fail the service may know nothing.
func answered(err error) bool {
	for e, ok := errors.AsType[*fault.Error](err); ok; e, ok = errors.AsType[*fault.Error](e.Err) {
		if e.Kind == fault.Auth || e.Kind == fault.Config {
			return false
		}
		if e.Status > 0 {
			return true
		}
	}
	return false
}

// askTime makes the service answer, so that its time is known, and reports whether it did. A failure says nothing else: whatever
// is done next meets it too.
func (f *feed) askTime(ctx context.Context) bool {
	if _, ok := f.r.cfg.Source.(source.Clocked); !ok {
		return false
	}
	now := f.r.deps.Clock.Now()
	for _, err := range f.r.cfg.Source.List(ctx, source.Window{ContentType: f.contentType, From: now.Add(-time.Minute), To: now}) {
		f.wentOff(err)
		return err == nil || answered(err)
	}
	return true
}

// skew is the service's time less ours, by its last answer; 0 when it is not known.
func (f *feed) skew() time.Duration {
	if c, ok := f.r.cfg.Source.(source.Clocked); ok {
		return c.Skew()
	}
	return 0
}

func (f *feed) snapshot() FeedStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}
