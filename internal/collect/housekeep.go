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
// that landed before it, which are folded into sums per hour. It is safe beside a running collection.
func (p *Publisher) Housekeep(ctx context.Context) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	before := p.cfg.Clock.Now().Add(-LookBack)
	removed, err := p.cfg.State.Prune(ctx, p.term, before, houseChunk)
	if err != nil {
		return fault.Wrap("", "remove old ids", err)
	}
	folded, err := p.cfg.State.Fold(ctx, p.term, before, houseChunk)
	if err != nil {
		return fault.Wrap("", "fold old units", err)
	}
	if removed+folded > 0 {
		p.log.Info("tidied the state database", "ids_removed", removed, "units_folded", folded)
	}
	return nil
}

// Dropping records that the lake is about to drop the records of events before a time, so that a verification does not
// call them missing.
func (p *Publisher) Dropping(ctx context.Context, before time.Time) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.cfg.State.Step(ctx, p.term, func(s *state.Step) error { return s.Dropped(before) })
}
