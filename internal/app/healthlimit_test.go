package app

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/health"
)

// stuckStore is a record of conditions in a database that does not answer at first.
type stuckStore struct {
	health.Store
	mu    sync.Mutex
	stuck bool
	asked int // calls of Append
}

// Load tells of a connector that does not exist any more, which the first look writes down.
func (s *stuckStore) Load(context.Context) ([]health.Change, error) {
	return []health.Change{{
		Feed:      health.Feed{ConnectorID: "gone", Connector: "gone", ContentType: "Audit.General"},
		Condition: health.Condition{Type: health.Listing, Status: health.Error},
	}}, nil
}

func (s *stuckStore) Append(ctx context.Context, _ []health.Change) error {
	s.mu.Lock()
	s.asked++
	stuck := s.stuck
	s.mu.Unlock()
	if stuck {
		<-ctx.Done()
	}
	return ctx.Err()
}

// answers makes the store answer from now on, and returns how often it was asked.
func (s *stuckStore) answers(now bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = s.stuck && !now
	return s.asked
}

// TestALookAtTheHealthEnds: a database that does not answer ends a look after a minute; that is said once, and the next look
// comes half a minute later.
func TestALookAtTheHealthEnds(t *testing.T) {
	e := openTestEngines(t, t.TempDir())
	log, store := &upText{}, &stuckStore{stuck: true}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		m := &e.svc.monitoring
		m.look = make(chan struct{}, 1) // of this bubble
		e.log = slog.New(slog.NewTextHandler(log, nil))
		m.monitor = health.New(health.Settings{Clock: e.Clock, Store: store, Log: e.log})
		if err := m.monitor.Load(ctx); err != nil {
			t.Fatal(err)
		}
		go func() { _ = e.watchHealth(ctx) }()
		after := func(d time.Duration, looks, warnings int) {
			t.Helper()
			<-time.After(d)
			synctest.Wait()
			if n := store.answers(false); n != looks {
				t.Errorf("%d looks, want %d", n, looks)
			}
			if n := strings.Count(log.String(), "looking at the health failed"); n != warnings {
				t.Errorf("%d warnings, want %d: %s", n, warnings, log.String())
			}
		}
		const moment = time.Second
		after(healthFor-moment, 1, 0)
		after(2*moment, 1, 1)
		after(healthEvery, 2, 1)
		after(healthFor, 2, 1)
		store.answers(true)
		after(healthEvery, 3, 1)
		after(healthEvery, 3, 1) // nothing is left to be written
	})
}
