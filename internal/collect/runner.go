package collect

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/internal/clock"
	"sluice/internal/filter"
	"sluice/internal/normalize"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

// RunnerConfig is one connector, ready to run.
type RunnerConfig struct {
	Connector    record.Connector
	Source       source.Source
	ContentTypes []string
	Interval     time.Duration // between listings
	Start        time.Time     // content created before is not asked for
	StartTime    time.Time     // Start as the operator set it, zero when it is the time of creation: verifications leave out what is older
	Created      time.Time     // of the connector: from then on it answers for what it does not list; zero: from its first listing on
	Parallel     int           // fetches at a time, per content type
	MaxWindow    time.Duration // longest window of a listing
	Retention    time.Duration // how far back the service lists
	SecondLook   float64       // share of the units that are fetched a second time after an hour; 0 to 1
	Filters      *filter.Set   // what is not kept; nil: everything is
}

// Deps is what runners share.
type Deps struct {
	State     *state.Store
	Publisher *Publisher
	Clock     clock.Clock
	Logger    *slog.Logger
	Metrics   *Metrics
	// Normalizer computes the core fields that filters look at; needed where a connector has filters.
	Normalizer *normalize.Normalizer
}

// Runner collects one connector.
type Runner struct {
	cfg   RunnerConfig
	deps  Deps
	log   *slog.Logger
	feeds []*feed

	mu       sync.Mutex
	held     time.Time // since when nothing is fetched: the service throttled
	resume   time.Time // until when
	watchers []*endings
}

// NewRunner returns a runner that does nothing until Run.
func NewRunner(cfg RunnerConfig, deps Deps) *Runner {
	r := &Runner{cfg: cfg, deps: deps, log: deps.Logger.With(
		"component", "collect", "connector", cfg.Connector.Name, "tenant", cfg.Connector.TenantName)}
	for _, ct := range cfg.ContentTypes {
		r.feeds = append(r.feeds, newFeed(r, ct))
	}
	return r
}

// Run collects until ctx ends and returns when every goroutine of the connector is done. Units that were not
// finished stay due in the ledger.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, f := range r.feeds {
		wg.Go(func() { f.schedule(ctx) })
		wg.Go(func() {
			c := newCrew(f)
			f.dispatch(ctx, c)
			c.wait()
		})
	}
	if t, ok := r.cfg.Source.(source.Tender); ok {
		wg.Go(func() { r.tend(ctx, t) })
	}
	wg.Wait()
}

// tendEvery is how often a source looks after what it has set up at the service.
const tendEvery = 15 * time.Minute

func (r *Runner) tend(ctx context.Context, t source.Tender) {
	for wait := time.Minute / 4; r.deps.Clock.Sleep(ctx, wait) == nil; wait = tendEvery {
		t.Tend(ctx, r.cfg.ContentTypes)
	}
}

// PokeType makes one content type list now.
func (r *Runner) PokeType(contentType string) {
	for _, f := range r.feeds {
		if f.contentType == contentType {
			signal(f.poke)
		}
	}
}

// pause holds back fetches for d, of this runner's clock.
func (r *Runner) pause(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.deps.Clock.Now()
	if d > r.pauseLeft(now) {
		r.held, r.resume = now, now.Add(d)
	}
}

// paused is how long fetches are still held back.
func (r *Runner) paused() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pauseLeft(r.deps.Clock.Now())
}

// pauseLeft is what is left of the pause. It begins anew when the clock was set back. r.mu is held.
func (r *Runner) pauseLeft(now time.Time) time.Duration {
	if now.Before(r.held) {
		r.held, r.resume = now, now.Add(r.resume.Sub(r.held))
	}
	return r.resume.Sub(now)
}

// Poke makes every content type list now.
func (r *Runner) Poke() {
	for _, f := range r.feeds {
		signal(f.poke)
	}
}

// Wake makes every content type look for due units now.
func (r *Runner) Wake() {
	for _, f := range r.feeds {
		signal(f.wake)
	}
}

// Status returns what each content type knows of itself, in the order of the configuration.
func (r *Runner) Status() map[string]FeedStatus {
	out := make(map[string]FeedStatus, len(r.feeds))
	for _, f := range r.feeds {
		out[f.contentType] = f.snapshot()
	}
	return out
}

// insistFor bounds how long a job waits for a service that is throttling or not answering, per window.
const insistFor = 15 * time.Minute

// insist prepares the content type for a job, again and again while waiting can help.
func (f *feed) insist(ctx context.Context) error {
	began := f.r.deps.Clock.Now()
	for attempt := 1; ; attempt++ {
		err := f.prepare(ctx)
		if err == nil || !passing(err) {
			return err
		}
		wait := f.slow(err, Backoff(err, attempt))
		if f.r.deps.Clock.Now().Add(wait).Sub(began) > insistFor {
			return err
		}
		f.failed(listing, err)
		if f.r.deps.Clock.Sleep(ctx, wait) != nil {
			return err
		}
	}
}

// Backfill lists [since, until) for every content type at once, beside the schedule, and queues what is new. seen is
// called for every unit that the service lists; it must be safe for concurrent use. The first error ends the listing
// of its content type; all types are tried.
func (r *Runner) Backfill(ctx context.Context, since, until time.Time, seen func(record.Unit)) map[string]error {
	return r.listAll(ctx, seen, func(f *feed) (from, to time.Time, err error) {
		if oldest := f.now().Add(-r.cfg.Retention + marginToRetention); since.Before(oldest) {
			return oldest, until, nil
		}
		return since, until, nil
	})
}

// listNow lists what the schedule would list, for every content type at once; otherwise it is like Backfill.
func (r *Runner) listNow(ctx context.Context, seen func(record.Unit)) map[string]error {
	return r.listAll(ctx, seen, func(f *feed) (from, to time.Time, err error) { return f.window(ctx) })
}

func (r *Runner) listAll(ctx context.Context, seen func(record.Unit), window func(*feed) (from, to time.Time, err error)) map[string]error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := map[string]error{}
	for _, f := range r.feeds {
		wg.Go(func() {
			err := f.insist(ctx)
			if err == nil {
				var from, to time.Time
				if from, to, err = window(f); err == nil {
					_, err = f.list(ctx, from, to, f.recording(seen), insistFor)
				}
			}
			if err == nil {
				f.succeeded(listing)
				return
			}
			mu.Lock()
			failed[f.contentType] = err
			mu.Unlock()
		})
	}
	wg.Wait()
	return failed
}

// Source is what the runner collects from.
func (r *Runner) Source() source.Source { return r.cfg.Source }

// Fetching reports whether a unit is being fetched now, or is on its way to the journal.
func (r *Runner) Fetching(contentType string, id record.UnitID) bool {
	for _, f := range r.feeds {
		if f.contentType == contentType {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.inflight[id]
		}
	}
	return false
}
