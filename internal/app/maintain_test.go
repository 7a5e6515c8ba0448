package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/state"
)

// setAhead is the wall clock of a machine on which somebody turned it. Its Sleep says that a turn is over.
type setAhead struct {
	clock.Real
	by   time.Duration
	turn chan struct{}
}

func (c setAhead) Now() time.Time { return c.Real.Now().Add(c.by) }

func (c setAhead) Sleep(ctx context.Context, _ time.Duration) error {
	select {
	case c.turn <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestRetentionAfterARestart: a server that is restarted every night applies the retention all the same, and one that comes up
// with a clock that is far ahead does not. The lake has nothing that is old, so that only the mark moves.
func TestRetentionAfterARestart(t *testing.T) {
	for _, ahead := range []time.Duration{0, 400 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			dir := t.TempDir()
			e := openTestEngines(t, dir)
			e.commit(e.collect(1))
			e.stop()
			e = openTestEngines(t, dir)
			ctx, stop := context.WithCancel(t.Context())
			var parts sync.WaitGroup
			defer parts.Wait()
			defer stop()
			parts.Go(func() { _ = e.svc.writer.Run(ctx) })
			turn := make(chan struct{}, 1)
			e.Clock, e.settings.Lake.Retention = setAhead{by: ahead, turn: turn}, 20*365*24*time.Hour
			parts.Go(func() { _ = e.maintain(ctx) })
			<-turn
			mark, err := e.svc.state.DropMark(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if applied := !mark.Before.IsZero() && mark.Seq > 0; applied != (ahead == 0) {
				t.Errorf("the mark of what was dropped is %v", mark)
			}
		})
	}
}

// TestClockThatJumps: a clock that was set ahead is believed after a day, one that only goes is believed always.
func TestClockThatJumps(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	w := wallClock{}
	turn := func(later time.Duration, jumps, doubtful bool) {
		t.Helper()
		at = at.Add(later)
		if jump := w.turn(at); (jump != 0) != jumps || w.doubtful(at) != doubtful {
			t.Errorf("%s later: jump %s, doubtful %v", later, jump, w.doubtful(at))
		}
	}
	turn(0, false, false)
	turn(10*time.Minute, false, false)
	turn(5*time.Hour, false, false)
	turn(400*24*time.Hour, true, true)
	turn(23*time.Hour, false, true)
	turn(-400*24*time.Hour, true, true) // somebody set it right
	turn(23*time.Hour, false, true)
	turn(time.Hour, false, false)
}

// turns is a clock whose Sleep ends when the test says that so much time has passed.
type turns struct {
	clock.Real
	mu         sync.Mutex
	ahead      time.Duration
	over, next chan struct{}
}

func newTurns() *turns { return &turns{over: make(chan struct{}), next: make(chan struct{})} }

func (c *turns) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Real.Now().Add(c.ahead)
}

func (c *turns) Sleep(ctx context.Context, _ time.Duration) error {
	select {
	case c.over <- struct{}{}:
	case <-ctx.Done():
	}
	select {
	case <-c.next:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// pass lets time pass and a turn of what sleeps by the clock be done.
func (c *turns) pass(d time.Duration) {
	c.mu.Lock()
	c.ahead += d
	c.mu.Unlock()
	c.next <- struct{}{}
	<-c.over
}

// maintained are engines with a running lake writer, whose upkeep has had its first turn.
func maintained(t *testing.T, prepare func(*engines)) (*engines, *turns, *upText) {
	t.Helper()
	e, c, log := openTestEngines(t, t.TempDir()), newTurns(), &upText{}
	e.Clock, e.svc.clock, e.log, e.settings.Lake.Retention = c, c, slog.New(slog.NewTextHandler(log, nil)), 20*365*24*time.Hour
	ctx, stop := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { _ = e.svc.writer.Run(ctx) })
	t.Cleanup(func() { stop(); parts.Wait() })
	prepare(e)
	parts.Go(func() { _ = e.maintain(ctx) })
	<-c.over
	return e, c, log
}

// exec changes the state database behind the back of the server.
func (e *engines) exec(statement string) {
	e.t.Helper()
	if _, err := e.svc.state.DB().ExecContext(e.t.Context(), statement); err != nil {
		e.t.Fatal(err)
	}
}

// TestFailedHousekeepingIsTriedAtTheNextTurn: what the database refuses is not put off for a day, and what was done is.
func TestFailedHousekeepingIsTriedAtTheNextTurn(t *testing.T) {
	moved := func(table string) (away, back string) {
		return "ALTER TABLE " + table + " RENAME TO away", "ALTER TABLE away RENAME TO " + table
	}
	noIDs, ids := moved("ids")
	noJobs, jobs := moved("import_jobs")
	noChanges, changes := moved("changes")
	for _, tt := range []struct{ name, breaks, mends, says string }{
		{
			"retention",
			`CREATE TRIGGER refuse BEFORE INSERT ON floors WHEN NEW.name = 'dropped_before' BEGIN SELECT RAISE(ABORT, 'refused'); END`,
			"DROP TRIGGER refuse", "record that old days are dropped; they are kept",
		},
		{"ids", noIDs, ids, "tidy the state database"},
		{"imports", noJobs, jobs, "forget old imports and changes"},
		{"changes", noChanges, changes, "forget old imports and changes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const every = sweepEvery
			e, c, log := maintained(t, func(e *engines) {
				e.collect(1)
				e.exec(tt.breaks)
			})
			tries := func(when string, want int) {
				t.Helper()
				if n := strings.Count(log.String(), tt.says); n != want {
					t.Fatalf("%s: failed %d times, want %d: %s", when, n, want, log.String())
				}
			}
			tries("the first turn", 1)
			c.pass(every)
			tries("the second turn", 2)
			e.exec(tt.mends)
			c.pass(every)
			tries("the database works again", 2)
			if mark, err := e.svc.state.DropMark(t.Context()); err != nil || mark.Before.IsZero() || mark.Seq == 0 {
				t.Errorf("the retention was not applied at the next turn: %v, %v", mark, err)
			}
			e.exec(tt.breaks)
			for range (dropEvery - 4*every) / every / 10 {
				c.pass(10 * every)
			}
			tries("less than a day later", 2)
			c.pass(14 * every)
			tries("a day later", 3)
		})
	}
}

// TestOldImportsAndChangesAreForgotten: in the database and in memory, but not what is in use, and not by a clock that just jumped.
func TestOldImportsAndChangesAreForgotten(t *testing.T) {
	var ended, left, used api.Import
	body, send := io.Pipe()
	imported := make(chan error, 1)
	e, c, _ := maintained(t, func(e *engines) {
		open := func() api.Import {
			job, err := e.svc.CreateImport(t.Context(), api.ImportRequest{Type: "office365", TenantName: "Lab"})
			if err != nil {
				t.Fatal(err)
			}
			return job
		}
		ended, left, used = open(), open(), open()
		if job, err := e.svc.FinishImport(t.Context(), ended.ID); err != nil || job.State != "done" {
			t.Fatalf("%+v, %v", job, err)
		}
		go func() {
			_, err := e.svc.ImportFile(context.WithoutCancel(t.Context()), used.ID, "endless.ndjson", body)
			imported <- err
		}()
		if _, err := send.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.svc.state.CreateConnector(t.Context(), state.Connector{Name: "lab", TenantName: "Lab"}, "ann"); err != nil {
			t.Fatal(err)
		}
		if err := e.svc.state.SetPaused(t.Context(), "lab", true, "ann"); err != nil {
			t.Fatal(err)
		}
	})
	check := func(when string, want ...string) {
		t.Helper()
		jobs, err := e.svc.Imports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, j := range jobs {
			got = append(got, j.ID+" "+j.State)
		}
		history, err := e.svc.History(t.Context(), "lab")
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range history {
			got = append(got, h.What)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	all := []string{ended.ID + " done", left.ID + " running", used.ID + " running", "created", "paused"}
	check("at once", all...)
	c.pass(importsFor + time.Hour)
	check("the clock jumped", all...)
	c.pass(dropEvery - time.Hour)
	check("the clock jumped a few hours ago", all...)
	c.pass(2 * time.Hour)
	check("after 31 days", used.ID+" running", "created", "paused")
	for _, id := range []string{ended.ID, left.ID} {
		if _, err := e.svc.FinishImport(t.Context(), id); !fault.Is(err, fault.NotFound) {
			t.Errorf("an import of long ago: %v", err)
		}
	}
	if err := send.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-imported; err != nil {
		t.Error(err)
	}
	if job, err := e.svc.FinishImport(t.Context(), used.ID); err != nil || job.State != "done" {
		t.Errorf("%+v, %v", job, err)
	}
	c.pass(historyFor)
	c.pass(dropEvery - time.Hour)
	c.pass(2 * time.Hour)
	check("after more than a year", "paused")
}

// TestImportThatCannotBeStored: an import whose end is not written because the database is away can be ended again.
func TestImportThatCannotBeStored(t *testing.T) {
	e, _, _ := maintained(t, func(*engines) {})
	request := api.ImportRequest{Type: "office365", TenantName: "Lab"}
	job, err := e.svc.CreateImport(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	e.exec("ALTER TABLE import_jobs RENAME TO away")
	if _, err := e.svc.CreateImport(t.Context(), request); err == nil {
		t.Error("an import began that is not stored")
	}
	if _, err := e.svc.FinishImport(t.Context(), job.ID); err == nil || fault.Is(err, fault.Conflict) {
		t.Errorf("the end was not stored: %v", err)
	}
	e.exec("ALTER TABLE away RENAME TO import_jobs")
	if job, err := e.svc.FinishImport(t.Context(), job.ID); err != nil || job.State != "done" {
		t.Errorf("%+v, %v", job, err)
	}
	if jobs, err := e.svc.Imports(t.Context()); err != nil || len(jobs) != 1 || jobs[0].State != "done" {
		t.Errorf("%+v, %v", jobs, err)
	}
}

// TestEndedImportsInMemory: of many that ended the newest are remembered, and all that run.
func TestEndedImportsInMemory(t *testing.T) {
	var jobs importJobs
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range 3 * importsListed {
		at = at.Add(time.Minute)
		running, ended := fmt.Sprint("running ", i), fmt.Sprint("ended ", i)
		if i%10 == 0 {
			jobs.put(api.Import{ID: running, State: "running", Started: at})
		}
		jobs.put(api.Import{ID: ended, State: "running", Started: at})
		job, err := jobs.use(ended)
		if err != nil {
			t.Fatal(err)
		}
		job.State = "done"
		jobs.release(job, at)
	}
	if running := jobs.forget(at); len(running) != 3*importsListed/10 || len(jobs.byID) > len(running)+importsListed+1 {
		t.Errorf("%d run, %d are remembered", len(running), len(jobs.byID))
	}
	for i := range importsListed {
		if id := fmt.Sprint("ended ", 3*importsListed-1-i); jobs.byID[id] == nil {
			t.Errorf("%s is forgotten", id)
		}
	}
	if running := jobs.forget(at.Add(importsFor)); len(running)+len(jobs.byID) > 0 {
		t.Errorf("%d run, %d are remembered after a month", len(running), len(jobs.byID))
	}
}
