package collect

import (
	"context"
	"sync"
	"time"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

const (
	fragmentBytes = 2 << 20   // raw bytes after which a unit that is still streaming is handed over in part
	fragmentItems = 10_000    // the same, in records
	reserveStep   = 128 << 10 // the memory budget is taken in such steps
)

// crew runs the fetchers of one feed, Parallel at a time. A fetcher lives as long as there is a unit for it: a server
// with hundreds of connectors has thousands of places, and few of them are taken at any time.
type crew struct {
	memory *Publisher
	paced  source.Paced // nil: requests are not paced
	places chan struct{}
	idle   sync.Pool // of *fetcher, for their buffers
	wg     sync.WaitGroup
}

func newCrew(f *feed) *crew {
	r := f.r
	paced, _ := r.cfg.Source.(source.Paced)
	return &crew{memory: r.deps.Publisher, paced: paced, places: make(chan struct{}, r.cfg.Parallel), idle: sync.Pool{New: func() any {
		return &fetcher{
			f: f, prep: &preparer{connector: &r.cfg.Connector, now: r.deps.Clock.Now},
			sieve: newSieve(r.cfg.Filters, r.deps.Normalizer),
		}
	}}}
}

// start waits for a place, for the turn of its request and for memory, and works on the unit there. Its error is the
// context's, or says that the tenant is paused. Memory comes last: all tenants share it, and what waits for its turn has no
// use for it.
func (c *crew) start(ctx context.Context, u task) error {
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	fetching := ctx
	if c.paced != nil {
		var err error
		if fetching, err = c.paced.Pace(ctx); err != nil {
			<-c.places
			return err
		}
	}
	if err := c.memory.reserve(ctx, reserveStep); err != nil {
		<-c.places
		return err
	}
	c.wg.Go(func() {
		w := c.idle.Get().(*fetcher) //nolint:forcetypeassert // nothing else is put there
		w.work(fetching, u)
		c.idle.Put(w)
		<-c.places
	})
	return nil
}

// wait returns when all fetchers are done.
func (c *crew) wait() { c.wg.Wait() }

// fetcher works on units of one feed, one at a time, with buffers of its own.
type fetcher struct {
	f     *feed
	prep  *preparer
	sieve *sieve
}

func (w *fetcher) work(ctx context.Context, u task) {
	err := w.fetch(ctx, u)
	switch {
	case err == nil:
	case u.look:
		w.failLook(ctx, u, err)
	default:
		w.fail(ctx, u, err)
	}
	clear(w.prep.members[:cap(w.prep.members)]) // they are parts of the unit's body
}

// fetch streams one unit to the publisher and gives back the reserveStep of memory that its caller has reserved. After
// it returned nil the unit is in flight until its last fragment is done; after an error it is not in flight any more, or
// fail ends that.
func (w *fetcher) fetch(ctx context.Context, u task) error {
	p := w.f.r.deps.Publisher
	w.prep.generation = p.erasures.generation(w.prep.connector.TenantName)
	frag := w.fragment(u, reserveStep)
	total := &tally{} // of all parts; only the publisher touches it, in the order of submission
	empty := true
	for item, err := range w.f.r.cfg.Source.Fetch(ctx, u.Unit) {
		if err != nil {
			p.release(frag.reserved)
			return err
		}
		empty = false
		rec, _ := w.prep.prepare(item, u.ContentType, u.ContentID)
		if by := w.sieve.drops(w.prep, &rec, &frag.unit); by != "" {
			frag.drop(by, int64(len(item.Raw)))
			continue
		}
		frag.items = append(frag.items, rec)
		frag.bytes += int64(len(item.Raw))
		if w.full(frag) {
			if frag, err = w.handOver(ctx, u, frag, total); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		p.release(frag.reserved)
		return ctx.Err()
	}
	frag.complete = true
	frag.lookAt, frag.total = w.nextLook(u, empty), total
	frag.done = func(c Counts, err error) {
		total.add(c, frag.filtered)
		w.landed(u, total, err)
	}
	err := p.askLake(ctx, frag, u.AskLake)
	if err == nil {
		err = p.submit(ctx, frag)
	}
	if err != nil {
		p.release(frag.reserved)
		return err
	}
	return nil
}

// full says whether the fragment must go: it is large, or there is no memory to let it grow.
func (w *fetcher) full(frag *fragment) bool {
	if frag.bytes >= fragmentBytes || len(frag.items) >= fragmentItems {
		return true
	}
	for frag.bytes > frag.reserved {
		if !w.f.r.deps.Publisher.tryReserve(reserveStep) {
			return true
		}
		frag.reserved += reserveStep
	}
	return false
}

// handOver submits a part of a unit and returns the fragment for the next part.
func (w *fetcher) handOver(ctx context.Context, u task, frag *fragment, total *tally) (*fragment, error) {
	p := w.f.r.deps.Publisher
	frag.done = func(c Counts, err error) {
		total.add(c, frag.filtered)
		total.refused = total.refused || err != nil
	}
	err := p.askLake(ctx, frag, u.AskLake)
	if err == nil {
		err = p.submit(ctx, frag)
	}
	if err != nil {
		p.release(frag.reserved)
		return nil, err
	}
	if err := p.reserve(ctx, reserveStep); err != nil {
		return nil, err
	}
	return w.fragment(u, reserveStep), nil
}

func (w *fetcher) fragment(u task, reserved int64) *fragment {
	return &fragment{
		connector: &w.f.r.cfg.Connector, generation: w.prep.generation, reserved: reserved,
		unit: record.BatchUnit{ID: u.ID, ContentType: u.ContentType, ContentID: u.ContentID, Created: u.Created},
		look: u.look, asked: u.AskLake,
	}
}

// landed is told that the unit's last fragment was confirmed. Without confirmation (the process stops, or lost its
// term), or of a part before, the unit is still due in the ledger, so it is fetched again.
func (w *fetcher) landed(u task, c *tally, err error) {
	if err == nil && !c.refused {
		w.f.succeeded(fetching)
		w.f.r.deps.Metrics.landed(w.f.r.cfg.Connector.Name, w.f.contentType, c, u.look)
		if u.look && c.Records > released(&u.LedgerUnit, c.Filtered) {
			w.f.grew()
		}
	}
	w.f.settle(u.ID)
}

// fail writes the failure of a unit to the ledger: another try, or lost when Microsoft does not have it any more.
func (w *fetcher) fail(ctx context.Context, u task, err error) {
	defer w.f.settle(u.ID)
	if ctx.Err() != nil {
		return // stopping: the unit stays due
	}
	failure := state.UnitFailure{ID: u.ID, State: state.Retrying, Kind: fault.KindOf(err), Text: err.Error()}
	switch {
	case gone(err):
		failure.State = state.Lost
	case w.f.expired(ctx, &u.Unit, err):
		failure.State, failure.Kind = state.Lost, fault.Gone
		failure.Text = "expired before it could be read; last error: " + err.Error()
	default:
		failure.NextTry = w.f.r.deps.Clock.Now().Add(w.f.slow(err, Backoff(err, u.Attempt+1)))
	}
	if gone(err) { // an answer, which will not change: no trouble that passes, and on a quiet tenant nothing would end it
		w.f.r.deps.Metrics.failure(w.f.r.cfg.Connector.Name, w.f.contentType, fault.KindOf(err))
	} else {
		w.f.failed(fetching, err)
	}
	if failure.State == state.Lost {
		w.f.log.Error("content is lost", "content_id", u.ContentID, "created", u.Created, "reason", failure.Text)
		w.f.r.deps.Metrics.lost(w.f.r.cfg.Connector.Name, w.f.contentType)
	}
	w.write(ctx, func(s *state.Step) error { return s.Fail([]state.UnitFailure{failure}) })
	failpoint.Hit(failpoint.CollectFailRecorded)
}

// write makes a change to the ledger, for as long as that can succeed.
func (w *fetcher) write(ctx context.Context, change func(*state.Step) error) {
	for attempt := 1; ; attempt++ {
		err := w.f.r.deps.State.Step(ctx, w.f.r.deps.Publisher.term, change)
		if err == nil || ctx.Err() != nil || fault.Is(err, fault.Conflict) {
			return
		}
		if w.f.r.deps.Clock.Sleep(ctx, min(Backoff(err, attempt), 15*time.Second)) != nil {
			return
		}
	}
}
