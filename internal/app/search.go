package app

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/lake/worker"
	"sluice/internal/normalize"
	"sluice/internal/query"
	"sluice/internal/record"
	"sluice/internal/search"
	"sluice/internal/state"
)

// censusTimeout bounds one question of the collector to the lake. They have a pool of their own, so that searches and they
// do not wait for each other.
const censusTimeout = 10 * time.Minute

// openSearch makes the query children and what compiles queries for them.
func (a *application) openSearch() error {
	temp, err := a.dir.sub("tmp")
	if err != nil {
		return err
	}
	pool, err := worker.New(worker.Config{TempDir: temp, Logger: a.log})
	if err != nil {
		return err
	}
	a.onClose(func() { _ = pool.Close() })
	pool.Warm()
	own, err := worker.New(worker.Config{TempDir: temp, Logger: a.log, Max: 1, Timeout: censusTimeout})
	if err != nil {
		return err
	}
	a.onClose(func() { _ = own.Close() })
	if a.svc.census, err = census.New(census.Config{Plan: a.svc.lake.Plan, Pool: own}); err != nil {
		return err
	}
	a.svc.searcher, err = search.New(search.Config{Plan: a.svc.planSearch, Rebuild: lake.Rebuild, Pool: pool, Clock: a.Clock, CoreColumns: queryColumns(a.svc.lake.Columns(record.WindowsEvents))})
	return err
}

// planSearch tells the searcher which files and columns the tables have.
func (s *service) planSearch(ctx context.Context, r search.PlanRequest) ([]search.Table, error) {
	request := lake.PlanRequest{From: r.From, To: r.To}
	for _, name := range r.Tables {
		request.Index = append(request.Index, record.Index(name))
	}
	plan, err := s.lake.Plan(ctx, request)
	if err != nil {
		return nil, err
	}
	out := make([]search.Table, 0, len(plan.Tables))
	for _, t := range plan.Tables {
		table := search.Table{Name: string(t.Index), CommittedAt: plan.CommittedAt}
		table.Columns = queryColumns(t.Columns)
		for _, f := range t.Files {
			table.Files = append(table.Files, search.File{Path: f.Path, Day: f.Day, Records: f.Records, Bytes: f.Bytes})
		}
		for _, f := range t.Missing {
			table.Missing = append(table.Missing, search.File{Path: f.Path, Day: f.Day, Records: f.Records, Bytes: f.Bytes})
		}
		out = append(out, table)
	}
	return out, nil
}

// Search implements api.Searcher.
func (s *service) Search(ctx context.Context, r api.SearchRequest) iter.Seq2[api.Frame, error] {
	return func(yield func(api.Frame, error) bool) {
		started := time.Now()
		raw := r.Raw && r.Lang == api.LQ
		request := search.Request{
			Query: r.Query, Index: r.Index, Lang: string(r.Lang), Since: r.Since, Until: r.Until, Limit: r.Limit,
			Fields: r.Fields, Raw: raw, Strict: r.Strict,
		}
		if raw {
			request.Fields = []string{"_id"}
		}
		result, err := s.searcher.Search(ctx, request)
		if err != nil {
			yield(api.Frame{}, err)
			return
		}
		defer func() { _ = result.Close() }()
		render, err := s.renderer(r, raw, result)
		if err != nil {
			yield(api.Frame{}, err)
			return
		}
		if !r.Raw && !yield(api.Frame{Columns: columnViews(result.Columns)}, nil) {
			return
		}
		rows := int64(0)
		for row, err := range result.Rows() {
			if err != nil {
				yield(api.Frame{}, err)
				return
			}
			frame, err := render(row)
			if !yield(frame, err) || err != nil {
				return
			}
			rows++
		}
		end := &api.End{
			Fresh: api.Freshness{CommittedAt: timeOrNil(result.Stats.CommittedAt), PendingRecords: s.pendingRecords(ctx)},
			Stats: api.Stats{Rows: rows, More: result.Stats.Truncated, ElapsedMS: time.Since(started).Milliseconds()},
		}
		tell(end, result.Notices)
		yield(api.Frame{End: end}, nil)
	}
}

// tell puts notices into the end of an answer.
func tell(end *api.End, notices []query.Notice) {
	var lacks []string
	for _, n := range notices {
		if n.Kind == query.Partial {
			lacks = append(lacks, n.String())
			continue
		}
		end.Notices = append(end.Notices, n.String())
	}
	end.Partial = strings.Join(lacks, "; ")
}

// pendingRecords counts collected records that a search cannot see yet.
func (s *service) pendingRecords(ctx context.Context) int64 {
	n, err := s.state.UnsettledRecords(ctx, state.Position{Seq: s.writer.Committed().Seq})
	if err != nil {
		s.log.Warn("count records that cannot be searched yet", "error", err.Error())
		return int64(s.writer.Health().Waiting)
	}
	return n
}

// renderer returns what turns a row into a frame: the raw record, the record as record/1, or the chosen columns.
func (s *service) renderer(r api.SearchRequest, raw bool, result *search.Result) (func(search.Row) (api.Frame, error), error) {
	switch {
	case raw:
		return func(row search.Row) (api.Frame, error) {
			b, err := row.Raw()
			return api.Frame{Raw: b}, err
		}, nil
	case r.Raw: // SQL that selects the column raw
		at := slices.IndexFunc(result.Columns, func(c search.Column) bool { return strings.EqualFold(c.Name, "raw") })
		if at < 0 {
			return nil, fault.New(fault.Config, "search", "this SQL query does not select the column raw").WithHint("select raw, or leave out --raw")
		}
		return func(row search.Row) (api.Frame, error) {
			text, _ := row.Values[at].(string)
			return api.Frame{Raw: []byte(text)}, nil
		}, nil
	case len(r.Fields) > 0 || r.Lang == api.SQL:
		return func(row search.Row) (api.Frame, error) {
			b, err := appendColumns(nil, result.Columns, row.Values)
			return api.Frame{Row: b}, err
		}, nil
	}
	builder := newRecordBuilder(result.Columns)
	return builder.frame, nil
}

// appendColumns renders chosen columns as one flat object; absent values are left out.
func appendColumns(dst []byte, columns []search.Column, values []any) ([]byte, error) {
	dst = append(dst, '{')
	empty := len(dst)
	for i, v := range values {
		if v == nil {
			continue
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			v = strconv.FormatFloat(f, 'g', -1, 64)
		}
		if t, ok := v.(time.Time); ok { // json refuses years of five digits
			v = t.Format(time.RFC3339Nano)
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		name, err := json.Marshal(columns[i].Name)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "render column "+columns[i].Name, err)
		}
		dst = append(append(append(dst, name...), ':'), text...)
	}
	return append(dst, '}'), nil
}

// recordBuilder turns rows with all columns into record/1.
type recordBuilder struct {
	core                                     []int // normalize.ColumnID by position, -1 for others
	id, index, written, seq, unit, batch, at int
	reason, offset                           int // quarantine
	row                                      *normalize.Row
	buffer                                   []byte
}

func newRecordBuilder(columns []search.Column) *recordBuilder {
	b := &recordBuilder{core: make([]int, len(columns)), row: normalize.NewRow()}
	for i, c := range columns {
		b.core[i] = -1
		if id, ok := normalize.ColumnByName(c.Name); ok {
			b.core[i] = int(id)
		}
	}
	find := func(name string) int {
		return slices.IndexFunc(columns, func(c search.Column) bool { return c.Name == name })
	}
	b.id, b.index, b.written = find("_id"), find("_index"), find("write_time")
	b.seq, b.unit, b.batch, b.at = find("_seq"), find("_unit"), find("_batch"), find("connector.type")
	b.reason, b.offset = find("reason"), find("offset")
	return b
}

func (b *recordBuilder) frame(row search.Row) (api.Frame, error) {
	b.row.Reset()
	for i, v := range row.Values {
		if b.core[i] < 0 {
			continue
		}
		id := normalize.ColumnID(b.core[i])
		switch v := v.(type) {
		case string:
			b.row.SetText(id, v)
		case json.RawMessage:
			b.row.SetText(id, string(v))
		case int64:
			b.row.SetLong(id, v)
		}
	}
	raw, err := row.Raw()
	if err != nil {
		return api.Frame{}, err
	}
	text := func(at int) string {
		if at < 0 {
			return ""
		}
		s, _ := row.Values[at].(string)
		return s
	}
	long := func(at int) int64 {
		if at < 0 {
			return 0
		}
		n, _ := row.Values[at].(int64)
		return n
	}
	meta := normalize.Meta{
		ID: text(b.id), Index: record.Index(text(b.index)), WriteTime: long(b.written), Seq: long(b.seq), Unit: text(b.unit), Batch: long(b.batch),
		Reason: text(b.reason), Offset: long(b.offset),
	}
	b.buffer = normalize.AppendRecord(b.buffer[:0], b.row, meta, normalize.VendorKey(text(b.at)), raw)
	return api.Frame{Row: b.buffer}, nil
}

func columnViews(columns []search.Column) []api.Column {
	out := make([]api.Column, 0, len(columns))
	for _, c := range columns {
		t := api.TextColumn
		switch {
		case strings.HasPrefix(c.Type, "TIMESTAMP"), c.Type == "DATE":
			t = api.TimeColumn
		case strings.HasSuffix(c.Type, "INT"), c.Type == "INTEGER":
			t = api.LongColumn
		case c.Type == "DOUBLE", c.Type == "FLOAT", strings.HasPrefix(c.Type, "DECIMAL"):
			t = api.RealColumn
		case c.Type == "BOOLEAN":
			t = api.BoolColumn
		case c.Type == "JSON", strings.HasSuffix(c.Type, "[]"), strings.HasPrefix(c.Type, "STRUCT"), strings.HasPrefix(c.Type, "MAP"):
			t = api.JSONColumn
		}
		out = append(out, api.Column{Name: c.Name, Type: t})
	}
	return out
}

func queryColumns(columns []lake.ColumnInfo) []query.Column {
	out := make([]query.Column, 0, len(columns))
	for _, c := range columns {
		out = append(out, query.Column{Name: c.Name, SQLType: c.SQLType, Kind: queryKind(c.Kind), Vendor: c.Vendor})
	}
	return out
}

// queryKind is how the query languages compare a column of the lake.
func queryKind(k lake.Kind) query.Kind {
	switch k {
	case lake.Long:
		return query.Long
	case lake.Bool:
		return query.Bool
	case lake.JSON:
		return query.JSON
	case lake.Time:
		return query.Time
	case lake.Text:
	}
	return query.Text
}
