package lake

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// loseCatalog puts an empty database in the place of the catalog.
func (s *setup) loseCatalog() {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.t.TempDir(), "new.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	s.cfg.CatalogDB = db
}

func TestCatalogLost(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(8)
	if err := runWriter(t, NewWriter(l, feedOf(entries[:6]...), WriterOptions{}), 6); err != nil {
		t.Fatal(err)
	}
	if l.Recovered() || s.open().Recovered() {
		t.Error("a new or whole lake says that it was recovered")
	}
	s.loseCatalog()
	l = s.open()
	if !l.Recovered() {
		t.Error("nobody is told")
	}
	expect(t, l, entries[:6]...)
	positions, err := l.Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for index, p := range positions {
		if p != (Position{stream, 6}) {
			t.Errorf("%s is at %v", index, p)
		}
	}
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 8); err != nil {
		t.Fatal(err)
	}
	l = s.open()
	expect(t, l, entries...)
	if l.Recovered() {
		t.Error("the second start says that it was recovered")
	}
}

// TestCatalogOld puts an older copy of the catalog back.
func TestCatalogOld(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(12)
	if err := runWriter(t, NewWriter(l, feedOf(entries[:2]...), WriterOptions{}), 2); err != nil {
		t.Fatal(err)
	}
	at := 2
	for _, upTo := range []int{4, 12} { // 12: the metadata file that the catalog points at is deleted
		old := map[record.Index]string{}
		for index, table := range l.tables {
			old[index] = table.cur.Load().MetadataLocation()
		}
		for at < upTo {
			at++
			if err := runWriter(t, NewWriter(l, feedOf(entries[:at]...), WriterOptions{}), uint64(at)); err != nil {
				t.Fatal(err)
			}
		}
		for index, loc := range old {
			if _, err := s.db.ExecContext(t.Context(), "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?", loc, string(index)); err != nil {
				t.Fatal(err)
			}
		}
		if l = s.open(); !l.Recovered() {
			t.Error("nobody is told")
		}
		expect(t, l, entries[:upTo]...)
	}
}

// TestCatalogLostInCommit loses the catalog after a commit that never happened: once with complete files, once with
// files that a power cut took.
func TestCatalogLostInCommit(t *testing.T) {
	for _, complete := range []bool{true, false} {
		s := newSetup(t)
		l := s.open()
		entries := testEntries(8)
		if err := runWriter(t, NewWriter(l, feedOf(entries[:4]...), WriterOptions{}), 4); err != nil {
			t.Fatal(err)
		}
		before := planOf(t, l)
		// Somebody's catalog is gone while the writer commits: metadata are written, the update fails.
		table := l.tables[record.WindowsEvents]
		if _, err := s.db.ExecContext(t.Context(), "CREATE TRIGGER refuse BEFORE UPDATE ON iceberg_tables BEGIN SELECT RAISE(ABORT, 'gone'); END"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		l.cfg.CommitInterval = time.Hour // both entries are in one commit, also on a slow machine
		w := NewWriter(l, feedOf(entries[:6]...), WriterOptions{FinalTimeout: 1, OnCommit: func(Position) { t.Error("a commit happened") }})
		done, flushed := make(chan error, 1), make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		go func() { flushed <- w.Flush(ctx, 6) }()
		eventually(t, func() bool { return w.LastError() != nil })
		cancel()
		t.Log("the writer ended:", <-done, <-flushed)
		if table.cur.Load().MetadataLocation() == "" || len(planOf(t, l).Files) != len(before.Files) {
			t.Fatal("the commit happened")
		}
		want := 6
		if !complete {
			want = 4
			known := map[string]bool{}
			for _, f := range before.Files {
				known[f.Path] = true
			}
			for _, path := range parquetFiles(t, l) {
				if !known[path] && strings.Contains(path, string(record.WindowsEvents)) {
					if err := os.Truncate(path, 10); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		s.loseCatalog()
		l = s.open()
		expect(t, l, entries[:want]...)
		positions, err := l.Positions(t.Context())
		if err != nil || positions[record.WindowsEvents].Seq != uint64(want) {
			t.Errorf("complete %t: positions %v, %v", complete, positions, err)
		}
		if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 8); err != nil {
			t.Fatal(err)
		}
		expect(t, l, entries...)
	}
}

// TestCatalogLostAndFileMissing starts although the newest state is not complete: what is there is worth more.
func TestCatalogLostAndFileMissing(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := fill(t, l)
	if err := os.Remove(planOf(t, l).Files[0].Path); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(t.Context(), CompactOptions{Before: far}); err != nil { // every older state misses it too
		t.Fatal(err)
	}
	for range 6 {
		entries = append(entries, batchOf(uint64(len(entries)+1), event(1, "x", "")))
		if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), uint64(len(entries))); err != nil {
			t.Fatal(err)
		}
	}
	s.loseCatalog()
	l = s.open()
	if plan := planOf(t, l); !l.Recovered() || len(plan.Missing) != 1 || plan.Position.Seq != uint64(len(entries)) {
		t.Errorf("recovered %t, missing %v, position %v", l.Recovered(), plan.Missing, plan.Position)
	}
}

func TestRecoverRefuses(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	fill(t, l)
	elsewhere := s.cfg.Warehouse + "-moved"
	if err := os.Rename(s.cfg.Warehouse, elsewhere); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.cfg); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without its folder: %v", err)
	}
	s.loseCatalog()
	moved := s.cfg
	moved.Warehouse = elsewhere
	if _, err := Open(t.Context(), moved); err == nil || !strings.Contains(err.Error(), "it belongs to") {
		t.Errorf("a moved warehouse: %v", err)
	}
	if err := errors.Join(os.RemoveAll(s.cfg.Warehouse), os.Rename(elsewhere, s.cfg.Warehouse)); err != nil {
		t.Fatal(err)
	}
	metadata, err := filepath.Glob(filepath.Join(s.cfg.Warehouse, string(record.Alerts), "metadata", "*.metadata.json"))
	if err != nil || len(metadata) == 0 {
		t.Fatal(metadata, err)
	}
	for _, path := range metadata {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), s.cfg); !fault.Is(err, fault.Internal) {
		t.Errorf("unreadable metadata: %v", err)
	}
}
