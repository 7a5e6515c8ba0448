package census_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/record"
)

// date is the beginning of a day of January 2024.
func date(n int) time.Time { return time.Date(2024, 1, n, 0, 0, 0, 0, time.UTC) }

// timed are rows with the time of their events: those of write, and then those of writeAt.
type timed struct {
	census.Row
	at time.Time
}

// hourly writes messages whose records are of several hours and days; it returns the rows of all messages.
func hourly(f *fixture, messages int) []timed {
	f.t.Helper()
	var out []timed
	for range messages {
		seq := len(f.entries) + 1
		var recs []rec
		var times []time.Time
		for i := range 12 {
			at := date(1 + i%4).Add(time.Duration(i*5) * time.Hour / 3)
			id := fmt.Sprintf("h-%d-%d", seq, i)
			r := rec{id: id, unit: seq + i%2, raw: fmt.Sprintf(`{"CreationTime":%q,"Operation":"op","RecordType":1,"Tag":%q}`, at.Format("2006-01-02T15:04:05"), id)}
			recs, times = append(recs, r), append(times, at)
		}
		f.write(recs...)
		for i, r := range f.rows[len(f.rows)-len(recs):] {
			out = append(out, timed{r, times[i]})
		}
	}
	return out
}

// old collects what Old hands over, and holds it to its promises.
func old(t *testing.T, c *census.Census, q census.OldQuery) (map[record.UnitID]census.AgedUnit, lake.Position) {
	t.Helper()
	out := map[record.UnitID]census.AgedUnit{}
	var last census.Aged
	err := c.Old(t.Context(), q, func(a census.Aged) error {
		if a.Before.Before(last.Before) || a.Before.Before(q.Without.Before) || a.Before.After(q.Before) {
			t.Errorf("a part before %s after one before %s", a.Before, last.Before)
		}
		for id, u := range a.Units {
			sum := out[id]
			sum.Origin = u.Origin
			sum.Rows += u.Rows
			sum.IDSum ^= u.IDSum
			out[id] = sum
		}
		last = a
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !last.Before.Equal(q.Before) {
		t.Errorf("the last part ends before %s, want %s", last.Before, q.Before)
	}
	return out, last.Position
}

func agedOf(rows []timed, choose func(timed) bool) map[record.UnitID]census.AgedUnit {
	out := map[record.UnitID]census.AgedUnit{}
	for _, r := range rows {
		if choose(r) {
			u := out[r.Unit]
			u.Origin = census.Origin{ConnectorID: "c1", ContentType: "Audit.General", ContentID: "blob", Created: created}
			u.Rows++
			u.IDSum ^= record.IDHash(r.ID)
			out[r.Unit] = u
		}
	}
	return out
}

// TestOld extends a cut and compares, at every place, what is in it and what is outside of it.
func TestOld(t *testing.T) {
	f := newFixture(t)
	rows := hourly(f, 3)
	censuses := map[string]*census.Census{
		"one step": f.census(nil), "small steps": f.census(small), "tiny steps": f.census(func(c *census.Config) { c.StepRows = 1 }),
	}
	var cut census.Cut
	inside := func(c census.Cut, r timed) bool { return r.at.Before(c.Before) && record.JournalSeq(r.Seq) <= c.Seq }
	for _, tt := range []struct {
		name   string
		before time.Time
	}{
		{"nothing", date(1)}, {"a day", date(2)}, {"the same again", date(2)}, {"two days", date(4)}, {"everything", date(9)},
	} {
		for name, c := range censuses {
			got, position := old(t, c, census.OldQuery{Before: tt.before, Without: cut})
			if want := agedOf(rows, func(r timed) bool { return r.at.Before(tt.before) && !inside(cut, r) }); !maps.Equal(got, want) {
				t.Errorf("%s, %s:\n got %v\nwant %v", tt.name, name, got, want)
			}
			if position != (lake.Position{Stream: stream, Seq: uint64(len(f.entries))}) {
				t.Errorf("%s, %s: position %+v", tt.name, name, position)
			}
		}
		cut = census.Cut{Before: tt.before, Seq: uint64(len(f.entries))}
		rows = append(rows, hourly(f, 1)...) // some of it is late
		held, err := censuses["small steps"].Units(t.Context(), census.UnitsQuery{Without: cut})
		if err != nil {
			t.Fatal(err)
		}
		if want := f.holdings(func(r census.Row) bool {
			for _, at := range rows {
				if at.ID == r.ID {
					return !inside(cut, at)
				}
			}
			return true
		}); !maps.Equal(held.Units, want) {
			t.Errorf("%s: outside the cut\n got %v\nwant %v", tt.name, held.Units, want)
		}
	}
}

// TestOldWithinAnHour: a cut of an earlier version ends somewhere.
func TestOldWithinAnHour(t *testing.T) {
	f := newFixture(t)
	rows := hourly(f, 2)
	cut := census.Cut{Before: date(2).Add(5*time.Hour/3 + time.Second), Seq: 1}
	got, _ := old(t, f.census(nil), census.OldQuery{Before: date(4), Without: cut})
	want := agedOf(rows, func(r timed) bool {
		return r.at.Before(date(4)) && (!r.at.Before(cut.Before) || record.JournalSeq(r.Seq) > 1)
	})
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestOldRefuses(t *testing.T) {
	f := newFixture(t)
	c := f.census(nil)
	for _, q := range []census.OldQuery{
		{Before: date(2), Without: census.Cut{Before: date(3), Seq: 1}}, {Before: date(2).Add(time.Minute)},
	} {
		if err := c.Old(t.Context(), q, func(census.Aged) error { return nil }); !fault.Is(err, fault.Internal) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	hourly(f, 1)
	stop := errors.New("stop")
	calls := 0
	if err := c.Old(t.Context(), census.OldQuery{Before: date(9)}, func(census.Aged) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestOldInAnEmptyLake: the end is told all the same.
func TestOldInAnEmptyLake(t *testing.T) {
	got, position := old(t, newFixture(t).census(nil), census.OldQuery{Before: date(2)})
	if len(got) != 0 || position.Seq != 0 {
		t.Errorf("%v at %+v", got, position)
	}
}

// TestOldAndDrop: what a unit has outside the cut, and what was handed over of it, is what it had before, also when the
// rows of the cut are gone.
func TestOldAndDrop(t *testing.T) {
	f := newFixture(t)
	hourly(f, 3)
	c := f.census(nil)
	before, err := c.Units(t.Context(), census.UnitsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	cut := census.Cut{Before: date(3), Seq: uint64(len(f.entries))}
	aged, _ := old(t, c, census.OldQuery{Before: cut.Before})
	for _, when := range []string{"counted", "dropped"} {
		if when == "dropped" {
			if res, err := f.lake.DropBefore(t.Context(), record.WindowsEvents, cut.Before, cut.Seq); err != nil || res.Rows == 0 {
				t.Fatalf("%+v, %v", res, err)
			}
		}
		after, err := c.Units(t.Context(), census.UnitsQuery{Without: cut})
		if err != nil {
			t.Fatal(err)
		}
		if len(aged) == 0 || len(after.Units) == 0 {
			t.Fatalf("%s: %d units are old, %d are left", when, len(aged), len(after.Units))
		}
		for id, want := range before.Units {
			if h, u := after.Units[id], aged[id]; h.Rows+u.Rows != want.Rows || h.IDSum^u.IDSum != want.IDSum {
				t.Errorf("%s: unit %s has %+v and %+v, had %+v", when, id, h, u, want)
			}
		}
	}
}
