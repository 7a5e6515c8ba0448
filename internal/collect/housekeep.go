package collect

import (
	"context"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

// LookBack is how long ids stay in the index and units in the ledger. It is longer than Microsoft lists content, so that
// nothing that can be listed again is looked up in the lake; what is older is.
const LookBack = 14 * 24 * time.Hour

// houseChunk is how many rows one transaction of housekeeping removes, so that collecting waits for none of them long.
const houseChunk = 2000

// Housekeep removes from the state database what the lake can answer: ids of events older than the look-back, and units
// that landed before it, which are folded into sums per hour. It is safe beside a running collection. The look-back ends at
// the newest event of the ledger if the clock is ahead of it: neither can be undone when it turns out that the clock was wrong.
func (p *Publisher) Housekeep(ctx context.Context) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.housekeep(ctx, p.cfg.Clock.Now())
}

func (p *Publisher) housekeep(ctx context.Context, now time.Time) error {
	totals, err := p.cfg.State.Totals(ctx)
	if err != nil {
		return fault.Wrap("", "read the newest event", err)
	}
	newest := time.Time{}
	for _, t := range totals {
		newest = latest(newest, t.Newest)
	}
	if newest.IsZero() {
		return nil
	}
	if newest.Before(now) {
		now = newest
	}
	before := now.Add(-LookBack)
	removed, err := p.cfg.State.Prune(ctx, p.term, before, houseChunk)
	if err != nil {
		return fault.Wrap("", "remove old ids", err)
	}
	p.counting.Lock() // a verification would find a unit in the ledger and in the sums
	folded, err := p.cfg.State.Fold(ctx, p.term, before, houseChunk)
	p.counting.Unlock()
	if err != nil {
		return fault.Wrap("", "fold old units", err)
	}
	if removed+folded > 0 {
		p.log.Info("tidied the state database", "ids_removed", removed, "units_folded", folded)
	}
	return nil
}

// Dropping counts, per unit, what the retention of the lake is about to remove: the rows of events before a time, a
// midnight, that the lake has now. Call it before the rows go, and then remove what is within state's DropMark and nothing
// else: what came to the lake behind it was not counted yet.
//
// A verification finds these rows in the ledger instead of in the lake, from the moment of the count on, so that a crash
// before they are gone changes nothing. The parts are counted in transactions of their own; what a crash or an error leaves
// is counted by the next call. A time before that of the mark, after the retention was made longer, counts nothing: the
// rows that are still there stay until time has caught up.
func (p *Publisher) Dropping(ctx context.Context, before time.Time) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.counting.Lock()
	defer p.counting.Unlock()
	if err := p.cfg.Lake.Committed(ctx, p.Confirmed()); err != nil {
		return err
	}
	mark, err := p.cfg.State.DropMark(ctx)
	if err != nil {
		return err
	}
	if before = before.UTC().Truncate(midnight); before.Before(mark.Before) {
		return nil
	}
	rows, units := int64(0), 0
	err = p.cfg.Lake.Old(ctx, before, mark, func(a Aged) error {
		to := state.DropMark{Before: a.Before, Seq: a.Position.Seq}
		if to.Seq < mark.Seq {
			return fault.New(fault.Conflict, "count old records", "the lake is older than what was counted before").
				WithHint("it reads from the journal what it misses; the next turn goes on")
		}
		err := p.cfg.State.Step(ctx, p.term, func(s *state.Step) error {
			if err := s.Settle(a.Position); err != nil { // what was counted is in the lake for good
				return err
			}
			return s.Dropped(mark, to, a.Units)
		})
		if err != nil {
			return err
		}
		mark = to
		units += len(a.Units)
		for _, u := range a.Units {
			rows += u.Rows
		}
		return nil
	})
	if rows > 0 {
		p.log.Info("counted records that are older than the retention", "before", mark.Before, "records", rows, "units", units)
	}
	return fault.Wrap("", "count old records", err)
}

// midnight is the step of the retention: the lake drops whole days, in UTC.
const midnight = 24 * time.Hour
