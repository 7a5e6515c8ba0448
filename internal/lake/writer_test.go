package lake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/record"
)

// rebuilt returns the records of a table by _id.
func rebuilt(t testing.TB, l *Lake, index record.Index) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for _, r := range tableRows(t, l, index) {
		raw, err := Rebuild(r.get)
		if err != nil {
			t.Fatalf("%s: %v", r.text(ColID), err)
		}
		if _, twice := got[r.text(ColID)]; twice {
			t.Errorf("%s is there twice", r.text(ColID))
		}
		got[r.text(ColID)] = string(raw)
	}
	return got
}

// expect compares the table with the records of the entries.
func expect(t testing.TB, l *Lake, entries ...Entry) {
	t.Helper()
	want := make(map[string]string)
	for _, e := range entries {
		if e.Batch == nil {
			continue
		}
		for _, r := range e.Batch.Records {
			if r.Index == record.WindowsEvents {
				want[r.ID] = string(r.Raw)
			}
		}
	}
	got := rebuilt(t, l, record.WindowsEvents)
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for id, raw := range want {
		if got[id] != raw {
			t.Errorf("%s:\n got %q\nwant %q", id, got[id], raw)
		}
	}
}

func testEntries(n int) []Entry {
	var entries []Entry
	for seq := 1; seq <= n; seq++ {
		if seq == 3 {
			entries = append(entries, fence(3))
			continue
		}
		entries = append(entries, batchOf(uint64(seq),
			event(1+seq%5, "New-InboxRule", `,"Parameters":[{"Name":"ForwardTo","Value":"a\/b"}]`),
			event(2, "Add user.", `,"ResultStatus":"True","ExternalAccess":false`)))
	}
	return entries
}

func TestWriterCommits(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(6)
	var committed []uint64
	w := NewWriter(l, feedOf(entries...), WriterOptions{OnCommit: func(p Position) { committed = append(committed, p.Seq) }})
	if err := runWriter(t, w, 6); err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
	positions, err := l.Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range Indices() {
		if positions[index] != (Position{stream, 6}) {
			t.Errorf("%s is at %v", index, positions[index])
		}
	}
	if w.Committed() != (Position{stream, 6}) || committed[len(committed)-1] != 6 {
		t.Errorf("committed %v, told %v", w.Committed(), committed)
	}
	if h := w.Health(); h.LastError != nil || h.LastCommit.IsZero() || h.Waiting != 0 {
		t.Errorf("health %+v", h)
	}
	r := tableRows(t, l, record.WindowsEvents)[0]
	for column, want := range map[string]any{
		"tenant_name": "Contoso", "event.action": "New-InboxRule", "office365.RecordType": int64(1),
		ColSeq: record.Seq(4, 0), ColBatch: int64(104), ColStyle: int64(1),
		"office365.Parameters": `[{"Name":"ForwardTo","Value":"a\/b"}]`,
	} {
		if r[column] != want {
			t.Errorf("%s = %v, want %v", column, r[column], want)
		}
	}
}

// TestCrashAndRedelivery kills the writer at each fail point and starts a new one on the same folder.
func TestCrashAndRedelivery(t *testing.T) {
	for _, at := range []failPoint{afterFiles, afterCommit} {
		for _, index := range []record.Index{record.WindowsEvents, record.Syslog, Audit} {
			t.Run(string(at)+" "+string(index), func(t *testing.T) {
				s := newSetup(t)
				entries := testEntries(8)
				crash := errors.New("crash")
				ctx, cancel := context.WithCancel(t.Context())
				w := NewWriter(s.open(), feedOf(entries[:5]...), WriterOptions{
					FinalTimeout: time.Nanosecond, // a crash leaves no time
					failPoint: func(p failPoint, i record.Index) error {
						if p == at && i == index {
							cancel()
							return crash
						}
						return nil
					},
				})
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()
				whole := at == afterCommit && index == Audit // the last commit of all: what it has is true, told or not
				if err := w.Flush(t.Context(), 5); err == nil && !whole {
					t.Error("flush succeeded although the writer crashed")
				}
				t.Log("the writer ended:", <-done)
				l := s.open()
				// The journal delivers everything again, some of it twice.
				again := append([]Entry{entries[0]}, entries...)
				feed := func(context.Context, uint64) (Feed, error) { return &listFeed{entries: again}, nil }
				if err := runWriter(t, NewWriter(l, feed, WriterOptions{}), 8); err != nil {
					t.Fatal(err)
				}
				expect(t, l, entries...)
			})
		}
	}
}

// TestUnknownOutcome makes a commit succeed and report a failure: the writer must find out and go on.
func TestUnknownOutcome(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(6)
	failed := 0
	w := NewWriter(l, feedOf(entries...), WriterOptions{failPoint: func(p failPoint, i record.Index) error {
		if p == afterCommit && i == record.WindowsEvents && failed == 0 {
			failed++
			return errors.New("connection lost")
		}
		if p == afterFiles && i == record.WindowsEvents && failed == 1 {
			failed++
			return errors.New("disk unplugged")
		}
		return nil
	}})
	if err := runWriter(t, w, 6); err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
}

// afterSleep is a clock that does something between two attempts.
type afterSleep struct {
	clock.Real
	do func()
}

func (c afterSleep) Sleep(context.Context, time.Duration) error {
	c.do()
	return nil
}

// TestUnknownOutcomeAndMaintenance: the catalog goes away with each commit, before its answer, and when it is back, the
// maintenance loads the table before the writer does. That is not somebody else who writes.
func TestUnknownOutcomeAndMaintenance(t *testing.T) {
	s := newSetup(t)
	var l *Lake
	rename := func(from, to string) {
		if _, err := s.db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Error(err)
		}
	}
	away := false
	s.cfg.Clock = afterSleep{do: func() {
		if !away {
			return
		}
		away = false
		rename("iceberg_away", "iceberg_tables")
		if _, _, err := l.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	}}
	l = s.open()
	entries, opened, failed := testEntries(8), 0, uint64(0)
	w := NewWriter(l, func(ctx context.Context, from uint64) (Feed, error) {
		opened++
		return feedOf(entries...)(ctx, from)
	}, WriterOptions{failPoint: func(p failPoint, i record.Index) error {
		if p != afterCommit || i != record.WindowsEvents || failed == 4 {
			return nil
		}
		failed++
		away = true
		rename("iceberg_tables", "iceberg_away")
		return errors.New("connection lost")
	}})
	l.cfg.CommitRows = 1
	if err := runWriter(t, w, 8); err != nil {
		t.Fatal(err)
	}
	if failed != 4 || opened != 1 {
		t.Errorf("%d commits failed, and the writer began %d times", failed, opened)
	}
	expect(t, l, entries...)
}

// fullDisk takes a few bytes of each file with an extension while it is full.
type fullDisk struct {
	realDisk
	ext      string
	full     atomic.Bool
	attempts atomic.Int32
}

func (d *fullDisk) create(path string) (diskFile, error) {
	f, err := d.realDisk.create(path)
	if err != nil || filepath.Ext(path) != d.ext || !d.full.Load() {
		return f, err
	}
	d.attempts.Add(1)
	return shortFile{f}, nil
}

type shortFile struct{ diskFile }

func (f shortFile) Write(b []byte) (int, error) {
	n, _ := f.diskFile.Write(b[:min(len(b), 100)])
	return n, syscall.ENOSPC
}

func (f shortFile) ReadFrom(r io.Reader) (int64, error) {
	b, _ := io.ReadAll(r)
	n, err := f.Write(b)
	return int64(n), err
}

// TestFullDiskIsNotFilled: what failed attempts have written is gone at once.
func TestFullDiskIsNotFilled(t *testing.T) {
	s := newSetup(t)
	d := &fullDisk{ext: ".parquet"}
	s.cfg.disk = d
	l := s.open()
	entries := testEntries(6)
	d.full.Store(true)
	w := NewWriter(l, feedOf(entries...), WriterOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	eventually(t, func() bool { return d.attempts.Load() >= 4 })
	eventually(t, func() bool { // an attempt may be on its way
		left, err := filepath.Glob(filepath.Join(s.cfg.Warehouse, "*", "data", "*", "*.parquet"))
		return err == nil && len(left) == 0
	})
	if !fault.Is(w.LastError(), fault.Full) {
		t.Errorf("the writer says %v", w.LastError())
	}
	d.full.Store(false)
	if err := w.Flush(ctx, 6); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
}

// hasty is a clock that does not sleep. The time of what has a limit is over at every third wait.
type hasty struct {
	clock.Real
	waits *atomic.Int32
}

func (c hasty) Sleep(ctx context.Context, _ time.Duration) error {
	if _, limited := ctx.Deadline(); limited && c.waits.Add(1)%3 == 0 {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// TestFullDiskAndLostFeed: a disk that is full for the metadata of a commit is no second writer, also when the journal, on the
// same disk, fails in the same moment.
func TestFullDiskAndLostFeed(t *testing.T) {
	s := newSetup(t)
	d := &fullDisk{ext: ".json"} // metadata
	var said bytes.Buffer
	s.cfg.disk, s.cfg.Clock, s.cfg.Logger = d, hasty{waits: &atomic.Int32{}}, slog.New(slog.NewTextHandler(&said, nil))
	s.cfg.CommitInterval = time.Hour // what commits is the end of the feed, also on a slow machine
	l := s.open()
	entries := testEntries(4)
	d.full.Store(true)
	var opened atomic.Int32
	w := NewWriter(l, func(_ context.Context, from uint64) (Feed, error) {
		opened.Add(1)
		f := &listFeed{entries: entries[from-1:]}
		if d.full.Load() {
			f.end = fault.New(fault.Full, "read journal", "no space")
		}
		return f, nil
	}, WriterOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	eventually(t, func() bool { return d.attempts.Load() > 0 && opened.Load() > 2 || len(done) > 0 })
	d.full.Store(false)
	if err := w.Flush(ctx, 4); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; fault.Is(err, fault.Conflict) { // what the feed said at the end is of no interest
		t.Fatalf("the writer says %v", err)
	}
	if text := said.String(); strings.Contains(text, "kind=conflict") || !strings.Contains(text, "kind=full") {
		t.Errorf("the writer says %s", text)
	}
	expect(t, l, entries...)
}

// TestMovesFarApart: that the tables were found to have moved counts only until the next commit that worked.
func TestMovesFarApart(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	other := s.open()
	var entries []Entry
	for seq := range uint64(12) {
		entries = append(entries, batchOf(seq+1, event(int(seq+1), "op", "")))
	}
	commits, moves := 0, 0
	w := NewWriter(l, feedOf(entries...), WriterOptions{failPoint: func(p failPoint, i record.Index) error {
		if p != afterFiles || i != record.WindowsEvents {
			return nil
		}
		if commits++; commits%2 == 0 && moves < 4 {
			moves++
			positions, err := other.Positions(t.Context())
			if err != nil {
				return err
			}
			return other.SetPositions(t.Context(), Position{stream, positions[i].Seq + 1})
		}
		return nil
	}})
	l.cfg.CommitRows = 2
	l.cfg.CommitInterval = time.Hour
	if err := runWriter(t, w, 12); err != nil {
		t.Fatal(err)
	}
	if moves < 3 {
		t.Errorf("the tables moved %d times", moves)
	}
}

// TestConflict lets somebody else commit between two commits of the writer: metadata only, then rows.
func TestConflict(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(7)
	more := make(chan Entry)
	w := NewWriter(l, func(_ context.Context, from uint64) (Feed, error) {
		f := &listFeed{more: more}
		for _, e := range entries[:4] {
			if e.Seq >= from {
				f.entries = append(f.entries, e)
			}
		}
		return f, nil
	}, WriterOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if err := w.Flush(ctx, 4); err != nil {
		t.Fatal(err)
	}
	other := s.open() // another process, as far as the catalog can tell
	if err := other.Expire(ctx); err != nil {
		t.Fatal(err)
	}
	if err := other.SetPositions(ctx, Position{stream, 4}); err != nil {
		t.Fatal(err)
	}
	more <- entries[4]
	if err := w.Flush(ctx, 5); err != nil {
		t.Fatal(err)
	}
	if err := runWriter(t, NewWriter(other, feedOf(entries[:6]...), WriterOptions{}), 6); err != nil {
		t.Fatal(err)
	}
	// The first writer takes what the other one has already, notices at its commit, and reads again behind it.
	entries[0] = fence(1)
	more <- entries[5]
	more <- entries[6]
	cancel()
	if err := <-done; err != nil && !errors.Is(err, errMoved) {
		t.Fatal(err)
	}
	entries = testEntries(7)
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 7); err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
}

func TestGapStops(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(6)
	gap := append(entries[:2:2], entries[3:]...)
	feed := func(context.Context, uint64) (Feed, error) { return &listFeed{entries: gap}, nil }
	w := NewWriter(l, feed, WriterOptions{})
	if err := w.Run(t.Context()); !fault.Is(err, fault.Gone) {
		t.Fatalf("Run: %v", err)
	}
	if w.Committed().Seq != 2 || w.LastError() == nil {
		t.Errorf("committed %v, error %v", w.Committed(), w.LastError())
	}
	expect(t, l, entries[:2]...)
}

func TestOtherStreamStops(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	if err := l.SetPositions(t.Context(), Position{"another", 0}); err != nil {
		t.Fatal(err)
	}
	if err := NewWriter(l, feedOf(testEntries(2)...), WriterOptions{}).Run(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Fatalf("Run: %v", err)
	}
	if err := l.SetPositions(t.Context(), Position{stream, 3}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetPositions(t.Context(), Position{stream, 2}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("a position went down: %v", err)
	}
	entries := testEntries(5)
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 5); err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries[3:]...)
}

// TestFeedHeals ends the feed with an error that passes.
func TestFeedHeals(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(6)
	opened := 0
	w := NewWriter(l, func(_ context.Context, from uint64) (Feed, error) {
		opened++
		if opened == 1 {
			return nil, fault.New(fault.Unavailable, "read", "not yet")
		}
		f := &listFeed{entries: entries[from-1:]}
		if opened == 2 {
			f.entries, f.end = f.entries[:3], fault.New(fault.Unavailable, "read", "reset")
		}
		return f, nil
	}, WriterOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if err := w.Flush(ctx, 6); err != nil { // the writer starts again meanwhile
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
}

// partTables commits four of the entries, whose second records belong to another table, and crashes between the commits
// of the two tables.
func (s *setup) partTables(t *testing.T, entries []Entry) {
	t.Helper()
	for i := range entries {
		if b := entries[i].Batch; b != nil {
			b.Records[1].Index = record.Syslog
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := s.open()
	l.cfg.CommitInterval = time.Hour // all four are in one commit, also on a slow machine
	w := NewWriter(l, feedOf(entries[:4]...), WriterOptions{FinalTimeout: time.Nanosecond, failPoint: func(p failPoint, i record.Index) error {
		if p == afterFiles && i == record.Syslog {
			cancel()
			return errors.New("crash")
		}
		return nil
	}})
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	_ = w.Flush(t.Context(), 4)
	t.Log("the writer ended:", <-done)
	wantPositions(t, s.open(), 4, 0)
}

func wantPositions(t *testing.T, l *Lake, windowsEvents, syslog uint64) {
	t.Helper()
	positions, err := l.Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if positions[record.WindowsEvents].Seq != windowsEvents || positions[record.Syslog].Seq != syslog {
		t.Fatalf("positions %v, want %d of %s and %d of %s", positions, windowsEvents, record.WindowsEvents, syslog, record.Syslog)
	}
}

// TestATableAheadWaits commits while one table is still behind another.
func TestATableAheadWaits(t *testing.T) {
	s := newSetup(t)
	entries := testEntries(6)
	s.partTables(t, entries)
	l := s.open()
	if err := runWriter(t, NewWriter(l, feedOf(entries[:2]...), WriterOptions{}), 2); err != nil {
		t.Fatal(err)
	}
	wantPositions(t, l, 4, 2)
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 6); err != nil {
		t.Fatal(err)
	}
	wantPositions(t, l, 6, 6)
	expect(t, l, entries...)
	if got := rebuilt(t, l, record.Syslog); len(got) != 5 {
		t.Errorf("%d records in syslog, want 5", len(got))
	}
}

// TestPositionsPerTable starts from tables that are not at the same place.
func TestPositionsPerTable(t *testing.T) {
	s := newSetup(t)
	entries := testEntries(6)
	s.partTables(t, entries)
	l := s.open()
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 6); err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
	if got := rebuilt(t, l, record.Syslog); len(got) != 5 {
		t.Errorf("%d records in syslog, want 5", len(got))
	}
}

// TestQuarantine sends what cannot be understood.
func TestQuarantine(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	good := batchOf(1, event(1, "x", ""))
	b := batchOf(2, event(1, "y", ""), `{"a":`, "\xff\xfe", event(1, "z", ""))
	b.Batch.Records[1].Index, b.Batch.Records[1].Reason, b.Batch.Records[1].Offset = record.Quarantine, "not JSON", 77
	b.Batch.Records[2].Index, b.Batch.Records[2].Reason = record.Quarantine, "invalid UTF-8"
	b.Batch.Records[3].Index = "nowhere"
	bad := Entry{Position: Position{stream, 3}, Bad: errors.New("bad header"), Raw: []byte{0, 1, 0xff}}
	lost := batchOf(4, event(1, "w", ""))
	lost.Batch.Records[0].Unit = 9
	if err := runWriter(t, NewWriter(l, feedOf(good, b, bad, lost), WriterOptions{}), 4); err != nil {
		t.Fatal(err)
	}
	expect(t, l, good, batchOf(2, event(1, "y", "")))
	rows := tableRows(t, l, record.Quarantine)
	if len(rows) != 5 {
		t.Fatalf("%d rows in quarantine, want 5", len(rows))
	}
	want := map[int64]string{
		record.Seq(2, 1): `{"a":`, record.Seq(2, 2): "\xff\xfe", record.Seq(2, 3): event(1, "z", ""),
		record.Seq(3, 0): "\x00\x01\xff", record.Seq(4, 0): event(1, "w", ""),
	}
	for _, r := range rows {
		seq, _ := r[ColSeq].(int64)
		raw, err := Rebuild(r.get)
		if err != nil || string(raw) != want[seq] {
			t.Errorf("row %v: %q, %v", r, raw, err)
		}
		if r.text(colReason) == "" {
			t.Errorf("row %v has no reason", r)
		}
		if seq == record.Seq(2, 1) && (r[colOffset] != int64(77) || r["tenant_name"] != "Contoso" || r["content.id"] != "blob") {
			t.Errorf("row %v misses its envelope", r)
		}
	}
}

func TestFlushFailsWhenStopped(t *testing.T) {
	s := newSetup(t)
	w := NewWriter(s.open(), feedOf(), WriterOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context(), 1); !fault.Is(err, fault.Canceled) {
		t.Fatalf("Flush: %v", err)
	}
}
