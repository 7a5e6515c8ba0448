package app

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"sluice/internal/api"
	"sluice/internal/clock"
	"sluice/internal/collect"
	"sluice/internal/consent"
	"sluice/internal/journal"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/movein"
	"sluice/internal/normalize"
	"sluice/internal/search"
	"sluice/internal/source"
	"sluice/internal/state"
)

// service implements api.Service over the parts of the application.
type service struct {
	version    string
	dataDir    string
	nodeGroup  string
	demo       bool
	started    time.Time
	clock      clock.Clock
	log        *slog.Logger
	state      *state.Store
	journal    *journal.Journal
	publisher  *collect.Publisher
	manager    *collect.Manager
	lake       *lake.Lake
	writer     *lake.Writer
	searcher   *search.Searcher
	census     *census.Census
	consent    *consent.Manager
	hooks      *hooks
	normalizer *normalize.Normalizer
	resolver   movein.Resolver // directory ids of domains
	samples    sampler         // records to try log filters on
	properties []source.Properties
	shared     sharedDeps

	life       context.Context //nolint:containedctx // ends when the server closes; work that several requests share lives under it
	background sync.WaitGroup  // of that work

	applying  sync.Mutex // one change of the configuration at a time
	testing   busy
	verifying busy
	failures  failures
	imports   importJobs

	monitoring monitoring
}

// runnerWithState is a runner's configuration and whether it should run.
type runnerWithState struct {
	collect.RunnerConfig
	enabled bool
	secrets connectorSecrets // that it uses; without Uses when building failed before it asked for any
}

// Info implements api.Reporter.
func (s *service) Info(context.Context) (api.Info, error) {
	return api.Info{
		Version: s.version, GoVersion: runtime.Version(), Started: s.started, DataDir: s.dataDir, Demo: s.demo, Problem: failure(s.publisher.Problem()),
	}, nil
}

// searchable waits until everything that is in the journal now can be searched.
func (s *service) searchable(ctx context.Context) error {
	return s.writer.Flush(ctx, s.publisher.Confirmed())
}

// busy is a set of things that must not be done twice at a time.
type busy struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (b *busy) begin(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys[key] {
		return false
	}
	if b.keys == nil {
		b.keys = map[string]bool{}
	}
	b.keys[key] = true
	return true
}

func (b *busy) end(key string) {
	b.mu.Lock()
	delete(b.keys, key)
	b.mu.Unlock()
}

// failures remembers why connectors could not be started.
type failures struct {
	clock clock.Clock // nil: it is not noted when
	mu    sync.Mutex
	byID  map[string]startFailure
}

type startFailure struct {
	err error // nil: there is none
	at  time.Time
}

func (f *failures) set(id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = map[string]startFailure{}
	}
	failed := startFailure{err: err}
	if f.clock != nil {
		failed.at = f.clock.Now()
	}
	f.byID[id] = failed
}

func (f *failures) clear(id string) {
	f.mu.Lock()
	delete(f.byID, id)
	f.mu.Unlock()
}

func (f *failures) get(id string) error { return f.of(id).err }

func (f *failures) of(id string) startFailure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byID[id]
}

var _ api.Service = (*service)(nil)
