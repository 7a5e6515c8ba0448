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
	"sluice/internal/search"
	"sluice/internal/source"
	"sluice/internal/state"
)

// service implements api.Service over the parts of the application.
type service struct {
	version    string
	dataDir    string
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
	properties []source.Properties
	shared     sharedDeps

	life       context.Context //nolint:containedctx // ends when the server closes; work that several requests share lives under it
	background sync.WaitGroup  // of that work

	applying  sync.Mutex // one change of the configuration at a time
	testing   busy
	verifying busy
	failures  failures
	imports   importJobs
}

// runnerWithState is a runner's configuration and whether it should run.
type runnerWithState struct {
	collect.RunnerConfig
	enabled bool
}

// Info implements api.Reporter.
func (s *service) Info(context.Context) (api.Info, error) {
	return api.Info{Version: s.version, GoVersion: runtime.Version(), Started: s.started, DataDir: s.dataDir, Demo: s.demo}, nil
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
	mu   sync.Mutex
	byID map[string]error
}

func (f *failures) set(id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = map[string]error{}
	}
	f.byID[id] = err
}

func (f *failures) clear(id string) {
	f.mu.Lock()
	delete(f.byID, id)
	f.mu.Unlock()
}

func (f *failures) get(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byID[id]
}

var _ api.Service = (*service)(nil)
