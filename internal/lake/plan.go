package lake

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/record"
)

// PlanRequest asks which files hold the rows of some tables and event times. WrittenFrom and AfterSeq leave out files
// whose statistics say that they hold no such row; a file without these statistics stays in the plan. Whoever asks
// applies the same conditions to the rows.
type PlanRequest struct {
	Index       []record.Index
	From, To    time.Time // From <= timestamp < To; a zero time is an open end
	WrittenFrom time.Time // write_time >= WrittenFrom; zero: all
	AfterSeq    int64     // _seq > AfterSeq; 0: all
}

// Plan is a consistent view of the lake: each table at one snapshot. Its files stay readable for at least
// GracePeriod, whatever is compacted or dropped meanwhile.
type Plan struct {
	Tables      []TablePlan // in the order of the request
	CommittedAt time.Time   // of the newest snapshot among them; zero when nothing was ever committed
}

// TablePlan is the part of a plan for one table.
type TablePlan struct {
	Index   record.Index
	Files   []File       // newest day first
	Missing []File       // files that belong to the plan and are not on the disk: their rows cannot be read
	Columns []ColumnInfo // of the table; a file holds only those of its columns that have a value in it
	// Schema is the path of a Parquet file without rows that has every column. Read together with Files, by name, it
	// gives every column its type, also those that none of the files has.
	Schema   string
	Snapshot int64 // 0 when the table is empty
	Position Position
}

// File is a data file. Rows of the file may lie outside of the requested times.
type File struct {
	Path    string    // absolute
	Day     time.Time // of the event times in it, UTC
	Records int64
	Bytes   int64

	MinSeq, MaxSeq int64 // bounds of _seq in the file; 0 and math.MaxInt64 where they are not known
}

// GracePeriod is how long a file outlives its last reference, at least.
const GracePeriod = time.Hour

// Plan finds the files for a request. It reads manifests, never data: a few milliseconds for thousands of files. A file
// that somebody deleted is reported in Missing instead of failing every query; see Check and Forget.
func (l *Lake) Plan(ctx context.Context, req PlanRequest) (*Plan, error) {
	plan := &Plan{}
	for _, index := range req.Index {
		t, ok := l.tables[index]
		if !ok {
			return nil, fault.Newf(fault.NotFound, "plan", "there is no table %s", index)
		}
		tbl, err := l.current(ctx, t)
		if err != nil {
			return nil, fault.Wrap(fault.Unavailable, "plan", err)
		}
		part, at, err := l.planTable(ctx, tbl, index, req)
		if err != nil {
			return nil, fault.Wrap("", "plan table "+string(index), err)
		}
		plan.Tables = append(plan.Tables, part)
		if at.After(plan.CommittedAt) {
			plan.CommittedAt = at
		}
	}
	return plan, nil
}

// CommittedAt is when the newest snapshot of any table was committed; zero when nothing ever was.
func (l *Lake) CommittedAt(ctx context.Context) (newest time.Time, err error) {
	for _, index := range Indices() {
		tbl, err := l.current(ctx, l.tables[index])
		if err != nil {
			return newest, fault.Wrap(fault.Unavailable, "read table "+string(index), err)
		}
		if s := tbl.CurrentSnapshot(); s != nil && s.TimestampMs > newest.UnixMilli() {
			newest = time.UnixMilli(s.TimestampMs).UTC()
		}
	}
	return newest, nil
}

func (l *Lake) planTable(ctx context.Context, tbl *table.Table, index record.Index, req PlanRequest) (part TablePlan, at time.Time, err error) {
	part = TablePlan{Index: index, Columns: columnInfo(normalize.Columns, tbl.Schema())}
	if part.Position, err = positionOf(tbl); err != nil {
		return part, at, err
	}
	if part.Schema, err = l.schemaFile(tbl); err != nil {
		return part, at, err
	}
	if s := tbl.CurrentSnapshot(); s != nil {
		part.Snapshot, at = s.SnapshotID, time.UnixMilli(s.TimestampMs).UTC()
	}
	tasks, err := tbl.Scan(table.WithRowFilter(req.filter())).PlanFiles(ctx)
	if err != nil {
		return part, at, err
	}
	seen := make(map[string]bool, len(tasks))
	for _, task := range tasks {
		f, err := planned(tbl, task.File)
		if err != nil {
			return part, at, err
		}
		switch {
		case seen[f.Path]:
		case gone(f.Path):
			part.Missing = append(part.Missing, f)
		default:
			part.Files = append(part.Files, f)
		}
		seen[f.Path] = true
	}
	slices.SortFunc(part.Files, newestFirst)
	slices.SortFunc(part.Missing, newestFirst)
	return part, at, nil
}

func newestFirst(a, b File) int { return cmp.Or(b.Day.Compare(a.Day), cmp.Compare(a.Path, b.Path)) }

// gone reports whether there is certainly no such file. A file that cannot be looked at for another reason counts as
// there: the query that needs it says why it fails.
func gone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// planned describes a data file of a table.
func planned(tbl *table.Table, df iceberg.DataFile) (File, error) {
	path, err := localPath(df.FilePath())
	if err != nil {
		return File{}, err
	}
	day, err := dayOfFile(df)
	f := File{Path: path, Day: timeOfDay(day), Records: df.Count(), Bytes: df.FileSizeBytes(), MaxSeq: math.MaxInt64}
	if seq, ok := tbl.Schema().FindFieldByName(ColSeq); ok {
		low, high := df.LowerBoundValues()[seq.ID], df.UpperBoundValues()[seq.ID]
		if len(low) == 8 && len(high) == 8 { // Iceberg writes a long as 8 bytes, little endian
			f.MinSeq, f.MaxSeq = int64(binary.LittleEndian.Uint64(low)), int64(binary.LittleEndian.Uint64(high))
		}
	}
	return f, err
}

// timeOfDay is the beginning of a day since 1970.
func timeOfDay(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

func dayOfFile(df iceberg.DataFile) (int32, error) {
	switch day := df.Partition()[partitionField].(type) {
	case iceberg.Date:
		return int32(day), nil
	case int32:
		return day, nil
	}
	return 0, fmt.Errorf("file %s has no day", df.FilePath())
}

// filter is the condition on the rows that a plan is made for.
func (r *PlanRequest) filter() iceberg.BooleanExpression {
	var expr iceberg.BooleanExpression = iceberg.AlwaysTrue{}
	event := iceberg.Reference(ColTimestamp)
	if !r.From.IsZero() {
		expr = iceberg.NewAnd(expr, iceberg.GreaterThanEqual(event, timestampOf(r.From)))
	}
	if !r.To.IsZero() {
		expr = iceberg.NewAnd(expr, iceberg.LessThan(event, timestampOf(r.To)))
	}
	if !r.WrittenFrom.IsZero() {
		expr = iceberg.NewAnd(expr, iceberg.GreaterThanEqual(iceberg.Reference(ColWriteTime), timestampOf(r.WrittenFrom)))
	}
	if r.AfterSeq > 0 {
		expr = iceberg.NewAnd(expr, iceberg.GreaterThan(iceberg.Reference(ColSeq), r.AfterSeq))
	}
	return expr
}

// timestampOf is t in microseconds, also where time.Time reaches further than they do.
func timestampOf(t time.Time) iceberg.Timestamp {
	const limit = math.MaxInt64 / 1_000_000
	switch s := t.Unix(); {
	case s >= limit:
		return math.MaxInt64
	case s <= -limit:
		return -math.MaxInt64
	}
	return iceberg.Timestamp(t.UnixMicro())
}

// schemaFile returns the path of the file without rows for the table's current schema, making it when needed.
func (l *Lake) schemaFile(tbl *table.Table) (string, error) {
	name := fmt.Sprintf("%s-%s-%d-%d.parquet", tbl.Identifier()[1], tbl.Metadata().TableUUID(), tbl.Schema().ID, tbl.Schema().NumFields())
	l.mu.Lock()
	defer l.mu.Unlock()
	if path, ok := l.schemas[name]; ok {
		return path, nil
	}
	path := filepath.Join(l.cfg.Warehouse, "_schemas", name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := l.writeSchemaFile(path, tbl.Schema()); err != nil {
			if fault.DiskFull(err) {
				err = fault.New(fault.Full, "", "a query needs a little space, and the disk is full").WithCause(err).WithHint("free disk space")
			}
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	l.schemas[name] = path
	return path, nil
}

// writeSchemaFile makes the file under another name first, so that under its own it is complete, also after a power cut.
func (l *Lake) writeSchemaFile(path string, schema *iceberg.Schema) error {
	tmp := path + "." + uuid.NewString() + ".tmp"
	f, err := l.fs.create(tmp)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }() // gone when it was renamed
	var cols []fileColumn
	for slot, f := range schema.Fields() {
		cols = append(cols, fileColumn{slot, columnDef{name: f.Name, kind: storedKind(f), fieldID: f.ID}})
	}
	out := bufio.NewWriter(f)
	fw, err := newParquetFile(out, cols, func(fileColumn) bool { return false })
	if err == nil {
		err = fw.Close()
	}
	if err = errors.Join(err, out.Flush(), f.Close()); err != nil {
		return err
	}
	return l.fs.rename(tmp, path)
}
