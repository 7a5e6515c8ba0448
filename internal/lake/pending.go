package lake

import (
	"time"

	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// pending is what the writer has read and not committed yet: per table, the rows by day. It is for one goroutine.
type pending struct {
	tables map[record.Index]*pendingTable
	pool   *chunkPool

	members []rawjson.Member
	row     *normalize.Row
	env     normalize.Envelope
	norm    *normalize.Normalizer
}

// pendingTable is the rows of one table that are not committed yet.
type pendingTable struct {
	index    record.Index
	position Position // what the table had when the rows began
	cols     *columnSet
	shred    *shredder
	days     map[int32]*rowBuffer // by day since 1970
	spare    *rowBuffer           // memory of the largest buffer that was committed
	rows     int
}

func newPending(norm *normalize.Normalizer) *pending {
	return &pending{
		tables: make(map[record.Index]*pendingTable), pool: &chunkPool{}, row: normalize.NewRow(), norm: norm,
	}
}

// open makes a table ready for rows: its columns are those of the table, its position is where its rows begin.
func (p *pending) open(index record.Index, cols *columnSet, position Position) {
	p.tables[index] = &pendingTable{
		index: index, position: position, cols: cols, shred: newShredder(cols), days: make(map[int32]*rowBuffer),
	}
}

// rows and bytes say how much is waiting.
func (p *pending) rows() (n int) {
	for _, t := range p.tables {
		n += t.rows
	}
	return n
}

func (p *pending) bytes() (n int) {
	for _, t := range p.tables {
		for _, b := range t.days {
			n += b.bytes()
		}
	}
	return n
}

// add takes the records of one entry. Each table skips what it has already.
func (p *pending) add(e *Entry, now time.Time) {
	switch {
	case e.Bad != nil:
		if t := p.tables[record.Quarantine]; e.Seq > t.position.Seq {
			p.addBad(t, e, now)
		}
	case e.Batch != nil:
		for i := range e.Batch.Records {
			p.addRecord(e, i, now)
		}
	}
}

func (p *pending) addRecord(e *Entry, i int, now time.Time) {
	b, r := e.Batch, &e.Batch.Records[i]
	t, known := p.tables[r.Index]
	reason := r.Reason
	if !known {
		t, reason = p.tables[record.Quarantine], "unknown index "+string(r.Index)
	}
	if r.Unit < 0 || r.Unit >= len(b.Units) || b.Units[r.Unit].Connector < 0 || b.Units[r.Unit].Connector >= len(b.Connectors) {
		p.addForeign(e, i, now)
		return
	}
	if e.Seq <= t.position.Seq {
		return
	}
	p.row.Reset()
	envelope(&p.env, b, r)
	u := &b.Units[r.Unit]
	if t.index == record.Quarantine {
		buf := t.day(p.pool, dayOf(r.Received))
		p.ownColumns(buf, e, i, r.ID, u.ID.String(), now)
		buf.addNum(slotTimestamp, r.Received)
		buf.addNum(slotOffset, r.Offset)
		if reason != "" {
			buf.addString(slotReason, reason)
		}
		p.envelopeColumns(buf, t.cols)
		addRaw(buf, r.Raw, 0)
		t.endRow(buf)
		return
	}
	members, err := rawjson.Members(p.members[:0], r.Raw)
	p.members = members
	if err == nil {
		p.norm.Normalize(&p.env, r.Raw, members, p.row)
	}
	timestamp := r.Received
	if ms, ok := p.row.Long(normalize.Timestamp); ok {
		timestamp = ms
	}
	buf := t.day(p.pool, dayOf(timestamp))
	p.ownColumns(buf, e, i, r.ID, u.ID.String(), now)
	buf.addNum(slotTimestamp, timestamp)
	if err == nil {
		p.coreColumns(buf, t.cols)
	} else {
		p.envelopeColumns(buf, t.cols)
	}
	t.shred.shred(buf, normalize.VendorKey(p.env.Connector.Type), r.Raw, members, err == nil)
	t.endRow(buf)
}

// ownColumns fills the columns that name the record and its place.
func (p *pending) ownColumns(buf *rowBuffer, e *Entry, i int, id, unit string, now time.Time) {
	if id != "" {
		buf.addString(slotID, id)
	}
	buf.addNum(slotWriteTime, now.UnixMilli())
	if unit != "" {
		buf.addString(slotUnit, unit)
	}
	if e.Batch != nil {
		buf.addNum(slotBatch, e.Batch.Number)
	}
	buf.addNum(slotSeq, record.Seq(e.Seq, i))
}

// coreColumns copies the normalised row.
func (p *pending) coreColumns(buf *rowBuffer, cols *columnSet) {
	for id, slot := range cols.core {
		c := normalize.ColumnID(id)
		if slot < 0 || !p.row.Has(c) {
			continue
		}
		if kind := cols.defs[slot].kind; kind == Text || kind == JSON {
			buf.addString(slot, p.row.Text(c))
		} else if n, ok := p.row.Long(c); ok {
			buf.addNum(slot, n)
		}
	}
}

// quarantineColumns are the core columns that quarantined content can have: who collected it, and from where.
var quarantineColumns = []string{
	ColTenantName, "connector.id", "connector.name", "connector.type", "content.type", "content.id", "content.created",
	"receive_time", "organization.id",
}

// envelopeColumns fills the core columns that need no understanding of the record.
func (p *pending) envelopeColumns(buf *rowBuffer, cols *columnSet) {
	text := func(name, value string) {
		if slot, ok := cols.byFold[name]; ok && value != "" {
			buf.addString(slot, value)
		}
	}
	num := func(name string, value int64) {
		if slot, ok := cols.byFold[name]; ok && value != 0 {
			buf.addNum(slot, value)
		}
	}
	c := p.env.Connector
	text(ColTenantName, c.TenantName)
	text("connector.id", c.ID)
	text("connector.name", c.Name)
	text("connector.type", c.Type)
	text("organization.id", c.DirectoryID)
	text("content.type", p.env.ContentType)
	text("content.id", p.env.ContentID)
	num("content.created", p.env.Created)
	num("receive_time", p.env.Received)
}

// addBad keeps the bytes of a message that cannot be decoded.
func (p *pending) addBad(t *pendingTable, e *Entry, now time.Time) {
	ms := e.Written.UnixMilli()
	if e.Written.IsZero() {
		ms = now.UnixMilli()
	}
	buf := t.day(p.pool, dayOf(ms))
	p.ownColumns(buf, e, 0, "", "", now)
	buf.addNum(slotTimestamp, ms)
	buf.addString(slotReason, "journal message: "+e.Bad.Error())
	addRaw(buf, e.Raw, 0)
	t.endRow(buf)
}

// addForeign keeps a record whose batch does not say where it comes from.
func (p *pending) addForeign(e *Entry, i int, now time.Time) {
	t := p.tables[record.Quarantine]
	if e.Seq <= t.position.Seq {
		return
	}
	r := &e.Batch.Records[i]
	buf := t.day(p.pool, dayOf(r.Received))
	p.ownColumns(buf, e, i, r.ID, "", now)
	buf.addNum(slotTimestamp, r.Received)
	buf.addNum(slotOffset, r.Offset)
	buf.addString(slotReason, "the batch does not name the unit of the record")
	addRaw(buf, r.Raw, 0)
	t.endRow(buf)
}

func (t *pendingTable) day(pool *chunkPool, day int32) *rowBuffer {
	b, ok := t.days[day]
	if !ok {
		if b, t.spare = t.spare, nil; b == nil {
			b = newRowBuffer(pool)
		}
		t.days[day] = b
	}
	return b
}

func (t *pendingTable) endRow(b *rowBuffer) {
	b.endRow()
	t.rows++
}

// has tells whether the table holds everything up to a position.
func (t *pendingTable) has(read Position) bool {
	return t.position.Stream == read.Stream && t.position.Seq >= read.Seq
}

// reset forgets the rows, which are committed, and gives their memory back.
func (t *pendingTable) reset(position Position) {
	for _, b := range t.days {
		if t.spare == nil || b.rows > t.spare.rows {
			t.spare, b = b, t.spare
		}
		if b != nil {
			b.arena.release()
		}
	}
	if t.spare != nil {
		t.spare.reset()
	}
	clear(t.days)
	t.rows, t.position, t.shred.verbatim = 0, position, 0
}

const millisPerDay = 24 * 60 * 60 * 1000

// dayOf is the day since 1970 of a time in milliseconds, as Iceberg's day transform counts it: of the time that is stored,
// so that a row is found by its time.
func dayOf(ms int64) int32 {
	ms = clampMillis(ms)
	day := ms / millisPerDay
	if ms%millisPerDay < 0 {
		day--
	}
	return int32(day)
}
