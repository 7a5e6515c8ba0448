package collect

import (
	"context"
	"sync"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// Manager keeps one runner per connector. Its methods are safe for concurrent use.
type Manager struct {
	deps Deps
	// Settled waits until everything that was confirmed so far can be searched. It is called when a job ends.
	settled func(ctx context.Context) error

	mu      sync.Mutex
	base    context.Context //nolint:containedctx // the life of Run, which owns every runner
	runners map[string]*managed
	waiting map[string]RunnerConfig // started before Run was ready
	wg      sync.WaitGroup
	jobs    jobs
}

type managed struct {
	runner *Runner
	cancel context.CancelFunc
	done   chan struct{}
}

// NewManager returns a manager without runners. settled may be nil.
func NewManager(deps Deps, settled func(ctx context.Context) error) *Manager {
	if settled == nil {
		settled = func(context.Context) error { return nil }
	}
	return &Manager{deps: deps, settled: settled, runners: map[string]*managed{}, waiting: map[string]RunnerConfig{}}
}

// Run starts the connectors once the publisher is ready, and blocks until ctx ends and all of them have stopped.
func (m *Manager) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.deps.Publisher.Ready():
	}
	m.mu.Lock()
	m.base = ctx
	for _, cfg := range m.waiting {
		m.start(cfg) //nolint:contextcheck // runners live under the context of Run, which is m.base
	}
	clear(m.waiting)
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.base = nil
	m.mu.Unlock()
	m.wg.Wait()
	return nil
}

// Start runs a connector; one that runs under the same id is stopped first.
func (m *Manager) Start(cfg RunnerConfig) {
	m.Stop(cfg.Connector.ID)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.base == nil {
		m.waiting[cfg.Connector.ID] = cfg
		return
	}
	m.start(cfg)
}

func (m *Manager) start(cfg RunnerConfig) {
	ctx, cancel := context.WithCancel(m.base)
	r := &managed{runner: NewRunner(cfg, m.deps), cancel: cancel, done: make(chan struct{})}
	m.runners[cfg.Connector.ID] = r
	m.wg.Go(func() {
		defer close(r.done)
		defer cancel()
		m.resumeJobs(ctx, r.runner)
		r.runner.Run(ctx)
	})
}

// Stop ends a connector's runner and waits for it. Units that it had not finished stay due.
func (m *Manager) Stop(id string) {
	m.mu.Lock()
	r := m.runners[id]
	delete(m.runners, id)
	delete(m.waiting, id)
	m.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// Remove is Stop for a connector that was deleted: its jobs end too, because nobody fetches what they wait for.
func (m *Manager) Remove(ctx context.Context, id string) {
	m.Stop(id)
	m.jobs.end(id)
	m.forgetJobs(ctx, id)
}

// Runner returns the runner of a connector; fault.Conflict when it does not run.
func (m *Manager) Runner(id string) (*Runner, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.runners[id]; r != nil {
		return r.runner, nil
	}
	if _, ok := m.waiting[id]; ok {
		return nil, fault.New(fault.Unavailable, "find connector", "the server is still starting").WithHint("try again in a moment")
	}
	return nil, fault.New(fault.Conflict, "find connector", "the connector is paused or not started yet").
		WithHint("resume it first")
}

// Retry makes units of a connector due now: those given, or all that are retrying; with lost also those that were given
// up. It returns how many.
func (m *Manager) Retry(ctx context.Context, connectorID string, ids []record.UnitID, lost bool) (int64, error) {
	select {
	case <-m.deps.Publisher.Ready():
	default:
		return 0, fault.New(fault.Unavailable, "retry", "the server is still starting").WithHint("try again in a moment")
	}
	n, err := m.deps.State.Retry(ctx, m.deps.Publisher.term, connectorID, "", ids, lost)
	if r, runErr := m.Runner(connectorID); runErr == nil {
		r.Wake()
	}
	return n, err
}
