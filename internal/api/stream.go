package api

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const ndjsonType = "application/x-ndjson"

// stream is an answer that is written piece by piece. The status line leaves with the first piece; until then a
// failure can still be an ordinary problem.
type stream struct {
	ctx         context.Context
	w           http.ResponseWriter
	control     *http.ResponseController
	out         *bufio.Writer
	contentType string
	trailers    bool
	started     bool
	problems    problems
}

const (
	trailerEnd   = "Sluice-End"   // JSON of End
	trailerError = "Sluice-Error" // JSON of Problem
)

// streaming runs body as the answer of a huma operation.
func (s *server) streaming(contentType string, body func(*stream)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		st := &stream{ctx: hc.Context(), w: w, control: http.NewResponseController(w), contentType: contentType, problems: s.problems}
		st.out = bufio.NewWriterSize(w, 32<<10)
		body(st)
		if err := st.flush(); err != nil {
			st.broken(err)
		}
	}}
}

// start sends the head. It does nothing the second time.
func (st *stream) start() {
	if st.started {
		return
	}
	st.started = true
	h := st.w.Header()
	h.Set("Content-Type", st.contentType)
	if st.trailers {
		h.Set("Trailer", trailerEnd+", "+trailerError)
	}
	st.w.WriteHeader(http.StatusOK)
}

// frame writes one line of JSON.
func (st *stream) frame(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	st.start()
	if _, err := st.out.Write(line); err != nil {
		return err
	}
	return st.out.WriteByte('\n')
}

// now writes one line of JSON and sends it.
func (st *stream) now(v any) error {
	if err := st.frame(v); err != nil {
		return err
	}
	return st.flush()
}

func (st *stream) flush() error {
	if !st.started {
		return nil
	}
	if err := st.out.Flush(); err != nil {
		return err
	}
	return st.control.Flush()
}

// fail ends the answer with err: as a problem of its own when nothing was sent, through late otherwise.
func (st *stream) fail(err error, late func(*Problem) error) {
	if st.ctx.Err() != nil {
		return // nobody listens
	}
	problem := st.problems.of(st.ctx, err)
	if !st.started {
		st.started = true
		st.problems.write(st.w, problem)
		return
	}
	if err := late(problem); err != nil {
		st.broken(err)
	}
}

// broken notes that the client went away while it was written to. There is nobody to tell.
func (st *stream) broken(err error) {
	st.problems.log.LogAttrs(st.ctx, slog.LevelDebug, "stream not delivered", slog.Any("error", err))
}
