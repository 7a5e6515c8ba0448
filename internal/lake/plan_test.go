package lake

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/record"
)

// fill writes three commits: every operation on every one of five days, twice the same day in different files.
func fill(t *testing.T, l *Lake) []Entry {
	t.Helper()
	var entries []Entry
	for seq := uint64(1); seq <= 3; seq++ {
		var raws []string
		for day := 1; day <= 5; day++ {
			for _, op := range []string{"Zebra", "Add user.", "MailItemsAccessed"} {
				raws = append(raws, event(day, op, fmt.Sprintf(`,"Seq":%d,"Field%d":{"a":[%d]},"ExternalAccess":%t`, seq, seq, seq, seq == 2)))
			}
		}
		entries = append(entries, batchOf(seq, raws...))
	}
	for i := range entries {
		if err := runWriter(t, NewWriter(l, feedOf(entries[:i+1]...), WriterOptions{}), uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return entries
}

func day(n int) time.Time { return time.Date(2024, 1, n, 0, 0, 0, 0, time.UTC) }

func TestPlan(t *testing.T) {
	l := newSetup(t).open()
	plan, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{record.WindowsEvents}})
	if err != nil || len(plan.Tables[0].Files) != 0 || !plan.CommittedAt.IsZero() {
		t.Fatalf("empty lake: %+v, %v", plan, err)
	}
	if rows := fileRows(t, plan.Tables[0].Schema); len(rows) != 0 {
		t.Errorf("the schema file has %d rows", len(rows))
	}
	fill(t, l)
	for _, tt := range []struct {
		name     string
		from, to time.Time
		days     []int // newest first
	}{
		{name: "all", days: []int{5, 4, 3, 2, 1}},
		{name: "from", from: day(4), days: []int{5, 4}},
		{name: "to excludes", to: day(2), days: []int{1}},
		{name: "one day", from: day(3), to: day(4), days: []int{3}},
		{name: "hours without events", from: day(3).Add(11 * time.Hour), to: day(4)},
		{name: "nothing", from: day(20)},
		{name: "far ends", from: time.Unix(-1<<40, 0), to: time.Unix(1<<40, 0), days: []int{5, 4, 3, 2, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{record.WindowsEvents, record.Syslog}, From: tt.from, To: tt.to})
			if err != nil {
				t.Fatal(err)
			}
			var days []int
			for _, f := range plan.Tables[0].Files {
				if !filepath.IsAbs(f.Path) || f.Records == 0 || f.Bytes == 0 {
					t.Errorf("file %+v", f)
				}
				if n := f.Day.Day(); len(days) == 0 || days[len(days)-1] != n {
					days = append(days, n)
				}
			}
			if !slices.Equal(days, tt.days) {
				t.Errorf("days %v, want %v", days, tt.days)
			}
			if plan.Tables[0].Position.Seq != 3 || plan.CommittedAt.IsZero() || plan.Tables[0].Snapshot == 0 || len(plan.Tables[1].Files) != 0 {
				t.Errorf("plan %+v", plan)
			}
		})
	}
	columns := l.Columns(record.WindowsEvents)
	for _, want := range []ColumnInfo{
		{Name: "office365.Operation", SQLType: "VARCHAR", Vendor: true, Kind: Text},
		{Name: "office365.RecordType", SQLType: "BIGINT", Vendor: true, Kind: Long},
		{Name: "office365.ExternalAccess", SQLType: "BOOLEAN", Vendor: true, Kind: Bool},
		{Name: "office365.Field3", SQLType: "VARCHAR", Vendor: true, Kind: JSON},
		{Name: "timestamp", SQLType: "TIMESTAMP WITH TIME ZONE", Kind: Time},
		{Name: "event.category", SQLType: "VARCHAR", Kind: JSON},
	} {
		if !slices.ContainsFunc(columns, func(c ColumnInfo) bool {
			want.FieldID = c.FieldID
			return c == want && c.FieldID > 0
		}) {
			t.Errorf("no column %+v", want)
		}
	}
	if _, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{"nowhere"}}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown table: %v", err)
	}
	if l.Columns("nowhere") != nil {
		t.Error("an unknown table has columns")
	}
}

func TestCompact(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := fill(t, l)
	before, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{record.WindowsEvents}})
	if err != nil {
		t.Fatal(err)
	}
	all := tableRows(t, l, record.WindowsEvents)
	got, err := l.Compact(t.Context(), CompactOptions{Before: day(5)})
	if err != nil {
		t.Fatal(err)
	}
	if got.FilesBefore != 12 || got.FilesAfter != 4 || got.Rows != 36 {
		t.Errorf("result %+v", got)
	}
	expect(t, l, entries...)
	rows := tableRows(t, l, record.WindowsEvents)
	key := func(r row) string { return fmt.Sprint(r) } // maps print in the order of their keys
	var want, have []string
	for i := range all {
		want, have = append(want, key(all[i])), append(have, key(rows[i]))
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Error("compaction changed rows")
	}
	plan, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{record.WindowsEvents}, From: day(1), To: day(2)})
	if err != nil || len(plan.Tables[0].Files) != 1 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if sorted := slices.IsSortedFunc(fileRows(t, plan.Tables[0].Files[0].Path), func(a, b row) int {
		return strings.Compare(a.text(colAction), b.text(colAction))
	}); !sorted {
		t.Error("the file is not sorted by action")
	}
	for _, f := range before.Tables[0].Files {
		if _, err := os.Stat(f.Path); err != nil {
			t.Errorf("a replaced file is gone: %v", err)
		}
	}
	if positions, err := l.Positions(t.Context()); err != nil || positions[record.WindowsEvents] != (Position{stream, 3}) {
		t.Errorf("positions %v, %v", positions, err)
	}
	if again, err := l.Compact(t.Context(), CompactOptions{Before: day(5)}); err != nil || again != (CompactResult{}) {
		t.Errorf("second run: %+v, %v", again, err)
	}
	more := append(entries, batchOf(4, event(3, "late", "")))
	if err := runWriter(t, NewWriter(l, feedOf(more...), WriterOptions{}), 4); err != nil {
		t.Fatal(err)
	}
	expect(t, l, more...)
}

// TestCompactManyRowGroups makes rows cross the borders of row groups when they are sorted.
func TestCompactManyRowGroups(t *testing.T) {
	l := newSetup(t).open()
	const n = rowGroupRows/2 + 1000
	var entries []Entry
	for seq := uint64(1); seq <= 4; seq++ {
		raws := make([]string, n/2)
		for i := range raws {
			raws[i] = fmt.Sprintf(`{"CreationTime":"2024-01-01T10:00:00","Operation":"op%d","N":%d}`, i%7, i)
		}
		entries = append(entries, batchOf(seq, raws...))
	}
	l.cfg.CommitRows, l.cfg.CommitInterval = n, time.Hour
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 4); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Compact(t.Context(), CompactOptions{}); err != nil || got.FilesAfter != 1 || got.Rows != 4*(n/2) {
		t.Fatalf("%+v, %v", got, err)
	}
	expect(t, l, entries...)
}

// tickClock is a clock that tests turn.
type tickClock struct {
	clock.Real
	now time.Time
}

func (c *tickClock) Now() time.Time { return c.now }

// parquetFiles lists the data files on disk, referenced or not.
func parquetFiles(t *testing.T, l *Lake) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(l.cfg.Warehouse, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") && !strings.Contains(path, "_schemas") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func dataFiles(t *testing.T, l *Lake) int { return len(parquetFiles(t, l)) }

func TestSweep(t *testing.T) {
	s := newSetup(t)
	ticks := &tickClock{now: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)}
	s.cfg.Clock = ticks
	l := s.open()
	entries := fill(t, l)
	orphan := filepath.Join(l.cfg.Warehouse, string(record.WindowsEvents), "data", "2024-01-01", "crash.parquet")
	if err := os.WriteFile(orphan, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(t.Context(), CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	sweep := func() int {
		n, _, err := l.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := sweep(); n != 0 {
		t.Errorf("%d files deleted at first sight", n)
	}
	ticks.now = ticks.now.Add(GracePeriod / 2)
	if err := l.Expire(t.Context()); err != nil { // few snapshots: nothing to forget
		t.Fatal(err)
	}
	t.Run("expired", func(t *testing.T) {
		tbl := l.tables[record.WindowsEvents]
		for range keepSnapshots + 2 { // push the old snapshots out
			entries = append(entries, batchOf(uint64(len(entries)+1), event(2, "later", "")))
			if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), uint64(len(entries))); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(tbl.cur.Load().Metadata().Snapshots()); n != keepSnapshots {
			t.Errorf("%d snapshots", n)
		}
		if n := len(tbl.cur.Load().Schemas()); n != 1 {
			t.Errorf("%d schemas", n)
		}
	})
	if n := sweep(); n != 0 {
		t.Errorf("%d files deleted within the grace period", n)
	}
	ticks.now = ticks.now.Add(GracePeriod/2 + time.Minute)
	if n := sweep(); n != 1 {
		t.Errorf("%d files deleted, want the one that was an orphan for an hour", n)
	}
	if _, err := os.Stat(orphan); !os.IsNotExist(err) {
		t.Errorf("the orphan: %v", err)
	}
	ticks.now = ticks.now.Add(GracePeriod)
	if n := sweep(); n < 15 {
		t.Errorf("%d files deleted, want those that were compacted and old manifests", n)
	}
	if stats, err := l.Stats(t.Context()); err != nil || stats[0].Files != dataFiles(t, l) {
		t.Errorf("%d files on disk, stats %+v, %v", dataFiles(t, l), stats[0], err)
	}
	expect(t, l, entries...)
	expect(t, s.open(), entries...)
}

// TestDropBeforeKeepsWhatCameLater: rows of the last message, which the caller did not count yet, stay, alone or in one
// file with others.
func TestDropBeforeKeepsWhatCameLater(t *testing.T) {
	l := newSetup(t).open()
	entries := fill(t, l)
	counted := uint64(len(entries)) - 1
	res, err := l.DropBefore(t.Context(), record.WindowsEvents, day(3), counted)
	if err != nil || res.Files != 4 || res.Rows != 12 {
		t.Fatalf("%+v, %v", res, err)
	}
	left := func() (of, others int) {
		for _, row := range tableRows(t, l, record.WindowsEvents) {
			if row[ColTimestamp].(int64) < day(3).UnixMicro() {
				of++
			} else {
				others++
			}
		}
		return of, others
	}
	if old, others := left(); old != 6 || others != 27 {
		t.Errorf("%d old rows and %d others are left, want those of the last message and all others", old, others)
	}
	if _, err := l.Compact(t.Context(), CompactOptions{Before: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if res, err = l.DropBefore(t.Context(), record.WindowsEvents, day(5), counted); err != nil || res.Files != 0 {
		t.Errorf("compacted with rows of the last message: %+v, %v", res, err)
	}
	if res, err = l.DropBefore(t.Context(), record.WindowsEvents, day(3), counted+1); err != nil || res.Rows != 6 {
		t.Errorf("counted later: %+v, %v", res, err)
	}
}

func TestDropBeforeAndStats(t *testing.T) {
	l := newSetup(t).open()
	entries := fill(t, l)
	all := uint64(len(entries))
	res, err := l.DropBefore(t.Context(), record.WindowsEvents, day(3).Add(time.Hour), all)
	if err != nil || !res.Before.Equal(day(3)) || !res.First.Equal(day(1)) || res.Files != 6 || res.Rows != 18 || res.Bytes == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	version := metadataVersion(l.tables[record.WindowsEvents].cur.Load().MetadataLocation())
	res, err = l.DropBefore(t.Context(), record.WindowsEvents, day(3), all)
	if err != nil || res != (DropResult{Before: day(3)}) {
		t.Fatalf("again: %+v, %v", res, err)
	}
	if again := metadataVersion(l.tables[record.WindowsEvents].cur.Load().MetadataLocation()); again != version {
		t.Error("dropping nothing made a commit")
	}
	if _, err := l.DropBefore(t.Context(), record.Syslog, day(3), all); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DropBefore(t.Context(), "nowhere", day(3), all); !fault.Is(err, fault.NotFound) {
		t.Fatalf("unknown table: %v", err)
	}
	stats, err := l.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := stats[0]
	if s.Index != record.WindowsEvents || s.Rows != 27 || s.Days != 3 || !s.First.Equal(day(3)) || !s.Last.Equal(day(5)) || s.Bytes == 0 || s.Files != 9 || s.Position.Seq != 3 {
		t.Errorf("stats %+v", s)
	}
	if err := runWriter(t, NewWriter(l, feedOf(append(entries, fence(4))...), WriterOptions{}), 4); err != nil {
		t.Fatal(err)
	}
	if len(tableRows(t, l, record.WindowsEvents)) != 27 {
		t.Error("dropped rows came back")
	}
}

func TestOpenRefuses(t *testing.T) {
	s := newSetup(t)
	for name, change := range map[string]func(*Config){
		"warehouse":  func(c *Config) { c.Warehouse = "" },
		"catalog":    func(c *Config) { c.CatalogDB = nil },
		"normalizer": func(c *Config) { c.Normalizer = nil },
		"dialect":    func(c *Config) { c.Dialect = "mysql" },
	} {
		cfg := s.cfg
		change(&cfg)
		if _, err := Open(t.Context(), cfg); !fault.Is(err, fault.Config) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
