package worker

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
)

// Session is a child that may read what Open named. It is for one goroutine and one query at a time. Close may be called
// more than once.
type Session struct {
	pool  *Pool
	child *child
	rows  *Rows // the unfinished result
	once  sync.Once
}

// Query is one query.
type Query struct {
	SQL     string
	Files   map[string][]string // restricts tables to some of their files; nil: all
	MaxRows int64               // > 0
}

// killAfter is how long a child has to answer after its query timed out.
const killAfter = time.Second

// readyAfter bounds the start of a child and its fences.
const readyAfter = 30 * time.Second

// handshake sends a frame and waits for Ready.
func (s *Session) handshake(ctx context.Context, typ wire.Type, body any) error {
	release := s.guard(ctx, readyAfter, fault.New(fault.Unavailable, "start query child", "it did not get ready in time"))
	defer release()
	if err := wire.WriteJSON(s.child.in, typ, body); err != nil {
		return s.child.death(err)
	}
	got, answer, err := wire.ReadFrame(s.child.reader)
	switch {
	case err != nil:
		return s.child.death(err)
	case got == wire.Ready:
		return nil
	}
	return unexpected(got, answer)
}

// guard kills the child when ctx ends or limit has passed, until release is called.
func (s *Session) guard(ctx context.Context, limit time.Duration, late error) (release func()) {
	stop := context.AfterFunc(ctx, func() { s.child.kill(fault.Wrap("", "run query", ctx.Err())) })
	timer := time.AfterFunc(limit, func() { s.child.kill(late) })
	return func() {
		stop()
		timer.Stop()
	}
}

// unexpected turns a frame that is not the one waited for into an error.
func unexpected(typ wire.Type, body []byte) error {
	if typ != wire.Failed {
		return fault.Newf(fault.Internal, "run query", "the child answered with frame %q", string(typ))
	}
	var f wire.Failure
	if err := json.Unmarshal(body, &f); err != nil {
		return fault.Wrap(fault.Internal, "run query", err)
	}
	return f.Err("")
}

// Query starts a query and reads the columns of its result. A result that was not read to its end is abandoned, and
// the session with it. The time limit covers reading the rows.
func (s *Session) Query(ctx context.Context, q Query) (*Rows, error) {
	if s.rows != nil {
		return nil, fault.New(fault.Internal, "run query", "the result before was not read to its end")
	}
	timeout := s.pool.cfg.Timeout
	late := fault.Newf(fault.Unavailable, "run query", "the query ran longer than %s and was stopped", timeout).
		WithHint("narrow the time range, name fields instead of searching bare words, or raise the limit")
	r := &Rows{session: s, release: s.guard(ctx, timeout+killAfter, late)}
	body := wire.QueryBody{SQL: q.SQL, Files: q.Files, MaxRows: q.MaxRows, TimeoutMillis: timeout.Milliseconds()}
	if err := wire.WriteJSON(s.child.in, wire.Query, body); err != nil {
		r.release()
		return nil, s.child.death(err)
	}
	typ, answer, err := wire.ReadFrame(s.child.reader)
	switch {
	case err != nil:
		r.release()
		return nil, s.child.death(err)
	case typ != wire.Columns:
		r.release()
		return nil, unexpected(typ, answer)
	}
	if err := json.Unmarshal(answer, &r.columns); err != nil {
		r.release()
		return nil, fault.Wrap(fault.Internal, "run query", err)
	}
	r.values = make([]any, len(r.columns))
	s.rows = r
	return r, nil
}

// Close kills the child and gives its place back.
func (s *Session) Close() error {
	s.once.Do(func() {
		if s.rows != nil {
			s.rows.release()
		}
		s.pool.discard(s.child)
		<-s.pool.places
		s.pool.Warm() // now, not at the beginning: the start of a child would compete with the query
	})
	return nil
}

// Rows is a result that is being read.
type Rows struct {
	session *Session
	release func()
	columns []wire.Column
	values  []any
	rest    []byte // undecoded rows
	err     error
	done    bool
}

// Columns returns the columns of the result.
func (r *Rows) Columns() []wire.Column { return r.columns }

// Next reads the next row. It returns false at the end and after an error; see Err.
func (r *Rows) Next() bool {
	for !r.done && len(r.rest) == 0 {
		typ, body, err := wire.ReadFrame(r.session.child.reader)
		switch {
		case err != nil:
			r.finish(r.session.child.death(err))
		case typ == wire.Rows:
			r.rest = body
		case typ == wire.Done:
			r.finish(nil)
		default:
			r.finish(unexpected(typ, body))
		}
	}
	if r.done {
		return false
	}
	rest, err := wire.DecodeRow(r.rest, r.values)
	if err != nil {
		r.finish(err)
		return false
	}
	r.rest = rest
	return true
}

func (r *Rows) finish(err error) {
	r.done, r.err, r.rest = true, err, nil
	r.release()
	r.session.rows = nil
}

// Values returns the row that Next read: nil, bool, int64, float64, string, time.Time, json.RawMessage or json.Number.
// The slice is overwritten by the next call of Next.
func (r *Rows) Values() []any { return r.values }

// Err returns the error that ended the rows, nil at their regular end.
func (r *Rows) Err() error { return r.err }
