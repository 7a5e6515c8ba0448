package state

import (
	"context"
	"database/sql"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// DropMark is the edge of what the lake's retention removes: rows of events before Before that are in the journal at Seq
// or below. Every row within the mark is counted as dropped, in its unit or in the hour of it, whether it is still in the
// lake or not. A row behind Seq, however old its event, is not: it came after the count. Both only rise. The zero value is
// the mark of a lake of which nothing was dropped.
type DropMark struct {
	Before time.Time // to the microsecond
	Seq    uint64
}

// DroppedUnit is what retention removes of a unit.
type DroppedUnit struct {
	ID          record.UnitID
	ConnectorID string // the feed and the time of creation, by which a unit that was folded is found
	ContentType string
	Created     time.Time
	Rows        int64  // quarantined ones included
	IDSum       uint64 // over them, see UnitCount.IDSum
}

// Dropped moves the mark and counts, in the same transaction, what the lake holds within the new mark and outside the old
// one. units names each unit once, and Settle must have been told that the lake has everything up to the new Seq. What is
// dropped of units that the ledger has forgotten is counted in their hour; what neither is known of is not counted.
//
// from is the mark under which the caller counted: if it is not the current one any more nothing is counted
// (fault.Conflict), so that nothing is counted twice after a crash or beside another caller.
func (st *Step) Dropped(from, to DropMark, units []DroppedUnit) error {
	now, err := st.dropMark()
	switch {
	case err != nil:
		return err
	case micros(from.Before) != micros(now.Before) || from.Seq != now.Seq:
		return fault.New(fault.Conflict, "count what is dropped", "somebody else moved the mark")
	case to.Before.Before(from.Before) || to.Seq < from.Seq:
		return fault.New(fault.Internal, "count what is dropped", "the mark cannot go back")
	}
	if err := st.tx.raise(droppedBefore, micros(to.Before)); err != nil {
		return err
	}
	if err := st.tx.raise(droppedSeq, int64(to.Seq)); err != nil {
		return err
	}
	folded, err := st.dropFromUnits(units)
	if err != nil {
		return err
	}
	return st.dropFromHours(folded)
}

var dropColumns = columns{{"id", "bytea"}, {"dropped", "bigint"}, {"dropped_sum", "bigint"}}

// dropFromUnits counts what is dropped of units of the ledger and returns the others.
func (st *Step) dropFromUnits(units []DroppedUnit) (others []DroppedUnit, err error) {
	ids := make([]record.UnitID, len(units))
	for i, u := range units {
		ids[i] = u.ID
	}
	known := make(map[record.UnitID]bool, len(ids))
	// CROSS JOIN makes SQLite begin with the few rows.
	err = st.tx.queryRows(`SELECT u.id FROM {rows} CROSS JOIN units u WHERE u.id = r.id ORDER BY u.id {lock:u}`, idColumns, idRows(ids),
		func(r *sql.Rows) error {
			var id []byte
			err := r.Scan(&id)
			known[record.UnitID(id)] = true
			return err
		})
	if err != nil {
		return nil, err
	}
	var rows [][]any
	for _, u := range units {
		if known[u.ID] {
			rows = append(rows, []any{u.ID[:], u.Rows, int64(u.IDSum)})
		} else {
			others = append(others, u)
		}
	}
	_, err = st.tx.execRows(`UPDATE units SET dropped = units.dropped + r.dropped, dropped_sum = `+xor("units.dropped_sum", "r.dropped_sum")+`
		FROM {rows} WHERE units.id = r.id`, dropColumns, rows)
	return others, err
}

var dropHourColumns = columns{{"feed", "bigint"}, {"hour", "bigint"}, {"dropped", "bigint"}, {"dropped_sum", "bigint"}}

// dropFromHours counts what is dropped of units that were folded.
func (st *Step) dropFromHours(units []DroppedUnit) error {
	type feedHour struct {
		feedKey
		hour int64
	}
	sums := map[feedHour]UnitCount{}
	feeds := map[feedKey]int64{}
	for _, u := range units {
		key := feedHour{feedKey{u.ConnectorID, u.ContentType}, micros(u.Created.Truncate(time.Hour))}
		sum := sums[key]
		sum.add(UnitCount{Records: u.Rows, IDSum: u.IDSum})
		sums[key] = sum
		feeds[key.feedKey] = 0
	}
	for key := range feeds {
		var feed int64
		if _, err := st.tx.one(`SELECT id FROM feeds WHERE connector_id = ? AND content_type = ?`, []any{key.connectorID, key.contentType}, &feed); err != nil {
			return err
		}
		feeds[key] = feed // 0: a feed that was deleted
	}
	var rows [][]any
	for key, sum := range sums {
		if feed := feeds[key.feedKey]; feed != 0 {
			rows = append(rows, []any{feed, key.hour, sum.Records, int64(sum.IDSum)})
		}
	}
	_, err := st.tx.execRows(`UPDATE unit_hours SET dropped = unit_hours.dropped + r.dropped,
		dropped_sum = `+xor("unit_hours.dropped_sum", "r.dropped_sum")+` FROM {rows} WHERE unit_hours.feed = r.feed AND unit_hours.hour = r.hour`,
		dropHourColumns, rows)
	return err
}

func (st *Step) dropMark() (DropMark, error) {
	before, err := st.tx.floor(droppedBefore)
	if err != nil {
		return DropMark{}, err
	}
	seq, err := st.tx.floor(droppedSeq)
	return DropMark{fromMicros(before), uint64(seq)}, err
}

// DropMark returns the mark of the last Dropped.
func (s *Store) DropMark(ctx context.Context) (DropMark, error) {
	var mark DropMark
	err := s.rows(ctx, `SELECT b.value, q.value FROM floors b, floors q WHERE b.name = ? AND q.name = ?`,
		[]any{string(droppedBefore), string(droppedSeq)}, func(r *sql.Rows) error {
			var before, seq int64
			err := r.Scan(&before, &seq)
			mark = DropMark{fromMicros(before), uint64(seq)}
			return err
		})
	return mark, classify("read what retention dropped", err)
}
