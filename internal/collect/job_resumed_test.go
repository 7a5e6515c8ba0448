package collect

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"sluice/internal/fault"
)

// logged is a log that tells when something is said.
type logged struct {
	text string
	said chan struct{}
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.text {
		select {
		case l.said <- struct{}{}:
		default:
		}
	}
	return nil
}

func (l logged) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l logged) WithGroup(string) slog.Handler { return l }

// TestBackfillGoesOnWhenTheDatabaseIsBack: a database that is away when a process begins does not make it forget the back-fills
// that an earlier one did not finish.
func TestBackfillGoesOnWhenTheDatabaseIsBack(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	old := src.add(general, "old", now.Add(-5*24*time.Hour), rec("1", ""))
	windows := &badWindowSource{fakeSource: src, bad: old.Created}
	cfg := connectorConfig(windows, general)
	cfg.Start = now.Add(-time.Hour)
	r := h.start()
	r.manager.Start(cfg)
	h.waitFor("the runner", func() bool { _, err := r.manager.Runner("c1"); return err == nil })
	job, err := r.manager.Collect("c1", now.Add(-6*24*time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	windows.heal()

	away := logged{"back-fills of an earlier run cannot be read; it is tried again", make(chan struct{}, 1)}
	h.log = away
	h.reopen()
	exec := func(statement string) {
		t.Helper()
		if _, err := h.state.DB().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	r = h.start()
	exec("ALTER TABLE state_values RENAME TO away")
	r.manager.Start(cfg)
	for range 2 { // failures
		select {
		case <-away.said:
		case <-time.After(patience):
			t.Fatal("nothing was said of back-fills that cannot be read")
		}
	}
	if _, err := r.manager.Job(job.ID); !fault.Is(err, fault.NotFound) {
		t.Fatalf("the back-fill goes on without what is known of it: %v", err)
	}
	exec("ALTER TABLE away RENAME TO state_values")
	h.waitFor("the job to be done", func() bool { again, err := r.manager.Job(job.ID); return err == nil && again.Done })
	if again, err := r.manager.Job(job.ID); err != nil || again.Err != nil || again.Landed != 1 {
		t.Errorf("%+v %v", again, err)
	}
	h.waitLanded(general, 1)
}
