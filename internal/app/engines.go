package app

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"time"

	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/lake"
	"sluice/internal/record"
	"sluice/internal/state"
)

// writerMemory bounds the rows that wait for a commit, in bytes.
const writerMemory = 64 << 20

// openEngines opens state, journal and lake and ties them to each other.
func (a *application) openEngines(ctx context.Context) error {
	s := a.svc
	dsn := a.settings.State.Reveal()
	if dsn == config.StateSQLite {
		dsn = filepath.Join(a.dir.path, "state.db")
	}
	err := a.patiently(ctx, dsn != a.settings.State.Reveal(), func() (err error) {
		s.state, err = state.Open(ctx, dsn, state.Options{Clock: a.Clock, Logger: a.log})
		return err
	})
	if err != nil {
		return err
	}
	a.onClose(func() { _ = s.state.Close() })
	if err := a.openLake(ctx); err != nil {
		return err
	}
	if err := a.openJournal(ctx); err != nil {
		return err
	}
	a.trimmer = &trimmer{a: a, wake: make(chan struct{}, 1)}
	s.writer = lake.NewWriter(s.lake, a.feed, lake.WriterOptions{OnCommit: a.trimmer.committed, MaxBytes: writerMemory})
	return a.openSearch() //nolint:contextcheck // query children outlive the call
}

// startPatience is how long a start waits for servers that do not answer yet: after a power cut all of them start at once.
const startPatience = 2 * time.Minute

// patiently opens what may be on another machine. Trouble of this one is the operator's, who is told at once.
func (a *application) patiently(ctx context.Context, local bool, open func() error) error {
	end := a.Clock.Now().Add(startPatience)
	for attempt := 1; ; attempt++ {
		err := open()
		if err == nil || local || !fault.Is(err, fault.Unavailable) || !a.Clock.Now().Before(end) {
			return err
		}
		if attempt == 1 {
			a.log.Warn("the start waits for a server", "error", err.Error(), "until", end.UTC().Format(time.RFC3339))
		}
		if sleepErr := a.Clock.Sleep(ctx, min(collect.Backoff(err, attempt), startPatience/20)); sleepErr != nil {
			return errors.Join(err, sleepErr)
		}
	}
}

func (a *application) openLake(ctx context.Context) error {
	warehouse, err := a.dir.sub("lake")
	if err != nil {
		return err
	}
	a.svc.lake, err = lake.Open(ctx, lake.Config{
		Warehouse: warehouse, CatalogDB: a.svc.state.CatalogDB(), Dialect: string(a.svc.state.Dialect()), Normalizer: a.svc.normalizer,
		CommitInterval: a.settings.Lake.CommitInterval, Clock: a.Clock, Logger: a.log, OnCommit: newLakeMetrics(a.registry).committed,
	})
	if err != nil {
		return err
	}
	a.onClose(func() { _ = a.svc.lake.Close() })
	// Only the time of the newest commit is wanted, before this process commits: nothing of the files.
	plan, err := a.svc.lake.Plan(ctx, lake.PlanRequest{Index: lake.Indices(), From: a.Clock.Now()})
	if err != nil {
		return err
	}
	a.lakeFrom = plan.CommittedAt
	return nil
}

// openJournal opens the journal and makes sure that it continues what lake and ledger know: a new stream starts above
// every position that was ever recorded, and the lake is tied to it. What a lost or restored journal means for batches
// is settled by the publisher when it starts.
func (a *application) openJournal(ctx context.Context) error {
	s := a.svc
	known, positions, err := a.knownPosition(ctx)
	if err != nil {
		return err
	}
	dir, err := a.dir.sub("journal")
	if err != nil {
		return err
	}
	cfg := journal.Config{Dir: dir, URL: a.settings.Journal.Reveal(), FirstSeq: known + 1, Logger: a.log}
	embedded := cfg.URL == "" || cfg.URL == config.JournalEmbedded
	if embedded {
		if cfg.MaxBytes = a.JournalBytes; cfg.MaxBytes == 0 {
			cfg.MaxBytes = journalBudget(dir, journal.DefaultMaxSize)
		}
	}
	err = a.patiently(ctx, embedded, func() (err error) {
		s.journal, err = journal.Open(ctx, cfg)
		return err
	})
	if err != nil {
		return err
	}
	a.onClose(s.journal.Close)
	if err := a.replaceJournal(ctx, known, positions); err != nil {
		return err
	}
	first, _, err := s.journal.Bounds(ctx)
	if err != nil {
		return err
	}
	joins := false
	for index, p := range positions {
		switch {
		case p.Stream == s.journal.StreamID() && p.Seq+1 >= first:
			continue
		case p.Stream == s.journal.StreamID():
			a.log.Error("the lake is older than the journal: what was between is missing and is looked for by a verification",
				"table", string(index), "lake_at", p.Seq, "journal_from", first)
		}
		joins = true
		a.restored = a.restored || p.Stream != "" || known > 0
	}
	if !joins {
		return nil
	}
	return s.lake.Join(ctx, lake.Position{Stream: s.journal.StreamID(), Seq: first - 1})
}

// replaceJournal makes a new stream when the journal is an older copy: its next messages would get sequences that the
// lake has passed.
func (a *application) replaceJournal(ctx context.Context, known uint64, positions map[record.Index]lake.Position) error {
	s := a.svc
	if s.journal.Created() {
		return nil
	}
	_, last, err := s.journal.Bounds(ctx)
	if err != nil {
		return err
	}
	older := false
	for _, p := range positions {
		older = older || p.Stream != "" && (p.Stream != s.journal.StreamID() || p.Seq > last)
	}
	if !older {
		return nil
	}
	a.log.Error("the journal is older than the lake: it is replaced by a new one; what only the old one had is collected again",
		"journal_at", last, "known", known)
	a.restored = true
	_, err = s.journal.Replace(ctx, known+1)
	return err
}

// knownPosition is the greatest journal sequence that ledger or lake remember.
func (a *application) knownPosition(ctx context.Context) (uint64, map[record.Index]lake.Position, error) {
	confirmed, err := a.svc.state.LastConfirmed(ctx, collect.Subject)
	if err != nil {
		return 0, nil, err
	}
	positions, err := a.svc.lake.Positions(ctx)
	if err != nil {
		return 0, nil, err
	}
	published, err := a.svc.state.Published(ctx)
	if err != nil {
		return 0, nil, err
	}
	known := confirmed.Seq
	for _, b := range published {
		known = max(known, b.Position.Seq)
	}
	for _, p := range positions {
		known = max(known, p.Seq)
	}
	return known, positions, nil
}

// feed opens a reader of the journal for the lake writer.
func (a *application) feed(ctx context.Context, from uint64) (lake.Feed, error) {
	reader, err := a.svc.journal.Read(ctx, from)
	if err != nil {
		return nil, err
	}
	codec, err := journal.NewCodec()
	if err != nil {
		reader.Close()
		return nil, err
	}
	return &journalFeed{reader: reader, codec: codec}, nil
}

// journalFeed decodes messages for the lake writer.
type journalFeed struct {
	reader *journal.Reader
	codec  *journal.Codec
}

// Next implements lake.Feed.
func (f *journalFeed) Next(ctx context.Context) (lake.Entry, error) {
	m, err := f.reader.Next(ctx)
	if err != nil {
		return lake.Entry{}, err
	}
	e := lake.Entry{Position: lake.Position{Stream: m.Stream, Seq: m.Seq}, Written: m.Written}
	if m.Fence {
		return e, nil
	}
	if e.Batch, err = f.codec.Decode(m.Data); err != nil {
		e.Bad, e.Raw = err, m.Data
	}
	return e, nil
}

// Close implements lake.Feed.
func (f *journalFeed) Close() {
	f.reader.Close()
	f.codec.Close()
}

// trimEvery bounds how often the journal is trimmed.
const trimEvery = 10 * time.Second

// trimmer forgets batches that the lake has and removes them from the journal. The lake writer tells it of every commit.
type trimmer struct {
	a      *application
	wake   chan struct{}
	latest atomic.Pointer[lake.Position]
	done   uint64 // trimmed up to here; only run touches it
}

// committed is called by the lake writer and does not block.
func (t *trimmer) committed(p lake.Position) {
	t.latest.Store(&p)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run trims after commits until ctx ends. No commit is forgotten: a journal that is full makes room only here, and without
// room nothing would ever be committed again.
func (t *trimmer) run(ctx context.Context) error {
	if !t.start(ctx) {
		return nil
	}
	for {
		behind := t.once(ctx)
		if t.a.Clock.Sleep(ctx, trimEvery) != nil {
			return nil //nolint:nilerr // the regular end
		}
		if behind {
			continue // the lake is ahead of what is confirmed, or trimming failed
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// start trims until the publisher is ready, which it never is while the journal has no room for its fence. It reports false
// when ctx ended.
func (t *trimmer) start(ctx context.Context) bool {
	for {
		if fault.Is(t.a.svc.publisher.Problem(), fault.Full) {
			if err := t.makeRoom(ctx); err != nil && ctx.Err() == nil {
				t.a.log.Warn("trim journal before the start", "error", err.Error())
			}
		}
		select {
		case <-t.a.svc.publisher.Ready():
			return true
		case <-t.a.Clock.After(trimEvery):
		case <-ctx.Done():
			return false
		}
	}
}

// makeRoom removes from the journal what the lake has and an earlier publisher confirmed. Recovery reads only what is behind
// that, and settles the batches later.
func (t *trimmer) makeRoom(ctx context.Context) error {
	s := t.a.svc
	confirmed, err := s.state.LastConfirmed(ctx, collect.Subject)
	if err != nil {
		return err
	}
	positions, err := s.lake.Positions(ctx)
	if err != nil {
		return err
	}
	upTo := confirmed.Seq
	for _, p := range positions {
		if p.Stream != confirmed.Stream {
			return nil
		}
		upTo = min(upTo, p.Seq)
	}
	if upTo == 0 || confirmed.Stream != s.journal.StreamID() {
		return nil
	}
	return s.journal.Trim(ctx, upTo)
}

// once trims what can be trimmed now, and reports whether more could be later without another commit.
func (t *trimmer) once(ctx context.Context) (behind bool) {
	p := t.latest.Load()
	if p == nil {
		return false
	}
	upTo := min(p.Seq, t.a.svc.publisher.Confirmed())
	if upTo > t.done && t.trim(ctx, state.Position{Stream: p.Stream, Seq: upTo}) {
		t.done = upTo
	}
	return t.done < p.Seq
}

func (t *trimmer) trim(ctx context.Context, p state.Position) bool {
	if err := t.a.svc.publisher.Committed(ctx, p); err != nil {
		if ctx.Err() == nil {
			t.a.log.Warn("settle batches", "error", err.Error())
		}
		return false
	}
	if err := t.a.svc.journal.Trim(ctx, p.Seq); err != nil {
		if ctx.Err() == nil {
			t.a.log.Warn("trim journal", "error", err.Error())
		}
		return false
	}
	return true
}
