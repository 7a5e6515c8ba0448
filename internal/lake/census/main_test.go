package census_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"sluice/internal/clock"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/lake/engine"
	"sluice/internal/lake/engine/enginetest"
	"sluice/internal/lake/worker"
	"sluice/internal/normalize"
	"sluice/internal/record"
)

func TestMain(m *testing.M) {
	enginetest.RunChild(engine.Hooks{Rebuild: lake.Rebuild})
	goleak.VerifyTestMain(m)
}

const stream = "stream-1"

// fixture is a lake that a test writes batch by batch.
type fixture struct {
	t       *testing.T
	lake    *lake.Lake
	now     time.Time
	entries []lake.Entry
	rows    []census.Row // what was written, in order; Index is where it must be found
}

// fixedClock is a clock that stands where the fixture says, for write_time.
type fixedClock struct {
	clock.Real
	f *fixture
}

func (c fixedClock) Now() time.Time { return c.f.now }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "catalog.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	norm, err := normalize.New()
	if err != nil {
		t.Fatal(err)
	}
	f.lake, err = lake.Open(t.Context(), lake.Config{
		Warehouse: filepath.Join(dir, "it's lake"), CatalogDB: db, Dialect: "sqlite", Normalizer: norm, Clock: fixedClock{f: f},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.lake.Close() })
	return f
}

// census returns a census of the lake.
func (f *fixture) census(change func(*census.Config)) *census.Census {
	f.t.Helper()
	pool, err := worker.New(worker.Config{TempDir: f.t.TempDir(), DataLimit: dataLimit, Max: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = pool.Close() })
	cfg := census.Config{Plan: f.lake.Plan, Pool: pool}
	if change != nil {
		change(&cfg)
	}
	c, err := census.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// created is when the content of all units became available.
var created = time.Date(2024, 1, 7, 12, 0, 0, 0, time.UTC)

// rec is a record of a test.
type rec struct {
	id    string
	index record.Index // windows_events when empty
	day   int          // of January 2024
	unit  int
	raw   string // a made one when empty
}

func unitID(n int) record.UnitID { return record.Unit{Key: fmt.Sprint("unit ", n)}.ID("c1") }

func second(day int) uint32 {
	return uint32(time.Date(2024, 1, day, 10, 0, 0, 0, time.UTC).Unix())
}

// write commits a batch: one message of the journal.
func (f *fixture) write(recs ...rec) {
	f.t.Helper()
	seq := uint64(len(f.entries) + 1)
	b := &record.Batch{Epoch: "e", Number: int64(seq) + 100, Connectors: []record.Connector{{ID: "c1", Name: "c", Type: "office365", TenantName: "Contoso"}}}
	for i, r := range recs {
		if r.index == "" {
			r.index = record.WindowsEvents
		}
		if r.raw == "" {
			r.raw = fmt.Sprintf(`{"CreationTime":"2024-01-%02dT10:00:00","Operation":"op%d","RecordType":%d,"Tag":"a\/%s","F%d":[%d, 1]}`, r.day, i%3, i, r.id, i%4, i)
		}
		b.Units = append(b.Units, record.BatchUnit{ID: unitID(r.unit), ContentType: "Audit.General", ContentID: "blob", Created: created})
		b.Records = append(b.Records, record.Record{
			ID: r.id, Index: r.index, Unit: i, Received: int64(second(r.day)) * 1000, Raw: []byte(r.raw),
		})
		f.rows = append(f.rows, census.Row{ID: r.id, Index: r.index, Unit: unitID(r.unit), Batch: b.Number, Seq: record.Seq(seq, i), Raw: []byte(r.raw), TenantName: "Contoso"})
	}
	f.entries = append(f.entries, lake.Entry{Position: lake.Position{Stream: stream, Seq: seq}, Batch: b})
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Minute)
	defer cancel()
	w := lake.NewWriter(f.lake, func(_ context.Context, from uint64) (lake.Feed, error) {
		return &feed{f.entries[from-1:]}, nil
	}, lake.WriterOptions{})
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	err := w.Flush(ctx, seq)
	cancel()
	if rerr := <-done; err != nil || rerr != nil {
		f.t.Fatal(err, rerr)
	}
}

// feed delivers entries and then blocks.
type feed struct{ entries []lake.Entry }

func (f *feed) Next(ctx context.Context) (lake.Entry, error) {
	if len(f.entries) == 0 {
		<-ctx.Done()
		return lake.Entry{}, ctx.Err()
	}
	e := f.entries[0]
	f.entries = f.entries[1:]
	return e, nil
}

// fill writes records of all tables, over six days and eight messages.
func (f *fixture) fill() {
	f.t.Helper()
	for seq := range 8 {
		var recs []rec
		for i := range 6 {
			recs = append(recs, rec{id: fmt.Sprintf("id-%d-%d", seq, i), day: 1 + i, unit: (seq*6 + i) / 4})
		}
		recs[1].index = record.Syslog
		recs[2].index = record.Quarantine
		recs[2].raw = fmt.Sprintf("{\"broken\xff\": %d", seq)
		recs[3].index, recs[3].id, recs[3].day = record.Alerts, "al:1", 4 // grows with each message
		f.write(recs...)
		f.now = f.now.Add(time.Hour)
	}
}

// holdings is what Units must answer for the rows that are chosen.
func (f *fixture) holdings(choose func(census.Row) bool) map[record.UnitID]census.Holding {
	out := make(map[record.UnitID]census.Holding)
	ids := make(map[string]bool)
	for _, r := range f.rows {
		if !choose(r) {
			continue
		}
		h := out[r.Unit]
		h.Rows++
		if key := r.Unit.String() + r.ID; !ids[key] {
			ids[key] = true
			h.Distinct++
		}
		if r.Index == record.Quarantine {
			h.Quarantined++
		}
		h.IDSum ^= record.IDHash(r.ID)
		h.MaxSeq = max(h.MaxSeq, r.Seq)
		out[r.Unit] = h
	}
	return out
}
