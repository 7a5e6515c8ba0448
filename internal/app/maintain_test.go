package app

import (
	"context"
	"sync"
	"testing"
	"time"

	"sluice/internal/clock"
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
