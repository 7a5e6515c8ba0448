package lake

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// Problem is what is wrong with a data file.
type Problem string

// The problems of data files.
const (
	Missing   Problem = "missing"  // there is no such file
	WrongSize Problem = "size"     // it is shorter or longer than when it was committed
	BadFooter Problem = "footer"   // its footer cannot be read, or names another number of rows
	BadRows   Problem = "rows"     // its rows cannot be read; only a deep check looks
	damageDir         = "_damaged" // folder of the warehouse for files that Forget took away
)

// BadFile is a data file of which rows are lost.
type BadFile struct {
	File
	Index   record.Index
	Problem Problem
	Detail  string // for people
}

// CheckOptions says what to check. The zero value checks presence, size and footer of the files of all tables.
type CheckOptions struct {
	Index []record.Index // nil: all tables
	Deep  bool           // also read and decode every row; costs what reading the lake costs
}

// CheckResult is what Check found.
type CheckResult struct {
	Files       int // that the tables reference, bad ones included
	Rows, Bytes int64
	Bad         []BadFile
}

// Check looks at every data file that the tables reference and finds those that are missing, have another size than when
// they were committed, or cannot be read. It changes nothing. An error means that the check itself could not be done,
// for example because a manifest cannot be read.
func (l *Lake) Check(ctx context.Context, opts CheckOptions) (CheckResult, error) {
	if opts.Index == nil {
		opts.Index = Indices()
	}
	var sum CheckResult
	plan, err := l.Plan(ctx, PlanRequest{Index: opts.Index})
	if err != nil {
		return sum, err
	}
	scan := &pageReader{}
	for _, t := range plan.Tables {
		var bad []BadFile
		for _, f := range slices.Concat(t.Missing, t.Files) {
			sum.Files, sum.Rows, sum.Bytes = sum.Files+1, sum.Rows+f.Records, sum.Bytes+f.Bytes
			problem, detail, err := examine(ctx, scan, f, opts.Deep)
			if err != nil {
				return sum, err
			}
			if problem != "" {
				bad = append(bad, BadFile{File: f, Index: t.Index, Problem: problem, Detail: detail})
			}
		}
		if len(bad) > 0 { // a long check outlives files: those that were compacted or dropped meanwhile are nobody's loss
			_, live, err := l.liveFiles(ctx, l.tables[t.Index])
			if err != nil {
				return sum, fault.Wrap(fault.Unavailable, "check table "+string(t.Index), err)
			}
			bad = slices.DeleteFunc(bad, func(b BadFile) bool { return live[b.Path] == nil })
		}
		sum.Bad = append(sum.Bad, bad...)
	}
	return sum, nil
}

// examine looks at one file. The error is that of ctx.
func examine(ctx context.Context, scan *pageReader, f File, deep bool) (Problem, string, error) {
	if err := ctx.Err(); err != nil {
		return "", "", err
	}
	stat, err := os.Stat(f.Path)
	switch {
	case os.IsNotExist(err):
		return Missing, "there is no such file", nil
	case err != nil:
		return BadFooter, err.Error(), nil
	case stat.Size() != f.Bytes:
		return WrongSize, fmt.Sprintf("%d bytes, committed were %d", stat.Size(), f.Bytes), nil
	}
	r, err := openParquet(f.Path)
	if err != nil {
		return BadFooter, err.Error(), nil
	}
	defer func() { _ = r.Close() }()
	if n := r.NumRows(); n != f.Records {
		return BadFooter, fmt.Sprintf("%d rows, committed were %d", n, f.Records), nil
	}
	if !deep {
		return "", "", nil
	}
	if err := scan.all(ctx, r); err != nil {
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		return BadRows, err.Error(), nil
	}
	return "", "", nil
}

// openParquet opens a file and reads its footer.
func openParquet(path string) (r *file.Reader, err error) {
	err = guarded(func() (err error) {
		r, err = file.OpenParquetFile(path, false)
		return err
	})
	return r, err
}

// guarded turns a panic of the Parquet library, which damaged bytes can cause, into an error.
func guarded(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged Parquet data: %v", p)
		}
	}()
	return read()
}

// pageReader reads column chunks in batches, with memory that it keeps. It is for one goroutine.
type pageReader struct {
	values []parquet.ByteArray
	nums   []int64
	bools  []bool
	levels []int16
}

const readRows = 4096

// batch reads up to n <= readRows rows of a chunk and returns how many it read; levels tells which of them have a value.
func (p *pageReader) batch(chunk file.ColumnChunkReader, n int) (int, error) {
	if p.levels == nil {
		p.levels, p.values = make([]int16, readRows), make([]parquet.ByteArray, readRows)
		p.nums, p.bools = make([]int64, readRows), make([]bool, readRows)
	}
	var levels int64
	err := guarded(func() (err error) {
		switch r := chunk.(type) {
		case *file.ByteArrayColumnChunkReader:
			levels, _, err = r.ReadBatch(int64(n), p.values, p.levels, nil)
		case *file.Int64ColumnChunkReader:
			levels, _, err = r.ReadBatch(int64(n), p.nums, p.levels, nil)
		case *file.BooleanColumnChunkReader:
			levels, _, err = r.ReadBatch(int64(n), p.bools, p.levels, nil)
		default:
			err = fmt.Errorf("no reader for %T", chunk)
		}
		return err
	})
	if err == nil && levels == 0 {
		err = io.ErrUnexpectedEOF
	}
	return int(levels), err
}

// all reads every value of a file.
func (p *pageReader) all(ctx context.Context, r *file.Reader) error {
	defer clear(p.values)
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		for c := range r.MetaData().Schema.NumColumns() {
			if err := ctx.Err(); err != nil {
				return err
			}
			var chunk file.ColumnChunkReader
			err := guarded(func() (err error) { chunk, err = group.Column(c); return err })
			for left := int(group.NumRows()); err == nil && left > 0; {
				var n int
				n, err = p.batch(chunk, min(left, readRows))
				left -= n
			}
			if err != nil {
				return fmt.Errorf("row group %d, column %s: %w", g, r.MetaData().Schema.Column(c).Name(), err)
			}
		}
	}
	return nil
}

// liveFiles returns the newest state of a table and the files that it references, by path.
func (l *Lake) liveFiles(ctx context.Context, t *lakeTable) (*table.Table, map[string]iceberg.DataFile, error) {
	tbl, err := l.current(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	live, err := dataFilesOf(ctx, tbl)
	return tbl, live, err
}

// dataFilesOf returns the files that a table references, by path.
func dataFilesOf(ctx context.Context, tbl *table.Table) (map[string]iceberg.DataFile, error) {
	tasks, err := tbl.Scan().PlanFiles(ctx)
	if err != nil {
		return nil, err
	}
	live := make(map[string]iceberg.DataFile, len(tasks))
	for _, task := range tasks {
		path, err := localPath(task.File.FilePath())
		if err != nil {
			return nil, err
		}
		live[path] = task.File
	}
	return live, nil
}

// ForgetResult counts what Forget took out of the tables.
type ForgetResult struct {
	Files int
	Rows  int64
	Moved []string // where damaged files are now
}

// Forget takes files that Check found out of their tables, so that queries and compactions no longer trip over them,
// and moves those that still exist to the folder _damaged of the warehouse. The position of the table stays: the journal
// is not read again, so the caller has to collect the lost records anew. Each file is looked at again before; one that
// turns out to be whole, or that no table references any more, is left alone. Writer and Compact may run meanwhile.
func (l *Lake) Forget(ctx context.Context, files []BadFile) (ForgetResult, error) {
	var sum ForgetResult
	scan := &pageReader{}
	byTable := make(map[record.Index][]BadFile)
	for _, f := range files {
		if _, ok := l.tables[f.Index]; !ok {
			return sum, fault.Newf(fault.NotFound, "forget files", "there is no table %s", f.Index)
		}
		problem, _, err := examine(ctx, scan, f.File, f.Problem == BadRows)
		if err != nil {
			return sum, err
		}
		if problem != "" {
			byTable[f.Index] = append(byTable[f.Index], f)
		}
	}
	for _, index := range Indices() {
		if bad := byTable[index]; len(bad) > 0 {
			if err := l.forgetOf(ctx, l.tables[index], bad, &sum); err != nil {
				return sum, fault.Wrap(commitKind(err), "forget files of "+string(index), err)
			}
		}
	}
	return sum, nil
}

// forgetOf takes files out of one table.
func (l *Lake) forgetOf(ctx context.Context, t *lakeTable, bad []BadFile, sum *ForgetResult) error {
	removed, err := l.removeFiles(ctx, t, func(live map[string]iceberg.DataFile) []iceberg.DataFile {
		var files []iceberg.DataFile
		for _, b := range bad {
			if df := live[b.Path]; df != nil {
				files = append(files, df)
				delete(live, b.Path) // named twice
			}
		}
		return files
	})
	if err != nil {
		return err
	}
	for _, df := range removed {
		sum.Files, sum.Rows = sum.Files+1, sum.Rows+df.Count()
		path, err := localPath(df.FilePath())
		if err != nil {
			return err
		}
		l.cfg.Logger.Warn("a data file is missing or damaged, its rows are gone from the lake", "table", t.index, "file", path, "rows", df.Count())
		if to, err := l.setAside(t.index, path); err != nil {
			l.cfg.Logger.Warn("a damaged file was not moved, it is deleted as unused", "file", path, "error", err)
		} else if to != "" {
			sum.Moved = append(sum.Moved, to)
		}
	}
	return nil
}

// removeFiles commits a table without the files that choose picks from the current ones, and returns them. No choice is
// no commit.
func (l *Lake) removeFiles(ctx context.Context, t *lakeTable, choose func(live map[string]iceberg.DataFile) []iceberg.DataFile) ([]iceberg.DataFile, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tbl, err := l.reload(ctx, t)
	if err != nil {
		return nil, err
	}
	live, err := dataFilesOf(ctx, tbl)
	if err != nil {
		return nil, err
	}
	files := choose(live)
	if len(files) == 0 {
		return nil, nil
	}
	err = l.commit(ctx, t, func(_ *table.Table, txn *table.Transaction) error {
		return txn.ReplaceDataFilesWithDataFiles(ctx, files, nil, nil, table.WithoutAutoNameMapping())
	})
	if err != nil {
		_, _ = l.reload(context.WithoutCancel(ctx), t) // whatever the outcome was, it is current now
		return nil, err
	}
	return files, nil
}

// setAside moves a damaged file out of the table's folder, where Sweep would delete it. It returns "" when there is
// nothing to move.
func (l *Lake) setAside(index record.Index, path string) (string, error) {
	if gone(path) {
		return "", nil
	}
	to := filepath.Join(l.cfg.Warehouse, damageDir, string(index), filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path))
	if err := l.fs.mkdirAll(filepath.Dir(to)); err != nil {
		return "", err
	}
	return to, l.fs.rename(path, to)
}
