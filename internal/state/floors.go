package state

import (
	"context"
	"database/sql"
	"encoding/binary"
	"math"
	"time"
)

// floorName names a row of the table of numbers that only rise.
type floorName string

const (
	idsFloor      floorName = "ids_floor"      // Unix seconds
	droppedBefore floorName = "dropped_before" // Unix microseconds
	droppedSeq    floorName = "dropped_seq"    // of the journal
	prunedBatch   floorName = "pruned_batch"   // the greatest number of a batch of which ids were removed
)

// A row that is not there is 0.
const selectFloor = `SELECT value FROM floors WHERE name = ?`

func (t *tx) floor(name floorName) (value int64, err error) {
	_, err = t.one(selectFloor, []any{string(name)}, &value)
	return value, err
}

func (t *tx) raise(name floorName, value int64) error {
	_, err := t.exec(`INSERT INTO floors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
		WHERE floors.value < excluded.value`, string(name), value)
	return err
}

func (s *Store) floor(ctx context.Context, op string, name floorName) (value int64, err error) {
	err = s.rows(ctx, selectFloor, []any{string(name)}, func(r *sql.Rows) error { return r.Scan(&value) })
	return value, classify(op, err)
}

// IDFloor returns the second (Unix time) before which the index of identities knows nothing: a claim of an earlier event
// must say what the lake answered. 0 means that the index knows all.
func (s *Store) IDFloor(ctx context.Context) (uint32, error) {
	value, err := s.floor(ctx, "read the floor of the ids", idsFloor)
	return uint32(min(value, math.MaxUint32)), err // Prune stores no greater ones
}

const defaultPruneChunk = 10_000

// Prune raises the floor of the index of identities to before, in whole seconds, and then removes ids of earlier events,
// chunk by chunk (of so many ids; 0 for a default) in short transactions. The floor never sinks: an earlier time than
// the last one removes what is below the last one. Ids of batches that are open or published stay until those are
// settled, and ids without a time (Second 0) for ever. When it fails on the way, the number says how many are gone; the
// next call goes on.
func (s *Store) Prune(ctx context.Context, t Term, before time.Time, chunk int) (removed int64, err error) {
	const op = "prune ids"
	if chunk <= 0 {
		chunk = defaultPruneChunk
	}
	var floor int64
	err = s.fenced(ctx, op, t, func(tx *tx) error {
		// Every step that read the old floor, of whatever subject, is over before the new one is written.
		if err := tx.query(`SELECT subject FROM terms ORDER BY subject {lock}`, func(*sql.Rows) error { return nil }); err != nil {
			return err
		}
		if err := tx.raise(idsFloor, min(max(before.Unix(), 0), math.MaxUint32)); err != nil {
			return err
		}
		floor, err = tx.floor(idsFloor)
		return err
	})
	from, end := secondKey(1), secondKey(floor)
	for err == nil && floor > 1 && from != nil {
		var n int64
		err = s.fenced(ctx, op, t, func(tx *tx) (err error) {
			n, from, err = tx.pruneChunk(from, end, chunk)
			return err
		})
		if err == nil {
			removed += n
			err = classify(op, ctx.Err())
		}
	}
	return removed, err
}

// secondKey is the beginning of all keys of a second.
func secondKey(second int64) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(second))
}

// pruneChunk removes what may go of the next ids from the key from on, and returns where to go on, nil at the end.
func (t *tx) pruneChunk(from, end []byte, chunk int) (removed int64, next []byte, err error) {
	if _, err := t.one(`SELECT key FROM ids WHERE key >= ? AND key < ? ORDER BY key LIMIT 1 OFFSET ?`,
		[]any{from, end, int64(chunk)}, &next); err != nil {
		return 0, nil, err
	}
	to := next
	if to == nil {
		to = end
	}
	const which = ` FROM ids WHERE key >= ? AND key < ? AND batch NOT IN (SELECT number FROM batches WHERE state IN (0, 2))`
	var batch int64
	if _, err := t.one(`SELECT COALESCE(MAX(batch), 0)`+which, []any{from, to}, &batch); err != nil {
		return 0, nil, err
	}
	if err := t.raise(prunedBatch, batch); err != nil {
		return 0, nil, err
	}
	removed, err = t.exec(`DELETE`+which, from, to)
	return removed, next, err
}
