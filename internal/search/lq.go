package search

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake/worker"
	"sluice/internal/query"
)

// Columns that every LQ query selects besides those of the answer, under names that no field has.
const (
	keyPrefix = "~"
	keyTime   = keyPrefix + "timestamp"
	keyID     = keyPrefix + "_id"
	keySeq    = keyPrefix + "_seq"
)

// rawInternals are the lake's own columns that Rebuild reads, besides the vendor's.
var rawInternals = []string{"_shape", "_style", "_overflow", "_raw"}

func (s *Searcher) searchLQ(ctx context.Context, req Request) (*Result, error) {
	p, err := s.prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	sel, err := p.selection(req)
	if err != nil {
		return nil, err
	}
	session, err := s.cfg.Pool.Open(ctx, p.open())
	if err != nil {
		return nil, err
	}
	res := &Result{
		Columns: sel.columns, Notices: p.notices, Stats: Stats{CommittedAt: committedAt(p.tables)},
		close: sync.OnceValue(session.Close),
	}
	run := &lqRun{searcher: s, plan: p, sel: sel, session: session, res: res, left: req.Limit, limited: req.Limit > 0}
	res.rows = func(yield func(Row, error) bool) {
		defer func() { _ = res.Close() }()
		defer func() { res.Stats.Elapsed = time.Since(p.started) }()
		if err := run.all(ctx, yield); err != nil {
			yield(Row{}, err)
		}
	}
	return res, nil
}

// selection is the list of columns of an LQ query.
type selection struct {
	columns []Column       // of the answer
	sql     []string       // expressions with names; first those of columns, raw excepted
	at      map[string]int // name in the result of the engine -> position
	rawAt   int            // position of raw among columns, -1 without
	hasRaw  bool           // Row.Raw works
}

func (p *plan) selection(req Request) (*selection, error) {
	sel := &selection{at: map[string]int{}, rawAt: -1}
	if req.Fields == nil {
		for _, c := range p.cat.Columns() {
			if !slices.Contains(rawInternals, c.Name) {
				sel.columns = append(sel.columns, Column{c.Name, c.SQLType})
				sel.add(query.Ident(c.Name), c.Name)
			}
		}
	}
	for i, f := range req.Fields {
		if f == "raw" {
			if sel.rawAt >= 0 {
				return nil, fault.New(fault.Config, op, "the field raw is given twice")
			}
			sel.rawAt = i
			sel.columns = append(sel.columns, Column{"raw", "VARCHAR"})
			continue
		}
		expr, typ, err := p.output(f, req.Strict)
		if err != nil {
			return nil, err
		}
		sel.columns = append(sel.columns, Column{f, typ})
		sel.add(expr, f)
	}
	sel.hasRaw = req.Fields == nil || req.Raw || sel.rawAt >= 0
	if sel.hasRaw {
		for _, c := range p.cat.Columns() {
			if c.Vendor || slices.Contains(rawInternals, c.Name) {
				if _, ok := sel.at[c.Name]; !ok || req.Fields != nil {
					sel.add(query.Ident(c.Name), keyPrefix+c.Name)
				}
			}
		}
	}
	sel.add(p.column("timestamp", "TIMESTAMPTZ"), keyTime)
	sel.add(p.column("_id", "VARCHAR"), keyID)
	sel.add(p.column("_seq", "BIGINT"), keySeq)
	return sel, nil
}

// output returns the SQL expression that shows a field, and its type. A vendor's field is unknown until the first record
// that has it is committed, so an unknown one is an empty column with a notice, as it matches nothing in a query.
func (p *plan) output(field string, strict bool) (expr, typ string, err error) {
	expr, typ, ok := p.cat.Output(field)
	if ok {
		return expr, typ, nil
	}
	text := fmt.Sprintf("unknown field %q in the list of fields", field)
	if strict {
		return "", "", fault.New(fault.Config, op, text)
	}
	if !p.noFiles() {
		p.notices = append(p.notices, query.Notice{Kind: query.Hint, Text: text + ": its column is empty"})
	}
	return "CAST(NULL AS VARCHAR)", "VARCHAR", nil
}

// noFiles reports whether the tables hold nothing in the query's time.
func (p *plan) noFiles() bool {
	return !slices.ContainsFunc(p.tables, func(t Table) bool { return len(t.Files) > 0 })
}

func (s *selection) add(expr, name string) {
	s.at[name] = len(s.sql)
	s.sql = append(s.sql, expr+" AS "+query.Ident(name))
}

// column is a column of the catalogue, or NULL where no table has it.
func (p *plan) column(name, sqlType string) string {
	for _, c := range p.cat.Columns() {
		if c.Name == name {
			return query.Ident(name)
		}
	}
	return "CAST(NULL AS " + sqlType + ")"
}

// lqRun reads the result of one LQ query.
type lqRun struct {
	searcher *Searcher
	plan     *plan
	sel      *selection
	session  *worker.Session
	res      *Result
	left     int // rows still wanted, when limited
	limited  bool
	seen     map[string]bool // files counted in Stats
}

// all reads step after step, newest days first. It returns nil when the reader left.
func (r *lqRun) all(ctx context.Context, yield func(Row, error) bool) error {
	r.seen = map[string]bool{}
	steps := r.plan.steps(r.limited, r.searcher.cfg.PageRows)
	for i, files := range steps {
		r.count(files)
		more, err := r.step(ctx, files, yield)
		if err != nil || !more {
			return err
		}
		if r.limited && r.left == 0 {
			r.res.Stats.Truncated = r.res.Stats.Truncated || i < len(steps)-1
			return nil
		}
	}
	return nil
}

// step reads the rows of some files page by page. more is false when the reader left.
func (r *lqRun) step(ctx context.Context, files map[string][]string, yield func(Row, error) bool) (more bool, err error) {
	after := ""
	for {
		page := r.searcher.cfg.PageRows
		if r.limited {
			page = min(page, r.left+1) // one more tells whether the limit cut anything
		}
		rows, err := r.session.Query(ctx, worker.Query{SQL: r.sql(after, page), Files: files, MaxRows: int64(page)})
		if err != nil {
			return false, err
		}
		got := 0
		for rows.Next() {
			got++
			if r.limited && r.left == 0 {
				r.res.Stats.Truncated = true
				continue
			}
			values := rows.Values()
			after = r.cursor(values)
			row, err := r.row(values)
			if err != nil {
				return false, err
			}
			r.left--
			if !yield(row, nil) {
				return false, nil
			}
		}
		if err := rows.Err(); err != nil {
			return false, err
		}
		if got < page || (r.limited && r.left == 0) {
			return true, nil
		}
	}
}

func (r *lqRun) sql(after string, limit int) string {
	where := r.plan.where
	if after != "" {
		where += " AND " + after
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s DESC NULLS LAST, %s, %s LIMIT %d",
		strings.Join(r.sel.sql, ", "), query.Ident(r.plan.view), where,
		query.Ident(keyTime), query.Ident(keyID), query.Ident(keySeq), limit)
}

// cursor is the condition for what comes after a row.
func (r *lqRun) cursor(values []any) string {
	t, hasTime := values[r.sel.at[keyTime]].(time.Time)
	id, _ := values[r.sel.at[keyID]].(string)
	seq, _ := values[r.sel.at[keySeq]].(int64)
	tie := fmt.Sprintf(`("_id" > %[1]s OR ("_id" = %[1]s AND "_seq" > %[2]d))`, query.Literal(id), seq)
	if !hasTime {
		return `("timestamp" IS NULL AND ` + tie + `)`
	}
	at := query.TimeLiteral(t)
	return `("timestamp" < ` + at + ` OR ("timestamp" = ` + at + ` AND ` + tie + `) OR "timestamp" IS NULL)`
}

// row makes the answer's row of one of the engine.
func (r *lqRun) row(values []any) (Row, error) {
	out := Row{Values: make([]any, len(r.sel.columns)), columns: r.sel.columns}
	next := 0
	for i := range r.sel.columns {
		if i == r.sel.rawAt {
			continue
		}
		out.Values[i] = values[next]
		if t, ok := values[next].(time.Time); ok {
			out.Values[i] = t.UnixMilli()
		}
		next++
	}
	if !r.sel.hasRaw {
		return out, nil
	}
	out.raw = func() ([]byte, error) { return r.raw(values) }
	if r.sel.rawAt >= 0 {
		raw, err := r.raw(values)
		if err != nil {
			return out, err
		}
		out.Values[r.sel.rawAt] = string(raw)
	}
	return out, nil
}

func (r *lqRun) raw(values []any) ([]byte, error) {
	return r.searcher.cfg.Rebuild(func(column string) (any, bool) {
		i, ok := r.sel.at[keyPrefix+column]
		if !ok {
			i, ok = r.sel.at[column]
		}
		if !ok || values[i] == nil {
			return nil, false
		}
		return values[i], true
	})
}

// count adds files to the statistics.
func (r *lqRun) count(files map[string][]string) {
	for _, t := range r.plan.tables {
		for _, f := range t.Files {
			if slices.Contains(files[t.Name], f.Path) && !r.seen[f.Path] {
				r.seen[f.Path] = true
				r.res.Stats.Files++
				r.res.Stats.Bytes += f.Bytes
			}
		}
	}
}
