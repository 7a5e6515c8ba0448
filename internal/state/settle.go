package state

import (
	"context"
	"database/sql"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// heldUnit is a unit that a batch holds, with what the batch contributed.
type heldUnit struct {
	unitRow
	UnitCount
	newest int64
}

// held reads and locks the units of a batch.
func (st *Step) held(batch int64) ([]heldUnit, error) {
	var list []heldUnit
	err := st.tx.query(`SELECT u.id, u.feed, u.state, u.complete, f.connector_id, b.bytes, b.records, b.duplicates, b.filtered,
		b.malformed, b.id_sum, b.newest FROM batch_units b JOIN units u ON u.id = b.unit JOIN feeds f ON f.id = u.feed
		WHERE b.batch = ? ORDER BY u.id {lock:u}`,
		func(r *sql.Rows) error {
			var h heldUnit
			var id []byte
			var complete, idSum int64
			err := r.Scan(&id, &h.feed, &h.state, &complete, &h.connectorID, &h.Bytes, &h.Records, &h.Duplicates, &h.Filtered,
				&h.Malformed, &idSum, &h.newest)
			copy(h.id[:], id)
			h.complete, h.IDSum = complete != 0, uint64(idSum)
			list = append(list, h)
			return err
		}, batch)
	return list, err
}

// shared returns the units of a batch that other open batches hold too. It belongs after the locks of held: somebody
// else may just have confirmed the last other batch.
func (st *Step) shared(batch int64) (map[record.UnitID]bool, error) {
	shared := map[record.UnitID]bool{}
	err := st.tx.query(`SELECT DISTINCT o.unit FROM batch_units b JOIN batch_units o ON o.unit = b.unit AND o.batch <> b.batch
		JOIN batches x ON x.number = o.batch WHERE b.batch = ? AND x.state = 0`, func(r *sql.Rows) error {
		var id []byte
		err := r.Scan(&id)
		shared[record.UnitID(id)] = true
		return err
	}, batch)
	return shared, err
}

// Confirm says that a batch, of this or an earlier term of the subject, is in the journal at pos: it is published.
// Units whose body is complete and that no other open batch holds land. pos becomes the last confirmed position of the
// subject; pos.Seq 0 means that the batch had no records and nothing was published, and the batch is forgotten.
// Confirming again what is confirmed does nothing; a void batch, or one that is unknown, is a fault.Conflict.
func (st *Step) Confirm(batch int64, pos Position) error {
	row, ok, err := st.lockBatch(batch)
	if err != nil {
		return err
	}
	switch {
	case !ok:
		return st.confirmedBefore(batch, pos)
	case row.state == batchVoid:
		return fault.Newf(fault.Conflict, "", "batch %d is void", batch)
	case row.state == batchPublished && row.pos == pos:
		return nil
	case row.state == batchPublished:
		return fault.Newf(fault.Conflict, "", "batch %d is published at %d, not at %d", batch, row.pos.Seq, pos.Seq)
	}
	if err := st.writeWaits(); err != nil {
		return err
	}
	if err := st.land(batch, pos); err != nil {
		return err
	}
	delete(st.live, batch)
	st.status = nil
	if pos.Seq != 0 {
		if _, err := st.tx.exec(`UPDATE batches SET state = 2, stream = ?, seq = ? WHERE number = ?`,
			pos.Stream, int64(pos.Seq), batch); err != nil {
			return err
		}
		return st.setPosition(confirmedPosition, pos)
	}
	for _, b := range st.live {
		delete(b.waits, batch)
	}
	if err := st.settleFiltered(`= ?`, batch); err != nil {
		return err
	}
	if _, err := st.tx.exec(`DELETE FROM batch_units WHERE batch = ?`, batch); err != nil {
		return err
	}
	_, err = st.tx.exec(`DELETE FROM batches WHERE number = ?`, batch)
	return err
}

var landColumns = columns{{"id", "bytea"}, {"lands", "bigint"}, {"landed_at", "bigint"}, {"seq", "bigint"}}

// land makes units of a batch that is being confirmed land.
func (st *Step) land(batch int64, pos Position) error {
	units, err := st.held(batch)
	if err != nil {
		return err
	}
	shared, err := st.shared(batch)
	if err != nil {
		return err
	}
	var rows [][]any
	now := micros(st.now)
	for _, h := range units {
		d := st.delta(h.feed)
		d.newest = max(d.newest, h.newest)
		lands := h.complete && !shared[h.id] && h.state != landed
		if lands {
			d.lastLanded = max(d.lastLanded, now)
			st.move(h.feed, h.state, landed)
		}
		seq := int64(0)
		if h.UnitCount != (UnitCount{}) {
			seq = int64(pos.Seq)
		}
		if lands || seq != 0 {
			rows = append(rows, []any{h.id[:], flag(lands), now, seq})
		}
	}
	// A unit that landed before, as for a second look, only gets the new place.
	_, err = st.tx.execRows(`UPDATE units SET seq = CASE WHEN units.seq < r.seq THEN r.seq ELSE units.seq END,
		state = CASE WHEN r.lands = 1 THEN 2 ELSE units.state END,
		landed_at = CASE WHEN r.lands = 1 THEN r.landed_at ELSE units.landed_at END,
		next_try = CASE WHEN r.lands = 1 THEN 0 ELSE units.next_try END,
		ask_lake = CASE WHEN r.lands = 1 THEN 0 ELSE units.ask_lake END,
		error_kind = CASE WHEN r.lands = 1 THEN '' ELSE units.error_kind END,
		error_text = CASE WHEN r.lands = 1 THEN '' ELSE units.error_text END
		FROM {rows} WHERE units.id = r.id`, landColumns, rows)
	return err
}

func (st *Step) confirmedBefore(batch int64, pos Position) error {
	last, err := st.position(confirmedPosition)
	if err != nil {
		return err
	}
	if pos.Seq == 0 || last.Stream == pos.Stream && last.Seq >= pos.Seq {
		return nil
	}
	return fault.Newf(fault.Conflict, "", "batch %d is not open", batch)
}

// Settle says that the lake has all that the journal had up to pos: the published batches of that stream up to there
// are forgotten, and cannot become void any more. pos becomes the last settled position of the subject; within a stream
// that only grows.
func (st *Step) Settle(pos Position) error {
	args := []any{st.term.Subject, pos.Stream, int64(pos.Seq)}
	const which = `WHERE state = 2 AND subject = ? AND stream = ? AND seq <= ?`
	found := false
	if err := st.tx.query(`SELECT number FROM batches `+which+` ORDER BY number {lock}`, func(r *sql.Rows) error {
		var number int64
		err := r.Scan(&number)
		found = true
		delete(st.live, number) // adopted in this step
		for _, b := range st.live {
			delete(b.waits, number)
		}
		return err
	}, args...); err != nil {
		return err
	}
	if found {
		st.status = nil
		if err := st.settleFiltered(`IN (SELECT number FROM batches `+which+`)`, args...); err != nil {
			return err
		}
		if _, err := st.tx.exec(`DELETE FROM batch_units WHERE batch IN (SELECT number FROM batches `+which+`)`, args...); err != nil {
			return err
		}
		if _, err := st.tx.exec(`DELETE FROM batches `+which, args...); err != nil {
			return err
		}
	}
	return st.setPosition(settledPosition, pos)
}

// Void says that an open batch, of this or an earlier term of the subject, is not in the journal and never will be, or
// that a published one was lost by the journal before it reached the lake. Its ids can be claimed again, its counts are
// taken back, and all units that it holds (also those of other batches that lost records to it) are Listed again with
// their Attempt, also from Landed; units of imports become Dropped. Units of a published batch get AskLake, because a part
// of the batch may have reached the lake. A fetch of such a unit that is going on must be
// given up by the caller: what it read before is void. Voiding again does nothing; a batch that is neither open nor
// published is a fault.Conflict.
func (st *Step) Void(batch int64) error {
	row, ok, err := st.lockBatch(batch)
	switch {
	case err != nil:
		return err
	case !ok:
		return fault.Newf(fault.Conflict, "", "batch %d is neither open nor published", batch)
	case row.state == batchVoid:
		return nil
	}
	if err := st.writeWaits(); err != nil {
		return err
	}
	units, err := st.held(batch)
	if err != nil {
		return err
	}
	for _, h := range units {
		st.delta(h.feed).count(h.UnitCount, -1)
	}
	if err := st.reopen(units, row.state == batchPublished); err != nil {
		return err
	}
	delete(st.live, batch)
	st.status = nil
	for _, b := range st.live {
		if _, ok := b.waits[batch]; ok {
			delete(b.waits, batch)
			b.stale = true
		}
	}
	if err := st.takeBackFiltered(batch); err != nil {
		return err
	}
	if _, err := st.tx.exec(`DELETE FROM batch_units WHERE batch = ?`, batch); err != nil {
		return err
	}
	_, err = st.tx.exec(`UPDATE batches SET state = 1 WHERE number = ?`, batch)
	return err
}

var reopenColumns = columns{
	{"id", "bytea"},
	{"state", "bigint"},
	{"ask_lake", "bigint"},
	{"bytes", "bigint"},
	{"records", "bigint"},
	{"duplicates", "bigint"},
	{"filtered", "bigint"},
	{"malformed", "bigint"},
	{"id_sum", "bigint"},
}

// reopen puts units back into the queue and takes counts back.
func (st *Step) reopen(units []heldUnit, askLake bool) error {
	rows := make([][]any, 0, len(units))
	for _, h := range units {
		to := queued(h.connectorID)
		rows = append(rows, []any{h.id[:], to, flag(askLake), h.Bytes, h.Records, h.Duplicates, h.Filtered, h.Malformed, int64(h.IDSum)})
		st.move(h.feed, h.state, to)
	}
	_, err := st.tx.execRows(`UPDATE units SET state = r.state, complete = 0, next_try = 0, ask_lake = CASE WHEN r.ask_lake = 1 THEN 1
		ELSE units.ask_lake END, bytes = units.bytes - r.bytes, records = units.records - r.records, duplicates = units.duplicates - r.duplicates, filtered = units.filtered - r.filtered,
		malformed = units.malformed - r.malformed, id_sum = `+xor("units.id_sum", "r.id_sum")+`
		FROM {rows} WHERE units.id = r.id`, reopenColumns, rows)
	return err
}

// queued is the state of a unit that has to be read again.
func queued(connectorID string) int64 {
	if strings.HasPrefix(connectorID, importPrefix) {
		return interrupted
	}
	return listed
}

// positionTable is where positions of one kind are.
type positionTable string

const (
	confirmedPosition positionTable = "positions"
	settledPosition   positionTable = "settled"
)

// setPosition remembers a position of the subject. Within a stream it only grows.
func (st *Step) setPosition(table positionTable, pos Position) error {
	if pos.Seq == 0 {
		return nil
	}
	t := string(table)
	_, err := st.tx.exec(`INSERT INTO `+t+` (subject, stream, seq) VALUES (?, ?, ?)
		ON CONFLICT (subject) DO UPDATE SET stream = excluded.stream,
		seq = CASE WHEN `+t+`.stream = excluded.stream AND `+t+`.seq > excluded.seq THEN `+t+`.seq ELSE excluded.seq END`,
		st.term.Subject, pos.Stream, int64(pos.Seq))
	return err
}

func (table positionTable) query() string {
	return `SELECT stream, seq FROM ` + string(table) + ` WHERE subject = ?`
}

func (st *Step) position(table positionTable) (Position, error) {
	var pos Position
	_, err := st.tx.one(table.query(), []any{st.term.Subject}, &pos.Stream, &pos.Seq)
	return pos, err
}

func (s *Store) position(ctx context.Context, op string, table positionTable, subject string) (Position, error) {
	var pos Position
	err := s.rows(ctx, table.query(), []any{subject}, func(r *sql.Rows) error { return r.Scan(&pos.Stream, &pos.Seq) })
	return pos, classify(op, err)
}

// LastConfirmed returns the last confirmed position of a subject; Seq 0 when there is none.
func (s *Store) LastConfirmed(ctx context.Context, subject string) (Position, error) {
	return s.position(ctx, "read last confirmed position", confirmedPosition, subject)
}

// LastSettled returns the last position given to Settle by a subject; Seq 0 when there is none.
func (s *Store) LastSettled(ctx context.Context, subject string) (Position, error) {
	return s.position(ctx, "read last settled position", settledPosition, subject)
}

// OpenBatches returns the batches that are neither confirmed nor void, of all subjects, in the order of their numbers.
func (s *Store) OpenBatches(ctx context.Context) ([]OpenBatch, error) {
	var list []OpenBatch
	err := s.rows(ctx, `SELECT number, epoch FROM batches WHERE state = 0 ORDER BY number`, nil, func(r *sql.Rows) error {
		var b OpenBatch
		err := r.Scan(&b.Number, &b.Epoch)
		list = append(list, b)
		return err
	})
	return list, classify("read open batches", err)
}

// Published returns the batches that are published and not settled, of all subjects, in the order of their numbers.
func (s *Store) Published(ctx context.Context) ([]PublishedBatch, error) {
	var list []PublishedBatch
	err := s.rows(ctx, `SELECT number, epoch, stream, seq FROM batches WHERE state = 2 ORDER BY number`, nil,
		func(r *sql.Rows) error {
			var b PublishedBatch
			err := r.Scan(&b.Number, &b.Epoch, &b.Position.Stream, &b.Position.Seq)
			list = append(list, b)
			return err
		})
	return list, classify("read published batches", err)
}
