package app

import (
	"context"
	"iter"
	"sync"

	"sluice/internal/collect"
	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/record"
)

// lakeAnswers is the lake as the collector asks it. Questions that come while another is answered are asked together: a
// question costs a query child and a look into every file of some days, however few ids it names.
type lakeAnswers struct {
	s *service

	mu      sync.Mutex
	waiting []*presence
	asking  bool
}

// presence is one call of Present that waits for its answer.
type presence struct {
	asks   []collect.Ask
	done   chan struct{}
	answer map[string]collect.Held // of all that were asked together
	err    error
}

// maxAsks is about how many ids are asked for together.
const maxAsks = 20_000

var _ collect.Lake = (*lakeAnswers)(nil)

// Committed implements collect.Lake.
func (l *lakeAnswers) Committed(ctx context.Context, seq uint64) error {
	return l.s.writer.Flush(ctx, seq)
}

// Present implements collect.Lake.
func (l *lakeAnswers) Present(ctx context.Context, asks []collect.Ask) (map[string]collect.Held, error) {
	p := &presence{asks: asks, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, p)
	lead := !l.asking
	l.asking = true
	l.mu.Unlock()
	if lead {
		l.s.background.Go(l.askAll)
	}
	select {
	case <-p.done:
		return p.answer, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// askAll answers until nobody waits.
func (l *lakeAnswers) askAll() {
	for {
		l.mu.Lock()
		n, ids := 0, 0
		for n < len(l.waiting) && (n == 0 || ids+len(l.waiting[n].asks) <= maxAsks) {
			ids += len(l.waiting[n].asks)
			n++
		}
		together := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		l.asking = n > 0
		l.mu.Unlock()
		if n == 0 {
			return
		}
		asks := make([]collect.Ask, 0, ids)
		for _, p := range together {
			asks = append(asks, p.asks...)
		}
		answer, err := l.ask(l.s.life, asks)
		for _, p := range together {
			p.answer, p.err = answer, err
			close(p.done)
		}
	}
}

func (l *lakeAnswers) ask(ctx context.Context, asks []collect.Ask) (map[string]collect.Held, error) {
	list := make([]census.Ask, len(asks))
	for i, a := range asks {
		list[i] = census.Ask{ID: a.ID, EventSecond: a.Second}
	}
	presence, err := l.s.census.Present(ctx, list)
	if err != nil {
		return nil, err
	}
	if presence.Missing > 0 { // what they hold would land a second time
		return nil, fault.Newf(fault.Unavailable, "ask the lake", "%d data files of those days are not on the disk", presence.Missing).
			WithHint("sluice lake check names them; bring them back, or run sluice verify --repair to give them up")
	}
	held := make(map[string]collect.Held, len(presence.Found))
	for id, f := range presence.Found {
		held[id] = collect.Held{Index: f.Index, Raw: f.Raw, TenantName: f.TenantName, Seq: record.JournalSeq(f.Seq)}
	}
	return held, nil
}

// Origins implements collect.Lake.
func (l *lakeAnswers) Origins(ctx context.Context, units []record.UnitID) (map[record.UnitID]collect.Origin, error) {
	found, err := l.s.census.Origins(ctx, units)
	if err != nil {
		return nil, err
	}
	out := make(map[record.UnitID]collect.Origin, len(found))
	for id, o := range found {
		out[id] = collect.Origin(o)
	}
	return out, nil
}

// Since implements collect.Lake.
func (l *lakeAnswers) Since(ctx context.Context, after uint64) iter.Seq2[collect.Stored, error] {
	return func(yield func(collect.Stored, error) bool) {
		for row, err := range l.s.census.Since(ctx, record.Seq(after, record.MaxBatchRecords-1)) {
			stored := collect.Stored{ID: row.ID, Batch: row.Batch, Held: collect.Held{
				Index: row.Index, Raw: row.Raw, TenantName: row.TenantName, Seq: record.JournalSeq(row.Seq),
			}}
			if !yield(stored, err) || err != nil {
				return
			}
		}
	}
}

// LastSeq implements collect.Lake.
func (l *lakeAnswers) LastSeq(ctx context.Context) (seq uint64, err error) {
	positions, err := l.s.lake.Positions(ctx)
	for _, p := range positions {
		seq = max(seq, p.Seq)
	}
	return seq, err
}

// Erase implements collect.Lake.
func (l *lakeAnswers) Erase(ctx context.Context, tenantName string, through uint64) (rows int64, err error) {
	for _, index := range lake.Indices() {
		erased, err := l.s.lake.Erase(ctx, index, tenantName, through)
		rows += erased.Rows
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}
