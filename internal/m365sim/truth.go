package m365sim

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"
)

// ledger remembers what clients were told of blobs: which were listed, delivered whole, said to be gone, and lost for
// good.
type ledger struct {
	mu     sync.Mutex
	listed map[blobKey]int  // guarded by mu
	served map[blobKey]int  // guarded by mu
	whole  map[blobKey]bool // served when it did not grow any more; guarded by mu
	gone   map[blobKey]bool // guarded by mu
	lost   map[blobKey]bool // guarded by mu
}

func newLedger() *ledger {
	return &ledger{listed: map[blobKey]int{}, served: map[blobKey]int{}, whole: map[blobKey]bool{}, gone: map[blobKey]bool{}, lost: map[blobKey]bool{}}
}

// name records that a client was given a listing with these elements.
func (l *ledger) name(items []listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, item := range items {
		if i == 0 || item.blobKey != items[i-1].blobKey { // the halves of a blob count once
			l.listed[item.blobKey]++
		}
	}
}

// lose records that a client was told that a blob is gone. A blob that was delivered before is not lost: the client
// has it.
func (l *ledger) lose(k blobKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone[k] = true
	if l.served[k] == 0 {
		l.lost[k] = true
	}
}

func (l *ledger) serve(k blobKey, grown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[k]++
	if grown {
		l.whole[k] = true
	}
}

func (l *ledger) hasWhole(k blobKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole[k]
}

func (l *ledger) state(k blobKey) (served, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served[k] > 0, l.lost[k]
}

// Truth is what a perfect collector has when everything that can be listed now was read.
type Truth struct {
	Now     time.Time     `json:"now"` // time of the service
	Frozen  bool          `json:"frozen"`
	Tenants []TenantTruth `json:"tenants"`
	Totals  Census        `json:"totals"`
}

// TenantTruth is the truth of one tenant. Its distinct records are fewer than the sum over the content types when
// feeds share records.
type TenantTruth struct {
	ID string `json:"id"`
	Census
	ContentTypes []FeedTruth `json:"content_types"`
}

// FeedTruth is the truth of one content type.
type FeedTruth struct {
	Type string `json:"type"`
	Census
}

// Census counts content.
type Census struct {
	Blobs     int `json:"blobs"`
	Lost      int `json:"lost"`      // blobs that are listed and cannot be read; not in the other figures
	Served    int `json:"served"`    // blobs that some client read whole
	Records   int `json:"records"`   // array elements, repeats and malformed ones included
	Malformed int `json:"malformed"` // array elements that are no records
	Distinct  int `json:"distinct"`  // records that a lake ends with
}

func (c *Census) add(o Census) {
	c.Blobs += o.Blobs
	c.Lost += o.Lost
	c.Served += o.Served
	c.Records += o.Records
	c.Malformed += o.Malformed
	c.Distinct += o.Distinct
}

// scope says which part of the truth is asked for.
type scope struct {
	feeds        []*feed
	since, until time.Time // of contentCreated, half open; zero: no bound
	asOf         time.Time
}

// Truth counts what a perfect collector ends with at this moment.
func (s *Sim) Truth(ctx context.Context) (Truth, error) {
	truth := Truth{Now: s.now(), Frozen: s.isFrozen(), Tenants: []TenantTruth{}}
	asOf := s.produced()
	for _, t := range s.order {
		tenant := TenantTruth{ID: t.ID}
		for _, f := range t.feeds {
			if len(f.parts) == 0 {
				continue
			}
			c, err := s.census(ctx, scope{feeds: []*feed{f}, asOf: asOf}, nil)
			if err != nil {
				return Truth{}, err
			}
			tenant.ContentTypes = append(tenant.ContentTypes, FeedTruth{Type: f.contentType, Census: c})
		}
		c, err := s.census(ctx, scope{feeds: t.feeds, asOf: asOf}, nil)
		if err != nil {
			return Truth{}, err
		}
		tenant.Census = c
		truth.Totals.add(c)
		truth.Tenants = append(truth.Tenants, tenant)
	}
	return truth, nil
}

// WriteIDs writes the expected identities, one per line and repeated once per distinct content. Empty tenant and
// contentType mean all; since and until bound the contentCreated of the blobs (half open, zero: no bound).
func (s *Sim) WriteIDs(ctx context.Context, out io.Writer, tenantID, contentType string, since, until time.Time) error {
	lines := bufio.NewWriterSize(out, 64<<10)
	var w writer
	var scratch []byte
	for _, t := range s.order {
		if tenantID != "" && t.ID != tenantID {
			continue
		}
		area := scope{feeds: t.feeds, since: since, until: until, asOf: s.produced()}
		if contentType != "" {
			area.feeds = nil
			if f := t.feed(contentType); f != nil {
				area.feeds = []*feed{f}
			}
		}
		_, err := s.census(ctx, area, func(r ref) error {
			var id string
			if p := r.at(); p.generator == nil {
				id = p.records[r.n*p.size+r.index].id
			} else {
				var i identity
				scratch, i = s.appendRecord(&w, scratch[:0], r)
				id = i.String()
			}
			_, err := lines.WriteString(id + "\n")
			return err
		})
		if err != nil {
			return err
		}
	}
	return lines.Flush()
}

// count is a census at work.
type count struct {
	scope
	Census
	inScope map[*feed]bool
	orphans map[ref]bool       // copies whose original is not to be had
	content map[[2]string]bool // identity and content of file records
	emit    func(ref) error
	refs    []ref
}

// census walks the blobs of a scope. Generated records are distinct by construction, so only their copies need memory,
// and of those only the ones whose original blob cannot be read. emit, when given, is called for each distinct record.
func (s *Sim) census(ctx context.Context, area scope, emit func(ref) error) (Census, error) {
	c := count{scope: area, inScope: map[*feed]bool{}, orphans: map[ref]bool{}, content: map[[2]string]bool{}, emit: emit}
	for _, f := range area.feeds {
		c.inScope[f] = true
	}
	for _, f := range area.feeds {
		subs := s.subscriptionsOf(f)
		for i, p := range f.parts {
			n := p.search(s.started.Add(-lookBack))
			for end := p.end(area.asOf); n < end; n++ {
				if err := ctx.Err(); err != nil {
					return Census{}, err
				}
				if err := s.countBlob(&c, blobKey{f, i, n}, subs); err != nil {
					return Census{}, err
				}
			}
		}
	}
	return c.Census, nil
}

func (s *Sim) countBlob(c *count, k blobKey, subs []subscription) error {
	if !c.holds(k) || !s.listable(k, c.asOf, subs) {
		return nil
	}
	served, lost := s.ledger.state(k)
	if lost || !served && s.faults.dooms(k) {
		c.Lost++
		return nil
	}
	c.Blobs++
	if served {
		c.Served++
	}
	var own int
	c.refs, own = s.planAt(c.refs[:0], k, c.asOf)
	c.Records += len(c.refs)
	for i, r := range c.refs {
		if s.isMalformed(r) {
			c.Malformed++
			continue
		}
		if !s.isNew(c, r, i < own) {
			continue
		}
		c.Distinct++
		if c.emit != nil {
			if err := c.emit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// isNew reports whether a record was not counted before.
func (s *Sim) isNew(c *count, r ref, own bool) bool {
	if p := r.at(); p.generator == nil {
		record := &p.records[r.n*p.size+r.index]
		key := [2]string{record.id, record.content}
		seen := c.content[key]
		c.content[key] = true
		return !seen
	}
	if own {
		return true
	}
	at := !r.variant && c.inScope[r.feed] && c.holds(r.blobKey) && s.readable(r.blobKey, c.asOf) && s.atHome(r, c.asOf)
	if at || c.orphans[r] {
		return false
	}
	c.orphans[r] = true
	return true
}

// atHome reports whether a record is served by its own blob at a time.
func (s *Sim) atHome(r ref, asOf time.Time) bool {
	if s.grown(r.blobKey, asOf) {
		return true
	}
	_, own := s.planAt(nil, r.blobKey, asOf)
	return r.index < own
}

// holds reports whether a blob lies between since and until.
func (c *count) holds(k blobKey) bool {
	created := k.created()
	return (c.since.IsZero() || !created.Before(c.since)) && (c.until.IsZero() || created.Before(c.until))
}

func (s *Sim) readable(k blobKey, asOf time.Time) bool {
	if !s.listable(k, asOf, s.subscriptionsOf(k.feed)) {
		return false
	}
	served, lost := s.ledger.state(k)
	return served || !lost && !s.faults.dooms(k)
}

// listable reports whether a collector that runs since the simulator started could have listed a blob by asOf: it has
// appeared, early enough for a window and before it expired, and not while every subscription was stopped.
func (s *Sim) listable(k blobKey, asOf time.Time, subs []subscription) bool {
	created, appears := k.created(), k.appears(s.scenario.Late)
	first := appears
	if first.Before(s.started) {
		first = s.started
	}
	if appears.After(asOf) || created.Before(first.Add(-lookBack)) || !k.expires(s.scenario.Expiry).After(first) {
		return false
	}
	for i := range subs {
		if !subs[i].covers(appears) {
			return true
		}
	}
	return len(subs) == 0
}
