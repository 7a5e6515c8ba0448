package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
)

// Hooks are what the engine needs from packages that it does not import.
type Hooks struct {
	// Rebuild returns the vendor's record of one row byte for byte. get returns the value of a column (string, int64 or
	// bool) and whether it is not NULL. It is called from one goroutine per thread of the engine and must not keep get.
	Rebuild func(get func(column string) (any, bool)) ([]byte, error)
}

// abandonAfter is how long Main waits for a running query once its reader is gone. The engine sees an interrupt only
// between chunks of work.
const abandonAfter = time.Second

// Main is the life of a query child: it reads frames from in and answers on out until in ends, and returns nil then.
// The caller exits the process when Main returns, because a query that does not react may still be running.
func Main(ctx context.Context, in io.Reader, out io.Writer, hooks Hooks) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frames := make(chan frame)
	gone := make(chan error, 1)
	go func() {
		gone <- read(ctx, in, frames)
		cancel()
	}()
	served := make(chan error, 1)
	go func() {
		s := &server{out: out, hooks: hooks}
		defer s.close()
		served <- s.serve(ctx, frames)
	}()
	select {
	case err := <-served:
		return err
	case err := <-gone:
		t := time.NewTimer(abandonAfter)
		defer t.Stop()
		select {
		case <-served: //nolint:errcheck // it ended because of err
		case <-t.C:
		}
		return err
	}
}

type frame struct {
	typ  wire.Type
	body []byte
}

// read hands frames over until the input ends, which is the normal end of a child.
func read(ctx context.Context, in io.Reader, frames chan<- frame) error {
	for {
		typ, body, err := wire.ReadFrame(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case frames <- frame{typ, body}:
		case <-ctx.Done():
			return nil
		}
	}
}

// server answers the frames of one child. It is used by one goroutine.
type server struct {
	out   io.Writer
	hooks Hooks
	db    *database
	open  *wire.OpenBody // nil until the fences are up
}

func (s *server) close() {
	if s.db != nil {
		s.db.close()
	}
}

func (s *server) serve(ctx context.Context, frames <-chan frame) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-frames:
			err := s.handle(ctx, f)
			if err == nil {
				continue
			}
			failure := wire.Failure{Kind: fault.KindOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
			if err := wire.WriteJSON(s.out, wire.Failed, failure); err != nil {
				return err
			}
			if f.typ != wire.Query { // a child that is not set up is of no use
				return err
			}
		}
	}
}

func (s *server) handle(ctx context.Context, f frame) error {
	switch {
	case f.typ == wire.Setup && s.db == nil:
		var body wire.SetupBody
		if err := decode(f, &body); err != nil {
			return err
		}
		db, err := openDatabase(ctx, body)
		if err != nil {
			return err
		}
		s.db = db
		return wire.WriteJSON(s.out, wire.Ready, nil)
	case f.typ == wire.Open && s.db != nil && s.open == nil:
		var body wire.OpenBody
		if err := decode(f, &body); err != nil {
			return err
		}
		if err := s.db.fence(ctx, body, s.hooks); err != nil {
			return err
		}
		s.open = &body
		return wire.WriteJSON(s.out, wire.Ready, nil)
	case f.typ == wire.Query && s.open != nil:
		var body wire.QueryBody
		if err := decode(f, &body); err != nil {
			return err
		}
		return s.query(ctx, body)
	}
	return fault.Newf(fault.Internal, "query child", "frame %q does not fit here", string(f.typ))
}

func decode(f frame, body any) error {
	return fault.Wrap(fault.Malformed, "decode frame", json.Unmarshal(f.body, body))
}

// query runs one query and streams its result.
func (s *server) query(ctx context.Context, q wire.QueryBody) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(q.TimeoutMillis)*time.Millisecond)
	defer cancel()
	if s.open.Analyst {
		if err := s.db.gate(ctx, q.SQL, s.open.Tables); err != nil {
			return err
		}
	}
	if err := s.db.defineViews(ctx, *s.open, q.SQL, q.Files); err != nil {
		return s.explain(ctx, err)
	}
	rows, err := s.db.stream(ctx, q, s.out)
	if err != nil {
		return s.explain(ctx, err)
	}
	return wire.WriteJSON(s.out, wire.Done, wire.DoneBody{Rows: rows})
}
