package worker_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
)

func newPool(t *testing.T, cfg worker.Config) *worker.Pool {
	t.Helper()
	cfg.TempDir = t.TempDir()
	pool, err := worker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pool.Close()
		left, err := os.ReadDir(cfg.TempDir)
		if err != nil || len(left) > 0 {
			t.Errorf("temporary folders are left: %v, %v", left, err)
		}
	})
	return pool
}

func run(ctx context.Context, s *worker.Session, sql string) (int, error) {
	rows, err := s.Query(ctx, worker.Query{SQL: sql, MaxRows: 10})
	if err != nil {
		return 0, err
	}
	n := 0
	for rows.Next() {
		if got := rows.Values()[0]; got != int64(3) {
			return n, errors.New("the child did not get its own environment of 3 variables")
		}
		n++
	}
	return n, rows.Err()
}

func open(t *testing.T, pool *worker.Pool) *worker.Session {
	t.Helper()
	s, err := pool.Open(t.Context(), wire.OpenBody{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSessionAnswersSeveralQueries(t *testing.T) {
	s := open(t, newPool(t, worker.Config{}))
	for range 3 {
		if n, err := run(t.Context(), s, "rows"); n != 2 || err != nil {
			t.Fatalf("got %d rows, %v; want 2", n, err)
		}
	}
	if _, err := run(t.Context(), s, "fail"); !fault.Is(err, fault.Config) || fault.HintOf(err) != "look" || err.Error() != "no such column" {
		t.Errorf("failure: got %v", err)
	}
	if n, err := run(t.Context(), s, "rows"); n != 2 || err != nil {
		t.Errorf("after a failure: got %d rows, %v; want 2", n, err)
	}
}

func TestDeathsAreExplained(t *testing.T) {
	// A child that dies by itself needs its time for that.
	hasty, patient := newPool(t, worker.Config{Timeout: 100 * time.Millisecond}), newPool(t, worker.Config{})
	for sql, want := range map[string]struct {
		pool *worker.Pool
		kind fault.Kind
		text string
	}{
		"hang":   {hasty, fault.Unavailable, "ran longer than 100ms"},
		"half":   {hasty, fault.Unavailable, "ran longer than 100ms"},
		"crash":  {patient, fault.Unavailable, "exit status 139: SIGSEGV"},
		"memory": {patient, fault.Full, "more memory"},
	} {
		s := open(t, want.pool)
		_, err := run(t.Context(), s, sql)
		_ = s.Close()
		if !fault.Is(err, want.kind) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: got %v, want kind %s with %q", sql, err, want.kind, want.text)
		}
	}
}

func TestCallerGivesUp(t *testing.T) {
	pool := newPool(t, worker.Config{Max: 1})
	s := open(t, pool)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pool.Open(ctx, wire.OpenBody{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a second session: got %v, want a wait that ends with the deadline", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := run(ctx, s, "hang"); !fault.Is(err, fault.Canceled) {
		t.Errorf("cancelled query: got %v", err)
	}
	_ = s.Close()
	if n, err := run(t.Context(), open(t, pool), "rows"); n != 2 || err != nil {
		t.Errorf("after it: got %d rows, %v; want a new child", n, err)
	}
}

func TestCloseEndsRunningQueries(t *testing.T) {
	pool := newPool(t, worker.Config{})
	s := open(t, pool)
	time.AfterFunc(50*time.Millisecond, func() { _ = pool.Close() })
	if _, err := run(t.Context(), s, "hang"); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("got %v", err)
	}
	_ = s.Close()
	if _, err := pool.Open(t.Context(), wire.OpenBody{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("open after close: got %v", err)
	}
}
