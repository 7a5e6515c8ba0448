package collect

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/record"
	"sluice/internal/state"
)

// TestAPartThatWasRefusedKeepsTheUnitOpen: the floor of the ids rises between the question to the lake and the claim of the
// first part of a unit; its last part is younger.
func TestAPartThatWasRefusedKeepsTheUnitOpen(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	old := strings.Replace(rec("old", `,"Pad":"`+strings.Repeat("x", batchBytes)+`"`), "2026-03-04", now.AddDate(0, 0, -10).Format("2006-01-02"), 1)
	src.add(general, "1", now.Add(-time.Hour), old, recAt("new", now))
	raised := make(chan func() error, 1)
	r := h.startGuarded(sync.OnceValue(func() error { return (<-raised)() }))
	raised <- func() error {
		_, err := h.state.Prune(context.WithoutCancel(t.Context()), r.publisher.term, now.AddDate(0, 0, -5), 0)
		return err
	}
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	if n := h.once(); n != 2 {
		t.Errorf("%d records landed, want 2", n)
	}
}

// TestOlderStateWithAnOpenBatch: the state database was copied between claim and confirmation of a batch that the lake has and
// the journal does not have any more.
func TestOlderStateWithAnOpenBatch(t *testing.T) {
	p := newProof(t, 3)
	unit := p.src.add(general, "open", time.Now().UTC(), rec("x", ""), rec("y", ""))
	claimOnly(t, p.harness, unit, "x", "y")
	open, err := p.state.OpenBatches(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open batches %v, %v", open, err)
	}
	restore := p.copyState()
	if _, err := p.journal.Publish(t.Context(), open[0].Epoch, open[0].Number, encoded(t, unit, "x", "y"), 0); err != nil {
		t.Fatal(err)
	}
	r := p.start()
	r.manager.Start(p.cfg)
	p.waitLanded(general, 4)
	r.stop()
	p.trimAll()
	restore()
	r = p.start()
	r.manager.Start(p.cfg)
	p.waitLanded(general, 4)
	if n := p.src.fetches(unit.Key); n != 0 {
		t.Errorf("the unit was fetched %d times although its batch is in the lake", n)
	}
	p.eachOnce(8)
}

// TestJournalThatLostItsNewestMessages: it ends before the last confirmed batch, and the lake had read nothing of them.
func TestJournalThatLostItsNewestMessages(t *testing.T) {
	p, r := landedProof(t, 3)
	r.stop()
	restore := p.copyJournal()
	for i := range 6 {
		p.src.add(general, fmt.Sprint("v", i), time.Now().UTC().Add(-time.Minute), rec(fmt.Sprint("v", i, "a"), ""), rec(fmt.Sprint("v", i, "b"), ""))
		r = p.start()
		r.manager.Start(p.cfg)
		p.waitLanded(general, int64(4+i))
		r.stop()
	}
	confirmed, err := p.state.LastConfirmed(t.Context(), Subject)
	if err != nil {
		t.Fatal(err)
	}
	restore()
	for i := range 3 { // starts that died behind their fence
		_, last, err := p.journal.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.journal.Fence(t.Context(), fmt.Sprint("died", i), last); err != nil {
			t.Fatal(err)
		}
	}
	r = p.start()
	if !r.publisher.Restored() {
		t.Error("the loss was not noticed")
	}
	if r.publisher.last < confirmed.Seq {
		t.Errorf("the next message comes behind %d, where %d is confirmed", r.publisher.last, confirmed.Seq)
	}
	r.manager.Start(p.cfg)
	p.waitFor("everything", func() bool { return p.pending() == 0 && p.total(general).Landed == 9 })
	p.eachOnce(18)
	p.stopBetweenPublishAndConfirm(r)
	r = p.start()
	if r.publisher.Restored() {
		t.Error("the start after a crash believes that something was restored")
	}
	r.manager.Start(p.cfg)
	p.waitLanded(general, 10)
	p.eachOnce(19)
}

// TestJournalThatIsTrimmedDuringRecovery: what the lake has is not missed because the journal has it no more.
func TestJournalThatIsTrimmedDuringRecovery(t *testing.T) {
	p, r := landedProof(t, 3)
	r.stop()
	if published, err := p.state.Published(t.Context()); err != nil || len(published) == 0 {
		t.Fatalf("published %v, %v: this test shows nothing", published, err)
	}
	again := NewPublisher(r.publisher.cfg)
	if err := again.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _, err := p.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again.last, err = again.fence(t.Context(), state.Position{}); err != nil {
		t.Fatal(err)
	}
	if err := p.journal.Trim(t.Context(), again.last-1); err != nil {
		t.Fatal(err)
	}
	rec := &recovery{p: again, first: first}
	if err := rec.checkPublished(t.Context()); err != nil || rec.vanished != 0 {
		t.Errorf("%d batches vanished, %v", rec.vanished, err)
	}
}

// stopBetweenPublishAndConfirm leaves a batch of a new unit behind that is in the journal and not confirmed.
func (p *proof) stopBetweenPublishAndConfirm(r *running) {
	p.t.Helper()
	r.stop()
	unit := p.src.add(general, "last", time.Now().UTC(), rec("last", ""))
	claimOnly(p.t, p.harness, unit, "last")
	open, err := p.state.OpenBatches(p.t.Context())
	if err != nil || len(open) != 1 {
		p.t.Fatalf("open batches %v, %v", open, err)
	}
	_, last, err := p.journal.Bounds(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.journal.Publish(p.t.Context(), open[0].Epoch, open[0].Number, encoded(p.t, unit, "last"), last); err != nil {
		p.t.Fatal(err)
	}
}

// trimAll puts what the journal has into the lake and removes it from the journal. It returns the last sequence.
func (p *proof) trimAll() (last uint64) {
	p.t.Helper()
	p.lake.keep(p.t.Context())
	_, last, err := p.journal.Bounds(p.t.Context())
	if err == nil {
		err = p.journal.Trim(p.t.Context(), last)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return last
}

// copyJournal copies the folder of the journal and returns what puts the copy back.
func (h *harness) copyJournal() (restore func()) {
	h.t.Helper()
	original, saved := filepath.Join(h.dir, "journal"), filepath.Join(h.dir, "saved")
	h.journal.Close()
	if err := os.CopyFS(saved, os.DirFS(original)); err != nil {
		h.t.Fatal(err)
	}
	open := func() {
		h.t.Helper()
		var err error
		if h.journal, err = journal.Open(h.t.Context(), journal.Config{Dir: original}); err != nil {
			h.t.Fatal(err)
		}
	}
	open()
	return func() {
		h.t.Helper()
		h.journal.Close()
		if err := errors.Join(os.RemoveAll(original), os.Rename(saved, original)); err != nil {
			h.t.Fatal(err)
		}
		open()
	}
}

// TestVerifyFromTheMiddleOfAFoldedHour: an hour that was folded is compared as a whole.
func TestVerifyFromTheMiddleOfAFoldedHour(t *testing.T) {
	p := newFolded(t)
	if n, err := p.state.Fold(t.Context(), p.publisher.term, p.now.Add(-LookBack), 0); err != nil || n != 3 {
		t.Fatalf("folded %d, %v", n, err)
	}
	p.check()
}

// TestVerifyBesideHousekeeping: units do not move from the ledger to the sums while they are compared.
func TestVerifyBesideHousekeeping(t *testing.T) {
	p := newFolded(t)
	lake := &tidiedLake{fakeLake: p.lake, tidy: sync.OnceFunc(func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := p.publisher.Housekeep(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}()
		t.Cleanup(func() { <-done })
		p.waitFor("housekeeping, which is done or waits for the lock", func() bool {
			select {
			case <-done:
				return true
			default:
			}
			if p.publisher.counting.TryRLock() {
				p.publisher.counting.RUnlock()
				return false
			}
			return true
		})
	})}
	p.publisher.cfg.Lake = lake
	p.check()
}

// tidiedLake is tidied while it is counted.
type tidiedLake struct {
	*fakeLake
	tidy func()
}

func (l *tidiedLake) Count(ctx context.Context, since time.Time, without state.DropMark) (map[record.UnitID]Holding, state.Position, error) {
	l.tidy()
	return l.fakeLake.Count(ctx, since, without)
}

// newFolded has three units of one hour, of 20 days ago, that can be folded.
func newFolded(t *testing.T) *retained {
	p := &retained{proof: newProof(t, 0), now: time.Now().UTC()}
	hour := p.ago(20).Truncate(time.Hour)
	p.cfg.Start, p.cfg.Retention = p.ago(60), 60*24*time.Hour
	for i, name := range []string{"u0", "u1", "u2"} {
		p.add(name, hour.Add(time.Duration(10+20*i)*time.Minute))
	}
	p.running = p.start()
	p.manager.Start(p.cfg)
	p.waitLanded(general, 3)
	p.manager.Stop("c1")
	_, last, err := p.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.publisher.Committed(t.Context(), state.Position{Stream: p.journal.StreamID(), Seq: last}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.state.DB().ExecContext(t.Context(), `UPDATE units SET landed_at = created`); err != nil {
		t.Fatal(err)
	}
	p.src.mu.Lock()
	p.src.units = nil // the service does not list them any more
	p.src.mu.Unlock()
	return p
}

// check verifies from the middle of the hour, to the middle of it, and all of it.
func (p *retained) check() {
	p.t.Helper()
	hour := p.ago(20).Truncate(time.Hour)
	for _, r := range []VerifyRequest{{Since: hour.Add(20 * time.Minute)}, {Since: p.ago(30), Until: hour.Add(20 * time.Minute)}, {Since: p.ago(30)}} {
		report, err := p.manager.Verify(p.t.Context(), p.cfg, r)
		if err != nil {
			p.t.Fatal(err)
		}
		if f := report.Feeds[0]; len(f.Findings) > 0 || f.Tally.Landed != 3 {
			p.t.Errorf("from %s to %s: %+v %+v", r.Since, r.Until, f.Tally, f.Findings)
		}
	}
}

// TestGrowthInAnEarlierPart: a second look brings more in the first part of a unit, and nothing in the last, in one batch.
func TestGrowthInAnEarlierPart(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	u := src.add(general, "grows", time.Now().UTC().Add(-2*time.Hour), rec("1", ""))
	r := h.start()
	cfg := connectorConfig(src, general)
	cfg.SecondLook = 1
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	src.mu.Lock()
	src.bodies[u.Key] = []string{rec("2", `,"Pad":"`+strings.Repeat("x", fragmentBytes)+`"`), rec("1", "")}
	src.mu.Unlock()
	h.lookNow(r)
	var unit state.LedgerUnit
	h.waitFor("the second look", func() bool { // its record is counted when it is claimed, the look when it is published
		var err error
		if unit, err = h.state.Unit(t.Context(), u.ID("c1")); err != nil {
			t.Fatal(err)
		}
		return unit.Looks > 0
	})
	if got := h.total(general).Records; got != 2 || unit.Looks != 1 || unit.LookAt.IsZero() {
		t.Errorf("%d records; after %d looks at a unit that grew the next is due %s", got, unit.Looks, unit.LookAt)
	}
}

// TestFragmentsBehindTheEndAreRefused: who hands over when the publisher has stopped gets an answer.
func TestFragmentsBehindTheEndAreRefused(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	r.stop()
	for range 20 {
		answer := make(chan error, 1)
		f := &fragment{done: func(_ Counts, err error) { answer <- err }}
		if err := r.publisher.submit(t.Context(), f); err != nil {
			continue
		}
		select {
		case err := <-answer:
			if !fault.Is(err, fault.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		case <-time.After(patience):
			t.Fatal("no answer to a fragment that was taken")
		}
	}
}

// TestHousekeepingUnderAClockThatJumped: what the service still lists stays in the ledger and in the index.
func TestHousekeepingUnderAClockThatJumped(t *testing.T) {
	p := newRetained(t, 3)
	_, last, err := p.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.publisher.Committed(t.Context(), state.Position{Stream: p.journal.StreamID(), Seq: last}); err != nil {
		t.Fatal(err)
	}
	if err := p.publisher.housekeep(t.Context(), p.now.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if floor, err := p.state.IDFloor(t.Context()); err != nil || int64(floor) > p.now.Add(-LookBack).Unix() {
		t.Errorf("ids before %s are forgotten, %v", time.Unix(int64(floor), 0), err)
	}
	p.lands("u1", 1)
	p.want("after housekeeping", 3, 9, 0)
}

// stuckSource fetches when it is told to, and then in vain.
type stuckSource struct {
	*fakeSource
	entered, leave chan struct{}
}

func (s *stuckSource) Fetch(context.Context, record.Unit) iter.Seq2[record.Item, error] {
	return func(yield func(record.Item, error) bool) {
		close(s.entered)
		<-s.leave
		yield(record.Item{}, errGone)
	}
}

// TestAFailureBehindTheLanding: the settings were changed while a unit waited for the journal, so that it was fetched again.
// That fails, but not before the first fetch has landed.
func TestAFailureBehindTheLanding(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	u := src.add(general, "u", time.Now().Add(-time.Hour), rec("1", ""))
	var space atomic.Bool
	r := h.startGuarded(func() error {
		if space.Load() {
			return nil
		}
		return fault.New(fault.Full, "write", "the disk is full")
	})
	r.manager.Start(connectorConfig(src, general))
	h.waitFor("the publisher to wait", func() bool { return r.publisher.Problem() != nil })
	again := &stuckSource{src, make(chan struct{}), make(chan struct{})}
	r.manager.Start(connectorConfig(again, general))
	<-again.entered
	space.Store(true)
	h.waitLanded(general, 1)
	close(again.leave)
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	h.waitFor("the second fetch", func() bool { return !runner.Fetching(general, u.ID("c1")) })
	if total := h.total(general); total.Landed != 1 || total.Lost != 0 || total.Records != 1 {
		t.Errorf("%+v, want one landed", total)
	}
}
