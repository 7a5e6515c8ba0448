package collect

import (
	"context"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

// freshShare is the part of the places that goes to the newest content when there is a backlog: one in so many. The
// backlog is worked off oldest first (neighbouring ids are cheap to claim, and what expires first comes first), but
// what happens now must not wait behind it.
const freshShare = 4

// task is a unit to fetch.
type task struct {
	state.LedgerUnit
	look bool // a second look at a unit that has landed
}

// dispatch gives due units to the crew until ctx ends.
func (f *feed) dispatch(ctx context.Context, c *crew) {
	var seen time.Time
	for {
		now := f.r.deps.Clock.Now()
		if now.After(seen.Add(-skewLimit)) || f.retryAll(ctx) == nil {
			seen = now
		}
		sent, err := f.sendDue(ctx, c)
		if ctx.Err() != nil {
			return
		}
		wait := time.Minute
		if pause := f.r.paused(); pause > 0 {
			// Units that end their flight meanwhile wake nobody: the pause is waited out.
			if f.r.deps.Clock.Sleep(ctx, pause) != nil {
				return
			}
			continue
		}
		if err != nil {
			f.failed(fetching, err)
			wait = Backoff(err, 1)
		} else if sent > 0 {
			continue
		} else if next, ok, err := f.r.deps.State.NextDue(ctx, f.r.cfg.Connector.ID, f.contentType); err == nil && ok {
			// Listed units are due now but in flight: their end wakes us.
			if d := next.Sub(f.r.deps.Clock.Now()); d > 0 {
				wait = min(wait, d)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-f.r.deps.Clock.After(wait):
		}
	}
}

// retryAll makes all units due that wait for their next try. It is called when the clock was set back: what was minutes away
// may be days away now, and the service does not keep content for ever.
func (f *feed) retryAll(ctx context.Context) error {
	_, err := f.r.deps.State.Retry(ctx, f.r.deps.Publisher.term, f.r.cfg.Connector.ID, f.contentType, nil, false)
	return err
}

func (f *feed) sendDue(ctx context.Context, c *crew) (sent int, err error) {
	if f.r.paused() > 0 {
		return 0, nil
	}
	f.mu.Lock()
	limit := len(f.inflight) + 4*f.r.cfg.Parallel
	f.settled = map[record.UnitID]bool{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.settled = nil
		f.mu.Unlock()
	}()
	due, err := f.due(ctx, limit)
	if err != nil {
		return 0, err
	}
	for _, u := range due {
		if f.r.paused() > 0 {
			return sent, nil
		}
		if !f.take(u.ID) {
			continue
		}
		if err := c.start(ctx, u); err != nil {
			f.settle(u.ID)
			if fault.Is(err, fault.Throttled) { // not tried: the unit is due as before
				f.slow(err, Backoff(err, 1))
				return sent, nil
			}
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// due returns what to fetch next: the oldest units, between them the newest ones when there are more than limit, and
// second looks when there is nothing else.
func (f *feed) due(ctx context.Context, limit int) ([]task, error) {
	s, id, now := f.r.deps.State, f.r.cfg.Connector.ID, f.r.deps.Clock.Now()
	oldest, err := s.DueUnits(ctx, id, f.contentType, now, limit)
	if err != nil {
		return nil, err
	}
	var newest []state.LedgerUnit
	if len(oldest) == limit {
		if newest, err = s.NewestDue(ctx, id, f.contentType, limit/freshShare); err != nil {
			return nil, err
		}
	}
	tasks := make([]task, 0, len(oldest)+len(newest))
	for i, u := range oldest {
		if n := i / freshShare; i%freshShare == 0 && n < len(newest) {
			tasks = append(tasks, task{LedgerUnit: newest[n]})
		}
		tasks = append(tasks, task{LedgerUnit: u})
	}
	if len(tasks) > 0 {
		return tasks, nil
	}
	looks, err := s.DueLooks(ctx, id, f.contentType, now, f.r.cfg.Parallel)
	for _, u := range looks {
		tasks = append(tasks, task{LedgerUnit: u, look: true})
	}
	return tasks, err
}

// take marks a unit as in flight. It is false for one that is already, and for one that ended its flight after the due
// units were read: what was read of it is out of date.
func (f *feed) take(id record.UnitID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inflight[id] || f.settled[id] {
		return false
	}
	f.inflight[id] = true
	return true
}

// settle ends a unit's time in flight.
func (f *feed) settle(id record.UnitID) {
	f.mu.Lock()
	delete(f.inflight, id)
	if f.settled != nil {
		f.settled[id] = true
	}
	f.mu.Unlock()
	f.r.ended(id)
	signal(f.wake)
}
