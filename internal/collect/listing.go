package collect

import (
	"context"
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
	marks, err := f.loadMarks(ctx)
	if err != nil {
		return err
	}
	from, to, err := f.window(ctx)
	if err != nil {
		return err
	}
	if err := f.noteGap(ctx, marks, to); err != nil {
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
	if code := fault.CodeOf(err); code == "AF20022" || code == "AF20023" {
		f.mu.Lock()
		f.prepared = false // the subscription went away: start it again before the next listing
		f.mu.Unlock()
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

// noteGap records the interval that can no longer be listed, because nothing was listed for longer than the service
// looks back: an outage, a pause, a missing permission.
func (f *feed) noteGap(ctx context.Context, m state.FeedMarks, to time.Time) error {
	oldest := to.Add(-f.r.cfg.Retention + marginToRetention)
	if m.ListedUntil.IsZero() || !m.ListedUntil.Before(oldest) {
		return nil
	}
	gap := state.Gap{
		ConnectorID: f.r.cfg.Connector.ID, ContentType: f.contentType, From: m.ListedUntil, To: oldest,
		Reason: "nothing could be listed for longer than the service looks back", NoticedAt: f.r.deps.Clock.Now(),
	}
	if err := f.r.deps.State.Step(ctx, f.r.deps.Publisher.term, func(s *state.Step) error { return s.AddGap(gap) }); err != nil {
		return fault.Wrap("", "record the interval that cannot be read", err)
	}
	f.log.Error("an interval can no longer be read", "from", gap.From, "to", gap.To, "reason", gap.Reason)
	// What begins at oldest is listed now; the gap is not counted twice.
	return f.saveMarks(ctx, state.FeedMarks{ListedUntil: oldest, SweptDay: m.SweptDay, SweptAll: m.SweptAll, LooksGrew: m.LooksGrew})
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
	marks, err := f.loadMarks(ctx)
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
	from = f.r.cfg.Start
	if m := mark.Add(-overlap); !mark.IsZero() && m.After(from) {
		from = m
	}
	if oldest := to.Add(-f.r.cfg.Retention + marginToRetention); from.Before(oldest) {
		from = oldest
	}
	return from, to, nil
}

// lister lists one window once.
type lister func(ctx context.Context, w source.Window) error

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
		failedAt, windowErr := f.cover(ctx, source.Window{ContentType: f.contentType, From: start, To: end}, once, patience)
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

// cover lists a window until it succeeded. After two failures the window is cut in half: a long run of pages, each of
// which may fail, gets through in parts where it never would as a whole. failedAt is where the first part begins that
// could not be listed.
func (f *feed) cover(ctx context.Context, w source.Window, once lister, patience time.Duration) (failedAt time.Time, err error) {
	began := f.r.deps.Clock.Now()
	for attempt := 1; ; attempt++ {
		err := once(ctx, w)
		if err == nil || !passing(err) {
			return w.From, err
		}
		wait := f.slow(err, Backoff(err, attempt))
		if f.r.deps.Clock.Now().Add(wait).Sub(began) > patience {
			return w.From, err
		}
		f.failed(listing, err)
		if f.r.deps.Clock.Sleep(ctx, wait) != nil {
			return w.From, err
		}
		if half := w.To.Sub(w.From) / 2; attempt == 2 && half >= smallestWindow {
			left, right := w, w
			left.To = w.From.Add(half).Truncate(time.Second)
			right.From = left.To
			leftAt, leftErr := f.cover(ctx, left, once, patience)
			if leftErr != nil && (!passing(leftErr) || ctx.Err() != nil) {
				return leftAt, leftErr
			}
			rightAt, rightErr := f.cover(ctx, right, once, patience)
			if leftErr != nil {
				return leftAt, leftErr
			}
			return rightAt, rightErr
		}
	}
}

// passing tells failures that go away by themselves or with a smaller request.
func passing(err error) bool {
	return fault.Is(err, fault.Throttled) || fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Malformed)
}

// recording lists into the ledger: every unit of a window is written there before the listing counts as done. seen is
// told about each, if not nil; some may be told twice.
func (f *feed) recording(seen func(record.Unit)) lister {
	return func(ctx context.Context, w source.Window) error { return f.record(ctx, w, seen) }
}

// surveying only tells seen what there is; some units may be told twice.
func (f *feed) surveying(seen func(record.Unit)) lister {
	return func(ctx context.Context, w source.Window) error {
		for unit, err := range f.r.cfg.Source.List(ctx, w) {
			if err != nil {
				return err
			}
			seen(unit)
		}
		return nil
	}
}

func (f *feed) record(ctx context.Context, w source.Window, seen func(record.Unit)) error {
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
