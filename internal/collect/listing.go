package collect

import (
	"context"
	"slices"
	"time"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

// poll prepares the content type if needed and lists what is due: everything since the mark, further back when a
// sweep is due. How far the feed is listed is remembered in the state database, so that a restart goes on from there.
func (f *feed) poll(ctx context.Context) error {
	if err := f.prepare(ctx); err != nil {
		return err
	}
	skew := f.skew()
	from, to, err := f.window(ctx)
	if err == nil && !from.Before(to) { // the start is yet to come: or so it seems until the service has answered
		f.unprepare()
		if err = f.prepare(ctx); err == nil {
			skew = f.skew()
			from, to, err = f.window(ctx)
		}
	}
	if err != nil {
		return err
	}
	marks, err := f.marksAt(ctx, to)
	if err == nil {
		err = f.noteStart(ctx, marks)
	}
	if err != nil {
		return err
	}
	depth := f.sweepDepth(marks, to)
	if start := to.Add(-depth); start.Before(from) {
		from = start
	}
	if from.Before(f.r.cfg.Start) {
		from = f.r.cfg.Start
	}
	until, err := f.list(ctx, from, to, f.recording(nil), f.r.cfg.Interval)
	// What was known of the service's clock was out of date: the window was a wrong one, and marks and gaps by it would be too.
	if d := f.skew() - skew; d.Abs() > skewLimit {
		return fault.New(fault.Unavailable, "list "+f.contentType, "the clock of this machine was set, or the service's was").
			WithHint("nothing to do: Sluice lists again by the service's clock").WithCause(err)
	}
	if err := f.noteStart(ctx, marks); err != nil { // the listing can have found it off, too
		return err
	}
	if err := f.noteGap(ctx, marks, to); err != nil {
		return err
	}
	if saveErr := f.saveMarks(ctx, f.advance(marks, until, to, depth, err == nil)); err == nil {
		err = saveErr
	}
	return err
}

// advance returns the marks after a listing back to depth that is complete up to until.
func (f *feed) advance(m state.FeedMarks, until, to time.Time, depth time.Duration, complete bool) state.FeedMarks {
	if until.After(m.ListedUntil) {
		m.ListedUntil = until
	}
	switch {
	case !complete || depth == 0:
	case depth >= f.r.cfg.Retention-marginToRetention:
		m.SweptAll, m.SweptDay = to, to
	default:
		m.SweptDay = to
	}
	return m
}

// loadMarks returns what is remembered of the feed's listings.
func (f *feed) loadMarks(ctx context.Context) (state.FeedMarks, error) {
	f.mu.Lock()
	marks := f.marks
	f.mu.Unlock()
	if marks != nil {
		return *marks, nil
	}
	stored, err := f.r.deps.State.FeedMarks(ctx, f.r.cfg.Connector.ID, f.contentType)
	if err != nil {
		return state.FeedMarks{}, fault.Wrap("", "read how far the content type is listed", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.marks == nil {
		f.marks = &stored
	}
	return *f.marks, nil
}

// marksAt is loadMarks without marks of a time that is yet to come. They were made while the clock was ahead, and say
// nothing: everything is listed as if for the first time.
func (f *feed) marksAt(ctx context.Context, now time.Time) (state.FeedMarks, error) {
	m, err := f.loadMarks(ctx)
	for _, t := range []time.Time{m.ListedUntil, m.SweptDay, m.SweptAll} {
		if t.After(now.Add(skewLimit)) {
			return state.FeedMarks{LooksGrew: m.LooksGrew}, err
		}
	}
	return m, err
}

func (f *feed) saveMarks(ctx context.Context, m state.FeedMarks) error {
	f.mu.Lock()
	began := f.growing && !f.marks.LooksGrew
	m.LooksGrew = f.growing || f.marks.LooksGrew
	changed := *f.marks != m
	f.mu.Unlock()
	if !changed {
		return nil
	}
	if began {
		if err := f.lookBack(ctx); err != nil {
			return fault.Wrap("", "schedule second looks", err)
		}
		f.log.Warn("content grew after it was read; all of this content type is read a second time from now on")
	}
	if err := f.r.deps.State.SetFeedMarks(ctx, f.r.deps.Publisher.term, f.r.cfg.Connector.ID, f.contentType, m); err != nil {
		return fault.Wrap("", "remember how far the content type is listed", err)
	}
	f.mu.Lock()
	f.marks = &m
	f.mu.Unlock()
	return nil
}

// firstListing is how long the first listing of a connector may take to succeed before what it missed counts as a gap.
const firstListing = time.Hour

// noteGap records the interval that can no longer be listed, because nothing was listed for longer than the service
// looks back: an outage, a pause, a missing permission.
func (f *feed) noteGap(ctx context.Context, m state.FeedMarks, to time.Time) error {
	oldest := to.Add(-f.r.cfg.Retention + marginToRetention)
	from := m.ListedUntil
	if created := f.r.cfg.Created; from.IsZero() && !created.IsZero() { // a connector that never got so far
		from = latest(f.r.cfg.Start, created.Add(-f.r.cfg.Retention+marginToRetention)).Add(firstListing)
	}
	if from.IsZero() || !from.Before(oldest) {
		return nil
	}
	if err := f.addGap(ctx, from, oldest, "nothing could be listed for longer than the service looks back"); err != nil {
		return err
	}
	// What begins at oldest is listed now; the gap is not counted twice.
	return f.saveMarks(ctx, state.FeedMarks{ListedUntil: oldest, SweptDay: m.SweptDay, SweptAll: m.SweptAll, LooksGrew: m.LooksGrew})
}

// noteStart records the interval whose content the service did not keep, because what Prepare starts was off: somebody stopped
// a subscription that was listed before. When it went off nobody says; until the last listing it was on.
func (f *feed) noteStart(ctx context.Context, m state.FeedMarks) error {
	f.mu.Lock()
	at := f.startedAt
	f.mu.Unlock()
	if at.IsZero() {
		return nil
	}
	if m.ListedUntil.Before(at) && !m.ListedUntil.IsZero() {
		if err := f.addGap(ctx, m.ListedUntil, at, "the subscription was off, and the service keeps nothing of that time"); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.startedAt.Equal(at) {
		f.startedAt = time.Time{}
	}
	return nil
}

// wentOff notes that a listing was refused because what Prepare starts is off. The driver may have started it at once, so that
// the listing works when it is repeated, and nothing else tells that content of that time is missing.
func (f *feed) wentOff(err error) {
	if code := fault.CodeOf(err); code != "AF20022" && code != "AF20023" {
		return
	}
	at := f.now()
	f.mu.Lock()
	f.prepared, f.startedAt = false, at
	f.mu.Unlock()
}

func (f *feed) addGap(ctx context.Context, from, to time.Time, reason string) error {
	gap := state.Gap{
		ConnectorID: f.r.cfg.Connector.ID, ContentType: f.contentType, From: from, To: to, Reason: reason, NoticedAt: f.r.deps.Clock.Now(),
	}
	if err := f.r.deps.State.Step(ctx, f.r.deps.Publisher.term, func(s *state.Step) error { return s.AddGap(gap) }); err != nil {
		return fault.Wrap("", "record the interval that cannot be read", err)
	}
	f.log.Error("an interval can no longer be read", "from", gap.From, "to", gap.To, "reason", gap.Reason)
	return nil
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
	started, failed := p.Prepare(ctx, []string{f.contentType})
	if err := failed[f.contentType]; err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prepared = true
	if slices.Contains(started, f.contentType) {
		f.startedAt = f.now()
	}
	return nil
}

// unprepare makes the next prepare ask the service again.
func (f *feed) unprepare() {
	f.mu.Lock()
	f.prepared = false
	f.mu.Unlock()
}

// sweepDepth is how far back the listing that is due at now has to reach at least; 0 leaves it to the mark.
func (f *feed) sweepDepth(m state.FeedMarks, now time.Time) time.Duration {
	switch {
	case now.Sub(m.SweptAll) >= sweepAllEvery:
		return f.r.cfg.Retention - marginToRetention
	case now.Sub(m.SweptDay) >= sweepDayEvery:
		return min(sweepDay, f.r.cfg.Retention-marginToRetention)
	}
	return 0
}

// window is the interval of content creation time that a scheduled listing covers: from the mark less the overlap,
// but not before the connector's start and not before what the service still serves. The mark is the newest content
// that is done, but never passes content that is not, nor the end of what was listed without an error.
func (f *feed) window(ctx context.Context) (from, to time.Time, err error) {
	to = f.now()
	marks, err := f.marksAt(ctx, to)
	if err != nil {
		return from, to, err
	}
	mark, oldestOpen, err := f.r.deps.State.Mark(ctx, f.r.cfg.Connector.ID, f.contentType)
	if err != nil {
		return from, to, err
	}
	for _, t := range []time.Time{oldestOpen, marks.ListedUntil} {
		if !t.IsZero() && (mark.IsZero() || t.Before(mark)) {
			mark = t
		}
	}
	if mark.After(to) {
		mark = to // by a clock that is behind; only an answer of the service can tell
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

// lister lists one window once. some: units came, also before an error.
type lister func(ctx context.Context, w source.Window) (some bool, err error)

// partsFor bounds, in multiples of the patience, how long the parts of one window are tried together.
const partsFor = 8

// list lists [from, to) window by window. A window that fails while waiting can help is listed again for as long as
// patience lasts; after that the windows behind it are listed all the same, so that one damaged hour does not hold up the
// newest content. until is the time below which nothing is missing, err the first error.
func (f *feed) list(ctx context.Context, from, to time.Time, once lister, patience time.Duration) (until time.Time, err error) {
	until = to
	for start := from; start.Before(to); start = start.Add(f.r.cfg.MaxWindow) {
		end := start.Add(f.r.cfg.MaxWindow)
		if end.After(to) {
			end = to
		}
		c := covering{f: f, once: once, patience: patience, end: f.r.deps.Clock.Now().Add(partsFor * patience)}
		failedAt, windowErr := c.cover(ctx, source.Window{ContentType: f.contentType, From: start, To: end})
		if windowErr == nil {
			continue
		}
		if err == nil {
			until, err = failedAt, windowErr
		}
		if !passing(windowErr) || ctx.Err() != nil {
			break
		}
	}
	return until, err
}

// covering lists one window with all its parts.
type covering struct {
	f        *feed
	once     lister
	patience time.Duration // with one part
	end      time.Time     // behind which no part is tried twice
}

// cover lists a window until it succeeded. After two failures the window is cut in half: a long run of pages, each of
// which may fail, gets through in parts where it never would as a whole. So it is when patience is over and some of it
// came: a run that takes longer than that would never be cut. failedAt is where the first part begins that could not be
// listed.
func (c *covering) cover(ctx context.Context, w source.Window) (failedAt time.Time, err error) {
	f := c.f
	began := f.r.deps.Clock.Now()
	half := w.To.Sub(w.From) / 2
	for attempt := 1; ; attempt++ {
		some, err := c.once(ctx, w)
		f.wentOff(err)
		if err == nil || !passing(err) {
			return w.From, err
		}
		wait := f.slow(err, Backoff(err, attempt))
		tried := f.r.deps.Clock.Now().Add(wait)
		over := tried.Sub(began) > c.patience || tried.After(c.end)
		if over && (!some || half < smallestWindow || fault.Is(err, fault.Throttled)) {
			return w.From, err
		}
		f.failed(listing, err)
		if !over && f.r.deps.Clock.Sleep(ctx, wait) != nil {
			return w.From, err
		}
		if half >= smallestWindow && (attempt == 2 || over) {
			return c.halves(ctx, w, half)
		}
	}
}

// halves covers a window in two parts.
func (c *covering) halves(ctx context.Context, w source.Window, half time.Duration) (failedAt time.Time, err error) {
	left, right := w, w
	left.To = w.From.Add(half).Truncate(time.Second)
	right.From = left.To
	leftAt, leftErr := c.cover(ctx, left)
	if leftErr != nil && (!passing(leftErr) || ctx.Err() != nil) {
		return leftAt, leftErr
	}
	rightAt, rightErr := c.cover(ctx, right)
	if leftErr != nil {
		return leftAt, leftErr
	}
	return rightAt, rightErr
}

// passing tells failures that go away by themselves or with a smaller request.
func passing(err error) bool {
	return fault.Is(err, fault.Throttled) || fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Malformed)
}

// recording lists into the ledger: every unit of a window is written there before the listing counts as done. seen is
// told about each, if not nil; some may be told twice.
func (f *feed) recording(seen func(record.Unit)) lister {
	return func(ctx context.Context, w source.Window) (bool, error) { return f.record(ctx, w, seen) }
}

// surveying only tells seen what there is; some units may be told twice.
func (f *feed) surveying(seen func(record.Unit)) lister {
	return func(ctx context.Context, w source.Window) (some bool, err error) {
		for unit, err := range f.r.cfg.Source.List(ctx, w) {
			if err != nil {
				return some, err
			}
			some = true
			seen(unit)
		}
		return some, nil
	}
}

func (f *feed) record(ctx context.Context, w source.Window, seen func(record.Unit)) (some bool, err error) {
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
			failpoint.Hit(failpoint.CollectListed)
		}
		return nil
	}
	for unit, err := range f.r.cfg.Source.List(ctx, w) {
		if err != nil {
			if flushErr := flush(); flushErr != nil && ctx.Err() == nil {
				f.log.Warn("listed content was not recorded; it is listed again", "error", flushErr.Error())
			}
			return some, err
		}
		some = true
		if seen != nil {
			seen(unit)
		}
		if chunk = append(chunk, unit); len(chunk) == listChunk {
			if err := flush(); err != nil {
				return some, err
			}
		}
	}
	return some, flush()
}
