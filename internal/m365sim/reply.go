package m365sim

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is a complete answer. Handlers return it; one place writes it, damaged where a fault says so.
type reply struct {
	status int
	header http.Header
	body   []byte // may be nil when packed is set
	packed []byte // the body, gzip-compressed; made on demand
}

// set adds a header with its exact spelling.
func (r *reply) set(key, value string) {
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header[key] = []string{value}
}

func jsonReply(status int, v any) *reply {
	body, err := json.Marshal(v)
	if err != nil {
		return problemReply(http.StatusInternalServerError, "AF50000", "An internal error occurred.")
	}
	return bodyReply(status, "application/json; charset=utf-8", body)
}

func bodyReply(status int, contentType string, body []byte) *reply {
	r := &reply{status: status, body: body}
	r.set("Content-Type", contentType)
	return r
}

func htmlReply(status int, text string) *reply {
	return bodyReply(status, "text/html; charset=utf-8", []byte(text))
}

// problemReply is the error envelope of the activity API (spec/management-activity-api.md section 8.1).
func problemReply(status int, code, message string) *reply {
	type inner struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	return jsonReply(status, struct {
		Error inner `json:"error"`
	}{inner{code, message}})
}

// minimumPacked is the size from which answers are compressed.
const minimumPacked = 512

// write sends the reply, damaged by f when struck.
func (s *Sim) write(w http.ResponseWriter, req *http.Request, r *reply, f Fault, struck bool) {
	header := w.Header()
	for key, values := range map[string]string{
		"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1",
		"Server": "Microsoft-IIS/10.0", "X-AspNet-Version": "4.0.30319", "X-Powered-By": "ASP.NET",
		"Date": s.now().UTC().Format(http.TimeFormat),
	} {
		header.Set(key, values)
	}
	// as it is: NextPageUri must not be written in canonical form
	maps.Copy(header, r.header)
	body := r.body
	if acceptsGzip(req) && (r.packed != nil || len(body) >= minimumPacked || struck && damagesBody(f.Kind)) {
		if r.packed == nil {
			if struck && f.Kind == TruncatedJSON {
				body = body[:len(body)*2/3]
			}
			r.packed = pack(body)
		}
		body = r.packed
		header.Set("Content-Encoding", "gzip")
	}
	if struck {
		body = damage(f.Kind, body, header.Get("Content-Encoding") == "gzip")
	}
	if body != nil || r.status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	switch {
	case struck && f.Kind == Reset:
		resetMidway(w, r.status, body)
	case struck && f.Kind == Slow:
		w.WriteHeader(r.status)
		s.trickle(req.Context(), w, body, f.Duration.std())
	default:
		w.WriteHeader(r.status)
		_, _ = w.Write(body) //nolint:gosec // the client went away: nothing left to do; made-up records, for no browser
	}
}

func acceptsGzip(req *http.Request) bool {
	return strings.Contains(strings.ToLower(req.Header.Get("Accept-Encoding")), "gzip")
}

// damagesBody tells the kinds that need a compressible body to be visible.
func damagesBody(k Kind) bool { return k == TruncatedGzip || k == BadGzip }

// damage returns the body that a fault leaves. Content-Length will fit it, so only a decoder can notice.
func damage(k Kind, body []byte, compressed bool) []byte {
	switch {
	case k == TruncatedGzip, k == TruncatedJSON && !compressed:
		return body[:len(body)*2/3]
	case k == BadGzip && compressed && len(body) > 8:
		broken := append([]byte(nil), body...)
		broken[len(broken)-8] ^= 0xff // first byte of the checksum
		return broken
	}
	return body
}

// resetMidway sends half of the body and then resets the TCP connection. Where the connection cannot be taken over
// (HTTP/2), the server resets the stream because less was written than was declared.
func resetMidway(w http.ResponseWriter, status int, body []byte) {
	w.WriteHeader(status)
	_, _ = w.Write(body[:len(body)/2]) //nolint:gosec // made-up records, for no browser
	control := http.NewResponseController(w)
	_ = control.Flush()
	conn, _, err := control.Hijack()
	if err != nil {
		return
	}
	raw := conn
	if secure, ok := conn.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}

// trickle sends the body in small pieces over a time. It waits before each piece: nobody has read the whole body
// before the time is over.
func (s *Sim) trickle(ctx context.Context, w http.ResponseWriter, body []byte, over time.Duration) {
	const pieces = 16
	control := http.NewResponseController(w)
	for i := range pieces {
		if s.clock.Sleep(ctx, over/pieces) != nil {
			return
		}
		if _, err := w.Write(body[len(body)*i/pieces : len(body)*(i+1)/pieces]); err != nil { //nolint:gosec // made-up records, for no browser
			return
		}
		_ = control.Flush()
	}
}
