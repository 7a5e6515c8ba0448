package lake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/record"
)

// errMoved says that the table is not where the writer left it: somebody else committed rows, or the commit whose
// outcome was unknown did happen. The writer starts again from the positions of the tables.
var errMoved = errors.New("the table's position moved")

// commitTable commits the rows of a table and its position in one transaction. On success the rows are forgotten.
// An error leaves the rows in memory; errMoved means that they must not be committed again as they are.
func (w *Writer) commitTable(ctx context.Context, p *pendingTable, to Position) error {
	t := w.lake.tables[p.index]
	t.mu.Lock()
	defer t.mu.Unlock()
	start := time.Now()
	switch pos, err := positionOf(t.cur.Load()); {
	case err == nil && pos == to && to != p.position: // loaded by somebody else since the attempt before
		return w.hadHappened(t, p, to)
	case err != nil || pos.Seq != p.position.Seq:
		return errMoved
	}
	info := CommitInfo{Index: p.index, Rows: p.rows, Verbatim: p.shred.verbatim}
	var paths []string
	err := w.lake.commit(ctx, t, func(tbl *table.Table, txn *table.Transaction) error {
		files, names, err := w.writeFiles(tbl, txn, p)
		paths = names
		if err != nil {
			return err
		}
		for _, f := range files {
			info.Bytes += f.FileSizeBytes()
		}
		info.Files = len(files)
		if err := w.opts.fail(afterFiles, p.index); err != nil {
			return err
		}
		if err := txn.SetProperties(to.properties()); err != nil {
			return err
		}
		return txn.AddDataFiles(ctx, files, nil, table.WithoutDuplicateCheck(), table.WithoutAutoNameMapping())
	})
	defer w.lake.landed(paths)
	if err == nil {
		err = w.opts.fail(afterCommit, p.index)
	}
	if err != nil {
		return w.afterFailure(ctx, t, p, to, err)
	}
	if err := p.cols.adopt(t.cur.Load().Schema()); err != nil {
		return err
	}
	info.Duration = time.Since(start)
	p.reset(to)
	if info.Rows > 0 && w.lake.cfg.OnCommit != nil {
		w.lake.cfg.OnCommit(info)
	}
	w.expireIfDue(ctx, t)
	return nil
}

// afterFailure finds out what a failed commit did. Nothing is deleted: whatever the catalog has accepted, it needs.
func (w *Writer) afterFailure(ctx context.Context, t *lakeTable, p *pendingTable, to Position, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.opts.FinalTimeout)
	defer cancel()
	tbl, err := w.lake.reload(ctx, t)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "commit "+string(p.index), errors.Join(cause, err))
	}
	pos, err := positionOf(tbl)
	switch {
	case err != nil:
		return err
	case pos == to && to != p.position:
		return w.hadHappened(t, p, to)
	case pos.Seq != p.position.Seq || p.cols.adopt(tbl.Schema()) != nil:
		return errMoved
	}
	return fault.Wrap(commitKind(cause), "commit "+string(p.index), cause)
}

// hadHappened forgets the rows of a commit whose outcome was unknown and which the table turned out to have.
func (w *Writer) hadHappened(t *lakeTable, p *pendingTable, to Position) error {
	w.lake.cfg.Logger.Info("a commit of unknown outcome had happened", "table", p.index, "seq", to.Seq)
	if err := p.cols.adopt(t.cur.Load().Schema()); err != nil {
		return err
	}
	p.reset(to)
	return nil
}

// writeFiles writes one file per day and adds the columns that they need to the transaction.
func (w *Writer) writeFiles(tbl *table.Table, txn *table.Transaction, p *pendingTable) ([]iceberg.DataFile, []string, error) {
	if p.rows == 0 {
		return nil, nil, nil
	}
	schema, defs, err := addColumns(tbl, txn, p)
	if err != nil {
		return nil, nil, err
	}
	var files []iceberg.DataFile
	var paths []string
	for _, day := range sortedDays(p.days) {
		b := p.days[day]
		order := b.sortedOrder(p.actionSlot(), slotTimestamp)
		f, path, err := w.lake.writeFile(tbl, schema, day, func(out *durableFile) (fileMeta, error) {
			return w.parquet.write(out, b, defs, order)
		})
		if path != "" {
			paths = append(paths, path)
		}
		if err != nil {
			discard(paths...)
			return nil, paths, err
		}
		files = append(files, f)
	}
	return files, paths, nil
}

// actionSlot is the slot of event.action, the first sort key, or one that every row has.
func (p *pendingTable) actionSlot() int {
	if slot, ok := p.cols.byFold[colAction]; ok {
		return slot
	}
	return slotID
}

func sortedDays(days map[int32]*rowBuffer) []int32 {
	keys := make([]int32, 0, len(days))
	for day := range days {
		keys = append(keys, day)
	}
	slices.Sort(keys)
	return keys
}

// addColumns adds the columns that hold values and that the table does not have to the transaction. It returns the
// schema with them and the definitions with their field ids; those of p change only when the commit has happened.
func addColumns(tbl *table.Table, txn *table.Transaction, p *pendingTable) (*iceberg.Schema, []columnDef, error) {
	defs := slices.Clone(p.cols.defs)
	var missing []int
	for slot := range defs {
		if defs[slot].fieldID == 0 && p.hasValues(slot) {
			missing = append(missing, slot)
		}
	}
	if len(missing) == 0 {
		return tbl.Schema(), defs, nil
	}
	update := txn.UpdateSchema(true, false)
	for _, slot := range missing {
		update.AddColumn([]string{defs[slot].name}, defs[slot].kind.icebergType(), defs[slot].doc(), false, nil)
	}
	if err := update.Commit(); err != nil {
		return nil, nil, err
	}
	staged, err := txn.StagedTable()
	if err != nil {
		return nil, nil, err
	}
	for _, slot := range missing {
		f, ok := staged.Schema().FindFieldByName(defs[slot].name)
		if !ok {
			return nil, nil, fmt.Errorf("column %s was not added", defs[slot].name)
		}
		defs[slot].fieldID = f.ID
	}
	return staged.Schema(), defs, nil
}

func (p *pendingTable) hasValues(slot int) bool {
	for _, b := range p.days {
		if slot < len(b.cols) && b.cols[slot].len() > 0 {
			return true
		}
	}
	return false
}

// writeFile writes one data file and describes it. The path is returned as soon as the file exists; until landed is
// called with it, Sweep leaves it alone.
func (l *Lake) writeFile(tbl *table.Table, schema *iceberg.Schema, day int32, write func(*durableFile) (fileMeta, error)) (iceberg.DataFile, string, error) {
	root, err := localPath(tbl.Location())
	if err != nil {
		return nil, "", err
	}
	date := timeOfDay(day).Format(time.DateOnly)
	path := filepath.Join(root, "data", date, uuid.NewString()+".parquet")
	l.mu.Lock()
	l.inFlight[path] = struct{}{}
	l.mu.Unlock()
	f, err := l.fs.create(path)
	if err != nil {
		return nil, path, diskError(err)
	}
	meta, err := write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		discard(path)
		return nil, path, diskError(err)
	}
	stat, err := os.Stat(path)
	if err != nil {
		return nil, path, err
	}
	props := maps.Clone(tbl.Properties())
	addMetricsModes(props) // those of the table are as old as the table
	df, err := table.DataFileFromMetadata(table.DataFileArgs{
		Schema: schema, Spec: tbl.Spec(), Format: iceberg.ParquetFile, Metadata: meta, FilePath: localURI(path),
		FileSize: stat.Size(), Content: iceberg.EntryContentData, Properties: props, FormatVersion: 2,
		PartitionValues: map[int]any{partitionField: iceberg.Date(day)},
	})
	return df, path, err
}

// discard deletes files of which no commit was tried: on a full disk what failed attempts leave would take every byte that
// somebody frees. What cannot be deleted is left to Sweep.
func discard(paths ...string) {
	for _, path := range paths {
		_ = os.Remove(path)
	}
}

// partitionField is the id of the only partition field.
const partitionField = 1000

// landed says that files are referenced by the table, or never will be.
func (l *Lake) landed(paths []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, path := range paths {
		delete(l.inFlight, path)
	}
}

// fileMeta is the footer of a Parquet file.
type fileMeta = *metadata.FileMetaData

// diskError tells an exhausted disk or quota from other failures.
func diskError(err error) error {
	if fault.DiskFull(err) {
		return fault.Wrap(fault.Full, "write data file", err)
	}
	return err
}

// diskFault is the kind of a failure of the disk.
func diskFault(err error) fault.Kind {
	if fault.DiskFull(err) {
		return fault.Full
	}
	return fault.Unavailable
}

// failPoint names a place where tests make a commit fail.
type failPoint string

const (
	afterFiles  failPoint = "files"  // data files are written, nothing is committed
	afterCommit failPoint = "commit" // the commit has happened, nobody knows
)

func (o *WriterOptions) fail(at failPoint, index record.Index) error {
	switch at {
	case afterFiles:
		failpoint.Hit(failpoint.LakeFilesWritten)
	case afterCommit:
		failpoint.Hit(failpoint.LakeTableCommitted)
	}
	if o.failPoint == nil {
		return nil
	}
	return o.failPoint(at, index)
}
