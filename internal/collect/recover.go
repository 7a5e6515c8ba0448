package collect

import (
	"context"

	"sluice/internal/fault"
	"sluice/internal/state"
)

// recover makes this process the publisher and settles what an earlier one left behind: the journal is asked which of
// the open batches exist, those are confirmed, the others become void and their units are fetched again.
func (p *Publisher) recover(ctx context.Context) error {
	term, err := p.cfg.State.AcquireTerm(ctx, Subject, p.cfg.Holder, termFor)
	for attempt := 1; fault.Is(err, fault.Conflict); attempt++ {
		p.setProblem(err)
		if err := p.cfg.Clock.Sleep(ctx, termFor/6); err != nil {
			return err
		}
		term, err = p.cfg.State.AcquireTerm(ctx, Subject, p.cfg.Holder, termFor)
	}
	if err != nil {
		return fault.Wrap("", "become publisher", err)
	}
	p.setProblem(nil)
	p.term = term
	if p.last, err = p.fence(ctx); err != nil {
		return err
	}
	open, err := p.cfg.State.OpenBatches(ctx)
	if err != nil {
		return fault.Wrap("", "recover batches", err)
	}
	found, err := p.published(ctx, open)
	if err != nil {
		return err
	}
	confirmed, void := 0, 0
	err = p.cfg.State.Step(ctx, p.term, func(s *state.Step) error {
		confirmed, void = 0, 0
		for _, b := range open {
			if position, ok := found[b]; ok {
				confirmed++
				if err := s.Confirm(b.Number, position); err != nil {
					return err
				}
				continue
			}
			void++
			if err := s.Void(b.Number); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault.Wrap("", "recover batches", err)
	}
	if len(open) > 0 {
		p.log.Info("settled batches of an earlier run", "confirmed", confirmed, "void", void)
	}
	p.confirmed.Store(p.last)
	return nil
}

// fence writes the fence of this term behind whatever is in the journal and returns its sequence.
func (p *Publisher) fence(ctx context.Context) (uint64, error) {
	for attempt := 1; ; attempt++ {
		_, last, err := p.cfg.Journal.Bounds(ctx)
		if err == nil {
			ack, fenceErr := p.cfg.Journal.Fence(ctx, p.term.Epoch, last)
			if fenceErr == nil {
				return ack.Seq, nil
			}
			if err = fenceErr; fault.Is(err, fault.Conflict) {
				continue // the old publisher wrote once more; the next fence goes behind that
			}
		}
		if err := p.wait(ctx, err, attempt); err != nil {
			return 0, err
		}
	}
}

// published reads the journal from the last confirmed batch to the fence and returns the open batches that are there.
func (p *Publisher) published(ctx context.Context, open []state.OpenBatch) (map[state.OpenBatch]state.Position, error) {
	found := map[state.OpenBatch]state.Position{}
	if len(open) == 0 {
		return found, nil
	}
	wanted := map[state.OpenBatch]bool{}
	for _, b := range open {
		wanted[b] = true
	}
	confirmed, err := p.cfg.State.LastConfirmed(ctx, Subject)
	if err != nil {
		return nil, fault.Wrap("", "recover batches", err)
	}
	first, _, err := p.cfg.Journal.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	from := first
	if confirmed.Stream == p.cfg.Journal.StreamID() {
		from = max(first, confirmed.Seq+1)
	}
	reader, err := p.cfg.Journal.Read(ctx, from)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for seq := from; seq <= p.last; {
		m, err := reader.Next(ctx)
		if err != nil {
			return nil, fault.Wrap("", "recover batches", err)
		}
		seq = m.Seq + 1
		if b := (state.OpenBatch{Number: m.Number, Epoch: m.Epoch}); !m.Fence && wanted[b] {
			found[b] = state.Position{Stream: m.Stream, Seq: m.Seq}
		}
	}
	return found, nil
}
