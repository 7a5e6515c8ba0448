package collect

import (
	"fmt"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/source"
	"sluice/internal/state"
)

// TestSecondLookFindsWhatGrew: a unit is served in part first.
func TestSecondLookFindsWhatGrew(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	u := src.add(general, "grows", now.Add(-2*time.Hour), rec("1", ""), rec("2", ""))
	src.add(general, "stays", now.Add(-time.Hour), rec("3", ""))
	r := h.start()
	cfg := connectorConfig(src, general)
	cfg.SecondLook = 1
	r.manager.Start(cfg)
	h.waitLanded(general, 2)
	src.mu.Lock()
	src.bodies[u.Key] = append(src.bodies[u.Key], rec("4", ""))
	src.mu.Unlock()
	// An hour passes in 72 s of this clock; the ledger can be told that it has.
	h.lookNow(r)
	h.waitFor("the second look", func() bool { return h.total(general).Records == 4 })
	h.waitFor("the journal", func() bool { return len(h.records()) == 4 }) // counted when claimed, published after
	h.once()
	total := h.total(general)
	if total.Landed != 2 || total.Pending != 0 || total.Lost != 0 {
		t.Errorf("%+v", total)
	}
	h.waitFor("growth to be remembered", func() bool {
		signalAll(r, "c1")
		marks, err := h.state.FeedMarks(t.Context(), "c1", general)
		return err == nil && marks.LooksGrew
	})
}

func signalAll(r *running, id string) {
	if runner, err := r.manager.Runner(id); err == nil {
		runner.Poke()
		runner.Wake()
	}
}

// lookNow makes all second looks due.
func (h *harness) lookNow(r *running) {
	h.t.Helper()
	if _, err := h.state.DB().ExecContext(h.t.Context(), `UPDATE units SET look_at = 1 WHERE look_at > 0`); err != nil {
		h.t.Fatal(err)
	}
	signalAll(r, "c1")
}

func TestSecondLookThatFailsLosesNothing(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	u := src.add(general, "u", time.Now().UTC().Add(-time.Hour), rec("1", ""))
	r := h.start()
	cfg := connectorConfig(src, general)
	cfg.SecondLook = 1
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	src.mu.Lock()
	src.fail[u.Key] = []error{errReset, errGone}
	src.mu.Unlock()
	h.lookNow(r)
	h.waitFor("both failures", func() bool { h.lookNow(r); return src.fetches(u.Key) == 3 })
	total := h.total(general)
	if total.Landed != 1 || total.Lost != 0 || total.Pending != 0 {
		t.Errorf("%+v: a unit that landed stays landed", total)
	}
}

func TestSampleOfSecondLooks(t *testing.T) {
	n := 0
	for i := range 10_000 {
		var u task
		u.ID[0], u.ID[1] = byte(i>>8), byte(i*7)
		u.ID[0] = byte(i * 31)
		if sampled(u, 0.01) {
			n++
		}
	}
	if n < 20 || n > 400 {
		t.Errorf("%d of 10,000 units are in a sample of 1 %%", n)
	}
	if sampled(task{}, 0) {
		t.Error("a share of 0 takes none")
	}
}

// TestNewContentDoesNotWaitBehindABacklog: what is new is fetched while thousands of older units wait.
func TestNewContentDoesNotWaitBehindABacklog(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	const backlog = 120
	for i := range backlog {
		src.add(general, fmt.Sprint("old", i), now.Add(-24*time.Hour).Add(time.Duration(i)*time.Second), rec(fmt.Sprint("o", i), ""))
	}
	fresh := src.add(general, "fresh", now.Add(-time.Minute), rec("f", ""))
	order := make(chan string, backlog+1)
	r := h.start()
	cfg := connectorConfig(&orderedSource{fakeSource: src, order: order}, general)
	cfg.Parallel = 1
	r.manager.Start(cfg)
	h.waitLanded(general, backlog+1)
	place := 0
	for key := range order {
		place++
		if key == fresh.Key {
			break
		}
	}
	if place > backlog/4 {
		t.Errorf("the newest unit was fetched as number %d of %d", place, backlog+1)
	}
}

// TestOneBadWindowDoesNotHoldUpTheNewest: a listing that always fails for one hour of a week leaves the rest alone, and
// that hour is listed as soon as it can be.
func TestOneBadWindowDoesNotHoldUpTheNewest(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	bad := now.Add(-40 * time.Hour)
	src.add(general, "hidden", bad, rec("h", ""))
	src.add(general, "newest", now.Add(-time.Minute), rec("n", ""))
	windows := &badWindowSource{fakeSource: src, bad: bad}
	r := h.start()
	cfg := connectorConfig(windows, general)
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	h.waitFor("the end of the first listing", func() bool {
		marks, err := h.state.FeedMarks(t.Context(), "c1", general)
		return err == nil && !marks.ListedUntil.IsZero()
	})
	marks, err := h.state.FeedMarks(t.Context(), "c1", general)
	if err != nil || marks.ListedUntil.After(bad) {
		t.Errorf("listed until %s, but %s could not be listed: %v", marks.ListedUntil, bad, err)
	}
	windows.heal()
	h.waitFor("the hidden unit", func() bool { signalAll(r, "c1"); return h.total(general).Landed == 2 })
}

// TestBackfillGoesOnAfterARestart: a back-fill that was asked for is finished by the next process.
func TestBackfillGoesOnAfterARestart(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	old := src.add(general, "old", now.Add(-5*24*time.Hour), rec("1", ""))
	src.listErr = nil
	windows := &badWindowSource{fakeSource: src, bad: old.Created}
	r := h.start()
	cfg := connectorConfig(windows, general)
	cfg.Start = now.Add(-time.Hour)
	r.manager.Start(cfg)
	h.waitFor("the runner", func() bool { _, err := r.manager.Runner("c1"); return err == nil })
	job, err := r.manager.Collect("c1", now.Add(-6*24*time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	windows.heal()
	h.reopen()
	r = h.start()
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	h.waitFor("the job to be done", func() bool { again, err := r.manager.Job(job.ID); return err == nil && again.Done })
	again, err := r.manager.Job(job.ID)
	if err != nil || again.Err != nil || again.Landed != 1 {
		t.Errorf("%+v %v", again, err)
	}
	h.waitFor("the job to be forgotten", func() bool {
		kept, err := h.state.Values(t.Context(), jobPrefix)
		return err == nil && len(kept) == 0
	})
}

// TestRetryForcesTheQueue: a unit that waits long is tried at once, a lost one when it is asked for.
func TestRetryForcesTheQueue(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	slow := src.add(general, "slow", time.Now().UTC().Add(-time.Hour), rec("1", ""))
	lost := src.add(general, "lost", time.Now().UTC().Add(-time.Hour), rec("2", ""))
	src.fail[slow.Key] = []error{fault.New(fault.Unavailable, "fetch", "come back tomorrow").WithRetryAfter(24 * time.Hour)}
	src.fail[lost.Key] = []error{errGone}
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitFor("both failures", func() bool { return h.total(general).Lost == 1 && src.fetches(slow.Key) == 1 })
	h.waitFor("the failure in the ledger", func() bool {
		u, err := h.state.Unit(t.Context(), slow.ID("c1"))
		return err == nil && u.State == state.Retrying
	})
	if n, err := r.manager.Retry(t.Context(), "c1", nil, false); err != nil || n != 1 {
		t.Fatalf("%d units queued, want 1: %v", n, err)
	}
	h.waitLanded(general, 1)
	if n, err := r.manager.Retry(t.Context(), "c1", nil, true); err != nil || n != 1 {
		t.Fatalf("%d lost units queued, want 1: %v", n, err)
	}
	h.waitLanded(general, 2)
	if total := h.total(general); total.Lost != 0 || total.Pending != 0 {
		t.Errorf("%+v", total)
	}
}

var _ source.Source = (*orderedSource)(nil)
