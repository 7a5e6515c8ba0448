package follow

import (
	"context"
	"iter"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// scan reads a part of the lake and gives it back message by message.
type scan struct {
	after, end uint64 // sequences of the journal: the part is after < sequence <= end
	cancel     context.CancelFunc
	next       func() (Row, error, bool)
	stop       func()
	ahead      *Row // first row of the next group, read already
}

// newScan begins to read. It lives over many calls, each with a context of its own, so it takes only the values of ctx.
func newScan(ctx context.Context, lake Lake, after, end uint64) *scan {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &scan{after: after, end: end, cancel: cancel}
	s.next, s.stop = iter.Pull2(lake.Since(ctx, record.Seq(after+1, 0)-1))
	return s
}

// group returns the rows of the next message, none at the end of the part. The end of ctx ends the whole scan.
func (s *scan) group(ctx context.Context) ([]Row, error) {
	defer context.AfterFunc(ctx, s.cancel)()
	var rows []Row
	if s.ahead != nil {
		rows = append(rows, *s.ahead)
		s.ahead = nil
	}
	for {
		row, err, ok := s.next()
		switch {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !ok:
			return rows, nil
		}
		seq := record.JournalSeq(row.Seq)
		switch {
		case seq <= s.after:
			continue
		case seq > s.end: // one table may be ahead of another there: the next scan reads it, or the journal
			s.stop()
			return rows, nil
		case len(rows) == 0:
			rows = append(rows, row)
			continue
		}
		last := &rows[len(rows)-1]
		if row.Seq <= last.Seq {
			return nil, fault.Newf(fault.Internal, "read lake", "_seq %d came after %d", row.Seq, last.Seq)
		}
		if seq != record.JournalSeq(last.Seq) {
			s.ahead = &row
			return rows, nil
		}
		rows = append(rows, row)
	}
}

func (s *scan) close() {
	s.cancel()
	s.stop()
}
