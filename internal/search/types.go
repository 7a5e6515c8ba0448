package search

import (
	"context"
	"iter"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/lake/worker"
	"sluice/internal/query"
)

// The languages of queries.
const (
	LQ  = "lq"
	KQL = "kql"
	SQL = "sql"
)

// File is a data file of the lake.
type File struct {
	Path    string    // absolute
	Day     time.Time // UTC midnight of the day whose records it holds; zero when it holds several
	Records int64
	Bytes   int64
}

// empty reports whether nothing is known to be in the file, as in one that only declares columns. Such a file is not
// read: the views have every column of the table anyway, and a file without a day would keep searches from going
// through the days one by one.
func (f File) empty() bool { return f.Day.IsZero() && f.Records == 0 && f.Bytes == 0 }

// Table is a table of the lake as of one commit.
type Table struct {
	Name        string
	Columns     []query.Column // every column of the table, also those of this package's use: _id, _seq, _shape, ...
	Files       []File
	CommittedAt time.Time // of the last commit; zero for an empty table
	Missing     []File    // files that belong to the table and cannot be read: the answer is without them
}

// PlanRequest asks for the files that can hold records of [From, To). Zero times are open ends.
type PlanRequest struct {
	Tables   []string
	From, To time.Time
}

// Config wires a Searcher.
type Config struct {
	// Plan lists tables with the files to read. The files stay readable for longer than a query may run. A table that
	// does not exist yet is returned without files.
	Plan func(ctx context.Context, req PlanRequest) ([]Table, error)
	// Rebuild returns the vendor's record of one row; get gives the row's columns.
	Rebuild func(get func(column string) (any, bool)) ([]byte, error)
	Pool    *worker.Pool
	// CoreColumns are the columns of a table that Plan returns without any, so that queries on a table that was never
	// written to have no rows instead of unknown columns.
	CoreColumns []query.Column
	Clock       clock.Clock // default: clock.Real
	// DefaultOperator joins clauses that stand side by side; default query.Or.
	DefaultOperator query.Operator
	// MaxSQLRows bounds the rows of an SQL query, which the engine holds in memory; default 100,000.
	MaxSQLRows int
	// PageRows is how many rows of an unlimited result the engine holds in memory; default 20,000.
	PageRows int
}

// Request is a query.
type Request struct {
	Query  string
	Index  string // as people write it; "" is all. SQL names its tables itself
	Lang   string // LQ when empty
	Since  time.Time
	Until  time.Time // records with Since <= timestamp < Until; zero times are open ends
	Limit  int       // 0: all
	Fields []string  // columns of the answer, "raw" among them; nil: every column
	Raw    bool      // Row.Raw will be asked for, also when Fields are given
	Strict bool      // unknown fields are errors; contradictions keep their boolean meaning

	CaseSensitive bool
	TenantNames   []string // only records of these tenants; nil: of all
}

// Column is a column of a result.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // of DuckDB
}

// Stats says what an answer cost and how fresh it is. Elapsed and Truncated are final once the rows were read, and so are
// the notices of the result.
type Stats struct {
	Files       int           `json:"files"` // that were read
	Bytes       int64         `json:"bytes"` // size of these files
	Elapsed     time.Duration `json:"elapsed"`
	Truncated   bool          `json:"truncated"`    // the limit was reached and there may be more
	CommittedAt time.Time     `json:"committed_at"` // the oldest of the tables' last commits
}

// Result is an answer whose rows are read while the query runs. Close it.
type Result struct {
	Columns []Column
	Notices []query.Notice
	Stats   Stats

	rows  iter.Seq2[Row, error]
	close func() error
}

// Rows yields the rows once. An error is the last thing that it yields. Leaving the loop early is fine.
func (r *Result) Rows() iter.Seq2[Row, error] { return r.rows }

// Close frees the query child. It may be called more than once.
func (r *Result) Close() error { return r.close() }

// Row is a row of a result. It is valid until the next one is asked for.
type Row struct {
	// Values are in the order of Result.Columns: nil, bool, int64, float64, string, time.Time, json.RawMessage or
	// json.Number. Rows of LQ have times as int64 Unix milliseconds, as in record/1.
	Values []any

	columns []Column
	raw     func() ([]byte, error)
}

// Map returns the values that are not nil by their names.
func (r Row) Map() map[string]any {
	m := make(map[string]any, len(r.Values))
	for i, v := range r.Values {
		if v != nil {
			m[r.columns[i].Name] = v
		}
	}
	return m
}

// Raw returns the record as the vendor sent it, byte for byte. It is an error of kind fault.Config for rows of SQL, and
// when Fields were given without Request.Raw.
func (r Row) Raw() ([]byte, error) {
	if r.raw == nil {
		return nil, fault.New(fault.Config, "rebuild record", "this result does not carry the records")
	}
	return r.raw()
}
