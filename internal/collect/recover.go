package collect

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/state"
)

// recover makes this process the publisher and settles what an earlier one left behind. The journal is the truth:
//
//   - an open batch that the journal has is confirmed, one that it does not have becomes void;
//   - a published batch that neither the journal nor the lake has any more (the journal was lost or replaced by an older
//     copy) becomes void too, and its units are fetched again, asking the lake for each record;
//   - a batch that the journal or the lake has and the state does not know (the state was replaced by an older copy)
//     is adopted: its ids are claimed again.
//
// The last two mean that something was restored; Restored then reports it, so that a verification can follow.
//
// Trouble of the database, the journal or the lake is waited out, of whatever kind: then all of it begins again with a new
// term, which is what a restart of the program would do. That includes a term that ended because a commit's outcome is not
// known, and what an engine says of a disk that fails.
func (p *Publisher) recover(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := p.recoverOnce(ctx)
		if err == nil {
			p.setProblem(nil)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if err := p.pause(ctx, err, attempt); err != nil {
			return err
		}
	}
}

func (p *Publisher) recoverOnce(ctx context.Context) error {
	if err := p.acquire(ctx); err != nil {
		return err
	}
	confirmed, err := p.cfg.State.LastConfirmed(ctx, Subject)
	if err != nil {
		return err
	}
	if p.last, err = p.fence(ctx, confirmed); err != nil {
		return err
	}
	if err := p.erasures.load(ctx, p.cfg.State); err != nil {
		return err
	}
	r := &recovery{p: p, confirmed: confirmed}
	err = r.run(ctx)
	if r.vanished+r.adopted > 0 {
		p.restored.Store(true) // also when the rest of it failed: the next attempt finds nothing of that any more
	}
	if err != nil {
		return fault.Wrap("", "recover batches", err)
	}
	failpoint.Hit(failpoint.CollectHealed)
	return nil
}

func (p *Publisher) acquire(ctx context.Context) error {
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
	return nil
}

// fence writes the fence of this term behind whatever is in the journal and returns its sequence. Where the journal lost
// its newest messages, fences take their sequences: one that named a batch must not name another, nor be passed over by
// the next recovery, which reads behind the last confirmed position.
func (p *Publisher) fence(ctx context.Context, confirmed state.Position) (uint64, error) {
	for attempt := 1; ; attempt++ {
		_, last, err := p.cfg.Journal.Bounds(ctx)
		if err == nil {
			ack, fenceErr := p.cfg.Journal.Fence(ctx, p.term.Epoch, last)
			switch {
			case fenceErr == nil && (ack.Seq >= confirmed.Seq || p.cfg.Journal.StreamID() != confirmed.Stream):
				return ack.Seq, nil
			case fenceErr == nil, fault.Is(fenceErr, fault.Conflict):
				continue // or the old publisher wrote once more; the next fence goes behind that
			}
			err = fenceErr
		}
		if err := p.wait(ctx, err, attempt); err != nil {
			return 0, err
		}
	}
}

// recovery is one run of recover behind the fence.
type recovery struct {
	p         *Publisher
	confirmed state.Position // the last one that the state knows
	first     uint64         // of the journal
	floor     uint32         // of the ids

	found, adopted, void, vanished int
}

func (r *recovery) run(ctx context.Context) error {
	p := r.p
	var err error
	if r.first, _, err = p.cfg.Journal.Bounds(ctx); err != nil {
		return err
	}
	if r.floor, err = p.cfg.State.IDFloor(ctx); err != nil {
		return err
	}
	if err := r.checkPublished(ctx); err != nil {
		return err
	}
	if err := r.adoptLake(ctx); err != nil {
		return err
	}
	if err := r.readJournal(ctx); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if r.found+r.void > 0 {
		p.log.Info("settled batches of an earlier run", "confirmed", r.found, "void", r.void)
	}
	if r.vanished > 0 {
		p.log.Error("the journal lost batches before they reached the lake: their content is fetched again", "batches", r.vanished)
	}
	if r.adopted > 0 {
		p.log.Error("the state database is older than the journal or the lake: what it did not know was taken from there", "batches", r.adopted)
	}
	return nil
}

// checkPublished looks for published batches that vanished before the lake had them. A journal loses its newest messages
// or all: what is before one that is there is there.
func (r *recovery) checkPublished(ctx context.Context) error {
	p := r.p
	published, err := p.cfg.State.Published(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(published, func(a, b state.PublishedBatch) int { return cmp.Compare(b.Position.Seq, a.Position.Seq) })
	stream, there := p.cfg.Journal.StreamID(), false
	var lost []state.PublishedBatch
	for _, b := range published {
		if b.Position.Stream == stream && b.Position.Seq < p.last {
			if !there {
				if there, err = r.hasMessage(ctx, b); err != nil {
					return err
				}
			}
			if there {
				continue
			}
		}
		lost = append(lost, b)
	}
	slices.Reverse(lost)
	return r.voidLost(ctx, lost)
}

// hasMessage reports whether the journal has a published batch, or had it until the lake had it. That its sequence is in use
// says nothing, fences may have it. The journal may be trimmed at this moment: where it begins is looked at last.
func (r *recovery) hasMessage(ctx context.Context, b state.PublishedBatch) (bool, error) {
	found, err := r.p.cfg.Journal.Find(ctx, b.Position.Seq, "", b.Number)
	if err != nil || found {
		return found, err
	}
	first, _, err := r.p.cfg.Journal.Bounds(ctx)
	return b.Position.Seq < first, err
}

// voidLost makes batches void that the journal lost, in the order of their sequences. The lake may have rows of them, in some
// of its tables, that it committed before anybody recorded it: their ids stay claimed in the same step. The units of the
// batch ask the lake for each record, but the same record in another unit does not.
func (r *recovery) voidLost(ctx context.Context, lost []state.PublishedBatch) error {
	if len(lost) == 0 {
		return nil
	}
	var content contentHasher
	var rows []state.Claim
	for row, err := range r.lakeSince(ctx, lost[0].Position.Seq-1) {
		if err != nil {
			return err
		}
		for len(lost) > 0 && lost[0].Position.Seq < row.Seq {
			if err := r.voidBatch(ctx, lost[0].Number, rows); err != nil {
				return err
			}
			lost, rows = lost[1:], rows[:0]
		}
		if len(lost) == 0 {
			return nil
		}
		if row.Batch != lost[0].Number || row.ID == "" {
			continue
		}
		claim, err := content.claim(r.p.erasures.generation(row.TenantName), row.ID, row.Held)
		if err != nil {
			return fault.Wrap("", "record "+row.ID, err)
		}
		claim.Lake, claim.LakeContent = state.Present, claim.Content
		rows = append(rows, claim)
	}
	for _, b := range lost {
		if err := r.voidBatch(ctx, b.Number, rows); err != nil {
			return err
		}
		rows = rows[:0]
	}
	return nil
}

// voidBatch makes a batch void, except for the rows that the lake has.
func (r *recovery) voidBatch(ctx context.Context, number int64, rows []state.Claim) error {
	err := r.p.cfg.State.Step(ctx, r.p.term, func(s *state.Step) error {
		if err := s.Void(number); err != nil || len(rows) == 0 {
			return err
		}
		holder, err := s.OpenBatch()
		if err != nil {
			return err
		}
		if _, err := s.Claim(holder, rows); err != nil {
			return err
		}
		return s.Confirm(holder, state.Position{})
	})
	if err == nil {
		r.vanished++
	}
	return err
}

// lakeSince yields the records of the lake behind a sequence of the journal.
func (r *recovery) lakeSince(ctx context.Context, after uint64) iter.Seq2[Stored, error] {
	if r.p.cfg.Lake == nil {
		return func(func(Stored, error) bool) {}
	}
	return r.p.cfg.Lake.Since(ctx, after)
}

// adoptLake takes the ids of records that the lake has and the state does not know, where the journal does not reach
// back so far any more.
func (r *recovery) adoptLake(ctx context.Context) error {
	p := r.p
	if p.cfg.Lake == nil || r.first <= r.confirmed.Seq+1 {
		return nil
	}
	list, err := p.cfg.State.OpenBatches(ctx)
	if err != nil {
		return err
	}
	last, err := p.cfg.Lake.LastSeq(ctx)
	if err != nil || last <= r.confirmed.Seq {
		return err
	}
	a := &adopter{r: r, open: map[int64]bool{}}
	for _, b := range list {
		a.open[b.Number] = true
	}
	for row, err := range p.cfg.Lake.Since(ctx, r.confirmed.Seq) {
		if err != nil {
			return err
		}
		if row.Seq >= r.first {
			break // the journal has it
		}
		if a.number == 0 {
			p.log.Warn("the state database is older than the lake: reading ids from the lake", "from", row.Seq, "to", last)
		}
		if err := a.add(ctx, row); err != nil {
			return err
		}
	}
	return a.flush(ctx)
}

// readJournal reads what was published behind the last confirmed batch: open batches that are found there are
// confirmed, unknown ones are adopted, the open ones that are not there become void.
func (r *recovery) readJournal(ctx context.Context) error {
	p := r.p
	list, err := p.cfg.State.OpenBatches(ctx)
	if err != nil {
		return err
	}
	open := map[state.OpenBatch]bool{}
	for _, b := range list {
		open[b] = true
	}
	from := r.first
	if r.confirmed.Stream == p.cfg.Journal.StreamID() || r.confirmed.Seq == 0 {
		from = max(r.first, r.confirmed.Seq+1)
	}
	if err := r.readFrom(ctx, from, open); err != nil {
		return err
	}
	return p.cfg.State.Step(ctx, p.term, func(s *state.Step) error {
		r.void = 0
		for b := range open {
			r.void++
			if err := s.Void(b.Number); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *recovery) readFrom(ctx context.Context, from uint64, open map[state.OpenBatch]bool) error {
	p := r.p
	if from >= p.last {
		return nil
	}
	reader, err := p.cfg.Journal.Read(ctx, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for seq := from; seq < p.last; {
		m, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		seq = m.Seq + 1
		if m.Fence {
			continue
		}
		b, pos := state.OpenBatch{Number: m.Number, Epoch: m.Epoch}, state.Position{Stream: m.Stream, Seq: m.Seq}
		if !open[b] {
			if err := r.adoptMessage(ctx, m, pos); err != nil {
				return err
			}
			continue
		}
		if err := p.cfg.State.Step(ctx, p.term, func(s *state.Step) error { return s.Confirm(b.Number, pos) }); err != nil {
			return err
		}
		delete(open, b)
		r.found++
	}
	return nil
}

// adoptMessage takes over a batch that the journal has and the state does not know.
func (r *recovery) adoptMessage(ctx context.Context, m journal.Message, pos state.Position) error {
	batch, err := r.p.codec.Decode(m.Data)
	if err != nil {
		r.p.log.Error("a message of the journal cannot be read; the lake writer puts it into quarantine", "seq", m.Seq, "error", err.Error())
		return nil
	}
	a := &adopter{r: r, number: m.Number, pos: pos}
	for i := range batch.Records {
		rec := &batch.Records[i]
		held := Held{Index: rec.Index, Raw: rec.Raw, Seq: pos.Seq, TenantName: batch.Connectors[batch.Units[rec.Unit].Connector].TenantName}
		if err := a.add(ctx, Stored{ID: rec.ID, Batch: m.Number, Held: held}); err != nil {
			return err
		}
	}
	return a.flush(ctx)
}

// begin uses up a batch number: every smaller one is settled from now on.
func (r *recovery) begin(ctx context.Context) error {
	p := r.p
	return p.cfg.State.Step(ctx, p.term, func(s *state.Step) error {
		number, err := s.OpenBatch()
		if err != nil {
			return err
		}
		p.settled(number, p.last)
		return s.Confirm(number, state.Position{})
	})
}

// adopter claims ids for batches that the state does not know, a batch at a time.
type adopter struct {
	r       *recovery
	open    map[int64]bool // batches that the state knows as open, with their ids: they are confirmed
	number  int64          // 0: none yet
	pos     state.Position
	claims  []state.Claim
	content contentHasher
}

func (a *adopter) add(ctx context.Context, row Stored) error {
	if row.ID == "" {
		return nil // bytes of a message that could not be decoded: there is no id to claim
	}
	if row.Batch != a.number || len(a.claims) >= batchLimit {
		if err := a.flush(ctx); err != nil {
			return err
		}
		a.number, a.pos = row.Batch, state.Position{Stream: a.r.p.cfg.Journal.StreamID(), Seq: row.Seq}
	}
	claim, err := a.content.claim(a.r.p.erasures.generation(row.TenantName), row.ID, row.Held)
	if err != nil {
		return fault.Wrap("", "record "+row.ID, err)
	}
	if claim.Second == 0 || claim.Second >= a.r.floor { // for what is older the lake is asked anyway
		a.claims = append(a.claims, claim)
	}
	return nil
}

func (a *adopter) flush(ctx context.Context) error {
	if a.number == 0 {
		return nil
	}
	p := a.r.p
	if a.open[a.number] {
		a.claims = a.claims[:0]
		a.r.found++
		return p.cfg.State.Step(ctx, p.term, func(s *state.Step) error { return s.Confirm(a.number, a.pos) })
	}
	// Also without ids to claim: its number must not be given to another batch.
	err := p.cfg.State.Step(ctx, p.term, func(s *state.Step) error {
		if err := s.Adopt(a.number, p.term.Epoch, a.pos); err != nil {
			return err
		}
		_, err := s.Claim(a.number, a.claims)
		return err
	})
	a.claims = a.claims[:0]
	a.r.adopted++
	return err
}

// Restored reports whether recovery found that journal or state had been lost or restored from an older copy. It is
// meaningful once Ready is closed.
func (p *Publisher) Restored() bool { return p.restored.Load() }

// Committed tells the publisher that the lake has everything up to a position: those batches need not be remembered.
func (p *Publisher) Committed(ctx context.Context, pos state.Position) error {
	select {
	case <-p.ready:
	default:
		return nil
	}
	err := p.cfg.State.Step(ctx, p.term, func(s *state.Step) error { return s.Settle(pos) })
	if err == nil {
		failpoint.Hit(failpoint.CollectSettled)
	}
	return err
}
