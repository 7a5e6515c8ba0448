package lake

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if there, err := l.references(ctx, t, b.files); err != nil || !there {
		return err // the day was dropped meanwhile: the new file stays unreferenced
	}
	err = l.commit(ctx, t, func(_ *table.Table, txn *table.Transaction) error {
		rewrite := txn.NewRewrite(nil).AddDataFile(df)
		for _, f := range b.files {
			rewrite.DeleteFile(f)
		}
		return rewrite.Commit(ctx)
	})
	if err != nil {
		_, _ = l.reload(context.WithoutCancel(ctx), t) // whatever the outcome was, it is current now
		return err
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

// merger merges Parquet files of this package into one. The columns of the inputs are matched by field id.
type merger struct {
	inputs []*input
	rows   int
	pool   *chunkPool
	pages  pageReader
}

// input is a file that is read.
type input struct {
	path   string // as iceberg.DataFile has it
	reader *file.Reader
	cols   map[int32]int // field id -> column
	first  int           // number of its first row among all rows
}

func (m *merger) close() {
	for _, in := range m.inputs {
		_ = in.reader.Close()
	}
}

func (m *merger) open(df iceberg.DataFile) error {
	path, err := localPath(df.FilePath())
	if err != nil {
		return err
	}
	r, err := openParquet(path)
	if err != nil {
		return err
	}
	in := &input{path: df.FilePath(), reader: r, cols: make(map[int32]int), first: m.rows}
	m.inputs = append(m.inputs, in)
	if r.NumRows() != df.Count() {
		return fault.Newf(fault.Internal, "compact", "%s has %d rows, not %d", path, r.NumRows(), df.Count())
	}
	m.rows += int(r.NumRows())
	sc := r.MetaData().Schema
	for i := range sc.NumColumns() {
		in.cols[sc.Column(i).SchemaNode().FieldID()] = i
	}
	return nil
}

// write writes the merged file.
func (m *merger) write(ctx context.Context, w io.Writer) (fileMeta, error) {
	cols, noDictionary, err := m.columns()
	if err != nil {
		return nil, err
	}
	place, err := m.places(cols)
	if err != nil {
		return nil, err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	fw, err := newParquetFile(out, cols, func(c fileColumn) bool { return noDictionary[c.def.fieldID] })
	if err != nil {
		return nil, err
	}
	p := &parquetWriter{}
	for start := 0; start < m.rows; start += rowGroupRows {
		end := min(start+rowGroupRows, m.rows)
		group, err := fw.AppendRowGroupChecked()
		if err != nil {
			return nil, err
		}
		for _, c := range cols {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b, err := m.gather(c.def, place, start, end)
			if err != nil {
				return nil, fmt.Errorf("read column %s: %w", c.def.name, err)
			}
			if err := p.writeColumn(group, b, fileColumn{0, c.def}, nil, 0, end-start); err != nil {
				return nil, fmt.Errorf("write column %s: %w", c.def.name, err)
			}
			b.arena.release()
		}
		if err := group.Close(); err != nil {
			return nil, err
		}
	}
	if err := fw.Close(); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	return fw.FileMetadata()
}

// columns is the union of the columns of the inputs, by field id, and which of them need no dictionary: those that the
// writer found to be mostly unique in most inputs.
func (m *merger) columns() ([]fileColumn, map[int]bool, error) {
	defs := make(map[int]columnDef)
	plain := make(map[int]int)
	for _, in := range m.inputs {
		meta := in.reader.MetaData()
		for id, i := range in.cols {
			d, err := definition(meta, i)
			if err != nil {
				return nil, nil, err
			}
			if known, ok := defs[d.fieldID]; ok && known != d {
				return nil, nil, fmt.Errorf("column %s differs between files", d.name)
			}
			defs[d.fieldID] = d
			chunk, err := meta.RowGroup(0).ColumnChunk(i)
			if err != nil {
				return nil, nil, err
			}
			if !chunk.HasDictionaryPage() {
				plain[int(id)]++
			} else {
				plain[int(id)]--
			}
		}
	}
	cols := make([]fileColumn, 0, len(defs))
	noDictionary := make(map[int]bool)
	for id, d := range defs {
		cols = append(cols, fileColumn{0, d})
		noDictionary[id] = plain[id] > 0
	}
	slices.SortFunc(cols, func(a, b fileColumn) int { return cmp.Compare(a.def.fieldID, b.def.fieldID) })
	return cols, noDictionary, nil
}

func definition(meta fileMeta, i int) (columnDef, error) {
	col := meta.Schema.Column(i)
	d := columnDef{name: col.Name(), fieldID: int(col.SchemaNode().FieldID())}
	switch col.PhysicalType() {
	case parquet.Types.ByteArray:
		d.kind = Text
	case parquet.Types.Boolean:
		d.kind = Bool
	case parquet.Types.Int64:
		d.kind = Long
		if col.LogicalType().String() == timestampType.String() {
			d.kind = Time
		}
	default:
		return d, fmt.Errorf("column %s is of type %s", d.name, col.PhysicalType())
	}
	return d, nil
}

// places returns where each input row goes.
func (m *merger) places(cols []fileColumn) ([]uint32, error) {
	keys := newRowBuffer(m.pool)
	keys.rows = m.rows
	const action, timestamp = 0, 1
	keys.column(timestamp)
	stay := make([]uint32, m.rows)
	for i := range stay {
		stay[i] = uint32(i)
	}
	for _, c := range cols {
		slot := -1
		switch c.def.name {
		case colAction:
			slot = action
		case ColTimestamp:
			slot = timestamp
		}
		if slot < 0 {
			continue
		}
		if err := m.fill(keys, slot, c.def, stay, 0, m.rows); err != nil {
			return nil, err
		}
	}
	order := keys.sortedOrder(action, timestamp)
	keys.arena.release()
	for to, from := range order {
		stay[from] = uint32(to)
	}
	return stay, nil
}

// gather reads the values of one column that belong to the output rows from start to end.
func (m *merger) gather(d columnDef, place []uint32, start, end int) (*rowBuffer, error) {
	b := newRowBuffer(m.pool)
	b.rows = end - start
	b.column(0)
	return b, m.fill(b, 0, d, place, start, end)
}

// fill reads a column of all inputs into a slot of b.
func (m *merger) fill(b *rowBuffer, slot int, d columnDef, place []uint32, start, end int) error {
	for _, in := range m.inputs {
		i, ok := in.cols[int32(d.fieldID)]
		if !ok {
			continue
		}
		if err := m.fillFrom(b, slot, d, in, i, place, start, end); err != nil {
			return &unreadable{in.path, fmt.Errorf("column %s: %w", d.name, err)}
		}
	}
	return nil
}

// fillFrom reads column i of one input.
func (m *merger) fillFrom(b *rowBuffer, slot int, d columnDef, in *input, i int, place []uint32, start, end int) error {
	row := in.first
	for g := range in.reader.NumRowGroups() {
		group := in.reader.RowGroup(g)
		var chunk file.ColumnChunkReader
		if err := guarded(func() (err error) { chunk, err = group.Column(i); return err }); err != nil {
			return err
		}
		if err := m.fillChunk(b, slot, d, chunk, place[row:row+int(group.NumRows())], start, end); err != nil {
			return err
		}
		row += int(group.NumRows())
	}
	return nil
}

// fillChunk reads one column chunk. place says where its rows go.
func (m *merger) fillChunk(b *rowBuffer, slot int, d columnDef, chunk file.ColumnChunkReader, place []uint32, start, end int) error {
	defer clear(m.pages.values)
	for len(place) > 0 {
		n, err := m.pages.batch(chunk, min(len(place), readRows))
		if err != nil {
			return err
		}
		c := b.column(slot)
		k := 0
		for i := range n {
			if m.pages.levels[i] == 0 {
				continue
			}
			if to := int(place[i]); to >= start && to < end {
				c.at = append(c.at, uint32(to-start))
				switch d.kind {
				case Text, JSON:
					b.appendText(c, m.pages.values[k])
				case Bool:
					c.nums = append(c.nums, boolNum(m.pages.bools[k]))
				case Time:
					c.nums = append(c.nums, m.pages.nums[k]/1000)
				default:
					c.nums = append(c.nums, m.pages.nums[k])
				}
			}
			k++
		}
		place = place[n:]
	}
	return nil
}

func boolNum(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
