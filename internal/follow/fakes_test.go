package follow

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a journal and a lake in memory, and the truth about what was collected.
type world struct {
	t     *testing.T
	codec *journal.Codec

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at every change
	stream    string
	messages  map[uint64]journal.Message
	first     uint64
	last      uint64
	committed uint64
	rows      []Row
	scans     int
	failScan  error // after the first row
	failRead  error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	codec, err := journal.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(codec.Close)
	return &world{t: t, codec: codec, changed: make(chan struct{}), stream: "s1", messages: map[uint64]journal.Message{}, first: 1}
}

func (w *world) source() Source { return Source{Journal: w, Lake: w} }

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// batch is message number seq with n records.
func batch(seq uint64, n int) *record.Batch {
	b := &record.Batch{
		Epoch: "e", Number: int64(seq) * 10, Connectors: []record.Connector{{ID: "c"}},
		Units: []record.BatchUnit{{ID: record.UnitID{byte(seq)}}, {ID: record.UnitID{byte(seq), 2}}},
	}
	for i := range n {
		b.Records = append(b.Records, record.Record{
			ID: fmt.Sprintf("id-%d-%d", seq, i), Index: record.WindowsEvents, Unit: i % 2, Raw: fmt.Appendf(nil, `{"n":"%d-%d"}`, seq, i),
		})
	}
	return b
}

// publish appends a message with n records, a fence when n is negative.
func (w *world) publish(n int) {
	w.change(func() {
		w.last++
		m := journal.Message{Stream: w.stream, Seq: w.last, Written: time.Unix(int64(w.last), 0), Fence: n < 0}
		if n >= 0 {
			b := batch(w.last, n)
			data, err := w.codec.Encode(b)
			if err != nil {
				w.t.Fatal(err)
			}
			m.Data = bytes.Clone(data)
			w.rows = append(w.rows, rows(w.last, b)...)
		}
		w.messages[w.last] = m
	})
}

func (w *world) publishBad() {
	w.change(func() {
		w.last++
		w.messages[w.last] = journal.Message{Stream: w.stream, Seq: w.last, Data: []byte("no batch")}
	})
}

func (w *world) commit(seq uint64) {
	w.change(func() { w.committed = max(w.committed, min(seq, w.last)) })
}

// trim removes messages up to seq from the journal, as the lake allows.
func (w *world) trim(seq uint64) {
	w.change(func() {
		for w.first <= min(seq, w.committed) {
			delete(w.messages, w.first)
			w.first++
		}
	})
}

// replace makes a new, empty journal above everything.
func (w *world) replace() {
	w.change(func() {
		clear(w.messages)
		w.stream += "'"
		w.last += 5
		w.first = w.last + 1
	})
}

func (w *world) Bounds(context.Context) (first, last uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first, w.last, nil
}

func (w *world) Read(_ context.Context, from uint64) (Feed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &worldFeed{w: w, stream: w.stream, next: from}, nil
}

type worldFeed struct {
	w      *world
	stream string
	next   uint64
}

func (f *worldFeed) Next(ctx context.Context) (journal.Message, error) {
	for {
		f.w.mu.Lock()
		m, ok := f.w.messages[f.next]
		gone, err, changed := f.w.stream != f.stream || f.next < f.w.first, f.w.failRead, f.w.changed
		f.w.mu.Unlock()
		switch {
		case err != nil:
			return m, err
		case gone:
			return m, fault.New(fault.Gone, "read journal", "trimmed")
		case ok:
			f.next++
			return m, nil
		}
		select {
		case <-ctx.Done():
			return m, ctx.Err()
		case <-changed:
		}
	}
}

func (f *worldFeed) Close() {}

func (w *world) Committed(context.Context) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.committed, nil
}

// Since yields also a part of what is not committed, as a table does that is ahead of the others.
func (w *world) Since(ctx context.Context, seq int64) iter.Seq2[Row, error] {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []Row
	for _, r := range w.rows {
		at := record.JournalSeq(r.Seq)
		if r.Seq > seq && (at <= w.committed || at == w.committed+1 && r.Seq&1 == 0) {
			list = append(list, r)
		}
	}
	w.scans++
	fail := w.failScan
	return func(yield func(Row, error) bool) {
		for i, r := range list {
			if ctx.Err() != nil {
				yield(Row{}, ctx.Err())
				return
			}
			if i > 0 && fail != nil {
				yield(Row{}, fail)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// truth is every row after sequence pos.
func (w *world) truth(pos uint64) []Row {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.rows, func(r Row) bool { return record.JournalSeq(r.Seq) > pos })
	if i < 0 {
		return nil
	}
	return slices.Clone(w.rows[i:])
}

// collector keeps what a reader gave and checks each entry by itself.
type collector struct {
	t    *testing.T
	r    *Reader
	rows []Row
	lake int // entries that came from the lake
}

func (c *collector) next(ctx context.Context) (Entry, error) {
	before := c.r.Position()
	e, err := c.r.Next(ctx)
	if err != nil {
		return e, err
	}
	if e.Seq <= before || c.r.Position() != e.Seq {
		c.t.Fatalf("entry %d after %d, position %d", e.Seq, before, c.r.Position())
	}
	if e.Lake {
		c.lake++
	}
	for _, row := range e.Rows {
		if record.JournalSeq(row.Seq) != e.Seq {
			c.t.Fatalf("row %d in entry %d", row.Seq, e.Seq)
		}
		row.Raw = bytes.Clone(row.Raw)
		c.rows = append(c.rows, row)
	}
	return e, nil
}

// same compares what was read with the truth.
func (c *collector) same(want []Row) {
	c.t.Helper()
	equal := func(a, b Row) bool {
		return a.ID == b.ID && a.Index == b.Index && a.Unit == b.Unit && a.Batch == b.Batch && a.Seq == b.Seq && bytes.Equal(a.Raw, b.Raw)
	}
	if slices.EqualFunc(c.rows, want, equal) {
		return
	}
	for i := range max(len(c.rows), len(want)) {
		if i >= len(c.rows) || i >= len(want) || !equal(c.rows[i], want[i]) {
			c.t.Fatalf("%d rows, want %d; they differ from row %d on", len(c.rows), len(want), i)
		}
	}
}

func follow(t *testing.T, source Source, after uint64) *collector {
	t.Helper()
	r, err := NewReader(source, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return &collector{t: t, r: r}
}
