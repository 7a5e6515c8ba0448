package census_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/record"
)

func all(census.Row) bool { return true }

func small(cfg *census.Config) { cfg.StepRows, cfg.PageRows = 7, 5 }

func TestIDHash(t *testing.T) {
	if got := record.IDHash("abc"); got != 0x900150983cd24fb0 { // MD5 of "abc" begins 900150983cd24fb0, RFC 1321 appendix A.5
		t.Errorf("got %x", got)
	}
}

func TestEmptyLake(t *testing.T) {
	f := newFixture(t)
	c := f.census(nil)
	h, err := c.Units(t.Context(), census.UnitsQuery{})
	if err != nil || len(h.Units) != 0 || h.Position.Seq != 0 {
		t.Errorf("units: %+v, %v", h, err)
	}
	p, err := c.Present(t.Context(), []census.Ask{{ID: "x"}, {ID: "y", EventSecond: second(1)}})
	if err != nil || len(p.Found) != 0 {
		t.Errorf("present: %+v, %v", p, err)
	}
	for r, err := range c.Since(t.Context(), 0) {
		t.Errorf("row %+v, %v", r, err)
	}
}

func TestUnits(t *testing.T) {
	f := newFixture(t)
	f.fill()
	start := f.now.Add(-8 * time.Hour)
	some := []record.UnitID{unitID(0), unitID(5), unitID(999)}
	many := slices.Clone(some)
	for n := range 20_000 {
		many = append(many, unitID(1000+n))
	}
	for name, cfg := range map[string]func(*census.Config){"one step": nil, "small steps": small} {
		c := f.census(cfg)
		for _, tt := range []struct {
			name string
			q    census.UnitsQuery
			want func(census.Row) bool
		}{
			{"all", census.UnitsQuery{}, all},
			{"some", census.UnitsQuery{Units: some}, func(r census.Row) bool { return slices.Contains(some, r.Unit) }},
			{"many", census.UnitsQuery{Units: many}, func(r census.Row) bool { return slices.Contains(some, r.Unit) }},
			{"since", census.UnitsQuery{Since: start.Add(3 * time.Hour)}, func(r census.Row) bool { return record.JournalSeq(r.Seq) > 3 }},
			{"both", census.UnitsQuery{Units: some, Since: start.Add(7 * time.Hour)}, func(census.Row) bool { return false }},
		} {
			got, err := c.Units(t.Context(), tt.q)
			if err != nil {
				t.Fatal(name, tt.name, err)
			}
			if want := f.holdings(tt.want); !maps.Equal(got.Units, want) {
				t.Errorf("%s, %s:\n got %v\nwant %v", name, tt.name, got.Units, want)
			}
			if got.Position != (lake.Position{Stream: stream, Seq: 8}) || got.Missing != 0 {
				t.Errorf("%s, %s: %+v", name, tt.name, got)
			}
		}
	}
}

func TestOrigins(t *testing.T) {
	f := newFixture(t)
	f.write(rec{id: "a", day: 1, unit: 1}, rec{id: "b", day: 2, unit: 2, index: record.Quarantine})
	got, err := f.census(nil).Origins(t.Context(), []record.UnitID{unitID(1), unitID(2), unitID(3)})
	want := census.Origin{ConnectorID: "c1", ContentType: "Audit.General", ContentID: "blob", Created: created}
	if err != nil || len(got) != 2 || got[unitID(1)] != want || got[unitID(2)] != want {
		t.Errorf("got %v, %v; want %v twice", got, err, want)
	}
}

// TestUnitsFindsDoubles writes a record twice, which the collector must never do.
func TestUnitsFindsDoubles(t *testing.T) {
	f := newFixture(t)
	f.write(rec{id: "a", day: 1, unit: 1}, rec{id: "b", day: 1, unit: 1})
	f.write(rec{id: "a", day: 1, unit: 1}, rec{id: "c", day: 2, unit: 2})
	got, err := f.census(nil).Units(t.Context(), census.UnitsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	want := census.Holding{Rows: 3, Distinct: 2, IDSum: record.IDHash("b"), MaxSeq: record.Seq(2, 0)}
	if got.Units[unitID(1)] != want {
		t.Errorf("got %+v, want %+v", got.Units[unitID(1)], want)
	}
}

func TestPresent(t *testing.T) {
	f := newFixture(t)
	f.fill()
	f.write(rec{id: "awkward ' \" \\ \x00 \u2028 id", day: 6, unit: 77})
	for name, cfg := range map[string]func(*census.Config){"one step": nil, "small steps": small} {
		c := f.census(cfg)
		var asks, blind []census.Ask
		want := make(map[string]census.Found)
		for _, r := range f.rows {
			day := 1 + int(r.Seq%record.MaxBatchRecords) // of fill
			if r.Unit == unitID(77) {
				day = 6
			}
			asks, blind = append(asks, census.Ask{ID: r.ID, EventSecond: second(day)}), append(blind, census.Ask{ID: r.ID})
			want[r.ID] = census.Found{Raw: r.Raw, Index: r.Index, Unit: r.Unit, Seq: r.Seq, TenantName: r.TenantName} // the latest alert stays
		}
		for n := range 2000 {
			asks = append(asks, census.Ask{ID: fmt.Sprint("not there ", n), EventSecond: second(1 + n%28)})
		}
		for kind, asked := range map[string][]census.Ask{"with days": asks, "without": blind, "mixed": slices.Concat(asks[:20], blind[20:])} {
			got, err := c.Present(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Found, want) {
				t.Errorf("%s, %s:\n got %v\nwant %v", name, kind, got.Found, want)
			}
			if got.Position.Seq != 9 || got.Missing != 0 {
				t.Errorf("%s, %s: %+v", name, kind, got.Position)
			}
		}
		for off, found := range []int{1, 1, 0} {
			got, err := c.Present(t.Context(), []census.Ask{{ID: "id-0-0", EventSecond: second(1 + off)}})
			if err != nil || len(got.Found) != found {
				t.Errorf("%s, %d days off: %v, %v", name, off, got.Found, err)
			}
		}
	}
}

func TestSince(t *testing.T) {
	f := newFixture(t)
	f.fill()
	if _, err := f.lake.Compact(t.Context(), lake.CompactOptions{Index: []record.Index{record.WindowsEvents}, Before: f.now}); err != nil {
		t.Fatal(err)
	}
	f.write(rec{id: "late", day: 1, unit: 1}, rec{id: "later", index: record.Syslog, day: 9, unit: 1})
	for name, cfg := range map[string]func(*census.Config){"one page": nil, "small pages": small} {
		c := f.census(cfg)
		for _, after := range []int64{-1, record.Seq(4, 3), record.Seq(9, 0), record.Seq(50, 0)} {
			var got, want []census.Row
			for r, err := range c.Since(t.Context(), after) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			for _, r := range f.rows {
				if r.Seq > after {
					want = append(want, r)
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s after %d:\n got %v\nwant %v", name, after, got, want)
			}
		}
		for _, err := range c.Since(t.Context(), 0) { // whoever leaves early leaves nothing running
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
}

// TestMissingFiles deletes a file: the answers are about what is left, and say so.
func TestMissingFiles(t *testing.T) {
	f := newFixture(t)
	f.fill()
	plan, err := f.lake.Plan(t.Context(), lake.PlanRequest{Index: []record.Index{record.WindowsEvents}})
	if err != nil {
		t.Fatal(err)
	}
	lost := plan.Tables[0].Files[0]
	if err := os.Remove(lost.Path); err != nil {
		t.Fatal(err)
	}
	left := func(r census.Row) bool {
		return r.Seq < lost.MinSeq || r.Seq > lost.MaxSeq || r.Index != record.WindowsEvents || r.Seq%record.MaxBatchRecords != 5
	}
	c := f.census(nil)
	h, err := c.Units(t.Context(), census.UnitsQuery{})
	if err != nil || h.Missing != 1 || !maps.Equal(h.Units, f.holdings(left)) {
		t.Errorf("units: %+v, %v", h, err)
	}
	p, err := c.Present(t.Context(), []census.Ask{{ID: "id-0-5", EventSecond: second(6)}, {ID: "id-1-5", EventSecond: second(6)}, {ID: "id-7-5", EventSecond: second(6)}})
	if err != nil || p.Missing != 1 {
		t.Errorf("present: %+v, %v", p, err)
	}
	n := 0
	var last error
	for _, err := range c.Since(t.Context(), 0) {
		if last = err; err == nil {
			n++
		}
	}
	if n != len(f.rows)-1 || !fault.Is(last, fault.Gone) {
		t.Errorf("since: %d rows, %v", n, last)
	}
}

// TestOneMoment asks while the tables are at different places: what only some of them have does not count yet.
func TestOneMoment(t *testing.T) {
	f := newFixture(t)
	f.fill()
	behind := func(change func(*lake.Position)) *census.Census {
		return f.census(func(cfg *census.Config) {
			cfg.Plan = func(ctx context.Context, req lake.PlanRequest) (*lake.Plan, error) {
				plan, err := f.lake.Plan(ctx, req)
				if err == nil {
					change(&plan.Tables[1].Position)
				}
				return plan, err
			}
		})
	}
	c := behind(func(p *lake.Position) { p.Seq = 5 })
	got, err := c.Units(t.Context(), census.UnitsQuery{})
	want := f.holdings(func(r census.Row) bool { return record.JournalSeq(r.Seq) <= 5 })
	if err != nil || !maps.Equal(got.Units, want) || got.Position != (lake.Position{Stream: stream, Seq: 5}) {
		t.Errorf("units: %+v, %v\nwant %v", got, err, want)
	}
	n := 0
	for _, err := range c.Since(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 30 {
		t.Errorf("since: %d rows, want 30", n)
	}
	c = behind(func(p *lake.Position) { *p = lake.Position{} })
	if got, err := c.Units(t.Context(), census.UnitsQuery{}); err != nil || len(got.Units) != 0 || got.Position != (lake.Position{Stream: stream}) {
		t.Errorf("a new table: %+v, %v", got, err)
	}
	c = behind(func(p *lake.Position) { p.Stream = "another" })
	if _, err := c.Units(t.Context(), census.UnitsQuery{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("two journals: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := census.New(census.Config{}); err == nil {
		t.Error("a census of nothing was made")
	}
}

// TestTimesOutOfRange: events at times that no calendar of ours has are counted and found like others.
func TestTimesOutOfRange(t *testing.T) {
	f := newFixture(t)
	var recs []rec
	var asks []census.Ask
	for i, ms := range []string{
		"1764547200000000", "9223372036854775807", "9223372036854775", "-62135596800001", "-9223372036854775", "-9223372036854775808",
	} {
		id := fmt.Sprint("id-", i)
		recs = append(recs, rec{id: id, day: 1, unit: 1, raw: `{"CreationTime":"\/Date(` + ms + `)\/","Operation":"x"}`})
		asks = append(asks, census.Ask{ID: id})
	}
	f.write(recs...)
	c := f.census(nil)
	got, err := c.Units(t.Context(), census.UnitsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if want := f.holdings(func(census.Row) bool { return true })[unitID(1)]; got.Units[unitID(1)] != want {
		t.Errorf("counted %+v, want %+v", got.Units[unitID(1)], want)
	}
	found, err := c.Present(t.Context(), asks)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.rows {
		if string(found.Found[r.ID].Raw) != string(r.Raw) {
			t.Errorf("%s: found %q, want %q", r.ID, found.Found[r.ID].Raw, r.Raw)
		}
	}
	aged := int64(0)
	if err := c.Old(t.Context(), census.OldQuery{Before: created.Truncate(time.Hour)}, func(a census.Aged) error {
		aged += a.Units[unitID(1)].Rows
		return nil
	}); err != nil || aged != 3 {
		t.Errorf("%d old rows, want 3: %v", aged, err)
	}
}
