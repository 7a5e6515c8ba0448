package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sluice/internal/clock"
	"sluice/internal/collect"
	"sluice/internal/lake"
	"sluice/internal/record"
)

// engines is a server whose engines are open and of which only the publisher runs: the lake commits when the test says so.
type engines struct {
	*application
	t    *testing.T
	stop func()
}

func openTestEngines(t *testing.T, dir string) *engines {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a := &application{Options: Options{Data: dir, Clock: clock.Real{}, Logger: log}, log: log}
	for _, step := range []func(context.Context) error{a.readConfig, a.openData, a.openService} {
		if err := step(t.Context()); err != nil {
			a.close()
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.svc.publisher.Run(ctx) }()
	<-a.svc.publisher.Ready()
	e := &engines{application: a, t: t}
	closed := false
	e.stop = func() {
		if closed {
			return
		}
		closed = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("publisher: %v", err)
		}
		a.close()
	}
	t.Cleanup(e.stop)
	return e
}

// collect publishes batches of one record and returns the place of the last one in the journal.
func (e *engines) collect(batches int) uint64 {
	e.t.Helper()
	for range batches {
		last := e.svc.publisher.Confirmed()
		name := fmt.Sprint("file ", last)
		raw := fmt.Sprintf(`{"CreationTime":"2026-03-04T05:06:07","Id":%q,"Operation":"x","RecordType":6,"Workload":"SharePoint"}`, name)
		_, err := e.svc.manager.Import(e.t.Context(), collect.ImportConnector("office365", "Lab", ""), "job", name,
			func(yield func(record.Item, error) bool) { yield(record.Item{Raw: []byte(raw)}, nil) })
		if err != nil {
			e.t.Fatal(err)
		}
		if e.svc.publisher.Confirmed() != last+1 {
			e.t.Fatalf("one batch went from %d to %d", last, e.svc.publisher.Confirmed())
		}
	}
	return e.svc.publisher.Confirmed()
}

// begins fails unless the first message that the journal has, or will have, is at least at a sequence and at most at another.
func (e *engines) begins(least, most uint64) {
	e.t.Helper()
	first, last, err := e.svc.journal.Bounds(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	if first < least || first > most {
		e.t.Errorf("the journal begins at %d and ends at %d, want its beginning between %d and %d", first, last, least, most)
	}
}

// TestTrimmingStopsAtTheLake: what is confirmed and not yet in the lake stays in the journal.
func TestTrimmingStopsAtTheLake(t *testing.T) {
	e := openTestEngines(t, t.TempDir())
	last := e.collect(4)
	e.begins(1, 1)
	e.trimmer.committed(lake.Position{Stream: e.svc.journal.StreamID(), Seq: last - 2})
	if e.trimmer.once(t.Context()) {
		t.Error("there is more to trim without another commit")
	}
	e.begins(last-1, last-1)
}

// TestALostJournalBeginsAboveWhatIsKnown: no sequence names two messages.
func TestALostJournalBeginsAboveWhatIsKnown(t *testing.T) {
	dir := t.TempDir()
	e := openTestEngines(t, dir)
	last := e.collect(3)
	e.stop()
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	e = openTestEngines(t, dir)
	e.begins(last+1, last+10)
}

// TestAnOlderJournalIsReplaced: the lake has more than a journal that was restored from a copy, whose next messages would take
// the sequences of what was lost.
func TestAnOlderJournalIsReplaced(t *testing.T) {
	dir := t.TempDir()
	live, copied := filepath.Join(dir, "journal"), filepath.Join(t.TempDir(), "copy")
	e := openTestEngines(t, dir)
	e.collect(1)
	stream := e.svc.journal.StreamID()
	e.stop()
	if err := os.CopyFS(copied, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	e = openTestEngines(t, dir)
	last := e.collect(3)
	if err := e.svc.lake.SetPositions(t.Context(), lake.Position{Stream: stream, Seq: last}); err != nil {
		t.Fatal(err)
	}
	e.stop()
	if err := os.RemoveAll(live); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(live, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	e = openTestEngines(t, dir)
	e.begins(last+1, last+10)
	if e.svc.journal.StreamID() == stream {
		t.Error("the journal is still the older copy")
	}
	if !e.restored {
		t.Error("the older copy was not noticed")
	}
}
