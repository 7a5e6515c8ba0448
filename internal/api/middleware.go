package api

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"sluice/internal/fault"
)

// idle is how long a peer may take to read the next piece of an answer or to send the next piece of a body. The time
// that the server itself needs does not count.
const idle = time.Minute

// secureHeaders says that answers are data: never a page, never framed, never cached.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// authenticate lets only requests with the token pass to /api/v1, the OpenAPI document excepted.
func (s *server) authenticate(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(s.token.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		closed := strings.HasPrefix(r.URL.Path, Prefix+"/") || strings.HasPrefix(r.URL.Path, profilePrefix)
		open := !closed || r.URL.Path == Prefix+"/openapi.json" || r.URL.Path == Prefix+"/openapi.yaml"
		if open || bearer(r, want) {
			next.ServeHTTP(w, r)
			return
		}
		message := "the request carries no token"
		if r.Header.Get("Authorization") != "" {
			message = "the token was not accepted"
		}
		s.problems.write(w, newProblem(fault.Auth, message,
			"set SLUICE_TOKEN, or point --data or SLUICE_DATA at the data folder of the server"))
	})
}

// protect refuses writes that a browser sends for another site.
func (s *server) protect(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.problems.write(w, newProblem(fault.Permission, "the request comes from another site", ""))
	}))
	return p.Handler(next)
}

// observe logs requests, keeps deadlines rolling and turns a panic into an internal error. Path and status are logged,
// the query string never is: it holds searches.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rw := &responseWriter{ResponseWriter: w, control: http.NewResponseController(w)}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &rollingBody{body: r.Body, control: rw.control}
		}
		defer func() { //nolint:contextcheck // r carries the context
			if p := recover(); p != nil {
				s.recovered(rw, r, p)
			}
			rw.extend() // for what net/http still has to flush
			level := slog.LevelInfo
			if r.URL.Path == "/healthz" || r.URL.Path == "/metrics" {
				level = slog.LevelDebug // asked every few seconds
			}
			s.log.LogAttrs(r.Context(), level, "request",
				slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rw.status),
				slog.Int64("bytes", rw.bytes), slog.Duration("took", time.Since(start)), slog.String("remote", r.RemoteAddr))
		}()
		next.ServeHTTP(rw, r)
	})
}

// recovered answers a request whose handler panicked. A stream that has begun is cut, so that no client takes a part
// for the whole.
func (s *server) recovered(rw *responseWriter, r *http.Request, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // the value itself is the signal
		panic(p)
	}
	err := fmt.Errorf("panic in %s %s: %v\n%s", r.Method, r.URL.Path, p, debug.Stack())
	problem := s.problems.of(r.Context(), err)
	if rw.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.problems.write(rw, problem)
}

// responseWriter counts and gives the peer a minute for every piece.
type responseWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
}

// Unwrap lets http.ResponseController reach the connection.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.extend()
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// extend moves the write deadline. Writers without one (tests, HTTP/2 wrappers) are left alone.
func (w *responseWriter) extend() { _ = w.control.SetWriteDeadline(time.Now().Add(idle)) }

// rollingBody gives the peer a minute for every piece of the body, and none of it when the body has ended: a deadline
// that stays behind would cancel the request while the server works.
type rollingBody struct {
	body    io.ReadCloser
	control *http.ResponseController
}

func (b *rollingBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(idle))
	n, err := b.body.Read(p)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *rollingBody) Close() error {
	_ = b.control.SetReadDeadline(time.Time{})
	return b.body.Close()
}
