package m365sim

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// newControls returns the handler of the control routes. They need no token and answer only to the loopback interface.
//
//	GET    /sim/truth                    counts of what a perfect collector ends with
//	GET    /sim/truth/ids                expected identities, one per line: ?tenant= &content_type= &since= &until=
//	GET    /sim/truth/blobs              every blob that has appeared and what clients were told of it, NDJSON
//	GET    /sim/requests                 journal of requests, latest last: ?limit= (default 1000)
//	DELETE /sim/requests                 empties it
//	POST   /sim/faults                   replaces the faults; the body is {"faults": [...]} as in a scenario, JSON or YAML
//	POST   /sim/clear                    removes all faults
//	POST   /sim/freeze, /sim/thaw        stops new content, lets it go on
//	GET    /sim/ca                       the certificate authority, PEM
func (s *Sim) newControls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/truth", s.getTruth)
	mux.HandleFunc("GET /sim/truth/ids", s.getIDs)
	mux.HandleFunc("GET /sim/truth/blobs", s.getBlobs)
	mux.HandleFunc("GET /sim/requests", s.getRequests)
	mux.HandleFunc("DELETE /sim/requests", func(w http.ResponseWriter, _ *http.Request) {
		s.journal.reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /sim/faults", s.postFaults)
	mux.HandleFunc("POST /sim/clear", func(w http.ResponseWriter, _ *http.Request) {
		s.faults.set(nil)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /sim/freeze", func(w http.ResponseWriter, _ *http.Request) {
		s.Freeze()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /sim/thaw", func(w http.ResponseWriter, _ *http.Request) {
		s.Thaw()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /sim/ca", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.CAPEM())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		host, _, err := net.SplitHostPort(req.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			http.Error(w, "the control routes answer only to the loopback interface", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v) // the client went away: nothing left to do
}

func (s *Sim) getTruth(w http.ResponseWriter, req *http.Request) {
	truth, err := s.Truth(req.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, truth)
}

func (s *Sim) getIDs(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	var bounds [2]time.Time
	for i, name := range []string{"since", "until"} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			http.Error(w, name+" is not a time in RFC 3339", http.StatusBadRequest)
			return
		}
		bounds[i] = t
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.WriteIDs(req.Context(), w, strings.ToLower(q.Get("tenant")), q.Get("content_type"), bounds[0], bounds[1]); err != nil {
		s.log.Debug("truth was not read to its end", "error", err)
	}
}

func (s *Sim) getBlobs(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	if err := s.Blobs(req.Context(), true, func(b BlobTruth) error { return out.Encode(b) }); err != nil {
		s.log.Debug("blobs were not read to their end", "error", err)
	}
}

func (s *Sim) getRequests(w http.ResponseWriter, req *http.Request) {
	limit := 1000
	if text := req.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, "limit is not a number", http.StatusBadRequest)
			return
		}
		limit = n
	}
	writeJSON(w, s.Requests(limit))
}

// RequestLog is the journal of requests.
type RequestLog struct {
	Total    int                       `json:"total"`
	Counts   map[string]map[string]int `json:"counts"` // route -> status -> requests
	Faults   map[Kind]int              `json:"faults"` // how often each kind struck
	Requests []Request                 `json:"requests"`
}

// Requests returns the latest requests, at most limit, and the counts of all.
func (s *Sim) Requests(limit int) RequestLog {
	total, counts, latest := s.journal.snapshot(limit)
	return RequestLog{Total: total, Counts: counts, Faults: s.faults.counts(), Requests: latest}
}

func (s *Sim) postFaults(w http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	faults, err := parseFaults(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.faults.set(faults)
	w.WriteHeader(http.StatusNoContent)
}
