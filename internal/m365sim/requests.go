package m365sim

import (
	"maps"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Request is an entry of the journal of requests.
type Request struct {
	Time      time.Time `json:"time"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Query     string    `json:"query,omitempty"`
	Route     string    `json:"route"`
	Publisher string    `json:"publisher,omitempty"`
	TokenID   string    `json:"token_id,omitempty"` // the token's uti claim, never the token
	Status    int       `json:"status"`
	Fault     Kind      `json:"fault,omitempty"`
}

// journalSize is how many requests the journal remembers.
const journalSize = 10_000

// journal remembers the latest requests and counts all of them.
type journal struct {
	mu     sync.Mutex
	ring   []Request                 // guarded by mu
	total  int                       // guarded by mu; position of the next entry modulo journalSize
	counts map[string]map[string]int // guarded by mu; route -> status
}

func (j *journal) add(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ring) < journalSize {
		j.ring = append(j.ring, r)
	} else {
		j.ring[j.total%journalSize] = r
	}
	j.total++
	if j.counts[r.Route] == nil {
		j.counts[r.Route] = map[string]int{}
	}
	j.counts[r.Route][strconv.Itoa(r.Status)]++
}

// snapshot returns the latest entries, oldest first, and the counts.
func (j *journal) snapshot(limit int) (total int, counts map[string]map[string]int, latest []Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	counts = make(map[string]map[string]int, len(j.counts))
	for route, of := range j.counts {
		counts[route] = make(map[string]int, len(of))
		maps.Copy(counts[route], of)
	}
	n := min(limit, len(j.ring))
	latest = make([]Request, 0, n)
	for i := j.total - n; i < j.total; i++ {
		latest = append(latest, j.ring[i%journalSize])
	}
	return j.total, counts, latest
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring, j.total, j.counts = nil, 0, map[string]map[string]int{}
}

// withoutSecrets returns the query for the journal. No route of the service takes secrets in the query; what a
// careless client sends there all the same is left out.
func withoutSecrets(query url.Values) string {
	kept := url.Values{}
	for key, values := range query {
		switch key {
		case "access_token", "client_secret", "client_assertion":
			kept[key] = []string{"[redacted]"}
		default:
			kept[key] = values
		}
	}
	return kept.Encode()
}
