package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"sluice/internal/clock"
	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/normalize"
	"sluice/internal/record"
	"sluice/internal/state"
)

// Subject is the name under which a publisher holds its term.
const Subject = "records"

const (
	groupFor    = 50 * time.Millisecond // how long small fragments wait for company
	batchBytes  = 3 << 20               // raw bytes after which a batch is closed: about 0.7 MB of zstd
	batchLimit  = 30_000                // records per batch, far below record.MaxBatchRecords
	termFor     = 30 * time.Second
	drainFor    = 10 * time.Second
	queueLength = 64

	// defaultMemory is enough for 256 units on their way and ten batches that wait. Where collecting is faster than what
	// is behind it, all of it is in use, and what the garbage collector has to work with is less by as much.
	defaultMemory = 32 << 20
)

// Counts says what became of the records of a fragment or unit. Their sum is the number fetched.
type Counts struct {
	Records, Duplicates, Filtered, Malformed int64
}

func (c *Counts) add(o Counts) {
	c.Records += o.Records
	c.Duplicates += o.Duplicates
	c.Filtered += o.Filtered
	c.Malformed += o.Malformed
}

// tally is what became of a unit.
type tally struct {
	Counts
	byFilter map[string]int64 // Filtered by the filter
	refused  bool             // a part was not claimed: the unit is not complete, whatever its last part says
}

func (t *tally) add(c Counts, byFilter map[string]int64) {
	t.Counts.add(c)
	if t.byFilter == nil && len(byFilter) > 0 {
		t.byFilter = map[string]int64{}
	}
	for name, n := range byFilter {
		t.byFilter[name] += n
	}
}

// fragment is a part of a unit on its way to the journal, usually the whole unit.
type fragment struct {
	connector  *record.Connector
	generation uint32           // of the tenant, with which the claims of items were made
	unit       record.BatchUnit // Connector is set when the batch is frozen
	add        *record.Unit     // the unit is not in the ledger yet (imports)
	items      []prepared
	bytes      int64            // raw
	filtered   map[string]int64 // records that are not in items, by the filter that dropped them
	dropped    int64            // their raw bytes
	complete   bool             // the unit's body ended here, complete and valid
	asked      bool             // the lake was asked for every record of the unit
	look       bool             // of a second look
	lookAt     time.Time        // when the unit is to be looked at again; zero: not
	total      *tally           // of the parts before; only the publisher touches it
	reserved   int64            // of the memory budget; given back when the batch is done
	// done is called once, after the batch was confirmed (nil error) or when it is certain that this process will
	// not confirm it. It must not block.
	done   func(Counts, error)
	counts Counts // filled while freezing
}

// PublisherConfig is what a publisher needs.
type PublisherConfig struct {
	State   *state.Store
	Journal *journal.Journal
	Clock   clock.Clock
	Logger  *slog.Logger
	Metrics *Metrics
	Holder  string // who holds the term, for messages to operators
	Memory  int64  // budget for bytes between response and journal; defaultMemory when 0
	// Lake answers what was committed; nil where nothing is ever healed or pruned (tests).
	Lake Lake
	// Guard is asked before anything is written; an error (fault.Full: the disk is nearly full) makes collecting wait.
	Guard func() error
}

// Publisher is the one writer of the journal. Fragments of all connectors meet here.
type Publisher struct {
	cfg     PublisherConfig
	log     *slog.Logger
	queue   chan *fragment
	memory  *semaphore.Weighted
	budget  int64
	ready   chan struct{} // closed when recovery is done and term is set
	stopped chan struct{} // closed when Run returns
	term    state.Term
	// counting is held for reading while ledger and lake are compared, and for writing while Dropping moves rows from one
	// side to the other, or Housekeep moves units to the sums of their hours.
	counting sync.RWMutex
	last     uint64 // sequence of the last message in the journal
	codec    *journal.Codec
	erasures erasures
	orders   chan func() // what runs between two batches, see between

	restored  atomic.Bool
	mu        sync.Mutex
	confirmed uint64 // journal sequence of the newest confirmed batch
	number    int64  // of that batch: every batch up to it is published or void
	problem   error  // why publishing does not get on, nil when it does
}

// NewPublisher returns a publisher that does nothing until Run.
func NewPublisher(cfg PublisherConfig) *Publisher {
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
	}
	return &Publisher{
		cfg: cfg, log: cfg.Logger.With("component", "publisher"), queue: make(chan *fragment, queueLength), orders: make(chan func()),
		memory: semaphore.NewWeighted(cfg.Memory), budget: cfg.Memory,
		ready: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// Ready is closed when the publisher has recovered and accepts fragments.
func (p *Publisher) Ready() <-chan struct{} { return p.ready }

// Confirmed is the journal sequence of the newest batch that was confirmed.
func (p *Publisher) Confirmed() uint64 {
	_, seq := p.settledUpTo()
	return seq
}

// settledUpTo returns a batch number and the journal sequence that holds, at the latest, what exists of the batches up
// to that number.
func (p *Publisher) settledUpTo() (number int64, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number, p.confirmed
}

func (p *Publisher) settled(number int64, seq uint64) {
	p.mu.Lock()
	p.number, p.confirmed = number, seq
	p.mu.Unlock()
}

// Problem tells why collected data does not reach the journal at the moment, nil when it does.
func (p *Publisher) Problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problem
}

func (p *Publisher) setProblem(err error) {
	p.mu.Lock()
	was := p.problem
	p.problem = err
	p.mu.Unlock()
	switch {
	case err != nil && (was == nil || fault.KindOf(was) != fault.KindOf(err)):
		p.log.Warn("collecting waits", "kind", string(fault.KindOf(err)), "error", err.Error(), "hint", fault.HintOf(err))
	case err == nil && was != nil:
		p.log.Info("collecting goes on")
	}
}

// Run acquires the publisher's term, recovers, and publishes until ctx ends; then it publishes what is queued, for at
// most ten seconds. It returns an error when the term is lost or recovery is impossible.
func (p *Publisher) Run(ctx context.Context) error {
	defer func() {
		close(p.stopped)
		p.refuseQueued()
	}()
	codec, err := journal.NewCodec()
	if err != nil {
		return err
	}
	defer codec.Close()
	p.codec = codec
	if err := p.recover(ctx); err != nil {
		return err
	}
	renewCtx, stopRenewing := context.WithCancel(context.WithoutCancel(ctx))
	renewed := make(chan error, 1)
	var renewing sync.WaitGroup
	renewing.Go(func() { renewed <- p.renew(renewCtx) })
	defer func() {
		stopRenewing()
		renewing.Wait()
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = p.cfg.State.ReleaseTerm(release, p.term)
	}()
	close(p.ready)
	// What was begun is finished after ctx ended, within a bound.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainFor, abandon) })()
	return p.loop(ctx, work, renewed)
}

func (p *Publisher) loop(ctx, work context.Context, renewed chan error) error {
	for {
		select {
		case <-ctx.Done():
			return p.drain(work)
		case err := <-renewed:
			return fault.Wrap("", "hold the right to collect", err)
		case f := <-p.queue:
			if err := p.work(work, p.gather(ctx, f)); err != nil {
				return err
			}
		case order := <-p.orders:
			order()
		}
	}
}

// drain publishes what was handed over before the end.
func (p *Publisher) drain(ctx context.Context) error {
	for {
		select {
		case f := <-p.queue:
			if err := p.work(ctx, p.gather(ctx, f)); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (p *Publisher) renew(ctx context.Context) error {
	for p.cfg.Clock.Sleep(ctx, termFor/3) == nil {
		if err := p.cfg.State.RenewTerm(ctx, p.term, termFor); fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return nil
}

// work takes a group of fragments all the way to the journal. It returns an error only when this publisher must stop.
func (p *Publisher) work(ctx context.Context, group []*fragment) error {
	if group = p.refuseErased(group); len(group) == 0 {
		return nil
	}
	batch, err := p.freeze(ctx, group)
	if err != nil {
		p.finish(group, err)
		return stopFor(ctx, err)
	}
	if batch != nil {
		if err := p.publish(ctx, batch); err != nil {
			p.finish(group, err)
			return stopFor(ctx, err)
		}
	}
	p.finish(group, nil)
	return nil
}

// stopFor says whether the publisher can go on after err: not when its right to write is gone.
func stopFor(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, state.ErrAskLake) {
		return nil //nolint:nilerr // what was not finished is settled at the next start, or fetched again
	}
	return err
}

func (p *Publisher) finish(group []*fragment, err error) {
	for _, f := range group {
		p.release(f.reserved)
		f.reserved, f.items = 0, nil
		f.done(f.counts, err)
	}
}

// freeze claims the ids of a group and makes its batch. It returns nil when nothing of the group is new. Trouble of
// the state database is waited out; only a lost term or the end of ctx is an error.
func (p *Publisher) freeze(ctx context.Context, group []*fragment) (*record.Batch, error) {
	for attempt := 1; ; attempt++ {
		var batch *record.Batch
		err := p.guard()
		if err == nil {
			err = p.cfg.State.Step(ctx, p.term, func(s *state.Step) (err error) {
				batch, err = p.claim(s, group)
				return err
			})
		}
		if err == nil {
			p.setProblem(nil)
			failpoint.Hit(failpoint.CollectClaimed)
			return batch, nil
		}
		if err := p.wait(ctx, err, attempt); err != nil {
			return nil, err
		}
	}
}

func (p *Publisher) guard() error {
	if p.cfg.Guard == nil {
		return nil
	}
	return p.cfg.Guard()
}

// wait decides whether a failure on the way to the journal can be waited out, and does so.
func (p *Publisher) wait(ctx context.Context, err error, attempt int) error {
	if ctx.Err() != nil || fault.Is(err, fault.Conflict) || errors.Is(err, state.ErrAskLake) {
		return err
	}
	return p.pause(ctx, err, attempt)
}

// pause shows the problem and waits a while.
func (p *Publisher) pause(ctx context.Context, err error, attempt int) error {
	p.setProblem(err)
	if sleepErr := p.cfg.Clock.Sleep(ctx, min(Backoff(err, attempt), 15*time.Second)); sleepErr != nil {
		return errors.Join(err, sleepErr)
	}
	return nil
}

func (p *Publisher) claim(s *state.Step, group []*fragment) (*record.Batch, error) {
	number, err := s.OpenBatch()
	if err != nil {
		return nil, err
	}
	var claims []state.Claim
	for _, f := range group {
		f.complete = f.complete && (f.total == nil || !f.total.refused)
		if f.add != nil {
			if _, err := s.AddUnits(f.connector.ID, []record.Unit{*f.add}); err != nil {
				return nil, err
			}
		}
		for i := range f.items {
			claims = append(claims, f.items[i].claim)
		}
	}
	results, err := s.Claim(number, claims)
	if err != nil {
		return nil, err
	}
	variants, err := claimVariants(s, number, group, results)
	if err != nil {
		return nil, err
	}
	b := &builder{batch: &record.Batch{Epoch: p.term.Epoch, Number: number}, connectors: map[string]int{}}
	counts := b.build(group, results, variants)
	if err := s.Count(number, counts); err != nil {
		return nil, err
	}
	if err := s.CountFiltered(number, filteredOf(group)); err != nil {
		return nil, err
	}
	if err := scheduleLooks(s, group, p.cfg.Clock.Now()); err != nil {
		return nil, err
	}
	if len(b.batch.Records) == 0 {
		return nil, s.Confirm(number, state.Position{})
	}
	return b.batch, nil
}

// claimVariants claims ids of their own for records whose identity is held with other content (spec/record-schema.md
// section 4). The result maps positions in results to the variant's id; a position that is missing is a duplicate.
func claimVariants(s *state.Step, number int64, group []*fragment, results []state.ClaimResult) (map[int]string, error) {
	var claims []state.Claim
	var at []int
	var ids []string
	i := 0
	for _, f := range group {
		for k := range f.items {
			if results[i] == state.Variant {
				item := &f.items[k]
				id := normalize.VariantID(item.rec.ID, item.content)
				claims = append(claims, state.Claim{
					Second: item.claim.Second, Key: normalize.ClaimKey(f.generation, id), Content: item.claim.Content,
					Lake: item.variantLake, LakeContent: item.claim.Content, SettledBatch: item.claim.SettledBatch,
				})
				at, ids = append(at, i), append(ids, id)
			}
			i++
		}
	}
	if len(claims) == 0 {
		return nil, nil
	}
	answers, err := s.Claim(number, claims)
	if err != nil {
		return nil, err
	}
	landed := map[int]string{}
	for n, answer := range answers {
		switch answer {
		case state.Claimed:
			landed[at[n]] = ids[n]
		case state.Variant:
			return nil, fault.Newf(fault.Internal, "claim ids", "two contents share the variant id %s", ids[n])
		case state.Duplicate:
		}
	}
	return landed, nil
}

// publish writes the frozen batch to the journal and confirms it. The same bytes are sent until the outcome is known.
func (p *Publisher) publish(ctx context.Context, b *record.Batch) error {
	data, err := p.codec.Encode(b)
	if err != nil {
		return err
	}
	if len(data) > journal.MaxPayload {
		return fault.Newf(fault.Internal, "publish", "batch %d has %d bytes, the journal takes %d", b.Number, len(data), journal.MaxPayload)
	}
	failpoint.Hit(failpoint.CollectFrozen)
	var ack journal.Ack
	for attempt := 1; ; attempt++ {
		ack, err = p.cfg.Journal.Publish(ctx, b.Epoch, b.Number, data, p.last)
		if err == nil {
			break
		}
		if err := p.wait(ctx, err, attempt); err != nil {
			return fmt.Errorf("batch %d: %w", b.Number, err)
		}
	}
	failpoint.Hit(failpoint.CollectPublished)
	p.last = ack.Seq
	p.cfg.Metrics.published(len(data), len(b.Records))
	position := state.Position{Stream: p.cfg.Journal.StreamID(), Seq: ack.Seq}
	for attempt := 1; ; attempt++ {
		err := p.cfg.State.Step(ctx, p.term, func(s *state.Step) error { return s.Confirm(b.Number, position) })
		if err == nil {
			p.setProblem(nil)
			failpoint.Hit(failpoint.CollectConfirmed)
			p.settled(b.Number, ack.Seq)
			return nil
		}
		if err := p.wait(ctx, err, attempt); err != nil {
			return err
		}
	}
}
