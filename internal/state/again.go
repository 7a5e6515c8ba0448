package state

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"sluice/internal/record"
)

// Units that are worked on again: retried before their time, healed, looked at a second time.

var idColumns = columns{{"id", "bytea"}}

func idRows(ids []record.UnitID) [][]any {
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = []any{id[:]}
	}
	return rows
}

// Retry makes units of a connector that are retrying due now, and with lostToo also lost ones: those with the given ids,
// or with none given all of the content type, or with an empty content type all of the connector. They are Retrying then
// and keep their Attempt. Units in other states, units whose body waits in unconfirmed batches, and units of other feeds
// are left alone; an id that the ledger does not have is a fault.NotFound. It returns how many units are due because of
// it.
func (s *Store) Retry(ctx context.Context, t Term, connectorID, contentType string, ids []record.UnitID, lostToo bool) (n int64, err error) {
	err = s.step(ctx, "retry units", t, func(st *Step) error {
		if len(ids) > 0 {
			n, err = st.retryUnits(connectorID, contentType, ids, lostToo)
		} else {
			n, err = st.retryAll(connectorID, contentType, lostToo)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

const (
	retryNow  = `UPDATE units SET next_try = ? WHERE feed = ? AND state = 1 AND complete = 0`
	retryLost = `UPDATE units SET state = 1, complete = 0, next_try = ? WHERE feed = ? AND state = 3`
)

func (st *Step) retryAll(connectorID, contentType string, lostToo bool) (total int64, err error) {
	var feeds []int64
	if err := st.tx.query(`SELECT id FROM feeds WHERE connector_id = ? AND (content_type = ? OR ? = '') ORDER BY id`,
		func(r *sql.Rows) error {
			var feed int64
			err := r.Scan(&feed)
			feeds = append(feeds, feed)
			return err
		}, connectorID, contentType, contentType); err != nil {
		return 0, err
	}
	for _, feed := range feeds {
		n, err := st.tx.exec(retryNow, micros(st.now), feed)
		if err != nil {
			return 0, err
		}
		total += n
		if !lostToo {
			continue
		}
		if n, err = st.tx.exec(retryLost, micros(st.now), feed); err != nil {
			return 0, err
		}
		d := st.delta(feed)
		d.lost -= n
		d.pending += n
		d.retrying += n
		total += n
	}
	return total, nil
}

func (st *Step) retryUnits(connectorID, contentType string, ids []record.UnitID, lostToo bool) (total int64, err error) {
	units, err := st.load(ids)
	if err != nil {
		return 0, err
	}
	for _, id := range slices.SortedFunc(maps.Keys(units), compareIDs) {
		u := units[id]
		query := retryNow
		switch {
		case u.connectorID != connectorID || contentType != "" && u.contentType != contentType:
			continue
		case u.state == lost && lostToo:
			query = retryLost
		case u.state != retrying:
			continue
		}
		n, err := st.tx.exec(query+` AND id = ?`, micros(st.now), u.feed, id[:])
		if err != nil {
			return 0, err
		}
		if n > 0 {
			st.move(u.feed, u.state, retrying)
		}
		total += n
	}
	return total, nil
}

var healColumns = columns{
	{"id", "bytea"},
	{"state", "bigint"},
	{"fresh", "bigint"},
	{"bytes", "bigint"},
	{"records", "bigint"},
	{"duplicates", "bigint"},
	{"filtered", "bigint"},
	{"malformed", "bigint"},
	{"id_sum", "bigint"},
}

// Heal queues units again of which the lake does not hold what it should: Listed with Attempt 0, also from Landed and
// Lost (imports: Dropped). A unit that is pending keeps its state, Attempt and next try, and is fetched (again) even when
// its body waited in open batches. AskLake is set until the unit lands.
//
// The counts become what the lake holds of the unit as the caller says, plus what batches that are not settled
// contribute; so Settle the position at which the lake was read first, in the same step. What retention removed of the
// unit is not counted any more: it may land again, and be removed again. Totals follow. Of several
// entries for one unit the last counts; an id that the ledger does not have is a fault.NotFound.
func (st *Step) Heal(units []HealUnit) error {
	last := make(map[record.UnitID]HealUnit, len(units))
	for _, h := range units {
		last[h.ID] = h
	}
	ids := slices.Collect(maps.Keys(last))
	known, err := st.load(ids)
	if err != nil {
		return err
	}
	counts, err := st.counts(ids)
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(known))
	for id, u := range known {
		h, c := last[id], counts[id]
		want := c.unsettled
		want.add(UnitCount{Records: h.Records, Malformed: h.Malformed, IDSum: h.IDSum})
		d := st.delta(u.feed)
		d.count(c.now, -1)
		d.count(want, +1)
		to, fresh := u.state, u.state != listed && u.state != retrying
		if fresh {
			to = queued(u.connectorID)
		}
		st.move(u.feed, u.state, to)
		rows = append(rows, []any{
			id[:], to, flag(fresh), want.Bytes, want.Records, want.Duplicates, want.Filtered, want.Malformed, int64(want.IDSum),
		})
	}
	_, err = st.tx.execRows(`UPDATE units SET state = r.state, complete = 0, ask_lake = 1,
		attempt = CASE WHEN r.fresh = 1 THEN 0 ELSE units.attempt END,
		next_try = CASE WHEN r.fresh = 1 THEN 0 ELSE units.next_try END,
		error_kind = CASE WHEN r.fresh = 1 THEN '' ELSE units.error_kind END,
		error_text = CASE WHEN r.fresh = 1 THEN '' ELSE units.error_text END,
		bytes = r.bytes, records = r.records, duplicates = r.duplicates, filtered = r.filtered, malformed = r.malformed,
		id_sum = r.id_sum, dropped = 0, dropped_sum = 0 FROM {rows} WHERE units.id = r.id`, healColumns, rows)
	return err
}

// healCounts is what a unit counts now, and the part of it that can still become void.
type healCounts struct{ now, unsettled UnitCount }

func (st *Step) counts(ids []record.UnitID) (map[record.UnitID]*healCounts, error) {
	found := make(map[record.UnitID]*healCounts, len(ids))
	for _, id := range ids {
		found[id] = &healCounts{}
	}
	scan := func(add func(*healCounts, UnitCount)) func(*sql.Rows) error {
		return func(r *sql.Rows) error {
			var id []byte
			var c UnitCount
			var idSum int64
			err := r.Scan(&id, &c.Bytes, &c.Records, &c.Duplicates, &c.Filtered, &c.Malformed, &idSum)
			c.IDSum = uint64(idSum)
			add(found[record.UnitID(id)], c)
			return err
		}
	}
	if err := st.tx.queryRows(`SELECT u.id, u.bytes, u.records, u.duplicates, u.filtered, u.malformed, u.id_sum
		FROM {rows} CROSS JOIN units u WHERE u.id = r.id`, idColumns, idRows(ids),
		scan(func(h *healCounts, c UnitCount) { h.now = c })); err != nil {
		return nil, err
	}
	err := st.tx.queryRows(`SELECT b.unit, b.bytes, b.records, b.duplicates, b.filtered, b.malformed, b.id_sum
		FROM {rows} CROSS JOIN batch_units b WHERE b.unit = r.id`, idColumns, idRows(ids),
		scan(func(h *healCounts, c UnitCount) { h.unsettled.add(c) }))
	return found, err
}

// Look schedules a second look at units: once landed, they are fetched again at the given time. A zero time takes the
// look back. An id that the ledger does not have is a fault.NotFound.
func (st *Step) Look(ids []record.UnitID, at time.Time) error {
	units, err := st.load(ids)
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(units))
	for id := range units {
		rows = append(rows, []any{id[:], micros(at)})
	}
	_, err = st.tx.execRows(`UPDATE units SET look_at = r.look_at FROM {rows} WHERE units.id = r.id`,
		columns{{"id", "bytea"}, {"look_at", "bigint"}}, rows)
	return err
}

// Looked says that a second look at a unit is over, and when the next one is due; zero means that there is no more.
func (st *Step) Looked(id record.UnitID, next time.Time) error {
	n, err := st.tx.exec(`UPDATE units SET looks = looks + 1, look_at = ? WHERE id = ?`, micros(next), id[:])
	if err == nil && n == 0 {
		err = notFound("", "the ledger has no unit %s", id)
	}
	return err
}

// DueLooks returns landed units of a feed whose second look is due, the longest due first, at most limit.
func (s *Store) DueLooks(ctx context.Context, connectorID, contentType string, now time.Time, limit int) ([]LedgerUnit, error) {
	const op = "read due second looks"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok || limit <= 0 {
		return nil, classify(op, err)
	}
	list, err := s.units(ctx, unitSelect+`FROM units u {look} JOIN feeds f ON f.id = u.feed
		WHERE u.feed = ? AND u.state = 2 AND u.look_at > 0 AND u.look_at <= ? ORDER BY u.look_at, u.id LIMIT ?`,
		feed, micros(now), int64(limit))
	if err != nil {
		return nil, classify(op, err)
	}
	return list, nil
}
