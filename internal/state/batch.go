package state

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// importPrefix marks the connector ids of imports: their units cannot be fetched again by Sluice.
const importPrefix = "import:"

// OpenBatch begins a batch. Its number is greater than every number given before, over all terms and restarts.
func (st *Step) OpenBatch() (number int64, err error) {
	query := `UPDATE batch_number SET last = last + 1 RETURNING last`
	if st.tx.s.dialect == Postgres {
		query = `SELECT nextval('batch_number')`
	}
	if _, err := st.tx.one(query, nil, &number); err != nil {
		return 0, err
	}
	return number, st.insertBatch(number, st.term.Epoch)
}

// Adopt makes a batch that was found in the journal known as open, under the number and epoch of its message: it was
// published by a state database of which this one is an older copy. Claim, Count and Confirm follow in the same step.
// A number that this database gave away itself is a fault.Conflict.
func (st *Step) Adopt(number int64, epoch string) error {
	query, raise := `SELECT last FROM batch_number`, `UPDATE batch_number SET last = ?`
	if st.tx.s.dialect == Postgres {
		query, raise = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM batch_number`, `SELECT setval('batch_number', ?)`
	}
	var last int64
	if _, err := st.tx.one(query, nil, &last); err != nil {
		return err
	}
	if number <= last {
		return fault.Newf(fault.Conflict, "adopt batch", "number %d was given away by this database", number)
	}
	if _, err := st.tx.exec(raise, number); err != nil {
		return err
	}
	return st.insertBatch(number, epoch)
}

func (st *Step) insertBatch(number int64, epoch string) error {
	if _, err := st.tx.exec(`INSERT INTO batches (number, subject, epoch, void) VALUES (?, ?, ?, 0)`,
		number, st.term.Subject, epoch); err != nil {
		return err
	}
	st.status = nil
	st.live[number] = &liveBatch{fresh: true, counted: map[record.UnitID]struct{}{}, waits: map[int64]struct{}{}}
	return nil
}

// batch returns an open batch of this term.
func (st *Step) batch(number int64) (*liveBatch, error) {
	if b, ok := st.live[number]; ok {
		return b, nil
	}
	row, ok, err := st.lockBatch(number)
	if err != nil {
		return nil, err
	}
	if !ok || row.void || row.epoch != st.term.Epoch {
		return nil, fault.Newf(fault.Conflict, "", "batch %d is not open in this term", number)
	}
	b := &liveBatch{counted: map[record.UnitID]struct{}{}, waits: map[int64]struct{}{}}
	st.live[number] = b
	return b, nil
}

type batchRow struct {
	epoch string
	void  bool
}

// lockBatch reads a batch of this subject and keeps others from changing it.
func (st *Step) lockBatch(number int64) (row batchRow, ok bool, err error) {
	var subject string
	var void int64
	ok, err = st.tx.one(`SELECT subject, epoch, void FROM batches WHERE number = ? {lock}`, []any{number}, &subject, &row.epoch, &void)
	if err == nil && ok && subject != st.term.Subject {
		err = fault.Newf(fault.Conflict, "", "batch %d belongs to %s", number, subject)
	}
	row.void = void != 0
	return row, ok, err
}

var countColumns = columns{
	{"batch", "bigint"},
	{"unit", "bytea"},
	{"bytes", "bigint"},
	{"records", "bigint"},
	{"duplicates", "bigint"},
	{"filtered", "bigint"},
	{"malformed", "bigint"},
	{"newest", "bigint"},
	{"complete", "bigint"},
}

// Count adds what the batch contributes to units, and to the totals of their feeds. It belongs into the step that
// claimed the records counted, after Claim: only then is it known which other batches the units have to wait for.
// Complete says that a unit's body was read to its valid end; the unit lands when all batches it is in are confirmed.
func (st *Step) Count(batch int64, counts []UnitCount) error {
	b, err := st.batch(batch)
	if err != nil {
		return err
	}
	if b.stale {
		return fault.Newf(fault.Conflict, "", "batch %d lost records to a batch that became void: begin again", batch)
	}
	sums := sumCounts(counts)
	units, err := st.load(slices.Collect(maps.Keys(sums)))
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(sums))
	for id, c := range sums {
		b.counted[id] = struct{}{}
		st.delta(units[id].feed).count(c, +1)
		rows = append(rows, []any{batch, id[:], c.Bytes, c.Records, c.Duplicates, c.Filtered, c.Malformed, micros(c.Newest), flag(c.Complete)})
	}
	if _, err := st.tx.execRows(`INSERT INTO batch_units (batch, unit, bytes, records, duplicates, filtered, malformed, newest)
		SELECT batch, unit, bytes, records, duplicates, filtered, malformed, newest FROM {rows} WHERE true
		ON CONFLICT (batch, unit) DO UPDATE SET bytes = batch_units.bytes + excluded.bytes,
		records = batch_units.records + excluded.records, duplicates = batch_units.duplicates + excluded.duplicates,
		filtered = batch_units.filtered + excluded.filtered, malformed = batch_units.malformed + excluded.malformed,
		newest = CASE WHEN batch_units.newest < excluded.newest THEN excluded.newest ELSE batch_units.newest END`,
		countColumns, rows); err != nil {
		return err
	}
	_, err = st.tx.execRows(`UPDATE units SET bytes = units.bytes + r.bytes, records = units.records + r.records,
		duplicates = units.duplicates + r.duplicates, filtered = units.filtered + r.filtered, malformed = units.malformed + r.malformed,
		complete = CASE WHEN r.complete = 1 THEN 1 ELSE units.complete END FROM {rows} WHERE units.id = r.unit`, countColumns, rows)
	return err
}

// sumCounts adds up what one call says of the same unit.
func sumCounts(counts []UnitCount) map[record.UnitID]UnitCount {
	sums := make(map[record.UnitID]UnitCount, len(counts))
	for _, c := range counts {
		sum := sums[c.Unit]
		sum.Bytes += c.Bytes
		sum.Records += c.Records
		sum.Duplicates += c.Duplicates
		sum.Filtered += c.Filtered
		sum.Malformed += c.Malformed
		sum.Complete = sum.Complete || c.Complete
		if c.Newest.After(sum.Newest) {
			sum.Newest = c.Newest
		}
		sums[c.Unit] = sum
	}
	return sums
}

func (d *feedDelta) count(c UnitCount, sign int64) {
	d.bytes += sign * c.Bytes
	d.records += sign * c.Records
	d.duplicates += sign * c.Duplicates
	d.filtered += sign * c.Filtered
	d.malformed += sign * c.Malformed
}

// writeWaits notes for the units counted in this step the batches to which their batch lost records: a row of
// batch_units without counts.
func (st *Step) writeWaits() error {
	var rows [][]any
	for _, number := range st.waitedFor() {
		row, ok, err := st.stillOpen(number)
		if err != nil {
			return err
		}
		for _, b := range st.live {
			if _, waits := b.waits[number]; !waits {
				continue
			}
			if !ok { // another subject confirmed it since
				delete(b.waits, number)
				continue
			}
			if row.void {
				return fault.Newf(fault.Unavailable, "", "batch %d became void while its ids were looked up", number)
			}
			for id := range b.counted {
				rows = append(rows, []any{number, id[:]})
			}
		}
	}
	_, err := st.tx.execRows(`INSERT INTO batch_units (batch, unit, bytes, records, duplicates, filtered, malformed, newest)
		SELECT batch, unit, 0, 0, 0, 0, 0, 0 FROM {rows} WHERE true ON CONFLICT (batch, unit) DO NOTHING`,
		columns{{"batch", "bigint"}, {"unit", "bytea"}}, rows)
	return err
}

// waitedFor returns the batches that batches of this step wait for, in order.
func (st *Step) waitedFor() []int64 {
	var numbers []int64
	for _, b := range st.live {
		numbers = slices.AppendSeq(numbers, maps.Keys(b.waits))
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// stillOpen reads a batch of any subject and keeps it from being settled before this step ends.
func (st *Step) stillOpen(number int64) (row batchRow, ok bool, err error) {
	var void int64
	ok, err = st.tx.one(`SELECT epoch, void FROM batches WHERE number = ? {share}`, []any{number}, &row.epoch, &void)
	row.void = void != 0
	return row, ok, err
}

// heldUnit is a unit that a batch holds, with what the batch contributed.
type heldUnit struct {
	unitRow
	complete bool
	others   bool // other batches hold it too
	UnitCount
	newest int64
}

// held reads and locks the units of a batch.
func (st *Step) held(batch int64) ([]heldUnit, error) {
	var list []heldUnit
	err := st.tx.query(`SELECT u.id, u.feed, u.state, u.complete, f.connector_id, b.bytes, b.records, b.duplicates, b.filtered,
		b.malformed, b.newest FROM batch_units b JOIN units u ON u.id = b.unit JOIN feeds f ON f.id = u.feed
		WHERE b.batch = ? ORDER BY u.id {lock:u}`,
		func(r *sql.Rows) error {
			var h heldUnit
			var id []byte
			var complete int64
			err := r.Scan(&id, &h.feed, &h.state, &complete, &h.connectorID, &h.Bytes, &h.Records, &h.Duplicates, &h.Filtered,
				&h.Malformed, &h.newest)
			copy(h.id[:], id)
			h.complete = complete != 0
			list = append(list, h)
			return err
		}, batch)
	if err != nil {
		return nil, err
	}
	// After the locks: somebody else may just have removed the last other batch.
	shared := map[record.UnitID]bool{}
	err = st.tx.query(`SELECT DISTINCT o.unit FROM batch_units b JOIN batch_units o ON o.unit = b.unit AND o.batch <> b.batch
		WHERE b.batch = ?`, func(r *sql.Rows) error {
		var id []byte
		err := r.Scan(&id)
		shared[record.UnitID(id)] = true
		return err
	}, batch)
	for i := range list {
		list[i].others = shared[list[i].id]
	}
	return list, err
}

// Confirm says that a batch, of this or an earlier term of the subject, is in the journal at pos. Units whose body is
// complete and that no other open batch holds land. pos becomes the last confirmed position of the subject; pos.Seq 0
// means that the batch had no records and nothing was published. Confirming again what is confirmed does nothing; a
// void batch, or one that is unknown, is a fault.Conflict.
func (st *Step) Confirm(batch int64, pos Position) error {
	row, ok, err := st.lockBatch(batch)
	if err != nil {
		return err
	}
	if !ok {
		return st.confirmedBefore(batch, pos)
	}
	if row.void {
		return fault.Newf(fault.Conflict, "", "batch %d is void", batch)
	}
	if err := st.writeWaits(); err != nil {
		return err
	}
	units, err := st.held(batch)
	if err != nil {
		return err
	}
	var done [][]any
	for _, h := range units {
		d := st.delta(h.feed)
		d.newest = max(d.newest, h.newest)
		if h.complete && !h.others && h.state != landed {
			done = append(done, []any{h.id[:], micros(st.now)})
			d.lastLanded = max(d.lastLanded, micros(st.now))
			st.move(h.feed, h.state, landed)
		}
	}
	if _, err := st.tx.execRows(`UPDATE units SET state = 2, landed_at = r.landed_at, next_try = 0, error_kind = '', error_text = ''
		FROM {rows} WHERE units.id = r.id`, columns{{"id", "bytea"}, {"landed_at", "bigint"}}, done); err != nil {
		return err
	}
	if err := st.forget(batch); err != nil {
		return err
	}
	if _, err := st.tx.exec(`DELETE FROM batches WHERE number = ?`, batch); err != nil {
		return err
	}
	for _, b := range st.live {
		delete(b.waits, batch)
	}
	return st.setPosition(pos)
}

func (st *Step) confirmedBefore(batch int64, pos Position) error {
	last, err := st.position()
	if err != nil {
		return err
	}
	if pos.Seq == 0 || last.Stream == pos.Stream && last.Seq >= pos.Seq {
		return nil
	}
	return fault.Newf(fault.Conflict, "", "batch %d is not open", batch)
}

// forget removes what the batch held of units and what the step remembers of it.
func (st *Step) forget(batch int64) error {
	delete(st.live, batch)
	st.status = nil
	_, err := st.tx.exec(`DELETE FROM batch_units WHERE batch = ?`, batch)
	return err
}

// Void says that a batch, of this or an earlier term of the subject, is not in the journal and never will be. Its ids
// can be claimed again, its counts are taken back, and all units that it holds (also those of other batches that lost
// records to it) are Listed again with their Attempt; units of imports become Dropped. A fetch of such a unit that is
// going on must be given up by the caller: what it read before is void. Voiding again does nothing; a batch that is not
// known as open is a fault.Conflict.
func (st *Step) Void(batch int64) error {
	row, ok, err := st.lockBatch(batch)
	switch {
	case err != nil:
		return err
	case !ok:
		return fault.Newf(fault.Conflict, "", "batch %d is not open", batch)
	case row.void:
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
	if err := st.reopen(units); err != nil {
		return err
	}
	if err := st.forget(batch); err != nil {
		return err
	}
	for _, b := range st.live {
		if _, ok := b.waits[batch]; ok {
			delete(b.waits, batch)
			b.stale = true
		}
	}
	_, err = st.tx.exec(`UPDATE batches SET void = 1 WHERE number = ?`, batch)
	return err
}

// Revoke makes a batch void that was published and confirmed, because the journal lost it before it reached the lake
// (a stream that was restored or began anew). Its counts are not known any more and stay; the given units, those with
// records in it, are queued as Void does. An open batch is made void like Void.
func (st *Step) Revoke(batch int64, units []record.UnitID) error {
	_, ok, err := st.lockBatch(batch)
	if err != nil {
		return err
	}
	if ok {
		err = st.Void(batch)
	} else {
		st.status = nil
		_, err = st.tx.exec(`INSERT INTO batches (number, subject, epoch, void) VALUES (?, ?, ?, 1)`,
			batch, st.term.Subject, st.term.Epoch)
	}
	if err != nil {
		return err
	}
	known, err := st.load(units)
	if err != nil {
		return err
	}
	list := make([]heldUnit, 0, len(known))
	for _, u := range known {
		list = append(list, heldUnit{unitRow: u})
	}
	return st.reopen(list)
}

var reopenColumns = columns{
	{"id", "bytea"},
	{"state", "bigint"},
	{"bytes", "bigint"},
	{"records", "bigint"},
	{"duplicates", "bigint"},
	{"filtered", "bigint"},
	{"malformed", "bigint"},
}

// reopen puts units back into the queue and takes counts back.
func (st *Step) reopen(units []heldUnit) error {
	rows := make([][]any, 0, len(units))
	for _, h := range units {
		to := listed
		if strings.HasPrefix(h.connectorID, importPrefix) {
			to = interrupted
		}
		rows = append(rows, []any{h.id[:], to, h.Bytes, h.Records, h.Duplicates, h.Filtered, h.Malformed})
		st.move(h.feed, h.state, to)
	}
	_, err := st.tx.execRows(`UPDATE units SET state = r.state, complete = 0, next_try = 0, bytes = units.bytes - r.bytes,
		records = units.records - r.records, duplicates = units.duplicates - r.duplicates, filtered = units.filtered - r.filtered,
		malformed = units.malformed - r.malformed FROM {rows} WHERE units.id = r.id`, reopenColumns, rows)
	return err
}

// setPosition remembers the last confirmed position. Within a stream it only grows.
func (st *Step) setPosition(pos Position) error {
	if pos.Seq == 0 {
		return nil
	}
	seq := int64(pos.Seq)
	_, err := st.tx.exec(`INSERT INTO positions (subject, stream, seq) VALUES (?, ?, ?)
		ON CONFLICT (subject) DO UPDATE SET stream = excluded.stream,
		seq = CASE WHEN positions.stream = excluded.stream AND positions.seq > excluded.seq THEN positions.seq ELSE excluded.seq END`,
		st.term.Subject, pos.Stream, seq)
	return err
}

const selectPosition = `SELECT stream, seq FROM positions WHERE subject = ?`

func (st *Step) position() (Position, error) {
	var pos Position
	_, err := st.tx.one(selectPosition, []any{st.term.Subject}, &pos.Stream, &pos.Seq)
	return pos, err
}

// LastConfirmed returns the last confirmed position of a subject; Seq 0 when there is none.
func (s *Store) LastConfirmed(ctx context.Context, subject string) (Position, error) {
	var pos Position
	err := s.rows(ctx, selectPosition, []any{subject}, func(r *sql.Rows) error { return r.Scan(&pos.Stream, &pos.Seq) })
	return pos, classify("read last position", err)
}

// OpenBatches returns the batches that are neither confirmed nor void, of all subjects, in the order of their numbers.
func (s *Store) OpenBatches(ctx context.Context) ([]OpenBatch, error) {
	var list []OpenBatch
	err := s.rows(ctx, `SELECT number, epoch FROM batches WHERE void = 0 ORDER BY number`, nil, func(r *sql.Rows) error {
		var b OpenBatch
		err := r.Scan(&b.Number, &b.Epoch)
		list = append(list, b)
		return err
	})
	return list, classify("read open batches", err)
}
