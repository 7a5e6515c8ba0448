package collect

import (
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/rawjson"
	"sluice/internal/record"
	"sluice/internal/state"
)

const (
	general    = "Audit.General"
	sharePoint = "Audit.SharePoint"
)

func TestEveryUnitLandsOnce(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	want := 0
	for u := range 60 {
		var bodies []string
		for i := range 5 {
			bodies = append(bodies, rec(fmt.Sprintf("%d-%d", u, i), ""))
			want++
		}
		src.add(sharePoint, fmt.Sprint(u), now.Add(-time.Duration(u)*30*time.Minute), bodies...)
	}
	r := h.start()
	r.manager.Start(connectorConfig(src, sharePoint))
	h.waitLanded(sharePoint, 60)
	if got := h.once(); got != want {
		t.Errorf("%d records in the journal, want %d", got, want)
	}
	total := h.total(sharePoint)
	checkSum(t, total, int64(want))
	if total.Pending != 0 || total.Listed != 60 {
		t.Errorf("totals %+v", total)
	}
	src.mu.Lock() // it goes on listing
	defer src.mu.Unlock()
	for _, w := range src.windows {
		if w.To.Sub(w.From) > 24*time.Hour {
			t.Errorf("window of %v", w.To.Sub(w.From))
		}
	}
}

func TestDuplicatesAndVariants(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC().Add(-time.Hour)
	reordered := fmt.Sprintf(`{"Id":"a", "RecordType":6, "CreationTime":"2026-03-04T05:06:07","Operation":"File\u0041ccessed","Workload":"SharePoint","OrganizationId":%q}`, directory)
	src.add(sharePoint, "1", now, rec("a", ""), rec("a", ""), reordered, rec("a", `,"Extra":1`), rec("b", ""))
	src.add(general, "2", now, rec("a", `,"Extra":1`), rec("a", `,"Extra":2`), rec("c", ""))
	r := h.start()
	r.manager.Start(connectorConfig(src, sharePoint, general))
	h.waitLanded(sharePoint, 1)
	h.waitLanded(general, 1)
	if got := h.once(); got != 5 {
		t.Errorf("%d records in the journal, want a, two variants of a, b, c", got)
	}
	variants := 0
	for _, r := range h.records() {
		if r.VariantOf != "" {
			variants++
			if !strings.HasPrefix(r.ID, r.VariantOf+"~") {
				t.Errorf("variant %q of %q", r.ID, r.VariantOf)
			}
		}
	}
	if variants != 2 {
		t.Errorf("%d variants, want 2", variants)
	}
	checkSum(t, h.total(sharePoint), 5)
	checkSum(t, h.total(general), 3)
}

func TestMalformedGoesToQuarantine(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	bad := []string{`{"Id":`, `17`, "{\"Id\":\"\xff\"}", strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)}
	src.add(general, "1", time.Now().Add(-time.Hour), append([]string{rec("a", "")}, bad...)...)
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	total := h.total(general)
	if total.Records != 1 || total.Malformed != int64(len(bad)) {
		t.Errorf("totals %+v", total)
	}
	for _, r := range h.records() {
		if (r.Index == record.Quarantine) != (r.Reason != "") {
			t.Errorf("%s is in %s with reason %q", r.ID, r.Index, r.Reason)
		}
		if r.Index == record.Quarantine && string(r.Raw) != bad[r.Offset-1] {
			t.Errorf("quarantined bytes differ: %.40q", r.Raw)
		}
	}
}

func TestFailuresAreRetriedAndPoisonDoesNotBlock(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC().Add(-time.Hour)
	for u := range 20 {
		unit := src.add(general, fmt.Sprint(u), now, rec(fmt.Sprintf("%d-a", u), ""), rec(fmt.Sprintf("%d-b", u), ""))
		switch u {
		case 3:
			src.fail[unit.Key] = []error{errReset, fault.New(fault.Throttled, "fetch", "slow down").WithRetryAfter(time.Second), errReset}
		case 4:
			src.fail[unit.Key] = []error{fault.New(fault.Gone, "fetch", "AF20051")}
		case 5:
			for range 1000 {
				src.fail[unit.Key] = append(src.fail[unit.Key], errReset)
			}
		}
	}
	src.listErr = []error{errReset, fault.New(fault.Throttled, "list", "429")}
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 18)
	h.waitFor("the lost unit", func() bool { return h.total(general).Lost == 1 })
	total := h.total(general)
	if total.Lost != 1 || total.Pending != 1 || total.Landed != 18 {
		t.Errorf("totals %+v, want 18 landed, 1 lost, 1 pending", total)
	}
	if got := h.once(); got != 36 {
		t.Errorf("%d records, want 36", got)
	}
	h.waitFor("status shows the failure", func() bool {
		runner, err := r.manager.Runner("c1")
		return err == nil && runner.Status()[general].Fetching.Err != nil
	})
}

func TestLargeUnitGoesInParts(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	var bodies []string
	pad := `,"Pad":"` + strings.Repeat("x", 8000) + `"`
	for i := range 1500 {
		bodies = append(bodies, rec(fmt.Sprint(i), pad))
	}
	unit := src.add(general, "big", time.Now().Add(-time.Hour), bodies...)
	src.fail[unit.Key] = []error{errReset} // cut in the middle once
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	if got := h.once(); got != 1500 {
		t.Errorf("%d records, want 1500", got)
	}
	total := h.total(general)
	if total.Records != 1500 || total.Landed != 1 || total.Listed != 1 {
		t.Errorf("totals %+v", total)
	}
}

// claimOnly does what a publisher does before a crash between claim and publish.
func claimOnly(t *testing.T, h *harness, unit record.Unit, ids ...string) {
	t.Helper()
	term, err := h.state.AcquireTerm(t.Context(), Subject, "crashed", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	prep := &preparer{connector: &record.Connector{ID: "c1", Type: "office365", DirectoryID: directory}, now: time.Now}
	err = h.state.Step(t.Context(), term, func(s *state.Step) error {
		if _, err := s.AddUnits("c1", []record.Unit{unit}); err != nil {
			return err
		}
		number, err := s.OpenBatch()
		if err != nil {
			return err
		}
		var claims []state.Claim
		for _, id := range ids {
			p, _ := prep.prepare(record.Item{Raw: []byte(rec(id, ""))}, unit.ContentType, unit.ContentID)
			claims = append(claims, p.claim)
		}
		if _, err := s.Claim(number, claims); err != nil {
			return err
		}
		return s.Count(number, []state.UnitCount{{Unit: unit.ID("c1"), Records: int64(len(ids)), Complete: true}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.state.ReleaseTerm(t.Context(), term); err != nil {
		t.Fatal(err)
	}
}

func TestCrashBetweenClaimAndPublish(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	unit := src.add(general, "1", time.Now().UTC().Add(-time.Hour), rec("a", ""), rec("b", ""))
	claimOnly(t, h, unit, "a", "b")
	h.reopen()
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	if got := h.once(); got != 2 {
		t.Errorf("%d records after the crash, want 2", got)
	}
	total := h.total(general)
	checkSum(t, total, 2)
	if total.Records != 2 {
		t.Errorf("totals %+v", total)
	}
}

func TestCrashBetweenPublishAndConfirm(t *testing.T) {
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
	if _, err := h.journal.Publish(t.Context(), open[0].Epoch, open[0].Number, encoded(t, unit, "a"), last); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	if got := h.once(); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
	if n := src.fetches(unit.Key); n != 0 {
		t.Errorf("the unit was fetched %d times although its batch is in the journal", n)
	}
}

func TestStopAndRestartInTheMiddle(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	for u := range 300 {
		src.add(general, fmt.Sprint(u), now.Add(-time.Duration(u)*time.Minute), rec(fmt.Sprintf("%d-a", u), ""), rec(fmt.Sprintf("%d-b", u), ""))
	}
	for round := range int64(4) {
		r := h.start()
		r.manager.Start(connectorConfig(src, general))
		h.waitLanded(general, round*70)
		r.stop()
		h.reopen()
	}
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 300)
	if got := h.once(); got != 600 {
		t.Errorf("%d records, want 600", got)
	}
}

func TestMarkNeverPassesAnOpenUnit(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	stuck := src.add(general, "stuck", now.Add(-20*time.Hour), rec("s", ""))
	for range 10_000 {
		src.fail[stuck.Key] = append(src.fail[stuck.Key], errReset)
	}
	src.add(general, "new", now.Add(-time.Minute), rec("n", ""))
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	from, _, err := runner.feeds[0].window(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if limit := stuck.Created.Add(-overlap); from.After(limit) {
		t.Errorf("listing starts at %v, after the open unit less the overlap %v", from, limit)
	}
}

func TestCollectJob(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	src.add(general, "old", now.Add(-5*24*time.Hour), rec("o", ""))
	src.add(general, "new", now.Add(-time.Minute), rec("n", ""))
	cfg := connectorConfig(src, general)
	cfg.Start = now.Add(-time.Hour)
	r := h.start()
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	h.waitFor("runner", func() bool { _, err := r.manager.Runner("c1"); return err == nil })
	job, err := r.manager.Collect("c1", now.Add(-6*24*time.Hour), now.Add(-4*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	h.waitFor("the back-fill", func() bool { j, err := r.manager.Job(job.ID); return err == nil && j.Done })
	got, _ := r.manager.Job(job.ID)
	if got.Listed != 1 || got.Landed != 1 || got.Records != 1 || got.Err != nil {
		t.Errorf("job %+v", got)
	}
	if _, err := r.manager.Collect("c1", now, now.Add(-time.Hour)); !fault.Is(err, fault.Config) {
		t.Errorf("an empty interval: %v, want config", err)
	}
	_, err = r.manager.Collect("c1", now.Add(-30*24*time.Hour), now.Add(-20*24*time.Hour))
	if !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
		t.Errorf("an interval that the service does not serve any more: %v, want config", err)
	}
	if _, err := r.manager.Job("nope"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown job: %v", err)
	}
}

// itemsOf are the items of a file with these lines.
func itemsOf(lines ...string) iter.Seq2[record.Item, error] {
	return func(yield func(record.Item, error) bool) {
		for i, l := range lines {
			if !yield(record.Item{Raw: []byte(l), Offset: int64(i + 1), Malformed: rawjson.Check([]byte(l))}, nil) {
				return
			}
		}
	}
}

func TestImport(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	lines := []string{rec("a", ""), rec("b", ""), rec("a", ""), "not json", rec("c", "")}
	items := itemsOf(lines...)
	connector := ImportConnector("office365", "Lab", "")
	first, err := r.manager.Import(t.Context(), connector, "job1", "a.ndjson", items)
	if err != nil {
		t.Fatal(err)
	}
	want := FileResult{Counts: Counts{Records: 3, Duplicates: 1, Malformed: 1}, Lines: 5}
	if first.Counts != want.Counts || first.Lines != want.Lines || len(first.Examples) != 1 || first.Examples[0].Line != 4 {
		t.Errorf("first import %+v", first)
	}
	second, err := r.manager.Import(t.Context(), connector, "job2", "a.ndjson", items)
	if err != nil {
		t.Fatal(err)
	}
	if second.Records != 0 || second.Malformed != 0 || second.Duplicates != 5 {
		t.Errorf("second import %+v, want all duplicates", second)
	}
	if got := h.once(); got != 4 {
		t.Errorf("%d records, want 3 and 1 in quarantine", got)
	}
}

func TestGuardMakesCollectingWait(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	src.add(general, "1", time.Now().Add(-time.Hour), rec("a", ""))
	full := make(chan struct{})
	r := h.startGuarded(func() error {
		select {
		case <-full:
			return nil
		default:
			return fault.New(fault.Full, "check free disk space", "nearly full")
		}
	})
	r.manager.Start(connectorConfig(src, general))
	h.waitFor("the problem to show", func() bool { return fault.Is(r.publisher.Problem(), fault.Full) })
	if n := h.once(); n != 0 {
		t.Errorf("%d records were written although the disk is full", n)
	}
	close(full)
	h.waitLanded(general, 1)
	if r.publisher.Problem() != nil {
		t.Errorf("problem %v after space was freed", r.publisher.Problem())
	}
}

func TestUnitThatSettledWhileDueUnitsWereReadIsNotSentAgain(t *testing.T) {
	f := newFeed(NewRunner(RunnerConfig{}, Deps{Logger: slog.New(slog.DiscardHandler)}), general)
	a, b := record.UnitID{1}, record.UnitID{2}
	if !f.take(a) || f.take(a) {
		t.Fatal("a unit must be taken once")
	}
	f.settled = map[record.UnitID]bool{} // due units are being read, a among them
	f.settle(a)
	if f.take(a) {
		t.Error("what was read of a is out of date, and it was taken again")
	}
	if !f.take(b) {
		t.Error("b was not taken")
	}
	f.settled = nil
	f.settle(b)
	if !f.take(a) || !f.take(b) {
		t.Error("the next read may send them again")
	}
}

func TestListingTroubleIsNotHiddenByFetching(t *testing.T) {
	f := newFeed(NewRunner(RunnerConfig{}, Deps{Logger: slog.New(slog.DiscardHandler), Clock: clock.Real{}}), general)
	f.failed(listing, fault.New(fault.Config, "list", "a link leads to another host"))
	f.succeeded(fetching)
	if s := f.snapshot(); s.Listing.Err == nil || s.Listing.Failures != 1 || s.Listed {
		t.Errorf("status %+v after a failed listing and a fetch that worked", s)
	}
	f.succeeded(listing)
	if s := f.snapshot(); s.Listing.Err != nil || !s.Listed {
		t.Errorf("status %+v after a listing that worked", s)
	}
}

func TestThrottlingHoldsBackTheBacklog(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC().Add(-time.Hour)
	throttled := fault.New(fault.Throttled, "fetch", "AF429").WithRetryAfter(time.Hour) // 72 s of this clock: longer than the test looks
	for u := range 200 {
		unit := src.add(general, fmt.Sprint(u), now, rec(fmt.Sprint(u), ""))
		src.fail[unit.Key] = []error{throttled}
	}
	cfg := connectorConfig(src, general)
	cfg.Parallel = 2
	r := h.start()
	r.manager.Start(cfg)
	h.waitFor("the first throttled fetch", func() bool {
		runner, err := r.manager.Runner("c1")
		return err == nil && runner.Status()[general].Fetching.Err != nil
	})
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	if runner.paused() <= 0 {
		t.Error("fetching goes on although the service asked to wait")
	}
	src.mu.Lock()
	tried := len(src.fetched)
	src.mu.Unlock()
	if tried > 10 {
		t.Errorf("%d of 200 units were tried in vain after the first was throttled", tried)
	}
	r.stop()
}

func TestSweepsFindContentThatAppearsLate(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	src.add(general, "new", now.Add(-time.Minute), rec("n", ""))
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 1)
	// Far behind the mark, in a window that was read already.
	src.add(general, "late", now.Add(-20*time.Hour), rec("l", ""))
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	h.waitListed(r, general)
	next := runner.Status()[general].NextRun
	runner.Poke()
	h.waitFor("an ordinary listing and its end", func() bool {
		src.mu.Lock()
		defer src.mu.Unlock()
		last := src.windows[len(src.windows)-1]
		return last.To.Sub(last.From) < 3*time.Hour && runner.Status()[general].NextRun.After(next)
	})
	if total := h.total(general); total.Listed != 1 {
		t.Fatalf("an ordinary listing reached %d units: this test shows nothing", total.Listed)
	}
	h.waitFor("the late unit", func() bool {
		f := runner.feeds[0]
		f.mu.Lock()
		marks := *f.marks            // of which a listing that is under way reads without the lock
		marks.SweptDay = time.Time{} // an hour passes; that listing would store its own marks, so once is not enough
		f.marks = &marks
		f.mu.Unlock()
		runner.Poke()
		return h.total(general).Landed == 2
	})
	if got := h.once(); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}

func TestSweepDepth(t *testing.T) {
	f := newFeed(NewRunner(RunnerConfig{Retention: 7 * 24 * time.Hour}, Deps{Logger: slog.New(slog.DiscardHandler)}), general)
	all := 7*24*time.Hour - marginToRetention
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var marks state.FeedMarks
	for _, step := range []struct {
		after time.Duration
		want  time.Duration
	}{
		{0, all}, {time.Minute, 0}, {59 * time.Minute, sweepDay}, {time.Hour, sweepDay}, {30 * time.Minute, 0}, {9 * time.Hour, sweepDay}, {3 * time.Hour, all}, {time.Minute, 0},
	} {
		at = at.Add(step.after)
		depth := f.sweepDepth(marks, at)
		if depth != step.want {
			t.Errorf("at %v: depth %v, want %v", at.Format(time.TimeOnly), depth, step.want)
		}
		marks = f.advance(marks, at, at, depth, true)
	}
}
