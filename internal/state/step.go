package state

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
	"sluice/internal/record"
)

// Step is one transaction of the collection path, see Store.Step. It is for one goroutine, inside the function that it
// was given to. After a method failed for a reason of the database nothing of the step is kept, whatever the function
// returns.
type Step struct {
	tx     *tx
	term   Term
	now    time.Time
	feeds  map[feedKey]int64    // seen or made in this step
	deltas map[int64]*feedDelta // by feed, written once at the end
	live   map[int64]*liveBatch // open batches of this term, seen in this step
	status map[int64]int64      // states of batches that were looked up, see states
	floor  int64                // of the ids, Unix seconds; -1: must be read, with pruned
	pruned int64                // see prunedBatch
}

// feedDelta is what a step adds to the totals of a feed.
type feedDelta struct {
	listed, landed, pending, retrying, lost         int64
	bytes, records, duplicates, filtered, malformed int64
	newest, lastLanded                              int64
}

// liveBatch is what a step knows of an open batch.
type liveBatch struct {
	fresh   bool                       // opened in this step: all its claims are in claimed
	claimed [][]claimKey               // keys of earlier Claim calls of this step, each sorted
	counted map[record.UnitID]struct{} // units counted in this step
	waits   map[int64]struct{}         // batches not settled to which it lost records as duplicates in this step
	stale   bool                       // one of those became void in this step
	adopted bool                       // published already
}

// Step runs fn in one transaction, after it made sure that the term is the current one (fault.Conflict if not). What
// fn did through the Step is committed when fn and the commit succeed, and otherwise nothing of it happened.
//
// A commit can fail without telling whether it happened (PostgreSQL only: the connection broke). Step asks the server;
// if even that fails, the term ends for this Store and the error is a fault.Conflict: acquire a new term and settle the
// open batches.
func (s *Store) Step(ctx context.Context, t Term, fn func(*Step) error) error {
	return s.step(ctx, "step", t, fn)
}

func (s *Store) step(ctx context.Context, op string, t Term, fn func(*Step) error) error {
	st := &Step{term: t, now: s.clock.Now(), feeds: map[feedKey]int64{}, deltas: map[int64]*feedDelta{}, live: map[int64]*liveBatch{}, floor: -1}
	err := s.fenced(ctx, op, t, func(tx *tx) error {
		st.tx = tx
		if err := fn(st); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := st.writeWaits(); err != nil {
			return err
		}
		return st.writeDeltas()
	})
	if err == nil {
		failpoint.Hit(failpoint.StateCommitted)
	}
	if err == nil && len(st.feeds) > 0 {
		s.mu.Lock()
		maps.Copy(s.feeds, st.feeds)
		s.mu.Unlock()
	}
	return err
}

// AddUnits is Step.AddUnits in a step of its own.
func (s *Store) AddUnits(ctx context.Context, t Term, connectorID string, units []record.Unit) (added int, err error) {
	err = s.step(ctx, "add units", t, func(st *Step) error {
		added, err = st.AddUnits(connectorID, units)
		return err
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

// FailUnits is Step.Fail in a step of its own.
func (s *Store) FailUnits(ctx context.Context, t Term, failures []UnitFailure) error {
	return s.step(ctx, "record failed units", t, func(st *Step) error { return st.Fail(failures) })
}

var newUnitColumns = columns{
	{"id", "bytea"},
	{"feed", "bigint"},
	{"unit_key", "text"},
	{"content_id", "text"},
	{"uri", "text"},
	{"created", "bigint"},
	{"expires", "bigint"},
	{"listed_at", "bigint"},
}

// AddUnits writes units of a connector (or import) into the ledger, state Listed. Units that the ledger has already are left
// as they are, but for the address and the expiry of those that are still to be read, also a second time: the newest listing knows them best, and
// one that a damaged listing once brought must not stay. It returns how many were new.
func (st *Step) AddUnits(connectorID string, units []record.Unit) (added int, err error) {
	byFeed := map[int64][][]any{}
	for _, u := range units {
		feed, err := st.feed(connectorID, u.ContentType)
		if err != nil {
			return 0, err
		}
		id := u.ID(connectorID)
		byFeed[feed] = append(byFeed[feed], []any{
			id[:], feed, clean(u.Key), clean(u.ContentID), clean(u.URI), micros(u.Created), micros(u.Expires), micros(st.now),
		})
	}
	for _, feed := range slices.Sorted(maps.Keys(byFeed)) {
		n, err := st.tx.execRows(`INSERT INTO units (id, feed, unit_key, content_id, uri, created, expires, listed_at)
			SELECT id, feed, unit_key, content_id, uri, created, expires, listed_at FROM {rows} WHERE true
			ON CONFLICT (id) DO NOTHING`, newUnitColumns, byFeed[feed])
		if err != nil {
			return 0, err
		}
		if n < int64(len(byFeed[feed])) {
			if _, err := st.tx.execRows(`UPDATE units SET uri = r.uri, expires = r.expires FROM {rows}
				WHERE units.id = r.id AND (units.state <> 2 OR units.look_at > 0) AND (units.uri <> r.uri OR units.expires <> r.expires)`,
				newUnitColumns, byFeed[feed]); err != nil {
				return 0, err
			}
		}
		d := st.delta(feed)
		d.listed += n
		d.pending += n
		added += int(n)
	}
	return added, nil
}

// feed returns the number of a feed and makes it if need be.
func (st *Step) feed(connectorID, contentType string) (int64, error) {
	key := feedKey{connectorID, contentType}
	if id, ok := st.feeds[key]; ok {
		return id, nil
	}
	s := st.tx.s
	s.mu.Lock()
	id, ok := s.feeds[key]
	s.mu.Unlock()
	if ok {
		return id, nil
	}
	if _, err := st.tx.exec(`INSERT INTO feeds (connector_id, content_type) VALUES (?, ?) ON CONFLICT DO NOTHING`,
		connectorID, contentType); err != nil {
		return 0, err
	}
	if _, err := st.tx.one(`SELECT id FROM feeds WHERE connector_id = ? AND content_type = ?`,
		[]any{connectorID, contentType}, &id); err != nil {
		return 0, err
	}
	st.feeds[key] = id
	return id, nil
}

// unitRow is what a step needs to know of a unit before it changes it.
type unitRow struct {
	id          record.UnitID
	feed        int64
	state       int64
	connectorID string
	contentType string
	complete    bool // its body was read to the end: it has landed, or lands with its batches
}

// load reads and locks units. An id that the ledger does not have is a fault.NotFound.
func (st *Step) load(ids []record.UnitID) (map[record.UnitID]unitRow, error) {
	found := make(map[record.UnitID]unitRow, len(ids))
	// CROSS JOIN makes SQLite begin with the few rows.
	err := st.tx.queryRows(`SELECT u.id, u.feed, u.state, u.complete, f.connector_id, f.content_type FROM {rows} CROSS JOIN units u CROSS JOIN feeds f
		WHERE u.id = r.id AND f.id = u.feed ORDER BY u.id {lock:u}`, idColumns, idRows(ids),
		func(r *sql.Rows) error {
			var u unitRow
			var id []byte
			var complete int64
			err := r.Scan(&id, &u.feed, &u.state, &complete, &u.connectorID, &u.contentType)
			copy(u.id[:], id)
			u.complete = complete != 0
			found[u.id] = u
			return err
		})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, ok := found[id]; !ok {
			return nil, notFound("", "the ledger has no unit %s", id)
		}
	}
	return found, nil
}

var failureColumns = columns{
	{"id", "bytea"}, {"state", "bigint"}, {"next_try", "bigint"}, {"error_kind", "text"}, {"error_text", "text"},
}

// Fail records attempts that ended without landing: Attempt grows by one, state, next try and error are set. Counts of
// what was read before the failure stay, because those records are in batches. Several failures of one unit in one
// call count as one attempt; the last one says how it ended. A unit that somebody else has read to the end meanwhile is left
// alone: nothing of it failed.
func (st *Step) Fail(failures []UnitFailure) error {
	last := make(map[record.UnitID]UnitFailure, len(failures))
	for _, f := range failures {
		if f.State != Retrying && f.State != Lost && f.State != Dropped {
			return fault.Newf(fault.Internal, "record failed unit", "a unit does not fail into the state %q", f.State)
		}
		last[f.ID] = f
	}
	units, err := st.load(slices.Collect(maps.Keys(last)))
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(units))
	for id, u := range units {
		if u.complete {
			continue
		}
		f := last[id]
		next := int64(0)
		if f.State == Retrying {
			next = micros(f.NextTry)
		}
		rows = append(rows, []any{id[:], f.State.code(), next, string(f.Kind), clean(f.Text)})
		st.move(u.feed, u.state, f.State.code())
	}
	_, err = st.tx.execRows(`UPDATE units SET state = r.state, next_try = r.next_try, error_kind = r.error_kind,
		error_text = r.error_text, attempt = units.attempt + 1, complete = 0 FROM {rows} WHERE units.id = r.id`, failureColumns, rows)
	return err
}

// move counts a change of state.
func (st *Step) move(feed, from, to int64) {
	d := st.delta(feed)
	for state, by := range map[int64]int64{from: -1, to: +1} {
		if from == to {
			return
		}
		switch state {
		case listed:
			d.pending += by
		case retrying:
			d.pending += by
			d.retrying += by
		case landed:
			d.landed += by
		case lost:
			d.lost += by
		}
	}
}

func (st *Step) delta(feed int64) *feedDelta {
	d := st.deltas[feed]
	if d == nil {
		d = &feedDelta{}
		st.deltas[feed] = d
	}
	return d
}

// writeDeltas adds to the totals, in the order of feeds, so that two steps never wait for each other.
func (st *Step) writeDeltas() error {
	for _, feed := range slices.Sorted(maps.Keys(st.deltas)) {
		d := st.deltas[feed]
		if *d == (feedDelta{}) {
			continue
		}
		if _, err := st.tx.exec(`UPDATE feeds SET listed = listed + ?, landed = landed + ?, pending = pending + ?,
			retrying = retrying + ?, lost = lost + ?,
			bytes = bytes + ?, records = records + ?, duplicates = duplicates + ?, filtered = filtered + ?, malformed = malformed + ?,
			newest = CASE WHEN newest < ? THEN ? ELSE newest END, last_landed = CASE WHEN last_landed < ? THEN ? ELSE last_landed END
			WHERE id = ?`, d.listed, d.landed, d.pending, d.retrying, d.lost, d.bytes, d.records, d.duplicates, d.filtered, d.malformed,
			d.newest, d.newest, d.lastLanded, d.lastLanded, feed); err != nil {
			return err
		}
	}
	return nil
}
