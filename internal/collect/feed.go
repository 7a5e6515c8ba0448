package collect

import (
	"context"
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
	sweptDay time.Time // when a sweep over the last day, or over everything, last succeeded
	sweptAll time.Time
}

// FeedStatus is what a feed knows of itself; counts are in the ledger.
type FeedStatus struct {
	Listed      bool      // a listing succeeded since the start
	LastSuccess time.Time // last listing or fetch that succeeded
	NextRun     time.Time
	Listing     Trouble
	Fetching    Trouble
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
	if c, ok := f.r.cfg.Source.(source.Clocked); ok {
		if skew := c.Skew(); skew > skewLimit || skew < -skewLimit {
			return now.Add(skew)
		}
	}
	return now
}

// poll prepares the content type if needed and lists what the mark asks for.
func (f *feed) poll(ctx context.Context) error {
	if err := f.prepare(ctx); err != nil {
		return err
	}
	from, to, err := f.window(ctx)
	if err != nil {
		return err
	}
	depth := f.sweepDepth(to)
	if start := to.Add(-depth); start.Before(from) {
		from = start
	}
	if from.Before(f.r.cfg.Start) {
		from = f.r.cfg.Start
	}
	if err = f.list(ctx, from, to, nil, f.r.cfg.Interval); err == nil {
		f.swept(depth, to)
	}
	if code := fault.CodeOf(err); code == "AF20022" || code == "AF20023" {
		f.mu.Lock()
		f.prepared = false // the subscription went away: start it again before the next listing
		f.mu.Unlock()
	}
	return err
}

// prepare makes the content type ready. The schedule and jobs may ask at the same time; one of them does it.
func (f *feed) prepare(ctx context.Context) error {
	p, ok := f.r.cfg.Source.(source.Preparer)
	select {
	case f.preparing <- struct{}{}:
		defer func() { <-f.preparing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	done := f.prepared
	f.mu.Unlock()
	if !ok || done {
		return nil
	}
	if err := p.Prepare(ctx, []string{f.contentType})[f.contentType]; err != nil {
		return err
	}
	f.mu.Lock()
	f.prepared = true
	f.mu.Unlock()
	return nil
}

// sweepDepth is how far back the listing that is due at now has to reach at least; 0 leaves it to the mark.
func (f *feed) sweepDepth(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case now.Sub(f.sweptAll) >= sweepAllEvery:
		return f.r.cfg.Retention - marginToRetention
	case now.Sub(f.sweptDay) >= sweepDayEvery:
		return min(sweepDay, f.r.cfg.Retention-marginToRetention)
	}
	return 0
}

// swept notes that a listing back to depth succeeded.
func (f *feed) swept(depth time.Duration, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case depth >= f.r.cfg.Retention-marginToRetention:
		f.sweptDay, f.sweptAll = now, now
	case depth > 0:
		f.sweptDay = now
	}
}

// window is the interval of content creation time that a scheduled listing covers: from the mark less the overlap,
// but not before the connector's start and not before what the service still serves.
func (f *feed) window(ctx context.Context) (from, to time.Time, err error) {
	to = f.now()
	newestDone, oldestOpen, err := f.r.deps.State.Mark(ctx, f.r.cfg.Connector.ID, f.contentType)
	if err != nil {
		return from, to, err
	}
	mark := newestDone
	if !oldestOpen.IsZero() && (mark.IsZero() || oldestOpen.Before(mark)) {
		mark = oldestOpen
	}
	from = f.r.cfg.Start
	if m := mark.Add(-overlap); !mark.IsZero() && m.After(from) {
		from = m
	}
	if oldest := to.Add(-f.r.cfg.Retention + marginToRetention); from.Before(oldest) {
		from = oldest
	}
	return from, to, nil
}

// list writes every unit that the service lists in [from, to) to the ledger. seen is told about each, if not nil; some
// may be told twice. A window that fails while waiting can help is listed again for as long as patience lasts.
func (f *feed) list(ctx context.Context, from, to time.Time, seen func(record.Unit), patience time.Duration) error {
	for start := from; start.Before(to); start = start.Add(f.r.cfg.MaxWindow) {
		end := start.Add(f.r.cfg.MaxWindow)
		if end.After(to) {
			end = to
		}
		if err := f.cover(ctx, source.Window{ContentType: f.contentType, From: start, To: end}, seen, patience); err != nil {
			return err
		}
	}
	return nil
}

// cover lists a window until it succeeded. After two failures the window is cut in half: a long run of pages, each of
// which may fail, gets through in parts where it never would as a whole.
func (f *feed) cover(ctx context.Context, w source.Window, seen func(record.Unit), patience time.Duration) error {
	began := f.r.deps.Clock.Now()
	for attempt := 1; ; attempt++ {
		err := f.listWindow(ctx, w, seen)
		if err == nil || !transient(err) {
			return err
		}
		wait := f.slow(err, Backoff(err, attempt))
		if f.r.deps.Clock.Now().Add(wait).Sub(began) > patience {
			return err
		}
		f.failed(listing, err)
		if f.r.deps.Clock.Sleep(ctx, wait) != nil {
			return err
		}
		if half := w.To.Sub(w.From) / 2; attempt == 2 && half >= smallestWindow {
			left, right := w, w
			left.To = w.From.Add(half).Truncate(time.Second)
			right.From = left.To
			if err := f.cover(ctx, left, seen, patience); err != nil {
				return err
			}
			return f.cover(ctx, right, seen, patience)
		}
	}
}

// transient failures go away by themselves.
func transient(err error) bool {
	return fault.Is(err, fault.Throttled) || fault.Is(err, fault.Unavailable)
}

func (f *feed) listWindow(ctx context.Context, w source.Window, seen func(record.Unit)) error {
	chunk := make([]record.Unit, 0, listChunk)
	flush := func() error {
		added, err := f.r.deps.State.AddUnits(ctx, f.r.deps.Publisher.term, f.r.cfg.Connector.ID, chunk)
		if err != nil {
			return fault.Wrap("", "record listed content", err)
		}
		chunk = chunk[:0]
		if added > 0 {
			f.r.deps.Metrics.listed(f.r.cfg.Connector.Name, f.contentType, added)
			signal(f.wake)
		}
		return nil
	}
	for unit, err := range f.r.cfg.Source.List(ctx, w) {
		if err != nil {
			if flushErr := flush(); flushErr != nil && ctx.Err() == nil {
				f.log.Warn("listed content was not recorded; it is listed again", "error", flushErr.Error())
			}
			return err
		}
		if seen != nil {
			seen(unit)
		}
		if chunk = append(chunk, unit); len(chunk) == listChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// dispatch feeds due units to the fetchers until ctx ends.
func (f *feed) dispatch(ctx context.Context, work chan<- state.LedgerUnit) {
	for {
		sent, err := f.sendDue(ctx, work)
		if ctx.Err() != nil {
			return
		}
		wait := time.Minute
		if pause := f.r.paused(); pause > 0 {
			// Units that end their flight meanwhile wake nobody: the pause is waited out.
			if f.r.deps.Clock.Sleep(ctx, pause) != nil {
				return
			}
			continue
		}
		if err != nil {
			f.failed(fetching, err)
			wait = Backoff(err, 1)
		} else if sent > 0 {
			continue
		} else if next, ok, err := f.r.deps.State.NextDue(ctx, f.r.cfg.Connector.ID, f.contentType); err == nil && ok {
			// Listed units are due now but in flight: their end wakes us.
			if d := next.Sub(f.r.deps.Clock.Now()); d > 0 {
				wait = min(wait, d)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-f.r.deps.Clock.After(wait):
		}
	}
}

func (f *feed) sendDue(ctx context.Context, work chan<- state.LedgerUnit) (sent int, err error) {
	if f.r.paused() > 0 {
		return 0, nil
	}
	f.mu.Lock()
	limit := len(f.inflight) + 4*f.r.cfg.Parallel
	f.settled = map[record.UnitID]bool{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.settled = nil
		f.mu.Unlock()
	}()
	due, err := f.r.deps.State.DueUnits(ctx, f.r.cfg.Connector.ID, f.contentType, f.r.deps.Clock.Now(), limit)
	if err != nil {
		return 0, err
	}
	for _, u := range due {
		if f.r.paused() > 0 {
			return sent, nil
		}
		if !f.take(u.ID) {
			continue
		}
		select {
		case work <- u:
			sent++
		case <-ctx.Done():
			f.settle(u.ID)
			return sent, ctx.Err()
		}
	}
	return sent, nil
}

// take marks a unit as in flight. It is false for one that is already, and for one that ended its flight after the due
// units were read: what was read of it is out of date.
func (f *feed) take(id record.UnitID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inflight[id] || f.settled[id] {
		return false
	}
	f.inflight[id] = true
	return true
}

// settle ends a unit's time in flight.
func (f *feed) settle(id record.UnitID) {
	f.mu.Lock()
	delete(f.inflight, id)
	if f.settled != nil {
		f.settled[id] = true
	}
	f.mu.Unlock()
	signal(f.wake)
}

func (f *feed) snapshot() FeedStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}
