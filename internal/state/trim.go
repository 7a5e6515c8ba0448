package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"
)

// trimChunk is how many rows one transaction of the functions below removes.
const trimChunk = 1000

// TrimImportJobs forgets import runs that ended before the given time, or that began before it and never ended, and, of
// what is left, the oldest beyond so many. Those in busy stay, whatever their age; they count. When it fails on the way,
// the number says how many are gone; the next call goes on.
func (s *Store) TrimImportJobs(ctx context.Context, before time.Time, keep int, busy []string) (removed int64, err error) {
	const op = "trim import jobs"
	var ids [][]any
	err = s.rows(ctx, `SELECT id, job, place FROM
		(SELECT id, started, job, row_number() OVER (ORDER BY started DESC, id) AS place FROM import_jobs) AS j
		WHERE started < ? OR place > ?`, []any{micros(before), int64(keep)}, func(r *sql.Rows) error {
		var id string
		var text []byte
		var place int64
		if err := r.Scan(&id, &text, &place); err != nil || slices.Contains(busy, id) {
			return err
		}
		var job ImportJob // what cannot be read counts as never ended
		if place > int64(keep) || json.Unmarshal(text, &job) != nil || job.Finished.Before(before) {
			ids = append(ids, []any{id})
		}
		return nil
	})
	if err != nil {
		return 0, classify(op, err)
	}
	return s.removeRows(ctx, op, `DELETE FROM import_jobs WHERE id IN (SELECT id FROM {rows})`, columns{{"id", "text"}}, ids)
}

// TrimHistory forgets what happened to connectors and filters before the given time, and of each the oldest changes beyond
// so many. The newest change of an entry stays, unless it says that the entry was deleted. When it fails on the way, the
// number says how many are gone; the next call goes on.
func (s *Store) TrimHistory(ctx context.Context, before time.Time, keep int) (removed int64, err error) {
	const op = "trim history"
	var seqs [][]any
	err = s.rows(ctx, `SELECT seq FROM
		(SELECT seq, at, what, row_number() OVER (PARTITION BY kind, name ORDER BY seq DESC) AS place FROM changes) AS c
		WHERE place > ? OR at < ? AND (place > 1 OR what = ?)`, []any{int64(max(keep, 1)), micros(before), changeDeleted},
		func(r *sql.Rows) error {
			var seq int64
			err := r.Scan(&seq)
			seqs = append(seqs, []any{seq})
			return err
		})
	if err != nil {
		return 0, classify(op, err)
	}
	return s.removeRows(ctx, op, `DELETE FROM changes WHERE seq IN (SELECT seq FROM {rows})`, columns{{"seq", "bigint"}}, seqs)
}

// removeRows runs a statement over rows in transactions of a bounded size, and returns how many rows it removed.
func (s *Store) removeRows(ctx context.Context, op, query string, c columns, rows [][]any) (removed int64, err error) {
	for chunk := range slices.Chunk(rows, trimChunk) {
		var n int64
		err := s.write(ctx, op, func(t *tx) (err error) {
			n, err = t.execRows(query, c, chunk)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}
