package follow

import (
	"context"
	"iter"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/record"
)

// waitFor is the pause between two looks at a lake that has not committed what the journal no longer has.
const waitFor = time.Second

// Row is one record that was collected.
type Row struct {
	ID    string // _id
	Index record.Index
	Unit  string // _unit, hexadecimal
	Batch int64  // _batch
	Seq   int64  // _seq
	Raw   []byte // byte for byte what the source sent
}

// Entry is what one message of the journal holds.
type Entry struct {
	Seq uint64 // of the message; greater than that of the entry before
	// Rows is in the order of _seq. It is empty when the entry only moves the position: a fence, or a part of the
	// lake in which nothing is left. The rows' bytes are valid until the next call of Next.
	Rows []Row
	// Written is when the journal took the message; zero when it was read from the lake.
	Written time.Time
	// Bad is why the message cannot be decoded. It has no rows then; the lake keeps its bytes in quarantine.
	Bad error
	// Lake tells that the entry was read from the lake.
	Lake bool
}

// Journal is the newest part of what was collected. Live makes one of a journal.Journal.
type Journal interface {
	// Bounds returns the first and last sequence; first is last + 1 when it is empty.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Read returns a feed whose first message is at sequence from.
	Read(ctx context.Context, from uint64) (Feed, error)
}

// Feed delivers messages in order and without gaps, as journal.Reader does: Next fails with fault.Gone when the
// message that is wanted was trimmed away or the stream was replaced.
type Feed interface {
	Next(ctx context.Context) (journal.Message, error)
	Close()
}

// Lake is everything that was collected and committed.
type Lake interface {
	// Committed is the smallest position of all tables: everything up to that sequence of the journal is in the lake.
	Committed(ctx context.Context) (uint64, error)
	// Since yields the rows of all tables whose _seq is greater than seq, ascending, from a snapshot that has at least
	// what Committed told before the call. An error ends it. The bytes of a row stay valid when the next is yielded.
	Since(ctx context.Context, seq int64) iter.Seq2[Row, error]
}

// Source is both parts. Its Clock is clock.Real when nil.
type Source struct {
	Journal Journal
	Lake    Lake
	Clock   clock.Clock
}

// Live makes the newest part of a source of an open journal.
func Live(j *journal.Journal) Journal { return live{j} }

type live struct{ *journal.Journal }

// Read implements Journal.
func (l live) Read(ctx context.Context, from uint64) (Feed, error) {
	r, err := l.Journal.Read(ctx, from)
	if err != nil {
		return nil, err // not a nil *Reader in an interface
	}
	return r, nil
}

// Reader reads what was collected from a position on. It is for one goroutine. Close it.
type Reader struct {
	source Source
	codec  *journal.Codec
	pos    uint64 // sequence of the last entry that was returned
	feed   Feed   // while reading the journal
	scan   *scan  // while reading the lake
}

// NewReader returns a reader whose first entry is the one after sequence after; 0 is the beginning of everything.
func NewReader(source Source, after uint64) (*Reader, error) {
	codec, err := journal.NewCodec()
	if err != nil {
		return nil, err
	}
	if source.Clock == nil {
		source.Clock = clock.Real{}
	}
	return &Reader{source: source, codec: codec, pos: after}, nil
}

// Position is the sequence of the last entry that Next returned, at first the one that the reader was made with.
func (r *Reader) Position() uint64 { return r.pos }

// Next waits for the next entry until ctx ends. After an error of ctx, of the journal or of the lake it may be called
// again and goes on after the last entry that was returned: nothing is left out and nothing repeated.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	for {
		entry, found, err := r.step(ctx)
		if err != nil {
			r.release()
			if ctx.Err() != nil {
				return Entry{}, ctx.Err()
			}
			return Entry{}, fault.Wrap("", "follow collected records", err)
		}
		if found {
			r.pos = entry.Seq
			return entry, nil
		}
	}
}

// step reads from where the reader is, or finds out where that should be.
func (r *Reader) step(ctx context.Context) (Entry, bool, error) {
	switch {
	case r.feed != nil:
		return r.fromJournal(ctx)
	case r.scan != nil:
		return r.fromLake(ctx)
	}
	return Entry{}, false, r.choose(ctx)
}

// choose opens the journal if it reaches back to the position, the lake otherwise, and waits when neither has it.
func (r *Reader) choose(ctx context.Context) error {
	first, _, err := r.source.Journal.Bounds(ctx)
	if err != nil {
		return err
	}
	if first <= r.pos+1 {
		r.feed, err = r.source.Journal.Read(ctx, r.pos+1)
		return err
	}
	committed, err := r.source.Lake.Committed(ctx)
	if err != nil {
		return err
	}
	if committed <= r.pos {
		return r.source.Clock.Sleep(ctx, waitFor)
	}
	r.scan = newScan(ctx, r.source.Lake, r.pos, committed)
	return nil
}

func (r *Reader) fromJournal(ctx context.Context) (Entry, bool, error) {
	m, err := r.feed.Next(ctx)
	if fault.Is(err, fault.Gone) { // overtaken by trimming: the lake has it
		r.release()
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, err
	}
	if m.Seq != r.pos+1 {
		return Entry{}, false, fault.Newf(fault.Internal, "read journal", "sequence %d came after %d", m.Seq, r.pos)
	}
	e := Entry{Seq: m.Seq, Written: m.Written}
	if m.Fence {
		return e, true, nil
	}
	batch, bad := r.codec.Decode(m.Data)
	if bad == nil {
		e.Rows = rows(m.Seq, batch)
	}
	e.Bad = bad
	return e, true, nil
}

func rows(seq uint64, b *record.Batch) []Row {
	units := make([]string, len(b.Units))
	for i := range b.Units {
		units[i] = b.Units[i].ID.String()
	}
	list := make([]Row, len(b.Records))
	for i := range b.Records {
		r := &b.Records[i]
		list[i] = Row{ID: r.ID, Index: r.Index, Unit: units[r.Unit], Batch: b.Number, Seq: record.Seq(seq, i), Raw: r.Raw}
	}
	return list
}

func (r *Reader) fromLake(ctx context.Context) (Entry, bool, error) {
	rows, err := r.scan.group(ctx)
	if err != nil {
		return Entry{}, false, err
	}
	if len(rows) > 0 {
		return Entry{Seq: record.JournalSeq(rows[0].Seq), Rows: rows, Lake: true}, true, nil
	}
	end := r.scan.end
	r.release()
	// The last messages of the part may have left no rows. The position moves past them all the same.
	return Entry{Seq: end, Lake: true}, end > r.pos, nil
}

// release ends what is being read; the next step chooses again.
func (r *Reader) release() {
	if r.feed != nil {
		r.feed.Close()
		r.feed = nil
	}
	if r.scan != nil {
		r.scan.close()
		r.scan = nil
	}
}

// Close frees the reader. Nothing may be called after it but Position.
func (r *Reader) Close() {
	r.release()
	r.codec.Close()
}
