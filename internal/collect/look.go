package collect

import (
	"context"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

// Content has been seen to be served in part at first and whole later. So a unit is looked at a second time: a sample of
// all units, every unit of a content type where a second look ever brought more, and every unit that was empty, since the
// service promises at least one record (spec/management-activity-api.md section 5). What is new then lands, what is known
// is a duplicate. (Rule 6 of the collection path; the residual risk is in docs/design.md.)
const (
	lookAfter  = time.Hour
	lookBackTo = 24 * time.Hour
	lookLimit  = 24 // looks at one unit that keeps growing or cannot be read
)

// nextLook is when the unit is to be looked at again after it landed; zero: not again.
func (w *fetcher) nextLook(u task, empty bool) time.Time {
	f := w.f
	if u.look || u.Looks > 0 {
		return time.Time{} // decided when it is known what the look brought
	}
	if !empty && !f.everyLook() && !sampled(u, f.r.cfg.SecondLook) {
		return time.Time{}
	}
	return f.r.deps.Clock.Now().Add(lookAfter)
}

// sampled chooses a share of all units by their ids, so that a repeated fetch chooses alike.
func sampled(u task, share float64) bool {
	return float64(uint16(u.ID[0])<<8|uint16(u.ID[1])) < share*(1<<16)
}

// everyLook reports whether units of this feed have grown before.
func (f *feed) everyLook() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.growing || f.marks != nil && f.marks.LooksGrew
}

// grew remembers that a second look brought more. It is stored with the marks of the next listing.
func (f *feed) grew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.growing = true
}

// lookBack schedules a look at the units of the last day, when the first of them was found to have grown.
func (f *feed) lookBack(ctx context.Context) error {
	now := f.r.deps.Clock.Now()
	var cursor state.UnitCursor
	for {
		units, err := f.r.deps.State.UnitsBetween(ctx, f.r.cfg.Connector.ID, f.contentType, now.Add(-lookBackTo), now, cursor, listChunk)
		if err != nil || len(units) == 0 {
			return err
		}
		var ids []record.UnitID
		for _, u := range units {
			if u.State == state.Landed && u.LookAt.IsZero() {
				ids = append(ids, u.ID)
			}
		}
		err = f.r.deps.State.Step(ctx, f.r.deps.Publisher.term, func(s *state.Step) error { return s.Look(ids, now) })
		if err != nil {
			return err
		}
		cursor = units[len(units)-1].Cursor()
	}
}

// failLook puts off a second look that failed. The unit stays landed: what was read of it at first is safe.
func (w *fetcher) failLook(ctx context.Context, u task, err error) {
	defer w.f.settle(u.ID)
	if ctx.Err() != nil {
		return
	}
	wait := w.f.slow(err, Backoff(err, u.Looks+1))
	if !passing(err) { // such as a bad address that a damaged listing brought: the next listing of everything has a better one
		wait = max(wait, lookAfter)
	}
	next := w.f.r.deps.Clock.Now().Add(wait)
	if gone(err) || u.Looks >= lookLimit || !u.Expires.IsZero() && next.After(u.Expires) {
		next = time.Time{}
	}
	// The content is safe: this is no trouble of the content type, and nothing of it would ever clear it on a quiet tenant.
	w.f.r.deps.Metrics.failure(w.f.r.cfg.Connector.Name, w.f.contentType, fault.KindOf(err))
	w.f.log.Warn("second look failed", "content_id", u.ContentID, "kind", string(fault.KindOf(err)), "error", err.Error(), "next", next)
	w.write(ctx, func(s *state.Step) error { return s.Looked(u.ID, next) })
}

// gone tells failures after which the service will never have the content again.
func gone(err error) bool { return fault.Is(err, fault.Gone) || fault.Is(err, fault.NotFound) }

// scheduleLooks notes, in the transaction that lands units, which of them are looked at again and when.
func scheduleLooks(s *state.Step, group []*fragment, now time.Time) error {
	brought := map[record.UnitID]int64{} // by the parts in this group; the total has those before
	for _, f := range group {
		if f.look {
			brought[f.unit.ID] += f.counts.Records
		}
	}
	for _, f := range group {
		switch {
		case !f.complete:
		case f.look:
			next := time.Time{}
			if brought[f.unit.ID] > 0 || f.total.Records > 0 {
				next = now.Add(lookAfter)
			}
			if err := s.Looked(f.unit.ID, next); err != nil {
				return err
			}
		case !f.lookAt.IsZero():
			if err := s.Look([]record.UnitID{f.unit.ID}, f.lookAt); err != nil {
				return err
			}
		}
	}
	return nil
}
