package lake

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/apache/iceberg-go/table"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/record"
)

// Entry is one message of the journal. Without a batch and without Bad (a fence) it only moves the position.
type Entry struct {
	Position
	Written time.Time     // when the journal took it
	Batch   *record.Batch // may be kept until the next call of Next
	Bad     error         // the message cannot be decoded: its bytes go to quarantine
	Raw     []byte        // the message's bytes, when Bad
}

// Feed delivers entries in the order of the journal, each sequence once or more, none left out.
type Feed interface {
	// Next blocks until there is an entry or ctx ends. A Feed that has a Close method is closed when it is done with.
	Next(ctx context.Context) (Entry, error)
}

// WriterOptions tunes a Writer. The zero value is fine.
type WriterOptions struct {
	OnCommit     func(Position) // called when Committed moves, so that the journal can be trimmed; must not block long
	FinalTimeout time.Duration  // for the last commit after Run's context ended; 0: 30 s
	MaxBytes     int            // memory of waiting rows after which a commit does not wait; 0: 96 MB

	failPoint func(at failPoint, index record.Index) error // of tests
}

// Health is how a Writer is doing.
type Health struct {
	Committed  Position
	Read       Position  // last entry that was read
	LastCommit time.Time // when all tables last reached what was read; zero before the first time
	LastError  error     // of the latest commit or read; nil when it worked
	Waiting    int       // rows that are not committed yet
}

// Writer moves the journal into the lake, exactly once. Make it with NewWriter, call Run once. The other methods are
// safe for concurrent use.
type Writer struct {
	lake    *Lake
	open    func(ctx context.Context, from uint64) (Feed, error)
	opts    WriterOptions
	parquet *parquetWriter

	flush   chan flushRequest
	waiting []flushRequest // not answered yet; owned by Run
	done    chan struct{}  // closed when Run has returned
	once    sync.Once

	mu     sync.Mutex
	health Health
}

type flushRequest struct {
	seq  uint64
	done chan struct{} // closed when it is committed
}

// NewWriter returns a writer that reads from open, which is called with the first sequence that is wanted: at the
// start, and again after a failure of the feed.
func NewWriter(l *Lake, open func(ctx context.Context, from uint64) (Feed, error), opts WriterOptions) *Writer {
	if opts.FinalTimeout <= 0 {
		opts.FinalTimeout = 30 * time.Second
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 96 << 20
	}
	return &Writer{
		lake: l, open: open, opts: opts, parquet: &parquetWriter{},
		flush: make(chan flushRequest), done: make(chan struct{}),
	}
}

// Committed is the smallest position of all tables: everything up to it is in the lake.
func (w *Writer) Committed() Position { return w.Health().Committed }

// LastError is the error of the latest commit or read, nil when it worked.
func (w *Writer) LastError() error { return w.Health().LastError }

// Health tells how the writer is doing.
func (w *Writer) Health() Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.health
}

// Flush waits until the journal up to atLeast is committed, and commits without waiting for the interval as soon as
// that much was read. It fails when ctx ends or the writer stops.
func (w *Writer) Flush(ctx context.Context, atLeast uint64) error {
	req := flushRequest{seq: atLeast, done: make(chan struct{})}
	stopped := fault.New(fault.Canceled, "flush lake", "the writer has stopped")
	select {
	case w.flush <- req:
	case <-w.done:
		return stopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-req.done:
		return nil
	case <-w.done:
		return stopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run moves entries until ctx ends, then commits what it has read within FinalTimeout and returns nil. Failures of the
// catalog, the disk and the feed are logged, reported by LastError and tried again. What cannot heal by itself ends
// Run: a gap (fault.Gone), another stream than the tables belong to, or a second writer (fault.Conflict).
func (w *Writer) Run(ctx context.Context) error {
	defer w.once.Do(func() { close(w.done) })
	backoff := &backoff{}
	moved := 0
	for {
		before := w.Health().LastCommit
		err := w.session(ctx, backoff)
		if !w.Health().LastCommit.Equal(before) {
			moved = 0 // a commit worked since: whoever moved the tables is not at it all the time
		}
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
			return nil
		case ctx.Err() != nil, fault.Is(err, fault.Gone), fault.Is(err, fault.Conflict):
			w.failed("lake writer stopped", err)
			return err
		case errors.Is(err, errMoved):
			if moved++; moved >= 3 {
				return fault.New(fault.Conflict, "write lake", "somebody else writes to the same tables")
			}
			w.lake.cfg.Logger.Warn("the tables moved, reading again from their positions")
		case err != nil:
			w.failed("lake writer reads again", err)
		}
		if w.lake.cfg.Clock.Sleep(ctx, backoff.next()) != nil {
			return nil
		}
	}
}

// session is one pass: from the positions of the tables until something forces a new start.
type session struct {
	*Writer
	pending *pending
	read    Position // last entry taken
	due     <-chan time.Time
	backoff *backoff
}

func (w *Writer) session(ctx context.Context, backoff *backoff) error {
	s := &session{Writer: w, backoff: backoff}
	from, err := s.start(ctx)
	if err != nil {
		return err
	}
	feedCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed, err := w.open(feedCtx, from+1)
	if err != nil {
		return fault.Wrap("", "open journal", err)
	}
	entries := make(chan fetched)
	taken := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { pump(feedCtx, feed, entries, taken) })
	defer func() {
		cancel()
		reader.Wait()
		if c, ok := feed.(interface{ Close() }); ok {
			c.Close()
		}
	}()
	return s.loop(ctx, entries, taken)
}

// fetched is an entry or the error that ended the feed.
type fetched struct {
	Entry
	err error
}

// pump reads the feed. It asks for the next entry only after the one before was used up.
func pump(ctx context.Context, feed Feed, entries chan<- fetched, taken <-chan struct{}) {
	for {
		e, err := feed.Next(ctx)
		select {
		case entries <- fetched{e, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		select {
		case <-taken:
		case <-ctx.Done():
			return
		}
	}
}

// start loads the tables and returns the smallest position.
func (s *session) start(ctx context.Context) (uint64, error) {
	s.pending = newPending(s.lake.cfg.Normalizer)
	first := true
	for _, index := range Indices() {
		t := s.lake.tables[index]
		t.mu.Lock()
		tbl, err := s.lake.reload(ctx, t)
		t.mu.Unlock()
		if err != nil {
			return 0, fault.Wrap(fault.Unavailable, "load table "+string(index), err)
		}
		pos, err := s.openPending(index, tbl)
		if err != nil {
			return 0, err
		}
		if s.read.Stream == "" {
			s.read.Stream = pos.Stream
		}
		if pos.Stream != "" && pos.Stream != s.read.Stream {
			return 0, fault.New(fault.Conflict, "start lake writer", "the tables belong to different journals").
				WithHint("the lake or the journal was restored from a backup; set the positions again")
		}
		if first || pos.Seq < s.read.Seq {
			s.read.Seq, first = pos.Seq, false
		}
	}
	s.note(func(h *Health) { h.Committed, h.Read, h.Waiting = s.read, s.read, 0 })
	return s.read.Seq, nil
}

func (s *session) openPending(index record.Index, tbl *table.Table) (Position, error) {
	pos, err := positionOf(tbl)
	if err != nil {
		return pos, err
	}
	cols := newColumnSet(normalize.Columns)
	if err := cols.adopt(tbl.Schema()); err != nil {
		return pos, err
	}
	s.pending.open(index, cols, pos)
	return pos, nil
}

// loop takes entries and commits.
func (s *session) loop(ctx context.Context, entries <-chan fetched, taken chan<- struct{}) error {
	for {
		commitNow := false
		select {
		case <-ctx.Done():
			return s.finish(ctx)
		case f := <-entries:
			if f.err != nil {
				return s.feedFailed(ctx, f.err)
			}
			if err := s.take(&f.Entry); err != nil {
				return errors.Join(err, s.finish(ctx))
			}
			select {
			case taken <- struct{}{}:
			case <-ctx.Done():
				return s.finish(ctx)
			}
		case <-s.due:
			commitNow = true
		case f := <-s.flush:
			s.waiting = append(s.waiting, f)
			s.answer()
		}
		if commitNow || s.full() || s.flushDue() {
			if err := s.commit(ctx); err != nil {
				if ctx.Err() != nil {
					return s.finish(ctx)
				}
				return err
			}
		}
	}
}

// take checks that an entry is the next one and shreds it.
func (s *session) take(e *Entry) error {
	if s.read.Stream == "" {
		s.read.Stream = e.Stream
	}
	switch {
	case e.Stream != s.read.Stream:
		return fault.Newf(fault.Conflict, "read journal", "the tables belong to another stream").
			WithHint("the lake or the journal was restored from a backup; set the positions again")
	case e.Seq <= s.read.Seq:
		return nil // delivered again
	case e.Seq != s.read.Seq+1:
		return fault.Newf(fault.Gone, "read journal", "sequence %d is missing, the next one is %d", s.read.Seq+1, e.Seq)
	}
	s.pending.add(e, s.lake.cfg.Clock.Now())
	s.read.Seq = e.Seq
	if s.due == nil {
		s.due = s.lake.cfg.Clock.After(s.lake.cfg.CommitInterval)
	}
	s.note(func(h *Health) { h.Read, h.Waiting = s.read, s.pending.rows() })
	return nil
}

func (s *session) full() bool {
	return s.pending.rows() >= s.lake.cfg.CommitRows || s.pending.bytes() >= s.opts.MaxBytes
}

// flushDue reports whether somebody waits for an entry that was read.
func (s *session) flushDue() bool {
	for _, f := range s.waiting {
		if f.seq <= s.read.Seq {
			return true
		}
	}
	return false
}

// answer tells those who wait for what is committed.
func (s *session) answer() {
	committed := s.Committed().Seq
	keep := s.waiting[:0]
	for _, f := range s.waiting {
		if f.seq <= committed {
			close(f.done)
		} else {
			keep = append(keep, f)
		}
	}
	s.waiting = keep
}

// feedFailed commits what was read and reports why the feed ended.
func (s *session) feedFailed(ctx context.Context, err error) error {
	if cerr := s.finish(ctx); cerr != nil && ctx.Err() == nil {
		return cerr
	}
	return fault.Wrap("", "read journal", err)
}

// finish commits what was read, also when ctx has ended.
func (s *session) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.FinalTimeout)
	defer cancel()
	return s.commit(ctx)
}

// commit brings every table to what was read, trying again until it works, ctx ends or a table moved. A crash between the
// commits of two tables leaves the first one ahead: it stays where it is until the others have caught up, because a
// position that went back would write its rows a second time.
func (s *session) commit(ctx context.Context) error {
	s.due = nil
	for _, index := range Indices() {
		p := s.pending.tables[index]
		if p.has(s.read) {
			continue
		}
		for {
			err := s.commitTable(ctx, p, s.read)
			if err == nil {
				break
			}
			if errors.Is(err, errMoved) {
				return err
			}
			s.failed("commit failed, it is tried again", err)
			if serr := s.lake.cfg.Clock.Sleep(ctx, s.backoff.next()); serr != nil {
				return errors.Join(serr, err)
			}
		}
	}
	s.backoff.reset()
	moved := false
	s.note(func(h *Health) {
		moved = h.Committed != s.read
		h.Committed, h.Waiting, h.LastCommit, h.LastError = s.read, 0, s.lake.cfg.Clock.Now(), nil
	})
	s.answer()
	if moved {
		failpoint.Hit(failpoint.LakeCommitted)
	}
	if moved && s.opts.OnCommit != nil {
		s.opts.OnCommit(s.read)
	}
	return nil
}

func (w *Writer) note(change func(*Health)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.health)
}

// failed reports an error once per text: a catalog that is away for an hour is one line.
func (w *Writer) failed(what string, err error) {
	known := false
	w.note(func(h *Health) {
		known = h.LastError != nil && h.LastError.Error() == err.Error()
		h.LastError = err
	})
	if !known {
		//nolint:sloglint // what is a constant of the caller
		w.lake.cfg.Logger.Error(what, "kind", fault.KindOf(err), "error", err)
	}
}

// backoff grows from 100 ms to 30 s, with jitter.
type backoff struct{ wait time.Duration }

func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, 100*time.Millisecond), 30*time.Second)
	return b.wait/2 + rand.N(b.wait/2) //nolint:gosec // spreads load, guards nothing
}

func (b *backoff) reset() { b.wait = 0 }
