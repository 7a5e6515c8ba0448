package collect

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"sluice/internal/journal"
	"sluice/internal/record"
	"sluice/internal/state"
)

// fakeLake holds what the journal of the harness holds, and what it held before the journal was lost, less the records
// that a test takes away.
type fakeLake struct {
	h    *harness
	mu   sync.Mutex
	gone map[string]bool // by id
	kept []lakeRow       // of journals that are no more
	asks int             // records asked for
	cut  state.DropMark  // what retention dropped
	fail error           // ends the next Since behind its last row

	erased map[string]uint64 // up to which sequence, by tenant name
}

type lakeRow struct {
	Stored
	unit    record.BatchUnit
	connect string
}

func (l *fakeLake) Committed(context.Context, uint64) error { return nil }

// keep takes what the journal has now into the lake, so that it survives the loss of the journal.
func (l *fakeLake) keep(ctx context.Context) {
	l.h.t.Helper()
	rows, err := l.journalRows(ctx)
	if err != nil {
		l.h.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, rows...)
}

func (l *fakeLake) lose(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.gone[id] = true
	}
}

func (l *fakeLake) rows(ctx context.Context) ([]lakeRow, error) {
	rows, err := l.journalRows(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.kept)
	for _, r := range rows {
		if !slices.ContainsFunc(l.kept, func(k lakeRow) bool { return k.Seq == r.Seq && k.ID == r.ID }) {
			all = append(all, r)
		}
	}
	// Only the first of an id was taken away: collected again, it is there.
	first := map[string]bool{}
	return slices.DeleteFunc(all, func(r lakeRow) bool {
		taken := l.gone[r.ID] && !first[r.ID]
		first[r.ID] = true
		seq, erased := l.erased[r.TenantName]
		return taken || within(r, l.cut) || erased && r.Seq <= seq
	}), nil
}

func (l *fakeLake) journalRows(ctx context.Context) ([]lakeRow, error) {
	first, last, err := l.h.journal.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := l.h.journal.Read(ctx, first)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	codec, err := journal.NewCodec()
	if err != nil {
		return nil, err
	}
	defer codec.Close()
	var out []lakeRow
	for seq := first; seq <= last; {
		m, err := reader.Next(ctx)
		if err != nil {
			return nil, err
		}
		seq = m.Seq + 1
		if m.Fence {
			continue
		}
		b, err := codec.Decode(m.Data)
		if err != nil {
			continue
		}
		for _, r := range b.Records {
			u := b.Units[r.Unit]
			out = append(out, lakeRow{
				Stored: Stored{ID: r.ID, Batch: m.Number, Held: Held{
					Index: r.Index, Raw: bytes.Clone(r.Raw), Seq: m.Seq, TenantName: b.Connectors[u.Connector].TenantName,
				}},
				unit:    u,
				connect: b.Connectors[u.Connector].ID,
			})
		}
	}
	return out, nil
}

func (l *fakeLake) Present(ctx context.Context, asks []Ask) (map[string]Held, error) {
	wanted := map[string]bool{}
	for _, a := range asks {
		wanted[a.ID] = true
	}
	l.mu.Lock()
	l.asks += len(asks)
	l.mu.Unlock()
	rows, err := l.rows(ctx)
	if err != nil {
		return nil, err
	}
	held := map[string]Held{}
	for _, r := range rows {
		if wanted[r.ID] {
			held[r.ID] = r.Held
		}
	}
	return held, nil
}

func (l *fakeLake) Count(ctx context.Context, _ time.Time, without state.DropMark) (map[record.UnitID]Holding, state.Position, error) {
	rows, err := l.rows(ctx)
	if err != nil {
		return nil, state.Position{}, err
	}
	out := map[record.UnitID]Holding{}
	seen := map[string]bool{}
	for _, r := range rows {
		if within(r, without) {
			continue
		}
		h := out[r.unit.ID]
		h.Rows++
		if key := r.unit.ID.String() + r.ID; !seen[key] {
			seen[key] = true
			h.Distinct++
		}
		if r.Index == record.Quarantine {
			h.Quarantined++
		}
		h.IDSum ^= record.IDHash(r.ID)
		out[r.unit.ID] = h
	}
	_, last, err := l.h.journal.Bounds(ctx)
	return out, state.Position{Stream: l.h.journal.StreamID(), Seq: last}, err
}

func (l *fakeLake) Since(ctx context.Context, after uint64) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		rows, err := l.rows(ctx)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		for _, r := range rows {
			if r.Seq > after && !yield(r.Stored, nil) {
				return
			}
		}
		l.mu.Lock()
		err, l.fail = l.fail, nil
		l.mu.Unlock()
		if err != nil {
			yield(Stored{}, err)
		}
	}
}

func (l *fakeLake) LastSeq(ctx context.Context) (seq uint64, err error) {
	rows, err := l.rows(ctx)
	for _, r := range rows {
		seq = max(seq, r.Seq)
	}
	return seq, err
}

// ids counts how often each id is in the lake.
func (l *fakeLake) ids(ctx context.Context) map[string]int {
	l.h.t.Helper()
	rows, err := l.rows(ctx)
	if err != nil {
		l.h.t.Fatal(err)
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r.ID]++
	}
	return out
}

func (l *fakeLake) Origins(ctx context.Context, units []record.UnitID) (map[record.UnitID]Origin, error) {
	rows, err := l.rows(ctx)
	if err != nil {
		return nil, err
	}
	out := map[record.UnitID]Origin{}
	for _, r := range rows {
		if slices.Contains(units, r.unit.ID) {
			out[r.unit.ID] = Origin{ConnectorID: r.connect, ContentType: r.unit.ContentType, ContentID: r.unit.ContentID, Created: r.unit.Created}
		}
	}
	return out, nil
}

// Erase takes rows away. Those of the journal come back with every look at it, so it remembers the erasure.
func (l *fakeLake) Erase(ctx context.Context, tenantName string, through uint64) (int64, error) {
	rows, err := l.rows(ctx)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, r := range rows {
		if r.TenantName == tenantName && r.Seq <= through {
			n++
		}
	}
	if l.erased == nil {
		l.erased = map[string]uint64{}
	}
	l.erased[tenantName] = through
	return n, nil
}
