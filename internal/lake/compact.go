package lake

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// CompactOptions says what to compact. The zero value is fine.
type CompactOptions struct {
	Index       []record.Index // nil: all tables
	Before      time.Time      // only days that end at or before; zero: those that ended two hours ago
	TargetBytes int64          // largest sum of files that become one; 0: 128 MB
	MinFiles    int            // a day with fewer small files is left alone; 0: 2
}

// CompactResult counts what a compaction did.
type CompactResult struct {
	FilesBefore, FilesAfter int
	BytesBefore, BytesAfter int64
	Rows                    int64
	Skipped                 int // files that could not be read and stay as they are
}

// maxBinFiles bounds the files that are open at a time, maxBinRows the memory of the sort.
const (
	maxBinFiles = 200
	maxBinRows  = 8 * rowGroupRows
)

// Compact rewrites the small files of closed days into larger ones, sorted by action and time. It holds the sort keys
// of one output file and the values of one column of one row group in memory, some 200 MB at most for records of
// ordinary size. Each output file is a commit of its own: an interruption loses nothing that was done. The files that
// were replaced stay readable for GracePeriod. One compaction runs at a time; others wait for it.
func (l *Lake) Compact(ctx context.Context, opts CompactOptions) (CompactResult, error) {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	if opts.Index == nil {
		opts.Index = Indices()
	}
	if opts.Before.IsZero() {
		opts.Before = l.cfg.Clock.Now().Add(-2 * time.Hour)
	}
	if opts.TargetBytes <= 0 {
		opts.TargetBytes = 128 << 20
	}
	opts.MinFiles = max(opts.MinFiles, 2)
	var sum CompactResult
	for _, index := range opts.Index {
		t, ok := l.tables[index]
		if !ok {
			return sum, fault.Newf(fault.NotFound, "compact", "there is no table %s", index)
		}
		bins, err := l.bins(ctx, t, opts)
		if err != nil {
			return sum, fault.Wrap("", "compact "+string(index), err)
		}
		for _, bin := range bins {
			if err := ctx.Err(); err != nil {
				return sum, err
			}
			if err := l.compactBin(ctx, t, bin, &sum); err != nil {
				return sum, fault.Wrap(commitKind(err), "compact "+string(index), err)
			}
		}
	}
	return sum, nil
}

// bin is the files of one day that become one.
type bin struct {
	day   int32
	files []iceberg.DataFile
}

// bins chooses the files.
func (l *Lake) bins(ctx context.Context, t *lakeTable, opts CompactOptions) ([]bin, error) {
	tasks, err := t.cur.Load().Scan().PlanFiles(ctx)
	if err != nil {
		return nil, err
	}
	days := make(map[int32][]iceberg.DataFile)
	for _, task := range tasks {
		day, err := dayOfFile(task.File)
		if err != nil {
			return nil, err
		}
		end := timeOfDay(day + 1)
		if end.After(opts.Before) || task.File.FileSizeBytes() > opts.TargetBytes*3/4 || task.File.Count() > maxBinRows*3/4 {
			continue
		}
		days[day] = append(days[day], task.File)
	}
	var bins []bin
	for day, files := range days {
		if len(files) < opts.MinFiles {
			continue
		}
		slices.SortFunc(files, func(a, b iceberg.DataFile) int {
			return cmp.Or(cmp.Compare(a.FileSizeBytes(), b.FileSizeBytes()), cmp.Compare(a.FilePath(), b.FilePath()))
		})
		bins = append(bins, pack(day, files, opts.TargetBytes)...)
	}
	slices.SortFunc(bins, func(a, b bin) int { return cmp.Compare(a.day, b.day) })
	return bins, nil
}

// pack fills bins with files in order. Bins of a single file are not worth the work.
func pack(day int32, files []iceberg.DataFile, target int64) []bin {
	var bins []bin
	cur, bytes, rows := bin{day: day}, int64(0), int64(0)
	emit := func() {
		if len(cur.files) > 1 {
			bins = append(bins, cur)
		}
		cur, bytes, rows = bin{day: day}, 0, 0
	}
	for _, f := range files {
		if len(cur.files) > 0 && (bytes+f.FileSizeBytes() > target || rows+f.Count() > maxBinRows || len(cur.files) == maxBinFiles) {
			emit()
		}
		cur.files = append(cur.files, f)
		bytes, rows = bytes+f.FileSizeBytes(), rows+f.Count()
	}
	emit()
	return bins
}

// unreadable is the error of an input file: that one is bad, the others can be compacted without it.
type unreadable struct {
	path  string // as a location, like iceberg.DataFile has it
	cause error
}

func (u *unreadable) Error() string { return u.path + ": " + u.cause.Error() }

func (u *unreadable) Unwrap() error { return u.cause }

// compactBin writes one file in place of those of a bin. A file that cannot be read is left out: it stays as it is until
// Check and Forget deal with it.
func (l *Lake) compactBin(ctx context.Context, t *lakeTable, b bin, sum *CompactResult) error {
	for len(b.files) > 1 {
		err := l.mergeBin(ctx, t, b, sum)
		var bad *unreadable
		if ctx.Err() != nil || !errors.As(err, &bad) {
			return err
		}
		l.skipped(t, bad, sum)
		b.files = slices.DeleteFunc(b.files, func(f iceberg.DataFile) bool { return f.FilePath() == bad.path })
	}
	return nil
}

// skipped counts a file that could not be compacted, and logs it the first time.
func (l *Lake) skipped(t *lakeTable, bad *unreadable, sum *CompactResult) {
	sum.Skipped++
	l.mu.Lock()
	_, known := l.unreadable[bad.path]
	l.unreadable[bad.path] = struct{}{}
	l.mu.Unlock()
	if !known {
		l.cfg.Logger.Warn("a data file cannot be read and is not compacted; verify the lake to repair it", "table", t.index, "file", bad.path, "error", bad.cause)
	}
}

// mergeBin is compactBin for files that can be read.
func (l *Lake) mergeBin(ctx context.Context, t *lakeTable, b bin, sum *CompactResult) error {
	m := &merger{pool: &chunkPool{}}
	defer m.close()
	for _, f := range b.files {
		if err := m.open(f); err != nil {
			return &unreadable{f.FilePath(), err}
		}
	}
	tbl := t.cur.Load()
	df, path, err := l.writeFile(tbl, tbl.Schema(), b.day, func(out *durableFile) (fileMeta, error) { return m.write(ctx, out) })
	defer l.landed([]string{path})
	if err != nil {
		return err
	}
	if df.Count() != int64(m.rows) {
		return fault.Newf(fault.Internal, "compact", "%d rows became %d", m.rows, df.Count())
	}
	if done, err := l.replace(ctx, t, b.files, df); err != nil || !done {
		return err // the day was dropped meanwhile: the new file stays unreferenced
	}
	sum.FilesBefore += len(b.files)
	sum.FilesAfter++
	sum.Rows += df.Count()
	sum.BytesAfter += df.FileSizeBytes()
	for _, f := range b.files {
		sum.BytesBefore += f.FileSizeBytes()
	}
	return nil
}

// replace puts one file, or none, in the place of others in one commit. done is false when the table does not have all of
// them any more: then nothing changed.
func (l *Lake) replace(ctx context.Context, t *lakeTable, old []iceberg.DataFile, with iceberg.DataFile) (done bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if there, err := l.references(ctx, t, old); err != nil || !there {
		return false, err
	}
	err = l.commit(ctx, t, func(_ *table.Table, txn *table.Transaction) error {
		if with == nil {
			return txn.ReplaceDataFilesWithDataFiles(ctx, old, nil, nil, table.WithoutAutoNameMapping())
		}
		rewrite := txn.NewRewrite(nil).AddDataFile(with)
		for _, f := range old {
			rewrite.DeleteFile(f)
		}
		return rewrite.Commit(ctx)
	})
	if err != nil {
		_, _ = l.reload(context.WithoutCancel(ctx), t) // whatever the outcome was, it is current now
	}
	return err == nil, err
}

// references tells whether the table's newest snapshot has all of the files. The caller holds t.mu.
func (l *Lake) references(ctx context.Context, t *lakeTable, files []iceberg.DataFile) (bool, error) {
	tasks, err := t.cur.Load().Scan().PlanFiles(ctx)
	if err != nil {
		return false, err
	}
	have := make(map[string]bool, len(tasks))
	for _, task := range tasks {
		have[task.File.FilePath()] = true
	}
	return !slices.ContainsFunc(files, func(f iceberg.DataFile) bool { return !have[f.FilePath()] }), nil
}
