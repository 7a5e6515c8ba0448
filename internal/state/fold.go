package state

import (
	"context"
	"database/sql"
	"time"
)

const defaultFoldChunk = 1000

// Fold replaces old units by sums per feed and hour of creation: those landed, created and landed before the given time,
// no second look scheduled, and all their batches settled. It works in chunks (of so many units; 0 for a default), each a
// transaction. Totals and Mark do not change, see Hours for the sums. A unit that was folded and is listed once more
// would be a new one: before lies further back than anything that the service still lists. When it fails on the way,
// the number says how many units were folded; the next call goes on.
func (s *Store) Fold(ctx context.Context, t Term, before time.Time, chunk int) (folded int64, err error) {
	const op = "fold units"
	if chunk <= 0 {
		chunk = defaultFoldChunk
	}
	var feeds []int64
	if err := s.rows(ctx, `SELECT id FROM feeds ORDER BY id`, nil, func(r *sql.Rows) error {
		var feed int64
		err := r.Scan(&feed)
		feeds = append(feeds, feed)
		return err
	}); err != nil {
		return 0, classify(op, err)
	}
	for _, feed := range feeds {
		f := folder{feed: feed, before: micros(before), chunk: chunk}
		for !f.done {
			var n int64
			if err := s.step(ctx, op, t, func(st *Step) (err error) {
				n, err = f.fold(st)
				return err
			}); err != nil {
				return folded, err
			}
			folded += n
		}
	}
	return folded, nil
}

// folder goes through the landed units of a feed in the order of creation.
type folder struct {
	feed, before int64
	chunk        int
	created      int64 // the last one seen
	id           []byte
	done         bool
}

// foldedHour is what a chunk adds to an hour.
type foldedHour struct {
	UnitCount
	units, newest int64
	dropped       UnitCount // Records and IDSum
}

func (f *folder) fold(st *Step) (int64, error) {
	hours := map[int64]*foldedHour{}
	var ids [][]any
	err := st.tx.query(`SELECT u.id, u.created, u.bytes, u.records, u.duplicates, u.filtered, u.malformed, u.id_sum,
		u.dropped, u.dropped_sum FROM units u
		WHERE u.feed = ? AND u.state = 2 AND u.created < ? AND (u.created, u.id) > (?, ?) AND u.landed_at < ? AND u.look_at = 0
		AND NOT EXISTS (SELECT 1 FROM batch_units b WHERE b.unit = u.id) ORDER BY u.created, u.id LIMIT ? {lock:u}`,
		func(r *sql.Rows) error {
			var c UnitCount
			var idSum, dropped, droppedSum int64
			f.id = nil
			if err := r.Scan(&f.id, &f.created, &c.Bytes, &c.Records, &c.Duplicates, &c.Filtered, &c.Malformed, &idSum,
				&dropped, &droppedSum); err != nil {
				return err
			}
			c.IDSum = uint64(idSum)
			hour := micros(fromMicros(f.created).Truncate(time.Hour))
			h := hours[hour]
			if h == nil {
				h = &foldedHour{}
				hours[hour] = h
			}
			h.add(c)
			h.dropped.add(UnitCount{Records: dropped, IDSum: uint64(droppedSum)})
			h.units++
			h.newest = max(h.newest, f.created)
			ids = append(ids, []any{f.id})
			return nil
		}, f.feed, f.before, f.created, blob(f.id), f.before, int64(f.chunk))
	f.done = len(ids) < f.chunk
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := f.store(st, hours); err != nil {
		return 0, err
	}
	return st.tx.execRows(`DELETE FROM units WHERE id IN (SELECT id FROM {rows})`, idColumns, ids)
}

var hourColumns = columns{
	{"feed", "bigint"},
	{"hour", "bigint"},
	{"units", "bigint"},
	{"records", "bigint"},
	{"duplicates", "bigint"},
	{"filtered", "bigint"},
	{"malformed", "bigint"},
	{"bytes", "bigint"},
	{"id_sum", "bigint"},
	{"newest", "bigint"},
	{"dropped", "bigint"},
	{"dropped_sum", "bigint"},
}

func (f *folder) store(st *Step, hours map[int64]*foldedHour) error {
	rows := make([][]any, 0, len(hours))
	for hour, h := range hours {
		rows = append(rows, []any{
			f.feed, hour, h.units, h.Records, h.Duplicates, h.Filtered, h.Malformed, h.Bytes, int64(h.IDSum), h.newest,
			h.dropped.Records, int64(h.dropped.IDSum),
		})
	}
	_, err := st.tx.execRows(`INSERT INTO unit_hours (feed, hour, units, records, duplicates, filtered, malformed, bytes, id_sum, newest, dropped, dropped_sum)
		SELECT feed, hour, units, records, duplicates, filtered, malformed, bytes, id_sum, newest, dropped, dropped_sum FROM {rows} WHERE true
		ON CONFLICT (feed, hour) DO UPDATE SET units = unit_hours.units + excluded.units,
		records = unit_hours.records + excluded.records, duplicates = unit_hours.duplicates + excluded.duplicates,
		filtered = unit_hours.filtered + excluded.filtered, malformed = unit_hours.malformed + excluded.malformed,
		bytes = unit_hours.bytes + excluded.bytes, id_sum = `+xor("unit_hours.id_sum", "excluded.id_sum")+`,
		dropped = unit_hours.dropped + excluded.dropped, dropped_sum = `+xor("unit_hours.dropped_sum", "excluded.dropped_sum")+`,
		newest = CASE WHEN unit_hours.newest < excluded.newest THEN excluded.newest ELSE unit_hours.newest END`, hourColumns, rows)
	return err
}

// Hours returns what Fold made of units of a feed, for hours that overlap [from, to), in order.
func (s *Store) Hours(ctx context.Context, connectorID, contentType string, from, to time.Time) ([]Hour, error) {
	const op = "read folded hours"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok {
		return nil, classify(op, err)
	}
	var list []Hour
	err = s.rows(ctx, `SELECT hour, units, records, duplicates, filtered, malformed, bytes, id_sum, dropped, dropped_sum FROM unit_hours
		WHERE feed = ? AND hour > ? AND hour < ? ORDER BY hour`, []any{feed, micros(from.Add(-time.Hour)), micros(to)},
		func(r *sql.Rows) error {
			var h Hour
			var start, idSum, droppedSum int64
			err := r.Scan(&start, &h.Units, &h.Records, &h.Duplicates, &h.Filtered, &h.Malformed, &h.Bytes, &idSum, &h.DroppedRecords, &droppedSum)
			h.Start, h.IDSum, h.DroppedSum = fromMicros(start), uint64(idSum), uint64(droppedSum)
			list = append(list, h)
			return err
		})
	return list, classify(op, err)
}
