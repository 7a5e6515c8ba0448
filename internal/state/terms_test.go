package state_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func TestTerms(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		end := func() string { return time.Now().Add(time.Hour).UTC().Format("2006-01-02T15") }
		least := end()
		t1, err := s.AcquireTerm(ctx, subject, "host-a", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		most := end() // another hour may have begun
		_, err = s.AcquireTerm(ctx, subject, "host-b", time.Hour)
		wantKind(t, err, fault.Conflict, "host-a")
		if !strings.Contains(err.Error(), least) && !strings.Contains(err.Error(), most) {
			t.Errorf("%v: the lease ends at %s or %s", err, least, most)
		}
		if _, err := s.AcquireTerm(ctx, "other subject", "host-b", time.Hour); err != nil {
			t.Fatalf("another subject: %v", err)
		}
		t2, err := s.AcquireTerm(ctx, subject, "host-a", -time.Second)
		if err != nil || t2.Epoch == t1.Epoch {
			t.Fatalf("the same holder: %+v, %v", t2, err)
		}
		wantKind(t, s.RenewTerm(ctx, t1, time.Hour), fault.Conflict)
		if err := s.RenewTerm(ctx, t2, -time.Second); err != nil {
			t.Fatalf("renew a lease that ran out: %v", err)
		}
		t3, err := s.AcquireTerm(ctx, subject, "host-b", time.Hour)
		if err != nil {
			t.Fatalf("after the lease ran out: %v", err)
		}
		wantKind(t, s.RenewTerm(ctx, t2, time.Hour), fault.Conflict)
		wantKind(t, s.ReleaseTerm(ctx, t2), fault.Conflict)
		if err := s.ReleaseTerm(ctx, t3); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.Step(ctx, t3, func(*state.Step) error { return nil }), fault.Conflict)
		wantKind(t, s.Step(ctx, state.Term{Subject: subject}, func(*state.Step) error { return nil }), fault.Conflict)
		if _, err := s.AcquireTerm(ctx, subject, "host-a", time.Hour); err != nil {
			t.Fatalf("after the release: %v", err)
		}
	})
}

// On SQLite the lease runs on Options.Clock.
func TestTermClock(t *testing.T) {
	t.Parallel()
	now := &fixed{now: day}
	s := open(t, filepath.Join(t.TempDir(), "state.db"), state.Options{Clock: now})
	term, err := s.AcquireTerm(t.Context(), subject, "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now.now = day.Add(59 * time.Second)
	_, err = s.AcquireTerm(t.Context(), subject, "b", time.Minute)
	wantKind(t, err, fault.Conflict, "2026-03-01T12:01:00Z")
	if wait := fault.RetryAfterOf(err); wait != time.Second {
		t.Errorf("retry after %s, want 1s", wait)
	}
	if err := s.RenewTerm(t.Context(), term, time.Minute); err != nil {
		t.Fatal(err)
	}
	now.now = day.Add(90 * time.Second)
	if _, err = s.AcquireTerm(t.Context(), subject, "b", time.Minute); !fault.Is(err, fault.Conflict) {
		t.Fatalf("the lease was renewed, got %v", err)
	}
	now.now = day.Add(119 * time.Second)
	if _, err = s.AcquireTerm(t.Context(), subject, "b", time.Minute); err != nil {
		t.Fatal(err)
	}
}

// Every write of the collection path is refused once the term is over.
func TestLostTermWritesNothing(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		old := acquire(t, s)
		id := add(t, s, old, "c1", 1)[0]
		acquire(t, s)
		none := func(*state.Step) error { t.Error("the function of a lost term was called"); return nil }
		_, addErr := s.AddUnits(ctx, old, "c1", []record.Unit{unitOf(2)})
		_, retryErr := s.Retry(ctx, old, "c1", "", nil, true)
		_, pruneErr := s.Prune(ctx, old, day, 0)
		_, foldErr := s.Fold(ctx, old, time.Now(), 0)
		_, recountErr := s.Recount(ctx, old)
		for name, err := range map[string]error{
			"step":    s.Step(ctx, old, none),
			"add":     addErr,
			"retry":   retryErr,
			"prune":   pruneErr,
			"fold":    foldErr,
			"recount": recountErr,
			"marks":   s.SetFeedMarks(ctx, old, "c1", feedType, state.FeedMarks{}),
			"fail":    s.FailUnits(ctx, old, []state.UnitFailure{{ID: id, State: state.Lost}}),
		} {
			if !fault.Is(err, fault.Conflict) {
				t.Errorf("%s: got %v, want a conflict", name, err)
			}
		}
		if u := unit(t, s, id); u.State != state.Listed || u.Attempt != 0 {
			t.Errorf("unit %+v", u)
		}
	})
}

// Two processes, each with its own Store, fight for the subject while both write. Whatever the order, a step that
// commits belongs to the term that was current, and all counts add up.
func TestRivals(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			dsn := dsn(t)
			var mu sync.Mutex
			committed := 0
			g, ctx := errgroup.WithContext(t.Context())
			for _, connector := range []string{"c1", "c2"} {
				s := open(t, dsn, state.Options{})
				g.Go(func() error {
					for range 15 {
						n, err := rival(ctx, s, connector)
						if err != nil {
							return err
						}
						mu.Lock()
						committed += n
						mu.Unlock()
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			s := open(t, dsn, state.Options{})
			if records := total(t, s, "c1").Records + total(t, s, "c2").Records; records != int64(committed) {
				t.Errorf("%d records are counted, %d were committed", records, committed)
			}
			open, err := s.OpenBatches(t.Context())
			if err != nil || len(open) != committed {
				t.Errorf("%d open batches, %v; want %d", len(open), err, committed)
			}
		})
	}
}

// rival takes the term from whoever has it and works until it is taken away.
func rival(ctx context.Context, s *state.Store, connector string) (committed int, err error) {
	term, err := s.AcquireTerm(ctx, subject, "test", time.Hour)
	if err != nil {
		return 0, err
	}
	for range 10 {
		err := s.Step(ctx, term, func(st *state.Step) error {
			u := unitOf(1)
			if _, err := st.AddUnits(connector, []record.Unit{u}); err != nil {
				return err
			}
			b, err := st.OpenBatch()
			if err != nil {
				return err
			}
			if _, err := st.Claim(b, claims(1, 2, 3)); err != nil {
				return err
			}
			return st.Count(b, []state.UnitCount{{Unit: u.ID(connector), Records: 1}})
		})
		if fault.Is(err, fault.Conflict) {
			return committed, nil
		}
		if err != nil {
			return committed, err
		}
		committed++
	}
	return committed, nil
}

// Others use the database at the same time, as the Iceberg catalog does: transactions with reads and writes.
func TestOtherUsers(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		db := s.CatalogDB()
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE iceberg_tables (n BIGINT)"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO iceberg_tables VALUES (0)"); err != nil {
			t.Fatal(err)
		}
		term := acquire(t, s)
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(func() error {
			for i := range 40 {
				if err := s.Step(ctx, term, func(st *state.Step) error { return crashStep(st, i) }); err != nil {
					return err
				}
			}
			return nil
		})
		for range 2 {
			g.Go(func() error {
				for range 20 {
					if err := increment(ctx, db); err != nil {
						return err
					}
					if _, err := s.Totals(ctx); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT n FROM iceberg_tables").Scan(&n); err != nil || n != 40 {
			t.Errorf("n = %d, %v; want 40", n, err)
		}
	})
}

func increment(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var n int
	if err = tx.QueryRowContext(ctx, "SELECT n FROM iceberg_tables").Scan(&n); err != nil {
		return err
	}
	if _, err = tx.ExecContext(ctx, "UPDATE iceberg_tables SET n = n + 1"); err != nil {
		return err
	}
	return tx.Commit()
}

func TestCanceledStep(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Step(ctx, term, func(st *state.Step) error {
			if _, err := st.OpenBatch(); err != nil {
				return err
			}
			cancel()
			return nil
		})
		wantKind(t, err, fault.Canceled)
		wantKind(t, s.Step(ctx, term, func(*state.Step) error { return nil }), fault.Canceled)
		if open, err := s.OpenBatches(t.Context()); err != nil || len(open) != 0 {
			t.Errorf("open batches %v, %v", open, err)
		}
		begin(t, s, term, []int{1})
	})
}
