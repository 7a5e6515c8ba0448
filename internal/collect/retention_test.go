package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

// eventTime is when the event of a record of these tests was.
func eventTime(r lakeRow) time.Time {
	var body struct{ CreationTime string }
	if json.Unmarshal(r.Raw, &body) != nil {
		return time.Time{}
	}
	at, _ := time.Parse("2006-01-02T15:04:05", body.CreationTime)
	return at
}

func within(r lakeRow, mark state.DropMark) bool {
	return eventTime(r).Before(mark.Before) && r.Seq <= mark.Seq
}

// drop removes what is within the mark, as the retention of the lake does.
func (l *fakeLake) drop(mark state.DropMark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = mark
}

// Old hands over day by day.
func (l *fakeLake) Old(ctx context.Context, before time.Time, without state.DropMark, take func(Aged) error) error {
	rows, err := l.rows(ctx)
	if err != nil {
		return err
	}
	_, last, err := l.h.journal.Bounds(ctx)
	if err != nil {
		return err
	}
	parts := map[time.Time]map[record.UnitID]state.DroppedUnit{before: {}}
	for _, r := range rows {
		at := eventTime(r)
		if !at.Before(before) || within(r, without) {
			continue
		}
		end := at.Truncate(midnight).Add(midnight)
		if end.Before(without.Before) {
			end = without.Before
		}
		if parts[end] == nil {
			parts[end] = map[record.UnitID]state.DroppedUnit{}
		}
		u := parts[end][r.unit.ID]
		u.ID, u.ConnectorID, u.ContentType, u.Created = r.unit.ID, r.connect, r.unit.ContentType, r.unit.Created
		u.Rows++
		u.IDSum ^= record.IDHash(r.ID)
		parts[end][r.unit.ID] = u
	}
	position := state.Position{Stream: l.h.journal.StreamID(), Seq: last}
	for _, end := range slices.SortedFunc(maps.Keys(parts), time.Time.Compare) {
		if err := take(Aged{Before: end, Position: position, Units: slices.Collect(maps.Values(parts[end]))}); err != nil {
			return err
		}
	}
	return nil
}

// recAt is a record of an event of some time.
func recAt(id string, at time.Time) string {
	return strings.Replace(rec(id, ""), "2026-03-04T05:06:07", at.UTC().Format("2006-01-02T15:04:05"), 1)
}

// retained is a proof whose units u0, u1, ... each have a record of an event of 100 days ago, one of 50 days ago and one
// of today, collected.
type retained struct {
	*proof
	*running
	now time.Time
}

func newRetained(t *testing.T, units int) *retained {
	p := &retained{proof: newProof(t, 0), now: time.Now().UTC()}
	for i := range units {
		p.add(fmt.Sprint("u", i), p.now.Add(-time.Duration(units-i)*time.Hour))
	}
	p.running = p.start()
	p.manager.Start(p.cfg)
	p.waitLanded(general, int64(units))
	return p
}

func (p *retained) add(name string, created time.Time) {
	p.src.add(general, name, created, recAt(name+"a", p.ago(100)), recAt(name+"b", p.ago(50)), recAt(name+"c", p.now))
}

func (p *retained) ago(days int) time.Time { return p.now.AddDate(0, 0, -days) }

// id is the id of the record a, b or c of a unit.
func (p *retained) id(name string, days int) string {
	p.t.Helper()
	prep := &preparer{connector: &p.cfg.Connector, now: time.Now}
	out, _ := prep.prepare(itemOf(recAt(name, p.ago(days))), general, "")
	return out.rec.ID
}

func (p *retained) mark() state.DropMark {
	p.t.Helper()
	mark, err := p.state.DropMark(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return mark
}

func (p *retained) count(days int) {
	p.t.Helper()
	if err := p.publisher.Dropping(p.t.Context(), p.ago(days)); err != nil {
		p.t.Fatal(err)
	}
}

// retain is a turn of the maintenance.
func (p *retained) retain(days int) {
	p.t.Helper()
	p.count(days)
	p.lake.drop(p.mark())
}

// want fails unless a verification finds that everything landed, and repairs nothing.
func (p *retained) want(what string, units, records, dropped int64) {
	p.t.Helper()
	f := p.verify(p.running, true)
	if want := (Tally{Listed: units, Landed: units, Records: records, DroppedRecords: dropped}); f.Tally != want || len(f.Findings) > 0 || f.Repaired != 0 {
		p.t.Errorf("%s: %+v, repaired %d, want %+v: %+v", what, f.Tally, f.Repaired, want, f.Findings)
	}
}

// lands waits until nothing is pending and a unit was fetched so often.
func (p *retained) lands(name string, fetches int) {
	p.t.Helper()
	runner, err := p.manager.Runner("c1")
	if err != nil {
		p.t.Fatal(err)
	}
	runner.Poke()
	runner.Wake()
	p.waitFor(name+" to land", func() bool { return p.src.fetches(general+"|"+name) == fetches && p.pending() == 0 })
}

// TestWhatRetentionDropsIsNotMissing: in every turn, also again and with a longer retention.
func TestWhatRetentionDropsIsNotMissing(t *testing.T) {
	p := newRetained(t, 3)
	p.want("before", 3, 9, 0)
	for _, tt := range []struct {
		days             int
		records, dropped int64
	}{{200, 9, 0}, {90, 6, 3}, {90, 6, 3}, {40, 3, 6}, {90, 3, 6}} {
		p.retain(tt.days)
		p.want(fmt.Sprint("retention of ", tt.days, " days"), 3, tt.records, tt.dropped)
	}
	for i := range 3 {
		if n := p.src.fetches(fmt.Sprint(general, "|u", i)); n != 1 {
			t.Errorf("u%d was fetched %d times", i, n)
		}
	}
}

// TestCrashBetweenCountAndDrop: rows that were counted and are still there are not counted twice, neither by a verification nor
// by the next turn.
func TestCrashBetweenCountAndDrop(t *testing.T) {
	p := newRetained(t, 2)
	p.count(90)
	p.want("counted", 2, 4, 2)
	p.stop()
	p.reopen()
	p.running = p.start()
	p.manager.Start(p.cfg)
	p.want("after the crash", 2, 4, 2)
	p.retain(90)
	p.want("after the next turn", 2, 4, 2)
	if ids := p.lake.ids(t.Context()); len(ids) != 4 {
		t.Errorf("the lake has %d records, want 4", len(ids))
	}
}

// TestCrashWhileCounting: a part was counted, the rest not.
func TestCrashWhileCounting(t *testing.T) {
	p := newRetained(t, 2)
	crash := errors.New("crash")
	p.publisher.cfg.Lake = &brokenLake{fakeLake: p.lake, parts: 1, err: crash}
	if err := p.publisher.Dropping(t.Context(), p.ago(40)); !errors.Is(err, crash) {
		t.Fatalf("got %v", err)
	}
	p.publisher.cfg.Lake = p.lake
	p.want("after the crash", 2, 4, 2)
	p.lake.drop(p.mark())
	p.want("what was counted is dropped", 2, 4, 2)
	p.retain(40)
	p.want("after the next turn", 2, 2, 4)
}

// brokenLake breaks after some parts.
type brokenLake struct {
	*fakeLake
	parts int
	err   error
}

func (l *brokenLake) Old(ctx context.Context, before time.Time, without state.DropMark, take func(Aged) error) error {
	n := 0
	return l.fakeLake.Old(ctx, before, without, func(a Aged) error {
		if n++; n > l.parts {
			return l.err
		}
		return take(a)
	})
}

// TestRealLossBesideRetention: of one unit one record was dropped and another one is lost.
func TestRealLossBesideRetention(t *testing.T) {
	p := newRetained(t, 2)
	p.retain(90)
	p.lake.lose(p.id("u1b", 50))
	f := p.verify(p.running, true)
	if want := (Tally{Listed: 2, Landed: 1, Missing: 1, Records: 3, MissingRecords: 1, DroppedRecords: 2}); f.Tally != want {
		t.Errorf("%+v, want %+v", f.Tally, want)
	}
	if len(f.Findings) != 1 || f.Findings[0].ContentID != "u1" || f.Findings[0].Expected != 2 || f.Findings[0].Found != 1 ||
		!strings.Contains(f.Findings[0].Reason, "1 of its 3 records are not in the lake, beside the 1 that its retention dropped") {
		t.Errorf("%+v", f.Findings)
	}
	// The unit is read again as a whole: what was dropped comes back, and is dropped again.
	p.lands("u1", 2)
	p.want("after the repair", 2, 5, 1)
	p.retain(90)
	p.want("after the next turn", 2, 4, 2)
	if n := p.src.fetches(general + "|u0"); n != 1 {
		t.Errorf("u0 was fetched %d times", n)
	}
	if total := p.total(general); total.Records != 6 {
		t.Errorf("the ledger counts %d records, want 6", total.Records)
	}
}

// TestRepairBetweenCountAndDrop: what was counted and is still there is a duplicate for the repair.
func TestRepairBetweenCountAndDrop(t *testing.T) {
	p := newRetained(t, 2)
	p.count(90)
	p.lake.lose(p.id("u1b", 50))
	if f := p.verify(p.running, true); f.Tally.MissingRecords != 1 || f.Repaired != 1 {
		t.Fatalf("%+v, repaired %d", f.Tally, f.Repaired)
	}
	p.lands("u1", 2)
	p.want("after the repair", 2, 4, 1)
	p.lake.drop(p.mark())
	p.want("dropped", 2, 4, 1)
	p.retain(90)
	p.want("after the next turn", 2, 4, 1)
}

// TestAnotherRecordInPlaceOfOneDropped: the numbers fit, the ids do not.
func TestAnotherRecordInPlaceOfOneDropped(t *testing.T) {
	p := newRetained(t, 1)
	p.retain(90)
	p.lake.lose(p.id("u0b", 50))
	u := p.src.units[0]
	p.lake.mu.Lock()
	p.lake.kept = append(p.lake.kept, lakeRow{
		Stored: Stored{ID: "o365:another", Held: Held{Index: record.WindowsEvents, Raw: []byte(recAt("x", p.now)), Seq: 9_000_000}}, connect: "c1",
		unit: record.BatchUnit{ID: u.ID("c1"), ContentType: general, ContentID: u.ContentID, Created: u.Created},
	})
	p.lake.mu.Unlock()
	if f := p.verify(p.running, false); f.Tally.Missing != 1 || len(f.Findings) != 1 {
		t.Errorf("%+v %+v", f.Tally, f.Findings)
	}
}

// TestRecordsThatArriveTooOld land, and the next turn drops them, however often they come.
func TestRecordsThatArriveTooOld(t *testing.T) {
	p := newRetained(t, 1)
	p.retain(90)
	p.add("late", p.now.Add(-time.Minute))
	p.lands("late", 1)
	p.want("landed", 2, 5, 1)
	p.count(90)
	p.want("counted", 2, 4, 2)
	p.lake.drop(p.mark())
	p.want("dropped", 2, 4, 2)
	p.add("later", p.now.Add(-time.Second))
	p.lands("later", 1)
	p.retain(40)
	p.want("a shorter retention", 3, 3, 6)
}

// TestRetentionOfFoldedUnits: details of old units are no longer kept, what was dropped of them is.
func TestRetentionOfFoldedUnits(t *testing.T) {
	p := newRetained(t, 4)
	p.retain(90) // units that are folded later
	_, last, err := p.journal.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.publisher.Committed(t.Context(), state.Position{Stream: p.journal.StreamID(), Seq: last}); err != nil {
		t.Fatal(err)
	}
	p.manager.Stop("c1")
	p.src.mu.Lock()
	p.src.units = nil // the service does not list them any more
	p.src.mu.Unlock()
	if n, err := p.state.Fold(t.Context(), p.publisher.term, time.Now().Add(time.Hour), 0); err != nil || n != 4 {
		t.Fatalf("folded %d, %v", n, err)
	}
	p.want("folded", 4, 8, 4)
	p.retain(40)
	p.want("dropped after it was folded", 4, 4, 8)
	p.lake.lose(p.id("u2c", 0))
	if f := p.verify(p.running, false); len(f.Findings) != 1 || f.Tally.MissingRecords != 1 || f.Tally.DroppedRecords != 8 {
		t.Errorf("a loss: %+v %+v", f.Tally, f.Findings)
	}
}
