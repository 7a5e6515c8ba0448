package collect

import (
	"cmp"
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
	jobPoll  = 250 * time.Millisecond // how often a job looks up the units that ended their flight
	jobCheck = 15 * time.Second       // how often it looks up all of them, should one have ended unseen
	jobsKept = 100
)

// Job is a run that somebody asked for: a listing of an interval for all content types, done when everything listed
// has landed or is lost, and can be searched.
type Job struct {
	ID           string
	ConnectorID  string
	Name         string // of the connector
	Since, Until time.Time
	Oldest       time.Time // what the service lists at most, of a back-fill
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
	cancel  map[string]func()        // of those that run
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
	oldest := now.Add(-r.cfg.Retention)
	if j.Backfill {
		j.Oldest = oldest
	}
	if j.Backfill && j.Until.Before(oldest) {
		return Job{}, fault.Newf(fault.Config, "back-fill", "nothing of the interval can be had: the service lists content only since %s",
			oldest.UTC().Format(time.RFC3339)).WithHint("what was exported elsewhere can be imported: sluice import")
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
		if _, err := m.Runner(connectorID); err != nil { // paused or deleted at this moment
			m.forgetJob(base, j.ID)
			return Job{}, err
		}
		return Job{}, fault.New(fault.Unavailable, "collect", "the server is stopping")
	}
	return answer, nil
}

// goJob runs a job beside the caller. It is false when the manager or the connector has stopped.
func (m *Manager) goJob(r *Runner, j *Job) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	base := m.base
	if base == nil || m.runners[j.ConnectorID] == nil {
		return false
	}
	ctx, cancel := context.WithCancel(base)
	m.jobs.put(j, cancel)
	m.wg.Go(func() {
		defer cancel()
		m.runJob(ctx, base, r, *j)
	})
	return true
}

// runJob runs a job until it is done, ctx ends because the connector was deleted, or base because the server stops.
func (m *Manager) runJob(ctx, base context.Context, r *Runner, j Job) {
	var mu sync.Mutex
	listed := map[record.UnitID]bool{}
	seen := func(u record.Unit) {
		mu.Lock()
		listed[u.ID(j.ConnectorID)] = true
		j.Listed = int64(len(listed))
		m.jobs.update(j)
		mu.Unlock()
	}
	ended := r.watch()
	defer r.unwatch(ended)
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
	if m.waitForUnits(ctx, listed, ended, &j) != nil {
		j.Err = fault.New(fault.Canceled, "collect", "the server was stopped before the run was done").
			WithHint("what is missing is collected after the next start")
		if base.Err() == nil {
			j.Err = fault.New(fault.Canceled, "collect", "the connector was deleted before the run was done")
		}
	}
	if ctx.Err() == nil {
		if err := m.settled(ctx); err != nil && j.Err == nil {
			j.Err = err
		}
	}
	if base.Err() == nil {
		m.forgetJob(base, j.ID)
	}
	j.Done, j.Finished = true, m.deps.Clock.Now()
	m.jobs.update(j)
}

// waitForUnits waits until every open unit has landed or is lost. It fails only when ctx ends.
func (m *Manager) waitForUnits(ctx context.Context, open map[record.UnitID]bool, ended *endings, j *Job) error {
	var check time.Time // when to look up all of them
	for {
		ids, now := ended.take(), m.deps.Clock.Now()
		all := !now.Before(check)
		if all {
			ids = slices.Collect(maps.Keys(open))
		}
		err := m.settle(ctx, ids, open, j)
		switch {
		case err != nil:
			check = now
		case all: // millions take a while: most of the time is not for this
			check = m.deps.Clock.Now().Add(max(jobCheck, 20*m.deps.Clock.Now().Sub(now)))
		}
		j.Pending = int64(len(open))
		m.jobs.update(*j)
		if len(open) == 0 {
			return nil
		}
		if err := m.deps.Clock.Sleep(ctx, jobPoll); err != nil {
			return err
		}
	}
}

// settle looks units up, adds those that landed or are lost to the job and takes them out of the open ones.
func (m *Manager) settle(ctx context.Context, ids []record.UnitID, open map[record.UnitID]bool, j *Job) error {
	ids = slices.DeleteFunc(ids, func(id record.UnitID) bool { return !open[id] })
	units, err := m.deps.State.UnitsByID(ctx, ids)
	if err != nil {
		return err
	}
	for _, u := range units {
		switch u.State {
		case state.Landed:
			j.Landed++
		case state.Lost, state.Dropped:
			j.Lost++
		case state.Listed, state.Retrying:
			if m.abandoned(j.ConnectorID, u.ContentType) {
				delete(open, u.ID)
				j.Err = cmp.Or(j.Err, error(fault.Newf(fault.Canceled, "collect", "%s was taken out of the connector before the run was done", u.ContentType).
					WithHint("what is missing of it is fetched when it is collected again")))
			}
			continue
		}
		j.Records += u.Records
		delete(open, u.ID)
	}
	return nil
}

// abandoned reports whether a connector runs and does not collect a content type any more: nobody fetches what was listed of it.
func (m *Manager) abandoned(connectorID, contentType string) bool {
	r, err := m.Runner(connectorID)
	return err == nil && !slices.Contains(r.cfg.ContentTypes, contentType)
}

// endings are the units that ended a flight since they were last taken.
type endings struct {
	mu  sync.Mutex
	ids []record.UnitID
}

func (e *endings) take() []record.UnitID {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := e.ids
	e.ids = nil
	return ids
}

// watch makes the runner note the units that end a flight, until unwatch.
func (r *Runner) watch() *endings {
	e := &endings{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, e)
	return e
}

func (r *Runner) unwatch(e *endings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = slices.DeleteFunc(r.watchers, func(w *endings) bool { return w == e })
}

// ended tells those who watch that a unit ended a flight: what the ledger says of it may be new.
func (r *Runner) ended(id record.UnitID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.watchers {
		e.mu.Lock()
		e.ids = append(e.ids, id)
		e.mu.Unlock()
	}
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

func (js *jobs) put(j *Job, cancel func()) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.byID == nil {
		js.byID, js.changed, js.cancel = map[string]*Job{}, map[string]chan struct{}{}, map[string]func(){}
	}
	for len(js.byID) >= jobsKept && js.dropOldest() {
	}
	kept := *j
	js.byID[j.ID] = &kept
	js.changed[j.ID] = make(chan struct{})
	js.cancel[j.ID] = cancel
}

// end ends the jobs of a connector that run.
func (js *jobs) end(connectorID string) {
	js.mu.Lock()
	defer js.mu.Unlock()
	for id, cancel := range js.cancel {
		if js.byID[id].ConnectorID == connectorID {
			cancel()
		}
	}
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
	if j.Done {
		delete(js.cancel, j.ID)
	}
	close(js.changed[j.ID])
	js.changed[j.ID] = make(chan struct{})
}
