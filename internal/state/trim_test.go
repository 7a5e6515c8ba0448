package state_test

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/state"
)

// jobIDs lists the import jobs that are kept, oldest first.
func jobIDs(t *testing.T, s *state.Store) string {
	t.Helper()
	rows, err := s.DB().QueryContext(t.Context(), `SELECT id FROM import_jobs ORDER BY started, id`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

func TestTrimImportJobs(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		put := func(id, is string, started, finished time.Time) {
			t.Helper()
			if err := s.PutImportJob(t.Context(), state.ImportJob{ID: id, State: is, Started: started, Finished: finished}); err != nil {
				t.Fatal(err)
			}
		}
		trim := func(keep int, want int64, left string, busy ...string) {
			t.Helper()
			if n, err := s.TrimImportJobs(t.Context(), day, keep, busy); n != want || err != nil {
				t.Errorf("removed %d, %v; want %d", n, err, want)
			}
			if got := jobIDs(t, s); got != left {
				t.Errorf("kept %q, want %q", got, left)
			}
		}
		const hour = time.Hour
		trim(10, 0, "")
		put("old", "done", day.Add(-9*hour), day.Add(-8*hour))
		put("failed", "failed", day.Add(-8*hour), day.Add(-7*hour))
		put("interrupted", "running", day.Add(-7*hour), time.Time{})
		put("busy", "running", day.Add(-6*hour), time.Time{})
		put("long", "done", day.Add(-5*hour), day)
		put("new", "done", day, day.Add(hour))
		put("running", "running", day.Add(hour), time.Time{})
		trim(10, 3, "busy long new running", "busy", "other")
		trim(10, 0, "busy long new running", "busy")
		trim(2, 1, "busy new running", "busy")
		trim(2, 1, "new running")
		trim(1, 1, "running")
		trim(0, 1, "")
		put("seed", "done", day, day.Add(hour)) // and more than one transaction removes
		if _, err := s.DB().ExecContext(t.Context(), `WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2500)
			INSERT INTO import_jobs (id, started, job) SELECT 'many-' || n, started + n, job FROM c, import_jobs`); err != nil {
			t.Fatal(err)
		}
		trim(3, 2498, "many-2498 many-2499 many-2500")
	})
}

func TestTrimHistory(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			now := &fixed{now: day}
			s := open(t, dsn(t), state.Options{Clock: now})
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			create := func(name string) {
				t.Helper()
				_, err := s.CreateConnector(t.Context(), state.Connector{Name: name, TenantName: "Contoso", Type: "office365"}, "ann")
				must(err)
			}
			left := func(name, connector, filter string) {
				t.Helper()
				for kind, want := range map[string]string{"connector": connector, "filter": filter} {
					history, err := s.History(t.Context(), name)
					if kind == "filter" {
						history, err = s.FilterHistory(t.Context(), name)
					}
					must(err)
					var what []string
					for _, h := range history {
						what = append(what, h.What)
					}
					if got := strings.Join(what, " "); got != want {
						t.Errorf("history of %s %s: %q, want %q", kind, name, got, want)
					}
				}
			}
			trim := func(before time.Time, keep int, want int64) {
				t.Helper()
				if n, err := s.TrimHistory(t.Context(), before, keep); n != want || err != nil {
					t.Errorf("removed %d, %v; want %d", n, err, want)
				}
			}
			for _, name := range []string{"quiet", "gone", "back", "busy"} {
				create(name)
			}
			_, err := s.PutFilter(t.Context(), state.Filter{Name: "quiet"}, "ann", "")
			must(err)
			_, err = s.PutFilter(t.Context(), state.Filter{Name: "gone"}, "ann", "")
			must(err)
			must(s.SetPaused(t.Context(), "quiet", true, "ann"))
			must(s.DeleteConnector(t.Context(), "gone", "ann"))
			must(s.DeleteFilter(t.Context(), "gone", "ann"))
			now.now = day.Add(time.Hour)
			must(s.DeleteConnector(t.Context(), "back", "ann"))
			create("back")
			for i := range 6 {
				must(s.SetPaused(t.Context(), "busy", i%2 == 0, "ann"))
			}
			trim(day, 100, 0) // nothing is from before
			trim(day.Add(time.Hour), 100, 7)
			left("quiet", "paused", "created")
			left("gone", "", "")
			left("back", "deleted created", "")
			left("busy", "paused resumed paused resumed paused resumed", "")
			trim(day.Add(time.Hour), 3, 3)
			left("busy", "resumed paused resumed", "")
			must(s.DeleteConnector(t.Context(), "busy", "ann"))
			trim(day.Add(2*time.Hour), 0, 5) // the newest of each, but of what was deleted
			left("quiet", "paused", "created")
			left("back", "created", "")
			left("busy", "", "")
		})
	}
}
