package collect

import (
	"context"
	"sync"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

// TestTheOldPublisherIsFencedOff: a process that was believed dead sends its batch after another one has taken over and has
// given the batch's ids free.
func TestTheOldPublisherIsFencedOff(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	unit := src.add(general, "1", time.Now().UTC().Add(-time.Hour), rec("a", ""))
	claimOnly(t, h, unit, "a")
	open, err := h.state.OpenBatches(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open batches %v, %v", open, err)
	}
	_, last, err := h.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := h.start()
	if _, err := h.journal.Publish(t.Context(), open[0].Epoch, open[0].Number, encoded(t, unit, "a"), last); !fault.Is(err, fault.Conflict) {
		t.Errorf("the old publisher's batch, after the new one gave it up: %v, want conflict", err)
	}
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	if got := h.once(); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
}

// slowLake has nothing of the journal before somebody waited for it.
type slowLake struct {
	*fakeLake
	mu      sync.Mutex
	reached uint64
}

func (l *slowLake) Committed(_ context.Context, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached = max(l.reached, seq)
	return nil
}

func (l *slowLake) has(ctx context.Context) bool {
	_, last, err := l.h.journal.Bounds(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	return err == nil && l.reached >= last
}

func (l *slowLake) Present(ctx context.Context, asks []Ask) (map[string]Held, error) {
	if !l.has(ctx) {
		return map[string]Held{}, nil
	}
	return l.fakeLake.Present(ctx, asks)
}

func (l *slowLake) Count(ctx context.Context, since time.Time, without state.DropMark) (map[record.UnitID]Holding, state.Position, error) {
	if !l.has(ctx) {
		return map[record.UnitID]Holding{}, state.Position{}, nil
	}
	return l.fakeLake.Count(ctx, since, without)
}

// TestTheLakeIsAskedWhenItHasEverything: records that the journal has and the lake does not have yet, whose ids the index of ids
// no longer keeps.
func TestTheLakeIsAskedWhenItHasEverything(t *testing.T) {
	p := newProof(t, 2)
	r := p.start()
	r.publisher.cfg.Lake = &slowLake{fakeLake: p.lake} // nobody collects yet
	r.manager.Start(p.cfg)
	p.waitLanded(general, 2)
	forget(t, p, r)
	p.src.add(general, "again", time.Now().UTC(), rec("0a", ""), rec("1b", ""), rec("new", ""))
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	runner.Poke()
	p.waitLanded(general, 3)
	if got := p.once(); got != 5 {
		t.Errorf("%d records, want 5", got)
	}
}

// forget makes the index of ids forget all that was published, as it does after two weeks.
func forget(t *testing.T, p *proof, r *running) {
	t.Helper()
	_, last, err := p.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.publisher.Committed(t.Context(), state.Position{Stream: p.journal.StreamID(), Seq: last}); err != nil {
		t.Fatal(err)
	}
	if removed, err := p.state.Prune(t.Context(), r.publisher.term, time.Now(), 1000); err != nil || removed == 0 {
		t.Fatalf("%d ids pruned: %v", removed, err)
	}
}

// TestATakeOverLeavesLaterBatchesAlone: a record that the lake does not have, asked for a unit that is healed, is landed by another
// unit before the answer is used.
func TestATakeOverLeavesLaterBatchesAlone(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC().Add(-time.Hour)
	healed := src.add(general, "healed", now, rec("a", ""))
	other := src.add(general, "other", now, rec("a", ""))
	r := h.start()
	term := r.publisher.term
	if _, err := h.state.AddUnits(t.Context(), term, "c1", []record.Unit{healed, other}); err != nil {
		t.Fatal(err)
	}
	if err := h.state.Step(t.Context(), term, func(s *state.Step) error {
		return s.Heal([]state.HealUnit{{ID: healed.ID("c1")}})
	}); err != nil {
		t.Fatal(err)
	}
	send := func(frag *fragment) {
		t.Helper()
		done := make(chan error, 1)
		frag.done = func(_ Counts, err error) { done <- err }
		if err := r.publisher.submit(t.Context(), frag); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	first := wholeFragment(healed, "a")
	first.asked = true
	if err := r.publisher.askLake(t.Context(), first, true); err != nil {
		t.Fatal(err)
	}
	send(wholeFragment(other, "a"))
	send(first)
	if got := h.once(); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
	if total := h.total(general); total.Landed != 2 || total.Records != 1 || total.Duplicates != 1 {
		t.Errorf("totals %+v, want two units landed, one record and its duplicate", total)
	}
}

// wholeFragment is all of a unit.
func wholeFragment(u record.Unit, ids ...string) *fragment {
	connector := connectorConfig(nil).Connector
	prep := &preparer{connector: &connector, now: time.Now}
	frag := &fragment{
		connector: &connector, complete: true,
		unit: record.BatchUnit{ID: u.ID(connector.ID), ContentType: u.ContentType, ContentID: u.ContentID, Created: u.Created},
	}
	for _, id := range ids {
		item, _ := prep.prepare(itemOf(rec(id, "")), u.ContentType, u.ContentID)
		frag.items = append(frag.items, item)
	}
	return frag
}
