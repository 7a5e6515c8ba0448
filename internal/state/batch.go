package state

import (
	"database/sql"
	"maps"
	"slices"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// importPrefix marks the connector ids of imports: their units cannot be fetched again by Sluice.
const importPrefix = "import:"

// The states of batches as they are stored. Batches that the lake has have no row; looked up they are batchGone.
const (
	batchOpen int64 = iota
	batchVoid
	batchPublished
	batchGone
)

// OpenBatch begins a batch. Its number is greater than every number given before, over all terms and restarts.
func (st *Step) OpenBatch() (number int64, err error) {
	query := `UPDATE batch_number SET last = last + 1 RETURNING last`
	if st.tx.s.dialect == Postgres {
		query = `SELECT nextval('batch_number')`
	}
	if _, err := st.tx.one(query, nil, &number); err != nil {
		return 0, err
	}
	return number, st.insertBatch(number, batchRow{epoch: st.term.Epoch, state: batchOpen})
}

// Adopt makes a batch that was found in the journal at pos known as published, under the number and epoch of its
// message: it was published by a state database of which this one is an older copy. Claim and Count may follow in the
// same step, for units that the ledger knows; that a unit is Complete is not known of such a batch. pos becomes the last
// confirmed position. OpenBatch never returns a number that is not greater. A batch that the database knows, because it
// has the number or because pos is not behind the last confirmed position of the stream, is a fault.Conflict.
func (st *Step) Adopt(number int64, epoch string, pos Position) error {
	const op = "adopt batch"
	if pos.Seq == 0 {
		return fault.Newf(fault.Internal, op, "batch %d has no place in the journal", number)
	}
	_, known, err := st.lockBatch(number)
	if err != nil {
		return err
	}
	last, err := st.position(confirmedPosition)
	if err != nil {
		return err
	}
	if known || last.Stream == pos.Stream && pos.Seq <= last.Seq {
		return fault.Newf(fault.Conflict, op, "batch %d at %d is known", number, pos.Seq)
	}
	if err := st.raiseNumbers(number); err != nil {
		return err
	}
	if err := st.insertBatch(number, batchRow{epoch: epoch, state: batchPublished, pos: pos}); err != nil {
		return err
	}
	return st.setPosition(confirmedPosition, pos)
}

// raiseNumbers makes sure that OpenBatch goes on behind number. On PostgreSQL that stays even if the step fails.
func (st *Step) raiseNumbers(number int64) error {
	query, raise := `SELECT last FROM batch_number`, `UPDATE batch_number SET last = ?`
	if st.tx.s.dialect == Postgres {
		query, raise = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM batch_number`, `SELECT setval('batch_number', ?)`
	}
	var last int64
	if _, err := st.tx.one(query, nil, &last); err != nil || number <= last {
		return err
	}
	_, err := st.tx.exec(raise, number)
	return err
}

// batchRow is a row of the table of batches.
type batchRow struct {
	epoch string
	state int64
	pos   Position // when published
}

func (st *Step) insertBatch(number int64, row batchRow) error {
	if _, err := st.tx.exec(`INSERT INTO batches (number, subject, epoch, state, stream, seq) VALUES (?, ?, ?, ?, ?, ?)`,
		number, st.term.Subject, row.epoch, row.state, row.pos.Stream, int64(row.pos.Seq)); err != nil {
		return err
	}
	st.live[number] = newLiveBatch(true)
	st.live[number].adopted = row.state == batchPublished
	return nil
}

func newLiveBatch(fresh bool) *liveBatch {
	return &liveBatch{fresh: fresh, counted: map[record.UnitID]struct{}{}, waits: map[int64]struct{}{}}
}

// batch returns an open batch of this term, or one that this step adopted.
func (st *Step) batch(number int64) (*liveBatch, error) {
	if b, ok := st.live[number]; ok {
		return b, nil
	}
	row, ok, err := st.lockBatch(number)
	if err != nil {
		return nil, err
	}
	if !ok || row.state != batchOpen || row.epoch != st.term.Epoch {
		return nil, fault.Newf(fault.Conflict, "", "batch %d is not open in this term", number)
	}
	b := newLiveBatch(false)
	st.live[number] = b
	return b, nil
}

// lockBatch reads a batch of this subject and keeps others from changing it.
func (st *Step) lockBatch(number int64) (row batchRow, ok bool, err error) {
	var subject string
	ok, err = st.tx.one(`SELECT subject, epoch, state, stream, seq FROM batches WHERE number = ? {lock}`, []any{number},
		&subject, &row.epoch, &row.state, &row.pos.Stream, &row.pos.Seq)
	if err == nil && ok && subject != st.term.Subject {
		err = fault.Newf(fault.Conflict, "", "batch %d belongs to %s", number, subject)
	}
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
	{"id_sum", "bigint"},
	{"newest", "bigint"},
	{"complete", "bigint"},
	{"asked_lake", "bigint"},
}

// Count adds what the batch contributes to units, and to the totals of their feeds. It belongs into the step that
// claimed the records counted, after Claim: only then is it known which other batches the units have to wait for.
// Complete says that a unit's body was read to its valid end; the unit lands when all batches it is in are confirmed.
// A unit that has to ask the lake (Step.Heal) is complete only if AskedLake says so too; otherwise it stays due, as when
// it was healed while it was being fetched. Counting into a unit that landed (a second look) leaves it landed.
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
		if c.Complete && b.adopted {
			return fault.Newf(fault.Internal, "count records", "batch %d was adopted: that unit %s is complete cannot be known", batch, id)
		}
		b.counted[id] = struct{}{}
		st.delta(units[id].feed).count(c, +1)
		rows = append(rows, []any{
			batch, id[:], c.Bytes, c.Records, c.Duplicates, c.Filtered, c.Malformed, int64(c.IDSum),
			micros(c.Newest), flag(c.Complete), flag(c.AskedLake),
		})
	}
	if _, err := st.tx.execRows(`INSERT INTO batch_units (batch, unit, bytes, records, duplicates, filtered, malformed, id_sum, newest)
		SELECT batch, unit, bytes, records, duplicates, filtered, malformed, id_sum, newest FROM {rows} WHERE true
		ON CONFLICT (batch, unit) DO UPDATE SET bytes = batch_units.bytes + excluded.bytes,
		records = batch_units.records + excluded.records, duplicates = batch_units.duplicates + excluded.duplicates,
		filtered = batch_units.filtered + excluded.filtered, malformed = batch_units.malformed + excluded.malformed,
		id_sum = `+xor("batch_units.id_sum", "excluded.id_sum")+`,
		newest = CASE WHEN batch_units.newest < excluded.newest THEN excluded.newest ELSE batch_units.newest END`,
		countColumns, rows); err != nil {
		return err
	}
	_, err = st.tx.execRows(`UPDATE units SET bytes = units.bytes + r.bytes, records = units.records + r.records,
		duplicates = units.duplicates + r.duplicates, filtered = units.filtered + r.filtered, malformed = units.malformed + r.malformed,
		id_sum = `+xor("units.id_sum", "r.id_sum")+`, complete = CASE WHEN r.complete = 1 AND (units.ask_lake = 0 OR r.asked_lake = 1)
		THEN 1 ELSE units.complete END FROM {rows} WHERE units.id = r.unit`, countColumns, rows)
	return err
}

// xor is the SQL of a XOR b: SQLite has no operator for it.
func xor(a, b string) string { return "((" + a + " | " + b + ") & ~(" + a + " & " + b + "))" }

// sumCounts adds up what one call says of the same unit.
func sumCounts(counts []UnitCount) map[record.UnitID]UnitCount {
	sums := make(map[record.UnitID]UnitCount, len(counts))
	for _, c := range counts {
		sum := sums[c.Unit]
		sum.add(c)
		if c.Complete {
			sum.Complete, sum.AskedLake = true, sum.AskedLake || c.AskedLake
		}
		if c.Newest.After(sum.Newest) {
			sum.Newest = c.Newest
		}
		sums[c.Unit] = sum
	}
	return sums
}

// add adds the counts of o.
func (c *UnitCount) add(o UnitCount) {
	c.Bytes += o.Bytes
	c.Records += o.Records
	c.Duplicates += o.Duplicates
	c.Filtered += o.Filtered
	c.Malformed += o.Malformed
	c.IDSum ^= o.IDSum
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
	numbers := st.waitedFor()
	if len(numbers) == 0 {
		return nil
	}
	states, err := st.lockStates(numbers)
	if err != nil {
		return err
	}
	var rows [][]any
	for _, number := range numbers {
		state, known := states[number]
		if state == batchVoid {
			return fault.Newf(fault.Unavailable, "", "batch %d became void while its ids were looked up", number)
		}
		for _, b := range st.live {
			if _, waits := b.waits[number]; !waits {
				continue
			}
			if !known { // the lake has it by now
				delete(b.waits, number)
				continue
			}
			for id := range b.counted {
				rows = append(rows, []any{number, id[:]})
			}
		}
	}
	_, err = st.tx.execRows(`INSERT INTO batch_units (batch, unit, bytes, records, duplicates, filtered, malformed, newest)
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

var numberColumns = columns{{"number", "bigint"}}

func numberRows(numbers []int64) [][]any {
	rows := make([][]any, len(numbers))
	for i, n := range numbers {
		rows[i] = []any{n}
	}
	return rows
}

// lockStates reads the states of batches of any subject, and keeps those that have a row from changing before this step
// ends.
func (st *Step) lockStates(numbers []int64) (map[int64]int64, error) {
	states := make(map[int64]int64, len(numbers))
	err := st.tx.queryRows(`SELECT b.number, b.state FROM {rows} CROSS JOIN batches b WHERE b.number = r.number
		ORDER BY b.number {share:b}`, numberColumns, numberRows(numbers), func(r *sql.Rows) error {
		var number, state int64
		err := r.Scan(&number, &state)
		states[number] = state
		return err
	})
	return states, err
}
