package state

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sluice/internal/record"
)

// The states as they are stored.
const (
	listed int64 = iota
	retrying
	landed
	lost
	interrupted
)

var stateNames = [...]UnitState{listed: Listed, retrying: Retrying, landed: Landed, lost: Lost, interrupted: Dropped}

// code is how a state is stored, -1 for an unknown one.
func (u UnitState) code() int64 { return int64(slices.Index(stateNames[:], u)) }

// UnitFilter chooses units. Empty fields choose everything.
type UnitFilter struct {
	ConnectorID string
	ContentType string
	States      []UnitState
	From, To    time.Time  // of Created; To is not part of it
	After       UnitCursor // only units behind this place in the order
	Limit       int        // 0: all
}

const unitSelect = `SELECT u.id, f.connector_id, f.content_type, u.unit_key, u.content_id, u.uri, u.created, u.expires, u.state,
	u.attempt, u.next_try, u.error_kind, u.error_text, u.bytes, u.records, u.duplicates, u.filtered, u.malformed,
	u.id_sum, u.listed_at, u.landed_at, u.seq, u.ask_lake, u.look_at, u.looks,
	u.dropped, u.dropped_sum `

func scanUnit(r *sql.Rows) (LedgerUnit, error) {
	var u LedgerUnit
	var id []byte
	var created, expires, code, next, idSum, listedAt, landedAt, askLake, lookAt, droppedSum int64
	err := r.Scan(&id, &u.ConnectorID, &u.ContentType, &u.Key, &u.ContentID, &u.URI, &created, &expires, &code,
		&u.Attempt, &next, &u.ErrorKind, &u.ErrorText, &u.Bytes, &u.Records, &u.Duplicates, &u.Filtered, &u.Malformed,
		&idSum, &listedAt, &landedAt, &u.Seq, &askLake, &lookAt, &u.Looks, &u.DroppedRecords, &droppedSum)
	if err != nil {
		return u, err
	}
	if code < 0 || code >= int64(len(stateNames)) {
		return u, fmt.Errorf("unit %x has the unknown state %d", id, code)
	}
	copy(u.ID[:], id)
	u.State = stateNames[code]
	u.Created, u.Expires, u.NextTry = fromMicros(created), fromMicros(expires), fromMicros(next)
	u.IDSum, u.DroppedSum, u.AskLake = uint64(idSum), uint64(droppedSum), askLake != 0
	u.ListedAt, u.LandedAt, u.LookAt = fromMicros(listedAt), fromMicros(landedAt), fromMicros(lookAt)
	return u, nil
}

func (s *Store) units(ctx context.Context, query string, args ...any) ([]LedgerUnit, error) {
	var list []LedgerUnit
	err := s.rows(ctx, query, args, func(r *sql.Rows) error {
		u, err := scanUnit(r)
		list = append(list, u)
		return err
	})
	return list, err
}

func compareIDs(a, b record.UnitID) int { return bytes.Compare(a[:], b[:]) }

// oldestFirst is the order in which units are worked on.
func oldestFirst(a, b LedgerUnit) int {
	return cmp.Or(a.Created.Compare(b.Created), compareIDs(a.ID, b.ID))
}

// DueUnits returns units to fetch, at most limit, ordered by Created, then ID: those that are listed, and those that
// are retrying with NextTry <= now. A unit all of whose body waits in unconfirmed batches is not due. A unit that is
// being fetched is due until its last Count commits: the caller knows what it is fetching.
func (s *Store) DueUnits(ctx context.Context, connectorID, contentType string, now time.Time, limit int) ([]LedgerUnit, error) {
	const op = "read due units"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok || limit <= 0 {
		return nil, classify(op, err)
	}
	due, err := s.units(ctx, unitSelect+`FROM units u JOIN feeds f ON f.id = u.feed
		WHERE u.feed = ? AND u.state = 0 AND u.complete = 0 ORDER BY u.created, u.id LIMIT ?`, feed, int64(limit))
	if err != nil {
		return nil, classify(op, err)
	}
	again, err := s.units(ctx, unitSelect+`FROM units u JOIN feeds f ON f.id = u.feed WHERE u.id IN (
		SELECT w.id FROM units w {retry} WHERE w.feed = ? AND w.state = 1 AND w.complete = 0 AND w.next_try <= ?
		ORDER BY w.created, w.id LIMIT ?)`, feed, micros(now), int64(limit))
	if err != nil {
		return nil, classify(op, err)
	}
	due = append(due, again...)
	slices.SortFunc(due, oldestFirst)
	return due[:min(limit, len(due))], nil
}

// NewestDue returns listed units to fetch, newest first, at most limit: what is new must not wait behind a backlog. Units
// that are retrying are not among them.
func (s *Store) NewestDue(ctx context.Context, connectorID, contentType string, limit int) ([]LedgerUnit, error) {
	const op = "read newest due units"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok || limit <= 0 {
		return nil, classify(op, err)
	}
	list, err := s.units(ctx, unitSelect+`FROM units u JOIN feeds f ON f.id = u.feed
		WHERE u.feed = ? AND u.state = 0 AND u.complete = 0 ORDER BY u.created DESC, u.id DESC LIMIT ?`, feed, int64(limit))
	return list, classify(op, err)
}

// NextDue returns when a unit of the feed is due next: now if one is listed, else the earliest NextTry. ok is false
// when there is nothing to wait for.
func (s *Store) NextDue(ctx context.Context, connectorID, contentType string) (next time.Time, ok bool, err error) {
	const op = "read next due unit"
	feed, known, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !known {
		return time.Time{}, false, classify(op, err)
	}
	err = s.rows(ctx, `SELECT 0 FROM (SELECT id FROM units WHERE feed = ? AND state = 0 AND complete = 0 LIMIT 1) l
		UNION ALL SELECT next_try FROM (SELECT next_try FROM units {retry}
			WHERE feed = ? AND state = 1 AND complete = 0 ORDER BY next_try LIMIT 1) r`, []any{feed, feed},
		func(r *sql.Rows) error {
			var at int64
			if err := r.Scan(&at); err != nil {
				return err
			}
			if t := fromMicros(at); !ok || t.Before(next) {
				next, ok = t, true
			}
			return nil
		})
	if ok && next.IsZero() {
		next = s.clock.Now()
	}
	return next, ok, classify(op, err)
}

// Mark returns the greatest Created of the landed and lost units of a feed, folded ones included, and the smallest one of
// its open units (listed or retrying); zero when there are none. It is five look-ups in an index.
func (s *Store) Mark(ctx context.Context, connectorID, contentType string) (newestDone, oldestOpen time.Time, err error) {
	const op = "read mark"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok {
		return time.Time{}, time.Time{}, classify(op, err)
	}
	var marks [5]sql.NullInt64
	err = s.rows(ctx, `SELECT (SELECT MIN(created) FROM units WHERE feed = ? AND state = 0),
		(SELECT MIN(created) FROM units WHERE feed = ? AND state = 1),
		(SELECT MAX(created) FROM units WHERE feed = ? AND state = 2),
		(SELECT MAX(created) FROM units WHERE feed = ? AND state = 3),
		(SELECT newest FROM unit_hours WHERE feed = ? ORDER BY hour DESC LIMIT 1)`, []any{feed, feed, feed, feed, feed},
		func(r *sql.Rows) error { return r.Scan(&marks[0], &marks[1], &marks[2], &marks[3], &marks[4]) })
	return fromMicros(max(marks[2].Int64, marks[3].Int64, marks[4].Int64)), earliest(marks[0], marks[1]), classify(op, err)
}

// earliest is the earlier of two times that may be absent.
func earliest(a, b sql.NullInt64) time.Time {
	switch {
	case !a.Valid:
		return fromMicros(b.Int64)
	case !b.Valid:
		return fromMicros(a.Int64)
	}
	return fromMicros(min(a.Int64, b.Int64))
}

// Unit returns a unit of the ledger, or a fault.NotFound.
func (s *Store) Unit(ctx context.Context, id record.UnitID) (LedgerUnit, error) {
	list, err := s.UnitsByID(ctx, []record.UnitID{id})
	if err == nil && len(list) == 0 {
		err = notFound("read unit", "the ledger has no unit %s", id)
	}
	if err != nil {
		return LedgerUnit{}, err
	}
	return list[0], nil
}

// unitsByIDChunk bounds the parameters of one statement.
const unitsByIDChunk = 200

// UnitsByID returns the units with the given ids, in no particular order. Ids that the ledger does not have are left out.
func (s *Store) UnitsByID(ctx context.Context, ids []record.UnitID) ([]LedgerUnit, error) {
	var list []LedgerUnit
	for chunk := range slices.Chunk(ids, unitsByIDChunk) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id[:]
		}
		part, err := s.units(ctx, unitSelect+`FROM units u JOIN feeds f ON f.id = u.feed WHERE u.id IN (`+marks(len(args))+`)`, args...)
		if err != nil {
			return nil, classify("read units", err)
		}
		list = append(list, part...)
	}
	return list, nil
}

// Units returns the units that the filter chooses, ordered by Created, then ID.
func (s *Store) Units(ctx context.Context, filter UnitFilter) ([]LedgerUnit, error) {
	query, args := strings.Builder{}, []any{}
	query.WriteString(unitSelect + `FROM units u JOIN feeds f ON f.id = u.feed WHERE 1 = 1`)
	if filter.ConnectorID != "" {
		query.WriteString(` AND f.connector_id = ?`)
		args = append(args, filter.ConnectorID)
	}
	if filter.ContentType != "" {
		query.WriteString(` AND f.content_type = ?`)
		args = append(args, filter.ContentType)
	}
	if len(filter.States) > 0 {
		query.WriteString(` AND u.state IN (` + marks(len(filter.States)) + `)`)
		for _, state := range filter.States {
			args = append(args, state.code())
		}
	}
	if !filter.From.IsZero() {
		query.WriteString(` AND u.created >= ?`)
		args = append(args, micros(filter.From))
	}
	if !filter.To.IsZero() {
		query.WriteString(` AND u.created < ?`)
		args = append(args, micros(filter.To))
	}
	if filter.After != (UnitCursor{}) {
		query.WriteString(` AND (u.created, u.id) > (?, ?)`)
		args = append(args, micros(filter.After.Created), filter.After.ID[:])
	}
	query.WriteString(` ORDER BY u.created, u.id`)
	if filter.Limit > 0 {
		query.WriteString(` LIMIT ?`)
		args = append(args, int64(filter.Limit))
	}
	list, err := s.units(ctx, query.String(), args...)
	return list, classify("read units", err)
}

// UnitsBetween returns units of a feed in all states that were created in [from, to), ordered by Created, then ID, behind
// after, at most limit. A zero to is no end, a zero cursor the beginning.
func (s *Store) UnitsBetween(ctx context.Context, connectorID, contentType string, from, to time.Time, after UnitCursor, limit int) ([]LedgerUnit, error) {
	const op = "read units"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok || limit <= 0 {
		return nil, classify(op, err)
	}
	end := int64(math.MaxInt64)
	if !to.IsZero() {
		end = micros(to)
	}
	list, err := s.units(ctx, unitSelect+`FROM units u {created} JOIN feeds f ON f.id = u.feed
		WHERE u.feed = ? AND u.created >= ? AND u.created < ? AND (u.created, u.id) > (?, ?) ORDER BY u.created, u.id LIMIT ?`,
		feed, max(micros(from), micros(after.Created)), end, micros(after.Created), after.ID[:], int64(limit))
	return list, classify(op, err)
}

// marks returns n parameter marks.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

// feed returns the number of a feed. ok is false when no unit of it was ever listed.
func (s *Store) feed(ctx context.Context, connectorID, contentType string) (id int64, ok bool, err error) {
	key := feedKey{connectorID, contentType}
	s.mu.Lock()
	id, ok = s.feeds[key]
	s.mu.Unlock()
	if ok {
		return id, true, nil
	}
	err = s.rows(ctx, `SELECT id FROM feeds WHERE connector_id = ? AND content_type = ?`, []any{connectorID, contentType},
		func(r *sql.Rows) error { ok = true; return r.Scan(&id) })
	if err == nil && ok {
		s.mu.Lock()
		s.feeds[key] = id
		s.mu.Unlock()
	}
	return id, ok, err
}
