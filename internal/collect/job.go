package collect

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

const (
	jobPoll  = 250 * time.Millisecond // how often a job's progress is read from the ledger
	jobsKept = 100

	settleChunk = 1000 // units looked up at a time
)

// Job is a run that somebody asked for: a listing of an interval for all content types, done when everything listed
// has landed or is lost, and can be searched.
type Job struct {
	ID           string
	ConnectorID  string
	Name         string // of the connector
	Since, Until time.Time
	Backfill     bool
	Started      time.Time
	Finished     time.Time
	Listed       int64
	Landed       int64
	Pending      int64
	Lost         int64
	Records      int64
	Done         bool
	Err          error
}

type jobs struct {
	mu      sync.Mutex
	byID    map[string]*Job
	changed map[string]chan struct{} // closed and replaced at each change
}

// Collect starts a job and returns it as it is now. Zero times mean an ordinary run: what the schedule would list.
func (m *Manager) Collect(connectorID string, since, until time.Time) (Job, error) {
	r, err := m.Runner(connectorID)
	if err != nil {
		return Job{}, err
	}
	now := m.deps.Clock.Now()
	j := &Job{ID: uuid.NewString(), ConnectorID: connectorID, Name: r.cfg.Connector.Name, Since: since, Until: until, Backfill: !since.IsZero(), Started: now}
	if j.Until.IsZero() || j.Until.After(now) {
		j.Until = now
	}
	if j.Backfill && !j.Since.Before(j.Until) {
		return Job{}, fault.Newf(fault.Config, "back-fill", "the interval is empty: %s is not before %s",
			j.Since.Format(time.RFC3339), j.Until.Format(time.RFC3339))
	}
	m.mu.Lock()
	base := m.base
	m.mu.Unlock()
	if base == nil {
		return Job{}, fault.New(fault.Unavailable, "collect", "the server is stopping")
	}
	if err := m.keepJob(base, *j); err != nil {
		return Job{}, err
	}
	answer := *j
	if !m.goJob(r, j) {
		return Job{}, fault.New(fault.Unavailable, "collect", "the server is stopping")
	}
	return answer, nil
}

// goJob runs a job beside the caller. It is false when the manager has stopped.
func (m *Manager) goJob(r *Runner, j *Job) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	base := m.base
	if base == nil {
		return false
	}
	m.jobs.put(j)
	m.wg.Go(func() {
		m.runJob(base, r, *j)
	})
	return true
}

func (m *Manager) runJob(ctx context.Context, r *Runner, j Job) {
	var mu sync.Mutex
	listed := map[record.UnitID]bool{}
	seen := func(u record.Unit) {
		mu.Lock()
		listed[u.ID(j.ConnectorID)] = true
		j.Listed = int64(len(listed))
		m.jobs.update(j)
		mu.Unlock()
	}
	var err error
	var failed map[string]error
	if j.Backfill {
		failed = r.Backfill(ctx, j.Since, j.Until, seen)
	} else {
		failed = r.listNow(ctx, seen)
	}
	for _, contentType := range slices.Sorted(maps.Keys(failed)) {
		j.Err = fault.Wrap("", contentType, failed[contentType])
		break
	}
	r.Wake()
	open := slices.Collect(maps.Keys(listed))
	for len(open) > 0 {
		before := len(open)
		if open, err = m.settle(ctx, open, &j); err == nil {
			j.Pending = int64(len(open))
			m.jobs.update(j)
		}
		if len(open) < before {
			continue // more may have settled already
		}
		if m.deps.Clock.Sleep(ctx, jobPoll) != nil {
			j.Err = fault.New(fault.Canceled, "collect", "the server was stopped before the run was done").
				WithHint("what is missing is collected after the next start")
			break
		}
	}
	if ctx.Err() == nil {
		if err := m.settled(ctx); err != nil && j.Err == nil {
			j.Err = err
		}
		m.forgetJob(ctx, j.ID)
	}
	j.Done, j.Finished = true, m.deps.Clock.Now()
	m.jobs.update(j)
}

// settle looks at the first of the open units, adds those that landed or are lost to the job and returns the others.
func (m *Manager) settle(ctx context.Context, open []record.UnitID, j *Job) ([]record.UnitID, error) {
	n := min(len(open), settleChunk)
	units, err := m.deps.State.UnitsByID(ctx, open[:n])
	if err != nil {
		return open, err
	}
	rest := slices.Clone(open[n:])
	for _, u := range units {
		switch u.State {
		case state.Landed:
			j.Landed++
		case state.Lost, state.Dropped:
			j.Lost++
		case state.Listed, state.Retrying:
			rest = append(rest, u.ID)
			continue
		}
		j.Records += u.Records
	}
	return rest, nil
}

// Job returns a job as it is now.
func (m *Manager) Job(id string) (Job, error) {
	j, _, err := m.jobs.get(id)
	return j, err
}

// WatchJob returns a job and a channel that is closed at its next change.
func (m *Manager) WatchJob(id string) (Job, <-chan struct{}, error) { return m.jobs.get(id) }

func (js *jobs) get(id string) (Job, <-chan struct{}, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.byID[id]
	if j == nil {
		return Job{}, nil, fault.Newf(fault.NotFound, "find job", "no job %q", id)
	}
	return *j, js.changed[id], nil
}

func (js *jobs) put(j *Job) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.byID == nil {
		js.byID, js.changed = map[string]*Job{}, map[string]chan struct{}{}
	}
	for len(js.byID) >= jobsKept && js.dropOldest() {
	}
	kept := *j
	js.byID[j.ID] = &kept
	js.changed[j.ID] = make(chan struct{})
}

// dropOldest forgets the oldest finished job and reports whether there was one.
func (js *jobs) dropOldest() bool {
	oldest := ""
	for id, j := range js.byID {
		if j.Done && (oldest == "" || j.Started.Before(js.byID[oldest].Started)) {
			oldest = id
		}
	}
	delete(js.byID, oldest)
	delete(js.changed, oldest)
	return oldest != ""
}

func (js *jobs) update(j Job) {
	js.mu.Lock()
	defer js.mu.Unlock()
	old := js.byID[j.ID]
	if old == nil || *old == j {
		return
	}
	js.byID[j.ID] = &j
	close(js.changed[j.ID])
	js.changed[j.ID] = make(chan struct{})
}
