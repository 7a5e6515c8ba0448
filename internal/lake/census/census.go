package census

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
	"sluice/internal/record"
)

// Config is what a Census needs. Plan and Pool are required.
type Config struct {
	Plan func(ctx context.Context, req lake.PlanRequest) (*lake.Plan, error) // of the lake
	// Pool runs the queries. A pool of its own keeps long questions from taking the places of searches.
	Pool     *worker.Pool
	StepRows int64 // about how many rows one query of Units or Present reads; 0: 1,000,000
	PageRows int   // how many records Since holds in memory; 0: 10,000
}

// Census asks the lake. It is safe for concurrent use; each call takes one place of the pool while it runs.
type Census struct{ cfg Config }

// New returns a Census.
func New(cfg Config) (*Census, error) {
	if cfg.Plan == nil || cfg.Pool == nil {
		return nil, fault.New(fault.Internal, "set up census", "Plan and Pool are needed")
	}
	if cfg.StepRows <= 0 {
		cfg.StepRows = 1_000_000
	}
	if cfg.PageRows <= 0 {
		cfg.PageRows = 10_000
	}
	return &Census{cfg: cfg}, nil
}

// Tables lists the tables that hold records.
func Tables() []record.Index {
	return []record.Index{record.WindowsEvents, record.Syslog, record.Alerts, record.Quarantine}
}

// moment is a pinned plan and what the answers say about it.
type moment struct {
	tables   []lake.TablePlan // in the order of Tables
	position lake.Position    // the smallest of the tables
	missing  int              // files that are not on the disk
}

// pin makes the plan of a question. The conditions of req hold for all tables.
func (c *Census) pin(ctx context.Context, req lake.PlanRequest) (*moment, error) {
	req.Index = Tables()
	plan, err := c.cfg.Plan(ctx, req)
	if err != nil {
		return nil, fault.Wrap("", "plan census", err)
	}
	m := &moment{tables: plan.Tables, position: lake.Position{Seq: math.MaxUint64}}
	for _, t := range plan.Tables {
		m.missing += len(t.Missing)
		m.position.Seq = min(m.position.Seq, t.Position.Seq)
		switch stream := t.Position.Stream; {
		case stream == "": // nothing was ever committed to it
		case m.position.Stream != "" && m.position.Stream != stream:
			return nil, fault.New(fault.Conflict, "plan census", "the tables belong to different journals").
				WithHint("the positions are being set to a new journal; try again when the lake writer runs")
		default:
			m.position.Stream = stream
		}
	}
	return m, nil
}

// beyond is the smallest _seq that is not covered by the position.
func (m *moment) beyond() int64 {
	if m.position.Seq >= math.MaxInt64/record.MaxBatchRecords-1 {
		return math.MaxInt64
	}
	return record.Seq(m.position.Seq+1, 0)
}

// Views of a table: keys has the columns that questions are about, rows also those that records are rebuilt from.
const (
	keysPrefix = "keys_"
	rowsPrefix = "rows_"
)

var keyColumns = append([]string{lake.ColID, lake.ColTimestamp, lake.ColUnit, lake.ColBatch, lake.ColSeq, lake.ColWriteTime, lake.ColTenantName}, originColumns...)

// open opens a session that may read the pinned files: by keys only, or also whole records.
func (m *moment) open(ctx context.Context, pool *worker.Pool, records bool) (*worker.Session, error) {
	var body wire.OpenBody
	for _, t := range m.tables {
		keys := wire.Table{Name: keysPrefix + string(t.Index), Files: paths(t.Files)}
		rows := wire.Table{Name: rowsPrefix + string(t.Index), Files: keys.Files}
		need := lake.RawColumns(names(t.Columns))
		for _, c := range t.Columns {
			column := wire.Column{Name: c.Name, SQLType: c.SQLType, Vendor: c.Vendor}
			if slices.Contains(keyColumns, c.Name) {
				keys.Columns = append(keys.Columns, column)
				rows.Columns = append(rows.Columns, column)
			}
			if slices.Contains(need, c.Name) {
				rows.Columns = append(rows.Columns, column)
			}
		}
		body.Tables = append(body.Tables, keys)
		if records {
			body.Tables = append(body.Tables, rows)
		}
	}
	return pool.Open(ctx, body)
}

// files restricts a query to some files of each table, by the views with one prefix; the other views are empty.
func (m *moment) files(prefix string, keep func(t int, f *lake.File) bool) map[string][]string {
	out := make(map[string][]string, 2*len(m.tables))
	for i, t := range m.tables {
		out[keysPrefix+string(t.Index)], out[rowsPrefix+string(t.Index)] = []string{}, []string{}
		some := []string{}
		for k := range t.Files {
			if keep(i, &t.Files[k]) {
				some = append(some, t.Files[k].Path)
			}
		}
		out[prefix+string(t.Index)] = some
	}
	return out
}

// union is a subquery over the keys of all tables, with the number of the table as k.
func (m *moment) union(columns ...string) string {
	parts := make([]string, len(m.tables))
	for i, t := range m.tables {
		parts[i] = "SELECT " + strconv.Itoa(i) + " AS k, " + identList(columns) + " FROM " + query.Ident(keysPrefix+string(t.Index))
	}
	return "(" + strings.Join(parts, " UNION ALL ") + ")"
}

func identList(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = query.Ident(c)
	}
	return strings.Join(quoted, ", ")
}

// textList is a subquery that has the texts as its rows. One literal of any size is parsed faster than many.
func textList(texts []string) (string, error) {
	list, err := json.Marshal(texts)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "write query", err)
	}
	return "(SELECT unnest(from_json(" + query.Literal(string(list)) + `, '["VARCHAR"]')))`, nil
}

// step is some days whose files are read by one query, and how often that has to be repeated for a part of the rows
// when one day alone is too large.
type step struct {
	days  map[time.Time]bool
	parts int
}

// steps groups the days of the files, oldest first. Files of the same day stay together, over all tables: a record that
// is there twice has the same event time both times.
func (m *moment) steps(limit int64, wanted func(day time.Time) bool) []step {
	rows := make(map[time.Time]int64)
	for _, t := range m.tables {
		for _, f := range t.Files {
			if wanted == nil || wanted(f.Day) {
				rows[f.Day] += f.Records
			}
		}
	}
	days := make([]time.Time, 0, len(rows))
	for d := range rows {
		days = append(days, d)
	}
	slices.SortFunc(days, time.Time.Compare)
	var out []step
	sum := int64(0)
	for _, d := range days {
		if len(out) == 0 || sum+rows[d] > limit {
			out = append(out, step{days: map[time.Time]bool{}, parts: max(1, int((rows[d]+limit-1)/limit))})
			sum = 0
		}
		out[len(out)-1].days[d] = true
		sum += rows[d]
	}
	return out
}

func (s step) has(_ int, f *lake.File) bool { return s.days[f.Day] }

func paths(files []lake.File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Path
	}
	return out
}

func names(columns []lake.ColumnInfo) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

// ask runs a query and hands over its rows, which are valid during the call.
func ask(ctx context.Context, s *worker.Session, q worker.Query, take func(row []any) error) error {
	rows, err := s.Query(ctx, q)
	if err != nil {
		return fault.Wrap("", "ask the lake", err)
	}
	var bad error
	for rows.Next() {
		if bad == nil {
			bad = take(rows.Values())
		}
	}
	if err := rows.Err(); err != nil {
		return fault.Wrap("", "ask the lake", err)
	}
	return bad
}

// Values of a row.

func text(v any) string {
	s, _ := v.(string)
	return s
}

func long(v any) int64 {
	n, _ := v.(int64)
	return n
}

// bitsOf is an unsigned number of 64 bits: those that fit arrive as int64, others as decimal text.
func bitsOf(v any) (uint64, error) {
	switch n := v.(type) {
	case nil:
		return 0, nil
	case int64:
		return uint64(n), nil // never negative: the column is unsigned
	case json.Number:
		u, err := strconv.ParseUint(n.String(), 10, 64)
		return u, fault.Wrap(fault.Internal, "read checksum", err)
	}
	return 0, fault.Newf(fault.Internal, "read checksum", "it has the type %T", v)
}
