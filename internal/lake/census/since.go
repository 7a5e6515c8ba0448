package census

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/worker"
	"sluice/internal/query"
	"sluice/internal/record"
)

// Row is a record with its place.
type Row struct {
	ID    string // empty for what never had one
	Index record.Index
	Unit  record.UnitID // zero when the row names none
	Batch int64
	Seq   int64
	Raw   []byte // byte for byte as it came; the receiver owns it

	TenantName string
}

// Since yields the records of all tables with _seq > seq, in ascending order of _seq, as of one moment. It ends where
// the first table ends: continuing later with the last _seq that it yielded, or with that of the position, leaves
// nothing out. An error is the last thing that it yields; a table with missing files is one of kind fault.Gone after
// all that is there. It holds a page of records in memory (Config.PageRows) and reads, for each page, the files whose
// bounds of _seq meet it, so it is cheap for what is new, and slow for a whole lake of large compacted files.
func (c *Census) Since(ctx context.Context, seq int64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		more, err := c.since(ctx, seq, yield)
		if err != nil && more {
			yield(Row{}, err)
		}
	}
}

// since does so. more is false when the reader left.
func (c *Census) since(ctx context.Context, seq int64, yield func(Row, error) bool) (more bool, err error) {
	m, err := c.pin(ctx, lake.PlanRequest{AfterSeq: max(seq, 0)})
	if err != nil {
		return true, err
	}
	p := newPager(m, seq, c.cfg.PageRows)
	if len(p.left) > 0 {
		s, err := m.open(ctx, c.cfg.Pool, true)
		if err != nil {
			return true, err
		}
		defer func() { _ = s.Close() }() //nolint:contextcheck // warms the pool for the next question, beyond this one
		for !p.done() {
			rows, err := p.next(ctx, s)
			if err != nil {
				return true, err
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return false, nil
				}
			}
		}
	}
	if m.missing > 0 {
		return true, fault.Newf(fault.Gone, "read the lake in order", "%d files are missing, their records were left out", m.missing)
	}
	return true, nil
}

// pager walks through the rows in the order of _seq.
type pager struct {
	m      *moment
	page   int
	after  int64       // everything up to here was yielded
	end    int64       // nothing from here on is yielded
	left   []lake.File // that can hold more, by MinSeq
	window int         // how many of them are read for a page
	rows   []builder   // of each table
}

func newPager(m *moment, after int64, page int) *pager {
	p := &pager{m: m, page: page, after: after, end: m.beyond(), window: 1}
	for _, t := range m.tables {
		p.left = append(p.left, t.Files...)
		p.rows = append(p.rows, *newBuilder(t, lake.ColSeq, lake.ColBatch, lake.ColID, lake.ColUnit, lake.ColTenantName))
	}
	slices.SortFunc(p.left, func(a, b lake.File) int { return cmp.Or(cmp.Compare(a.MinSeq, b.MinSeq), cmp.Compare(a.Path, b.Path)) })
	p.drop()
	return p
}

// drop forgets the files that are read to their end.
func (p *pager) drop() {
	p.left = slices.DeleteFunc(p.left, func(f lake.File) bool { return f.MaxSeq <= p.after || f.MinSeq >= p.end })
}

func (p *pager) done() bool { return len(p.left) == 0 || p.after >= p.end-1 }

// next reads the next page. It may be empty although there is more.
func (p *pager) next(ctx context.Context, s *worker.Session) ([]Row, error) {
	n, upTo := p.choose()
	chosen := make(map[string]bool, n)
	for _, f := range p.left[:n] {
		chosen[f.Path] = true
	}
	keep := func(_ int, f *lake.File) bool { return chosen[f.Path] }
	var count int64
	last := upTo
	sql := fmt.Sprintf("SELECT count(*), max(_seq) FROM (SELECT _seq FROM %s WHERE _seq > %d AND _seq <= %d ORDER BY _seq LIMIT %d)",
		p.m.union(lake.ColSeq), p.after, upTo, p.page)
	err := ask(ctx, s, worker.Query{SQL: sql, Files: p.m.files(keysPrefix, keep), MaxRows: 1}, func(row []any) error {
		if count = long(row[0]); count == int64(p.page) {
			last = long(row[1])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	if count > 0 {
		if rows, err = p.read(ctx, s, last, p.m.files(rowsPrefix, keep)); err != nil {
			return nil, err
		}
	}
	before := len(p.left)
	p.after = last
	p.drop()
	p.window = max(1, n-(before-len(p.left)))
	if count < int64(p.page)/2 { // the files overlap so much that few of their rows come before the next file
		p.window = 2 * n
	}
	return rows, nil
}

// choose returns how many of the files to read and up to which _seq they have all rows: where the first of the others
// begins.
func (p *pager) choose() (n int, upTo int64) {
	n = min(p.window, len(p.left))
	rows := int64(0)
	for _, f := range p.left[:n] {
		rows += f.Records
	}
	for n < len(p.left) && (rows < int64(p.page) || p.left[n].MinSeq-1 <= p.after) {
		rows += p.left[n].Records
		n++
	}
	if n == len(p.left) {
		return n, p.end - 1
	}
	return n, min(p.left[n].MinSeq-1, p.end-1)
}

// read reads the records of a page from all tables and puts them in order.
func (p *pager) read(ctx context.Context, s *worker.Session, last int64, files map[string][]string) ([]Row, error) {
	var out []Row
	limit := 2 * int64(p.page) // a row that is in the lake twice is yielded twice
	for i, t := range p.m.tables {
		if len(files[rowsPrefix+string(t.Index)]) == 0 {
			continue
		}
		b := &p.rows[i]
		got := int64(0)
		sql := fmt.Sprintf("%s WHERE _seq > %d AND _seq <= %d", b.sql, p.after, last)
		err := ask(ctx, s, worker.Query{SQL: sql, Files: files, MaxRows: limit}, func(row []any) error {
			got++
			r, err := b.row(t.Index, row)
			out = append(out, r)
			return err
		})
		if err == nil && got == limit {
			err = fault.Newf(fault.Internal, "read the lake in order", "table %s has %d rows where %d are expected", t.Index, got, p.page)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b Row) int { return cmp.Compare(a.Seq, b.Seq) })
	return out, nil
}

// builder rebuilds records from rows of one table.
type builder struct {
	sql     string // the query, without its condition
	seq     int    // position of the first key; what records are rebuilt from comes before
	rebuild *lake.Rebuilder
}

func newBuilder(t lake.TablePlan, keys ...string) *builder {
	need := lake.RawColumns(names(t.Columns))
	sql := "SELECT " + identList(slices.Concat(need, keys)) + " FROM " + query.Ident(rowsPrefix+string(t.Index))
	return &builder{sql: sql, seq: len(need), rebuild: lake.NewRebuilder(need)}
}

// row makes a Row of _seq, _batch, _id, _unit and tenant_name.
func (b *builder) row(index record.Index, row []any) (Row, error) {
	keys := row[b.seq:]
	r := Row{Index: index, Seq: long(keys[0]), Batch: long(keys[1]), ID: text(keys[2]), TenantName: text(keys[4])}
	r.Unit, _ = record.ParseUnitID(text(keys[3]))
	var err error
	r.Raw, err = b.rebuild.Append(nil, row[:b.seq])
	return r, fault.Wrap("", "record "+r.ID, err)
}
