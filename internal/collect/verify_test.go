package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

// proof is a harness with collected content and the configuration to verify it.
type proof struct {
	*harness
	src *fakeSource
	cfg RunnerConfig
}

// newProof serves units of 3 records each, the last of which repeats the first record of the unit before.
func newProof(t *testing.T, units int) *proof {
	p := &proof{harness: newHarness(t), src: newFakeSource()}
	p.cfg = connectorConfig(p.src, general)
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range units {
		p.src.add(general, fmt.Sprint("u", i), now.Add(-time.Duration(units-i)*time.Hour),
			rec(fmt.Sprint(i, "a"), ""), rec(fmt.Sprint(i, "b"), ""), rec(fmt.Sprint(max(i-1, 0), "a"), ""))
	}
	return p
}

// landedProof is a proof whose units have landed.
func landedProof(t *testing.T, units int) (*proof, *running) {
	t.Helper()
	p := newProof(t, units)
	r := p.start()
	r.manager.Start(p.cfg)
	p.waitLanded(general, int64(units))
	return p, r
}

func (p *proof) verify(r *running, repair bool) FeedReport {
	p.t.Helper()
	report, err := r.manager.Verify(p.t.Context(), p.cfg, VerifyRequest{Repair: repair})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(report.Feeds) != 1 {
		p.t.Fatalf("%d feeds", len(report.Feeds))
	}
	return report.Feeds[0]
}

// whole fails unless everything is in the lake, once.
func (p *proof) whole(r *running, units int64) {
	p.t.Helper()
	f := p.verify(r, false)
	if f.Tally.Landed != units || f.Tally.Listed != units || len(f.Findings) > 0 {
		p.t.Errorf("not whole: %+v %+v", f.Tally, f.Findings)
	}
	p.eachOnce(int(units) * 2)
}

func (p *proof) eachOnce(records int) {
	p.t.Helper()
	ids := p.lake.ids(p.t.Context())
	for id, n := range ids {
		if n != 1 {
			p.t.Errorf("%s is in the lake %d times", id, n)
		}
	}
	if len(ids) != records {
		p.t.Errorf("the lake has %d records, want %d", len(ids), records)
	}
}

// wholeAfterRepair is what follows by itself after something was restored: the ledger is corrected by what the lake has.
func (p *proof) wholeAfterRepair(r *running, units int64) {
	p.t.Helper()
	before := len(p.lake.ids(p.t.Context()))
	p.verify(r, true)
	p.waitFor("the repair", func() bool { return p.pending() == 0 })
	if f := p.verify(r, false); f.Tally.Landed != units || len(f.Findings) > 0 {
		p.t.Errorf("%+v %+v", f.Tally, f.Findings)
	}
	p.eachOnce(before)
}

func (p *proof) idOf(unit, record int) string {
	p.t.Helper()
	return p.idOfRecord(fmt.Sprint(unit, string(rune('a'+record))))
}

func (p *proof) idOfRecord(id string) string {
	p.t.Helper()
	prep := &preparer{connector: &p.cfg.Connector, now: time.Now}
	out, _ := prep.prepare(itemOf(rec(id, "")), general, "")
	return out.rec.ID
}

func itemOf(raw string) record.Item { return record.Item{Raw: []byte(raw)} }

func TestVerifyProvesACleanRun(t *testing.T) {
	p, r := landedProof(t, 20)
	p.whole(r, 20)
	f := p.verify(r, false)
	if len(f.Hours) != 20 || f.Tally.Records != 40 {
		t.Errorf("%d hours, %d records", len(f.Hours), f.Tally.Records)
	}
	for hour, tally := range f.Hours {
		if tally.Landed != 1 || tally.Records < 1 {
			t.Errorf("%s: %+v", hour, tally)
		}
	}
}

// TestVerifyLeavesOutWhatIsOlderThanTheStart: nobody asked for it, so it is not missing and no repair fetches it.
func TestVerifyLeavesOutWhatIsOlderThanTheStart(t *testing.T) {
	p := newProof(t, 20)
	p.cfg.Start = time.Now().Add(-10*time.Hour - 30*time.Minute)
	p.cfg.StartTime = p.cfg.Start
	r := p.start()
	r.manager.Start(p.cfg)
	p.waitLanded(general, 10)
	f := p.verify(r, true)
	if f.Tally.Listed != 10 || f.Tally.Landed != 10 || f.Tally.Missing != 0 || f.Repaired != 0 {
		t.Errorf("%+v, repaired %d", f.Tally, f.Repaired)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "lists 10 units from before the connector's start_time") {
		t.Errorf("notes %q", f.Notes)
	}
}

// TestVerifyTellsPartsFromTheWhole: only a report of all that the service lists may stand for the state of a connector.
func TestVerifyTellsPartsFromTheWhole(t *testing.T) {
	p := newProof(t, 3)
	r := p.start()
	now := time.Now()
	for _, tt := range []struct {
		name string
		req  VerifyRequest
		all  bool
	}{
		{name: "default", all: true},
		{name: "a week", req: VerifyRequest{Since: now.Add(-7 * 24 * time.Hour)}, all: true},
		{name: "an hour", req: VerifyRequest{Since: now.Add(-time.Hour)}},
		{name: "up to an hour ago", req: VerifyRequest{Until: now.Add(-time.Hour)}},
	} {
		report, err := r.manager.Verify(t.Context(), p.cfg, tt.req)
		if err != nil || report.All != tt.all {
			t.Errorf("%s: all is %v, %v", tt.name, report.All, err)
		}
	}
	if _, err := r.manager.Verify(t.Context(), p.cfg, VerifyRequest{Since: now.Add(48 * time.Hour)}); !fault.Is(err, fault.Config) {
		t.Errorf("an interval of the future: %v", err)
	}
}

func TestVerifyFindsAndRepairsRecordsThatTheLakeLost(t *testing.T) {
	p, r := landedProof(t, 20)
	p.lake.lose(p.idOf(3, 1), p.idOf(7, 1), p.idOf(19, 0), p.idOf(19, 1)) // none of them came with another unit
	f := p.verify(r, true)
	want := Tally{Listed: 20, Landed: 17, Missing: 3, Records: 36, MissingRecords: 4}
	if f.Tally != want {
		t.Errorf("%+v, want %+v", f.Tally, want)
	}
	names := map[string]int64{}
	for _, finding := range f.Findings {
		names[finding.ContentID] = finding.Expected - finding.Found
		if finding.Verdict != Missing || !finding.Repairable {
			t.Errorf("%+v", finding)
		}
	}
	if len(names) != 3 || names["u3"] != 1 || names["u7"] != 1 || names["u19"] != 2 {
		t.Errorf("found %v, want u3 and u7 to miss one record and u19 two", names)
	}
	if f.Repaired != 3 {
		t.Errorf("%d units queued, want 3", f.Repaired)
	}
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	runner.Wake()
	p.waitFor("the repair", func() bool { return p.total(general).Pending == 0 && p.src.fetches(general+"|u7") == 2 })
	p.whole(r, 20)
	total := p.total(general)
	if total.Records != 40 {
		t.Errorf("the ledger counts %d records, the lake has 40", total.Records)
	}
}

// TestRepairReadsOtherUnitsThatHadTheRecord: the unit that a lost record landed with cannot be had any more, but the
// record had come with another unit, as a duplicate.
func TestRepairReadsOtherUnitsThatHadTheRecord(t *testing.T) {
	p, r := landedProof(t, 5)
	p.lake.lose(p.idOf(1, 0)) // landed with u1, repeated by u2
	p.src.mu.Lock()
	u1 := p.src.units[1]
	p.src.units = append(p.src.units[:1:1], p.src.units[2:]...)
	p.src.mu.Unlock()
	if _, err := p.state.DB().ExecContext(t.Context(), `UPDATE units SET expires = 1 WHERE unit_key = '`+u1.Key+`'`); err != nil {
		t.Fatal(err)
	}
	if f := p.verify(r, true); f.Tally.Missing != 1 || f.Repaired == 0 {
		t.Fatalf("%+v", f)
	}
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	runner.Wake()
	p.waitFor("the repair", func() bool { return p.total(general).Pending == 0 && p.src.fetches(general+"|u2") == 2 })
	p.eachOnce(10)
}

func TestVerifyFindsUnitsThatTheLedgerForgot(t *testing.T) {
	p, r := landedProof(t, 10)
	r.manager.Stop("c1")
	if _, err := p.state.DB().ExecContext(t.Context(), `DELETE FROM units WHERE content_id IN ('u2', 'u5')`); err != nil {
		t.Fatal(err)
	}
	f := p.verify(r, true)
	if f.Tally.Missing != 2 || f.Tally.Landed != 8 || f.Repaired != 2 {
		t.Fatalf("%+v, repaired %d", f.Tally, f.Repaired)
	}
	r.manager.Start(p.cfg)
	p.waitFor("the repair", func() bool {
		return p.src.fetches(general+"|u2") == 2 && p.src.fetches(general+"|u5") == 2 && p.pending() == 0
	})
	p.whole(r, 10)
}

func (p *proof) pending() int {
	units, err := p.state.Units(p.t.Context(), state.UnitFilter{ConnectorID: "c1", States: []state.UnitState{state.Listed, state.Retrying}})
	if err != nil {
		p.t.Fatal(err)
	}
	return len(units)
}

func TestVerifyKnowsWhatIsLost(t *testing.T) {
	p := newProof(t, 4)
	p.src.fail[general+"|u1"] = []error{errGone}
	r := p.start()
	r.manager.Start(p.cfg)
	p.waitFor("a lost unit", func() bool { return p.total(general).Lost == 1 && p.total(general).Landed == 3 })
	f := p.verify(r, false)
	if f.Tally.Lost != 1 || f.Tally.Landed != 3 || len(f.Findings) != 1 || f.Findings[0].Verdict != LostForGood || f.Findings[0].Reason == "" {
		t.Errorf("%+v %+v", f.Tally, f.Findings)
	}
	// Microsoft lists it still: a repair asks once more.
	if f := p.verify(r, true); f.Repaired != 1 {
		t.Errorf("%d units queued, want 1", f.Repaired)
	}
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	runner.Wake()
	p.waitLanded(general, 4)
	p.whole(r, 4)
}

func TestVerifyFindsSurplus(t *testing.T) {
	p, r := landedProof(t, 3)
	p.lake.mu.Lock()
	stranger := record.Unit{Key: "x", ContentType: general}
	p.lake.kept = append(p.lake.kept, lakeRow{
		Stored: Stored{ID: "o365:x:1", Held: Held{Seq: 9_000_000}}, connect: "c1",
		unit: record.BatchUnit{ID: stranger.ID("c1"), ContentType: general, Created: time.Now().Add(-2 * time.Hour)},
	})
	p.lake.mu.Unlock()
	f := p.verify(r, false)
	if f.Tally.Surplus != 1 || f.Tally.SurplusRecords != 1 || f.Tally.Landed != 3 {
		t.Errorf("%+v %+v", f.Tally, f.Findings)
	}
}

// TestLostJournal: the journal is gone with batches that the lake did not have yet, one of which it had in part.
func TestLostJournal(t *testing.T) {
	p, r := landedProof(t, 12)
	r.stop()
	p.lake.keep(t.Context())
	p.lake.mu.Lock()
	all := p.lake.kept
	p.lake.kept = all[:len(all)*2/3] // what had been committed
	p.lake.mu.Unlock()
	p.loseJournal()
	r = p.start()
	if !r.publisher.Restored() {
		t.Error("the loss was not noticed")
	}
	r.manager.Start(p.cfg)
	p.waitFor("everything", func() bool { return p.pending() == 0 && p.total(general).Landed == 12 })
	p.eachOnce(24)
	p.wholeAfterRepair(r, 12)
}

// TestLostJournalAndAnotherUnit: what the lake had of a lost batch is not landed again by a unit that was not in it, which
// is not told to ask the lake and is read first.
func TestLostJournalAndAnotherUnit(t *testing.T) {
	p, r := landedProof(t, 4)
	r.stop()
	p.lake.keep(t.Context())
	p.lake.mu.Lock()
	p.lake.kept = slices.DeleteFunc(p.lake.kept, func(r lakeRow) bool { return r.ID == p.idOf(2, 1) }) // of the batches in part
	p.lake.mu.Unlock()
	p.loseJournal()

	other := connectorConfig(newFakeSource(), "DLP.All")
	other.Connector.ID, other.Connector.Name = "c2", "dlp"
	all := []string{rec("new", "")}
	for i := range 4 {
		all = append(all, rec(fmt.Sprint(i, "a"), ""), rec(fmt.Sprint(i, "b"), ""))
	}
	other.Source.(*fakeSource).add("DLP.All", "dlp", time.Now().UTC().Add(-time.Hour), all...)
	r = p.start()
	r.manager.Start(other)
	p.waitFor("the other unit", func() bool { return p.totalOf("c2", "DLP.All").Landed == 1 })
	if total := p.totalOf("c2", "DLP.All"); total.Records != 2 || total.Duplicates != 7 {
		t.Errorf("%d records and %d duplicates of the other unit, want the new one and the one that the lake does not have", total.Records, total.Duplicates)
	}
	r.manager.Start(p.cfg)
	p.waitFor("everything", func() bool { return p.pending() == 0 && p.total(general).Landed == 4 })
	p.eachOnce(9)
	p.wholeAfterRepair(r, 4)
}

// TestOlderState: the state database is replaced by a copy from before the last units were collected.
func TestOlderState(t *testing.T) {
	failures := map[bool]error{ // recovery begins again
		false: fault.New(fault.Unavailable, "read the lake", "not now"), true: errors.New("read manifest: input/output error"),
	}
	for _, trimmed := range []bool{false, true} {
		t.Run(fmt.Sprint("trimmed=", trimmed), func(t *testing.T) {
			p := newProof(t, 6)
			r := p.start()
			r.manager.Start(p.cfg)
			p.waitLanded(general, 6)
			r.stop()
			restore := p.copyState()
			now := time.Now().UTC()
			for i := range 6 {
				p.src.add(general, fmt.Sprint("v", i), now.Add(-time.Duration(i)*time.Minute), rec(fmt.Sprint("v", i, "a"), ""), rec(fmt.Sprint("v", i, "b"), ""))
			}
			r = p.start()
			r.manager.Start(p.cfg)
			p.waitLanded(general, 12)
			r.stop()
			if trimmed {
				last := p.trimAll()
				// A message that could not be decoded: its bytes have no id.
				p.lake.kept = append(p.lake.kept, lakeRow{Stored: Stored{Held: Held{Index: record.Quarantine, Raw: []byte("\x00"), Seq: last}}})
			}
			restore()
			p.lake.fail = failures[trimmed]
			r = p.start()
			if p.lake.fail != nil && trimmed {
				t.Error("the lake was not read")
			}
			if !r.publisher.Restored() {
				t.Error("the older state was not noticed")
			}
			p.lake.kept = slices.DeleteFunc(p.lake.kept, func(r lakeRow) bool { return r.ID == "" })
			r.manager.Start(p.cfg)
			p.waitFor("everything", func() bool { return p.pending() == 0 && p.total(general).Landed == 12 })
			p.eachOnce(24)
		})
	}
}

// TestOldRecordsAreLookedUpInTheLake: ids older than the index reaches are not claimed without asking.
func TestOldRecordsAreLookedUpInTheLake(t *testing.T) {
	p := newProof(t, 2) // events of March
	r := p.start()
	r.manager.Start(p.cfg)
	p.waitLanded(general, 2)
	_, last, err := p.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.publisher.Committed(t.Context(), state.Position{Stream: p.journal.StreamID(), Seq: last}); err != nil {
		t.Fatal(err)
	}
	removed, err := p.state.Prune(t.Context(), r.publisher.term, time.Now(), 1000)
	if err != nil || removed != 4 {
		t.Fatalf("%d ids pruned, want 4: %v", removed, err)
	}
	p.src.add(general, "again", time.Now().UTC(), rec("0a", ""), rec("1b", ""), rec("new", ""))
	runner, err := r.manager.Runner("c1")
	if err != nil {
		t.Fatal(err)
	}
	runner.Poke()
	p.waitLanded(general, 3)
	if total := p.total(general); total.Records != 5 || total.Duplicates != 4 {
		t.Errorf("%d records and %d duplicates, want 5 and 4", total.Records, total.Duplicates)
	}
	p.eachOnce(5)
	if p.lake.asks == 0 {
		t.Error("the lake was not asked")
	}
}

// TestGapOfAConnectorThatNeverListed: it was made 10 days ago, and what it needs came today.
func TestGapOfAConnectorThatNeverListed(t *testing.T) {
	for start, gapFrom := range map[time.Duration]time.Duration{10 * 24 * time.Hour: 10 * 24 * time.Hour, 30 * 24 * time.Hour: 17 * 24 * time.Hour, 48 * time.Hour: 0} {
		t.Run(start.String(), func(t *testing.T) {
			p := newProof(t, 1)
			now := time.Now().UTC()
			p.cfg.Created, p.cfg.Start = now.Add(-10*24*time.Hour), now.Add(-start)
			r := p.start()
			r.manager.Start(p.cfg)
			p.waitLanded(general, 1)
			p.waitListed(r, general)
			gaps, err := p.state.Gaps(t.Context(), "c1")
			if err != nil {
				t.Fatal(err)
			}
			if gapFrom == 0 {
				if len(gaps) > 0 {
					t.Errorf("%+v, want none", gaps)
				}
				return
			}
			about := func(at time.Time, ago time.Duration) bool { return (now.Sub(at) - ago).Abs() < 2*time.Hour }
			if len(gaps) != 1 || !about(gaps[0].From, gapFrom) || !about(gaps[0].To, p.cfg.Retention) {
				t.Errorf("%+v, want one from %s ago to %s ago", gaps, gapFrom, p.cfg.Retention)
			}
		})
	}
}

func TestGapAfterALongOutage(t *testing.T) {
	p := newProof(t, 1)
	r := p.start()
	outage := time.Now().UTC().Add(-10 * 24 * time.Hour).Truncate(time.Second)
	p.cfg.Start = outage.Add(-time.Hour)
	err := p.state.SetFeedMarks(context.WithoutCancel(t.Context()), r.publisher.term, "c1", general, state.FeedMarks{ListedUntil: outage})
	if err != nil {
		t.Fatal(err)
	}
	r.manager.Start(p.cfg)
	p.waitLanded(general, 1)
	p.waitListed(r, general)
	gaps, err := p.state.Gaps(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	oldest := time.Now().Add(-p.cfg.Retention)
	if len(gaps) != 1 || !gaps[0].From.Equal(outage) || gaps[0].To.Before(oldest) || gaps[0].To.After(oldest.Add(time.Hour)) {
		t.Fatalf("%+v, want one from %s to about %s", gaps, outage, oldest)
	}
	if f := p.verify(r, false); len(f.Gaps) != 0 {
		t.Errorf("a verification of what is still listed shows the gap before it: %+v", f.Gaps)
	}
}
