package lake

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// erasure is a condition on rows: those of a tenant that came with messages of the journal below a _seq.
type erasure struct {
	tenantName string
	beyond     int64
}

// rows tells of each row of a buffer whether the condition holds.
func (e *erasure) rows(b *rowBuffer, tenantSlot, seqSlot int) []bool {
	tenants, seqs := b.column(tenantSlot), b.column(seqSlot)
	tenantAt, seqAt := b.positions(tenants, nil), b.positions(seqs, nil)
	held := make([]bool, b.rows)
	for i := range held {
		t, s := tenantAt[i], seqAt[i]
		held[i] = t >= 0 && s >= 0 && seqs.nums[s] < e.beyond && string(b.text(tenants, t)) == e.tenantName
	}
	return held
}

// possible reports whether a file can have such rows, as far as its statistics tell.
func (e *erasure) possible(tbl *table.Table, f iceberg.DataFile) bool {
	if plan, err := planned(tbl, f); err == nil && plan.MinSeq >= e.beyond {
		return false
	}
	tenant, ok := tbl.Schema().FindFieldByName(ColTenantName)
	if !ok {
		return false
	}
	low, hasLow := f.LowerBoundValues()[tenant.ID]
	high, hasHigh := f.UpperBoundValues()[tenant.ID]
	if hasLow && e.tenantName < string(low) {
		return false
	}
	// A bound is cut to some length: what begins with it may be below or above.
	return !hasHigh || e.tenantName <= string(high) || strings.HasPrefix(e.tenantName, string(high))
}

// EraseResult counts what Erase did.
type EraseResult struct {
	Rows  int64
	Files int // that were rewritten or went
}

// Erase removes the rows of a tenant that came with messages of the journal up to through from a table. Files that also hold
// other rows are rewritten, one at a time and with the bounds of Compact; each is a commit of its own, so an interruption
// loses nothing, and a second call finds only what is left. The old files are forgotten by every snapshot and deleted by
// Sweep after GracePeriod, like all others. A file that cannot be read is a fault.Unavailable: what it holds is not known.
// One that is missing has no rows to erase.
func (l *Lake) Erase(ctx context.Context, index record.Index, tenantName string, through uint64) (EraseResult, error) {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	var sum EraseResult
	t, ok := l.tables[index]
	if !ok {
		return sum, fault.Newf(fault.NotFound, "erase tenant", "there is no table %s", index)
	}
	op := "erase tenant from " + string(index)
	tbl, err := l.current(ctx, t)
	if err != nil {
		return sum, fault.Wrap(fault.Unavailable, op, err)
	}
	files, err := dataFilesOf(ctx, tbl)
	if err != nil {
		return sum, fault.Wrap("", op, err)
	}
	e := &erasure{tenantName: tenantName, beyond: record.Seq(through+1, 0)}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		f := files[path]
		if gone(path) || !e.possible(tbl, f) {
			continue
		}
		rows, err := l.eraseFrom(ctx, t, f, e)
		if err != nil {
			return sum, fault.Wrap(commitKind(err), op, err)
		}
		if rows > 0 {
			sum.Rows, sum.Files = sum.Rows+rows, sum.Files+1
		}
	}
	return sum, fault.Wrap("", op, l.forgetSnapshots(ctx, t))
}

// eraseFrom rewrites one file, if it has such rows, and returns how many.
func (l *Lake) eraseFrom(ctx context.Context, t *lakeTable, f iceberg.DataFile, e *erasure) (rows int64, err error) {
	m := &merger{pool: &chunkPool{}, erase: e}
	defer m.close()
	if err := m.open(f); err != nil {
		return 0, unreadableErasure(f, err)
	}
	if rows, err = m.erasable(); err != nil || rows == 0 {
		return 0, unreadableErasure(f, err)
	}
	var with iceberg.DataFile
	if rows < f.Count() {
		day, err := dayOfFile(f)
		if err != nil {
			return 0, err
		}
		tbl := t.cur.Load()
		df, path, err := l.writeFile(tbl, tbl.Schema(), day, func(out *durableFile) (fileMeta, error) { return m.write(ctx, out) })
		defer l.landed([]string{path})
		if err != nil {
			return 0, err
		}
		if df.Count() != f.Count()-rows {
			return 0, fault.Newf(fault.Internal, "erase", "%d rows without %d became %d", f.Count(), rows, df.Count())
		}
		with = df
	}
	done, err := l.replace(ctx, t, []iceberg.DataFile{f}, with)
	if err == nil && !done { // dropped or forgotten meanwhile: compactions wait
		rows = 0
	}
	return rows, err
}

func unreadableErasure(f iceberg.DataFile, err error) error {
	if err == nil {
		return nil
	}
	return fault.Newf(fault.Unavailable, "", "the data file %s cannot be read", f.FilePath()).WithCause(err).
		WithHint("run `sluice lake repair`, which sets it aside; then the erasure goes on")
}

// erasable counts the rows that go.
func (m *merger) erasable() (rows int64, err error) {
	cols, _, err := m.columns()
	if err != nil {
		return 0, err
	}
	const tenant, seq = 0, 1
	keys, err := m.keys(cols, map[string]int{ColTenantName: tenant, ColSeq: seq})
	if err != nil {
		return 0, err
	}
	defer keys.arena.release()
	keys.column(seq)
	for _, goes := range m.erase.rows(keys, tenant, seq) {
		if goes {
			rows++
		}
	}
	return rows, nil
}

// forgetSnapshots expires all snapshots of a table but the newest, so that none keeps files of an erasure.
func (l *Lake) forgetSnapshots(ctx context.Context, t *lakeTable) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return l.expire(ctx, t, 1)
}
