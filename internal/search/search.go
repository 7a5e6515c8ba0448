package search

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
)

const op = "search"

// Searcher answers queries. It is safe for concurrent use.
type Searcher struct{ cfg Config }

// New returns a Searcher. Plan, Rebuild and Pool must be set.
func New(cfg Config) (*Searcher, error) {
	if cfg.Plan == nil || cfg.Rebuild == nil || cfg.Pool == nil {
		return nil, fault.New(fault.Internal, "set up search", "Plan, Rebuild and Pool are needed")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.MaxSQLRows <= 0 {
		cfg.MaxSQLRows = 100_000
	}
	if cfg.PageRows <= 0 {
		cfg.PageRows = 20_000
	}
	return &Searcher{cfg: cfg}, nil
}

// Search starts a query. Mistakes in the query are errors of kind fault.Config; a query that runs too long is
// fault.Unavailable, one that needs too much memory fault.Full.
func (s *Searcher) Search(ctx context.Context, req Request) (*Result, error) {
	if req.Limit < 0 {
		return nil, fault.Newf(fault.Config, op, "limit %d: expected 0 (all) or more", req.Limit)
	}
	switch lang := strings.ToLower(req.Lang); lang {
	case "", LQ:
		return s.searchLQ(ctx, req)
	case SQL:
		return s.searchSQL(ctx, req)
	case KQL:
		return nil, fault.New(fault.Config, op, "KQL is not supported by this version").WithHint("use --lang lq or --lang sql")
	default:
		return nil, fault.Newf(fault.Config, op, "unknown language %q: expected lq or sql", req.Lang)
	}
}

// Count returns the number of records that an LQ query matches. Limit and Fields are ignored.
func (s *Searcher) Count(ctx context.Context, req Request) (int64, error) {
	if lang := strings.ToLower(req.Lang); lang != "" && lang != LQ {
		return 0, fault.New(fault.Config, op, "only LQ queries can be counted; in SQL use count(*)")
	}
	p, err := s.prepare(ctx, req)
	if err != nil {
		return 0, err
	}
	session, err := s.cfg.Pool.Open(ctx, p.open())
	if err != nil {
		return 0, err
	}
	defer func() { _ = session.Close() }() //nolint:contextcheck // warms the pool for the next search, beyond this one
	rows, err := session.Query(ctx, worker.Query{SQL: "SELECT count(*) FROM " + query.Ident(p.view) + " WHERE " + p.where, MaxRows: 1})
	if err != nil {
		return 0, err
	}
	var n int64
	for rows.Next() {
		n, _ = rows.Values()[0].(int64)
	}
	return n, rows.Err()
}

// plan is a compiled LQ query with everything that it reads.
type plan struct {
	view    string
	tables  []Table // in the order of wire names; files already narrowed to the query's time
	cat     *query.Catalogue
	where   string
	guard   string // condition of every view: tenants
	notices []query.Notice
	started time.Time
}

var tablesOfAll = []string{"windows_events", "syslog", "alerts"}

// prepare parses, plans and compiles.
func (s *Searcher) prepare(ctx context.Context, req Request) (*plan, error) {
	p := &plan{started: time.Now()}
	var err error
	if p.view, err = query.NormalizeIndex(req.Index); err != nil {
		return nil, err
	}
	q, err := query.Parse(req.Query)
	if err != nil {
		return nil, err
	}
	names := []string{p.view}
	if p.view == query.All {
		names = tablesOfAll
	}
	if p.tables, err = s.tables(ctx, names, req.Since, req.Until); err != nil {
		return nil, err
	}
	p.cat = catalogue(p.tables)
	compiled, err := q.Compile(p.cat, query.Options{
		Now: s.cfg.Clock.Now(), Strict: req.Strict, DefaultOperator: s.cfg.DefaultOperator, CaseSensitive: req.CaseSensitive,
	})
	if err != nil {
		return nil, err
	}
	p.notices = compiled.Notices
	p.where = "(" + compiled.Where + ")"
	if times := timeCondition(req.Since, req.Until); times != "" {
		p.where += " AND " + times
	}
	p.guard = tenantCondition(req.TenantNames)
	for i := range p.tables {
		p.tables[i].Missing = slices.DeleteFunc(slices.Clone(p.tables[i].Missing), func(f File) bool {
			return outside(f, compiled.From, compiled.To)
		})
		p.tables[i].Files = slices.DeleteFunc(slices.Clone(p.tables[i].Files), func(f File) bool {
			return outside(f, compiled.From, compiled.To)
		})
	}
	p.notices = append(p.notices, missingNotices(p.tables)...)
	return p, nil
}

// missingNotices says which tables lack files: an answer that is not whole must not look like one.
func missingNotices(tables []Table) []query.Notice {
	var notices []query.Notice
	for _, t := range tables {
		if len(t.Missing) == 0 {
			continue
		}
		records, first, last := int64(0), t.Missing[0].Day, t.Missing[0].Day
		for _, f := range t.Missing {
			records += f.Records
			if f.Day.Before(first) {
				first = f.Day
			}
			if f.Day.After(last) {
				last = f.Day
			}
		}
		notices = append(notices, query.Notice{Kind: query.Partial, Text: fmt.Sprintf(
			"%d data files of %s with %d records from %s to %s are missing on the disk; sluice verify --repair collects them again",
			len(t.Missing), t.Name, records, first.Format(time.DateOnly), last.Format(time.DateOnly))})
	}
	return notices
}

// tables plans and puts the answer into the order of names, so that every name has a table.
func (s *Searcher) tables(ctx context.Context, names []string, since, until time.Time) ([]Table, error) {
	found, err := s.cfg.Plan(ctx, PlanRequest{Tables: names, From: since, To: until})
	if err != nil {
		return nil, fault.Wrap("", "plan search", err)
	}
	out := make([]Table, len(names))
	for i, n := range names {
		out[i].Name = n
		for _, t := range found {
			if t.Name == n {
				out[i] = t
			}
		}
		out[i].Files = slices.DeleteFunc(slices.Clone(out[i].Files), File.empty)
		if len(out[i].Columns) == 0 {
			out[i].Columns = s.cfg.CoreColumns
		}
	}
	return out, nil
}

// outside reports whether a file cannot hold a record of [from, to).
func outside(f File, from, to time.Time) bool {
	if f.Day.IsZero() {
		return false
	}
	return (!from.IsZero() && !f.Day.AddDate(0, 0, 1).After(from)) || (!to.IsZero() && !f.Day.Before(to))
}

// catalogue joins the columns of the tables as the view all does: a column that they store differently is text.
func catalogue(tables []Table) *query.Catalogue {
	var columns []query.Column
	at := map[string]int{}
	for _, t := range tables {
		for _, c := range t.Columns {
			i, ok := at[c.Name]
			switch {
			case !ok:
				at[c.Name] = len(columns)
				columns = append(columns, c)
			case columns[i].SQLType != c.SQLType:
				columns[i].SQLType, columns[i].Kind = "VARCHAR", query.Text
			case columns[i].Kind != c.Kind:
				columns[i].Kind = query.JSON // text here, JSON text there: JSON text is compared as both
			}
		}
	}
	if _, ok := at["_index"]; !ok {
		columns = append(columns, query.Column{Name: "_index", SQLType: "VARCHAR", Kind: query.Text})
	}
	return query.NewCatalogue(columns)
}

func timeCondition(since, until time.Time) string {
	var parts []string
	if !since.IsZero() {
		parts = append(parts, `"timestamp" >= `+query.TimeLiteral(since))
	}
	if !until.IsZero() {
		parts = append(parts, `"timestamp" < `+query.TimeLiteral(until))
	}
	return strings.Join(parts, " AND ")
}

// tenantCondition is "" for nil, which means every tenant.
func tenantCondition(names []string) string {
	if names == nil {
		return ""
	}
	if len(names) == 0 {
		return "false"
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = query.Literal(n)
	}
	return "tenant_name IN (" + strings.Join(quoted, ", ") + ")"
}

// wireTable is what the child is told of a table. A table without a column that the guard needs shows nothing.
func wireTable(t Table, guard string) wire.Table {
	w := wire.Table{Name: t.Name, Columns: make([]wire.Column, len(t.Columns)), Files: paths(t.Files), Where: guard}
	tenant := false
	for i, c := range t.Columns {
		w.Columns[i] = wire.Column{Name: c.Name, SQLType: c.SQLType, Vendor: c.Vendor}
		tenant = tenant || c.Name == "tenant_name"
	}
	if strings.Contains(guard, "tenant_name") && !tenant {
		w.Where = "false"
	}
	return w
}

func paths(files []File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Path
	}
	return out
}

// open is what the child of the query may see.
func (p *plan) open() wire.OpenBody {
	var body wire.OpenBody
	for _, t := range p.tables {
		body.Tables = append(body.Tables, wireTable(t, p.guard))
	}
	return body
}

// committedAt is the oldest last commit: everything up to then is in the answer.
func committedAt(tables []Table) time.Time {
	var oldest time.Time
	for _, t := range tables {
		if !t.CommittedAt.IsZero() && (oldest.IsZero() || t.CommittedAt.Before(oldest)) {
			oldest = t.CommittedAt
		}
	}
	return oldest
}
