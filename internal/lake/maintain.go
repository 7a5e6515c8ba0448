package lake

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// Snapshots are forgotten every expireEvery commits, down to keepSnapshots. Readers do not need them: a Plan names
// data files, and those outlive their snapshots by the grace period.
const (
	expireEvery   = 100
	keepSnapshots = 20
)

// expireIfDue expires snapshots now and then. A failure is no failure of the commit: it is tried after the next one.
func (w *Writer) expireIfDue(ctx context.Context, t *lakeTable) {
	if t.commits < expireEvery {
		return
	}
	if err := w.lake.expire(ctx, t, keepSnapshots); err != nil {
		w.lake.cfg.Logger.Warn("snapshots were not expired", "table", t.index, "error", err)
	}
}

// Expire forgets the old snapshots of all tables, and the schemas that only they used. It deletes no data.
func (l *Lake) Expire(ctx context.Context) error {
	for _, index := range Indices() {
		t := l.tables[index]
		t.mu.Lock()
		err := l.expire(ctx, t, keepSnapshots)
		t.mu.Unlock()
		if err != nil {
			return fault.Wrap(commitKind(err), "expire snapshots of "+string(index), err)
		}
	}
	return nil
}

// expire does so for one table, down to so many snapshots. The caller holds t.mu.
func (l *Lake) expire(ctx context.Context, t *lakeTable, keep int) error {
	err := l.commit(ctx, t, func(_ *table.Table, txn *table.Transaction) error {
		return txn.ExpireSnapshots(table.WithRetainLast(keep), table.WithOlderThan(0), table.WithPostCommit(false))
	})
	if err != nil {
		return err
	}
	t.commits = 0
	return l.dropSchemas(ctx, t)
}

// dropSchemas removes the schemas that neither the table nor a snapshot uses any more. Each is as long as the table is
// wide, so many of them would make every commit write a large file.
func (l *Lake) dropSchemas(ctx context.Context, t *lakeTable) error {
	tbl := t.cur.Load()
	used := map[int]bool{tbl.Schema().ID: true}
	for _, s := range tbl.Metadata().Snapshots() {
		if s.SchemaID != nil {
			used[*s.SchemaID] = true
		}
	}
	var unused []int
	for id := range tbl.Schemas() {
		if !used[id] {
			unused = append(unused, id)
		}
	}
	if len(unused) == 0 {
		return nil
	}
	slices.Sort(unused)
	_, _, err := l.catalog.CommitTable(ctx, t.ident, nil, []table.Update{table.NewRemoveSchemasUpdate(unused)})
	if err != nil {
		return err
	}
	_, err = l.reload(ctx, t)
	return err
}

// DropResult is what DropBefore took out of a table.
type DropResult struct {
	Before time.Time // midnight UTC: rows of events before it are gone
	First  time.Time // oldest day that went; zero when there was nothing
	Files  int
	Rows   int64
	Bytes  int64
}

// DropBefore removes the rows of whole days that end at or before the given time from a table, as far as they came with
// messages of the journal up to through. It removes whole files: one that also holds rows of later messages stays, for a
// later call. Only metadata change; the files go with the next Sweep after the grace period. A caller that keeps books of
// what it dropped writes them before it calls and names the message up to which it counted: records that landed meanwhile
// stay, and a crash between may leave rows that count as dropped, which the next call removes.
func (l *Lake) DropBefore(ctx context.Context, index record.Index, before time.Time, through uint64) (DropResult, error) {
	res := DropResult{Before: before.UTC().Truncate(24 * time.Hour)}
	t, ok := l.tables[index]
	if !ok {
		return res, fault.Newf(fault.NotFound, "drop days", "there is no table %s", index)
	}
	var bad error
	beyond := record.Seq(through+1, 0)
	files, err := l.removeFiles(ctx, t, func(live map[string]iceberg.DataFile) []iceberg.DataFile {
		tbl := t.cur.Load() // removeFiles loaded it
		var old []iceberg.DataFile
		for _, df := range live {
			f, err := planned(tbl, df)
			if bad = errors.Join(bad, err); err == nil && f.Day.Before(res.Before) && f.MaxSeq < beyond {
				old = append(old, df)
			}
		}
		return old
	})
	if err = errors.Join(err, bad); err != nil {
		return res, fault.Wrap(commitKind(err), "drop days of "+string(index), err)
	}
	for _, df := range files {
		res.Files, res.Rows, res.Bytes = res.Files+1, res.Rows+df.Count(), res.Bytes+df.FileSizeBytes()
		day, _ := dayOfFile(df) // it was read above
		if at := timeOfDay(day); res.First.IsZero() || at.Before(res.First) {
			res.First = at
		}
	}
	return res, nil
}

// Sweep deletes files that nothing has referenced for the grace period: what a crash left, what was compacted, what
// expired snapshots used. A file is first noted and then deleted by a later Sweep, so Sweep has to be called now and
// again, say every ten minutes. It returns how many files and bytes it deleted.
func (l *Lake) Sweep(ctx context.Context) (files int, bytes int64, err error) {
	now := l.cfg.Clock.Now()
	seen := make(map[string]bool)
	for _, index := range Indices() {
		orphans, err := l.orphans(ctx, l.tables[index])
		if err != nil {
			return files, bytes, fault.Wrap("", "find unused files of "+string(index), err)
		}
		for _, o := range orphans {
			seen[o.Path] = true
			if !l.condemn(o.Path, now) {
				continue
			}
			path, err := localPath(o.Path)
			if err != nil {
				return files, bytes, err
			}
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return files, bytes, fault.Wrap("", "delete unused file", err)
			}
			files, bytes = files+1, bytes+o.SizeBytes
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for path := range l.condemned {
		if !seen[path] {
			delete(l.condemned, path) // referenced again, or deleted
		}
	}
	return files, bytes, nil
}

// orphans lists the files of a table without a reference. The lock keeps commits from adding references meanwhile.
func (l *Lake) orphans(ctx context.Context, t *lakeTable) ([]table.OrphanFile, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tbl, err := l.reload(ctx, t)
	if err != nil {
		return nil, err
	}
	plan, err := tbl.PlanOrphanFiles(ctx, table.WithFilesOlderThan(0), table.WithCleanupMaxConcurrency(1))
	if err != nil {
		return nil, err
	}
	return plan.OrphanFiles(), nil
}

// condemn notes a file without a reference and reports whether it has been one for long enough.
func (l *Lake) condemn(path string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if plain, err := localPath(path); err != nil {
		return false
	} else if _, busy := l.inFlight[plain]; busy {
		delete(l.condemned, path)
		return false
	}
	since, ok := l.condemned[path]
	if !ok {
		l.condemned[path] = now
		return false
	}
	return now.Sub(since) >= GracePeriod
}

// TableStats is the size of a table.
type TableStats struct {
	Index    record.Index
	Rows     int64
	Files    int
	Bytes    int64
	Days     int
	Columns  int
	Missing  int       // files that are not on the disk; they and their rows are not counted elsewhere
	First    time.Time // oldest day with rows, zero when there is none
	Last     time.Time // newest day with rows
	Position Position
}

// Stats counts the tables, from manifests alone.
func (l *Lake) Stats(ctx context.Context) ([]TableStats, error) {
	plan, err := l.Plan(ctx, PlanRequest{Index: Indices()})
	if err != nil {
		return nil, err
	}
	stats := make([]TableStats, len(plan.Tables))
	for i, t := range plan.Tables {
		s := &stats[i]
		*s = TableStats{Index: t.Index, Files: len(t.Files), Missing: len(t.Missing), Columns: len(t.Columns), Position: t.Position}
		days := make(map[time.Time]bool)
		for _, f := range t.Files {
			s.Rows, s.Bytes = s.Rows+f.Records, s.Bytes+f.Bytes
			days[f.Day] = true
		}
		s.Days = len(days)
		if n := len(t.Files); n > 0 {
			s.First, s.Last = t.Files[n-1].Day, t.Files[0].Day
		}
	}
	return stats, nil
}
