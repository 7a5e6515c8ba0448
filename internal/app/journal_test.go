package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/collect"
	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/m365sim"
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

// commit runs the lake writer until the lake has everything up to a sequence.
func (e *engines) commit(seq uint64) {
	e.t.Helper()
	ctx, stop := context.WithCancel(e.t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- e.svc.writer.Run(ctx) }()
	if err := e.svc.writer.Flush(ctx, seq); err != nil {
		e.t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		e.t.Fatal(err)
	}
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

// TestAStartWaitsForItsServers: for a while, and only for servers that do not answer.
func TestAStartWaitsForItsServers(t *testing.T) {
	away := fault.New(fault.Unavailable, "open state", "not yet")
	for name, tc := range map[string]struct {
		local bool
		err   error
		fails int // how often
		tries int
		ends  error
	}{
		"comes back":     {err: away, fails: 2, tries: 3},
		"on this disk":   {local: true, err: away, fails: 9, tries: 1, ends: away},
		"wrong password": {err: fault.New(fault.Auth, "open state", "no"), fails: 9, tries: 1, ends: fault.New(fault.Auth, "", "")},
		"stays away":     {err: away, fails: 1 << 30, ends: away},
	} {
		t.Run(name, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			a := &application{Options: Options{Clock: m365sim.NewHandClock(time.Now()), Logger: log}, log: log} // a wait takes no time
			tries := 0
			err := a.patiently(t.Context(), tc.local, func() error {
				if tries++; tries <= tc.fails {
					return tc.err
				}
				return nil
			})
			if fault.KindOf(err) != fault.KindOf(tc.ends) || (err == nil) != (tc.ends == nil) || tc.tries > 0 && tries != tc.tries {
				t.Errorf("%v after %d tries", err, tries)
			}
		})
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

// TestAFullJournalMakesRoomAtTheStart: a journal that holds more than its budget takes not even the fence of the publisher
// before it is trimmed to what the lake has.
func TestAFullJournalMakesRoomAtTheStart(t *testing.T) {
	for _, inLake := range []bool{false, true} {
		t.Run(fmt.Sprintf("committed before the start %v", inLake), func(t *testing.T) {
			dir := t.TempDir()
			e := openTestEngines(t, dir)
			if last := e.collect(8); inLake {
				e.commit(last)
			}
			e.stop()
			log := slog.New(slog.DiscardHandler)
			a := &application{Options: Options{Data: dir, Clock: clock.NewScaled(20), Logger: log, JournalBytes: 2 << 10}, log: log}
			defer a.close()
			for _, step := range []func(context.Context) error{a.readConfig, a.openData, a.openService} {
				if err := step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			ctx, stop := context.WithCancel(t.Context())
			var parts sync.WaitGroup
			defer parts.Wait()
			defer stop()
			for _, run := range []func(context.Context) error{a.svc.publisher.Run, a.svc.writer.Run, a.trimmer.run} {
				parts.Go(func() { _ = run(ctx) })
			}
			select {
			case <-a.svc.publisher.Ready():
			case <-time.After(2 * time.Minute):
				t.Fatal("the publisher waits for room that nobody makes")
			}
		})
	}
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

// TestATableThatIsNewJoins: a table without a place in the journal, because it is new or was lost, gets one, and those of
// the others stay.
func TestATableThatIsNewJoins(t *testing.T) {
	dir := t.TempDir()
	e := openTestEngines(t, dir)
	at := lake.Position{Stream: e.svc.journal.StreamID(), Seq: e.collect(4)}
	if err := e.svc.lake.SetPositions(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	e.trimmer.committed(lake.Position{Stream: at.Stream, Seq: at.Seq - 2})
	e.trimmer.once(t.Context())
	if _, err := e.svc.state.CatalogDB().ExecContext(t.Context(), "DELETE FROM iceberg_tables WHERE table_name = 'syslog'"); err != nil {
		t.Fatal(err)
	}
	e.stop()
	if err := os.RemoveAll(filepath.Join(dir, "lake", "syslog")); err != nil {
		t.Fatal(err)
	}
	e = openTestEngines(t, dir)
	positions, err := e.svc.lake.Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for index, p := range positions {
		want := at
		if index == record.Syslog {
			want.Seq -= 2
		}
		if p != want {
			t.Errorf("%s is at %v, want %v", index, p, want)
		}
	}
	if !e.restored {
		t.Error("nobody looks for what the table had")
	}
}
