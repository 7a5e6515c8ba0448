package lake

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"sluice/internal/normalize"
	"sluice/internal/record"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const stream = "stream-1"

// patience is how long tests wait for what must happen. Disks that others keep busy sync slowly.
const patience = 5 * time.Minute

// setup is a lake in a temporary folder, which can be opened again.
type setup struct {
	t   testing.TB
	dir string
	db  *sql.DB
	cfg Config
}

func newSetup(t testing.TB) *setup {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "catalog.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	norm, err := normalize.New()
	if err != nil {
		t.Fatal(err)
	}
	return &setup{t: t, dir: dir, db: db, cfg: Config{
		Warehouse: filepath.Join(dir, "ware house%41"), CatalogDB: db, Dialect: "sqlite", Normalizer: norm,
		CommitInterval: 20 * time.Millisecond, CommitRows: 1000, Logger: slog.New(slog.DiscardHandler),
	}}
}

func (s *setup) open() *Lake {
	s.t.Helper()
	l, err := Open(context.Background(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.Close() })
	return l
}

// listFeed delivers entries from memory and then blocks until more are sent or its context ends.
type listFeed struct {
	entries []Entry
	more    <-chan Entry
	end     error // returned when the entries are used up; nil: block
}

func (f *listFeed) Next(ctx context.Context) (Entry, error) {
	if len(f.entries) > 0 {
		e := f.entries[0]
		f.entries = f.entries[1:]
		return e, nil
	}
	if f.end != nil {
		return Entry{}, f.end
	}
	select {
	case e := <-f.more:
		return e, nil
	case <-ctx.Done():
		return Entry{}, ctx.Err()
	}
}

// feedOf returns an opener that serves those entries that are wanted.
func feedOf(entries ...Entry) func(context.Context, uint64) (Feed, error) {
	return func(_ context.Context, from uint64) (Feed, error) {
		f := &listFeed{}
		for _, e := range entries {
			if e.Seq >= from {
				f.entries = append(f.entries, e)
			}
		}
		return f, nil
	}
}

// runWriter runs w until the journal up to seq is committed and then stops it.
func runWriter(t testing.TB, w *Writer, seq uint64) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	flushed := w.Flush(ctx, seq)
	cancel()
	if err := <-done; err != nil {
		return err
	}
	return flushed
}

// eventually waits until something is so.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

var testConnector = record.Connector{
	ID: "c1", Name: "contoso-office365", Type: "office365", TenantName: "Contoso", DirectoryID: "11111111-2222-3333-4444-555555555555",
}

// batchOf makes an entry of one unit with the given records.
func batchOf(seq uint64, raws ...string) Entry {
	b := &record.Batch{
		Epoch: "e", Number: int64(seq) + 100, Connectors: []record.Connector{testConnector},
		Units: []record.BatchUnit{{ID: record.Unit{Key: fmt.Sprint("u", seq)}.ID("c1"), ContentType: "Audit.General", ContentID: "blob", Created: time.Unix(1700000000, 0)}},
	}
	for i, raw := range raws {
		b.Records = append(b.Records, record.Record{
			ID: fmt.Sprintf("id-%d-%d", seq, i), Index: record.WindowsEvents, Received: 1700000000000, Raw: []byte(raw),
		})
	}
	return Entry{Position: Position{stream, seq}, Written: time.Unix(1700000000, 0), Batch: b}
}

func fence(seq uint64) Entry { return Entry{Position: Position{stream, seq}} }

// event is a small audit record of a day in January 2024.
func event(day int, operation string, more string) string {
	return fmt.Sprintf(`{"CreationTime":"2024-01-%02dT10:00:00","Id":"00000000-0000-0000-0000-%012d","Operation":"%s","RecordType":1,"Workload":"Exchange"%s}`, day, day, operation, more)
}

// dataDir is the folder of the real records, or the test is skipped.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skip("the real records are not here: ../shared/data beside the repository")
	}
	return data
}
