package m365sim

import (
	"bytes"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// ref names one record: the blob that it originally belongs to, and its place there. Copies of a record elsewhere are
// the same ref in another blob's plan; a variant is a copy with the same identity and other content.
type ref struct {
	blobKey
	index   int
	variant bool
}

func (r ref) draw(purpose uint64) float64 { return unit(mix(r.seed(), purpose, uint64(r.index))) }

// plan appends what a blob holds: its own records, then the copies that the scenario asks for. own is the number of
// its own records.
func (s *Sim) plan(dst []ref, k blobKey) (refs []ref, own int) {
	own = k.at().sizeOf(k.n)
	for i := range own {
		dst = append(dst, ref{blobKey: k, index: i})
	}
	d := s.scenario.Duplicates
	if d.WithinBlob > 0 {
		dst = appendShare(dst, k, d.WithinBlob, forTwinInBlob)
	}
	if before := (blobKey{k.feed, k.part, k.n - 1}); d.AcrossBlobs > 0 && before.n >= k.at().first {
		dst = appendShare(dst, before, d.AcrossBlobs, forTwinAcross)
	}
	if before := (blobKey{k.feed, k.part, k.n - 1}); d.Variants > 0 && before.n >= k.at().first && k.at().generator != nil {
		from := len(dst)
		dst = appendShare(dst, before, d.Variants, forVariant)
		for i := range dst[from:] {
			dst[from+i].variant = true
		}
	}
	if d.Redelivered > 0 && k.draw(forRedelivery) < d.Redelivered {
		old := blobKey{k.feed, k.part, k.at().search(k.created().Add(-d.RedeliveredAfter.std())) - 1}
		if old.n >= k.at().first && old.n < k.n {
			dst = appendShare(dst, old, 0.5, forRedelivery)
		}
	}
	if d.AcrossFeeds > 0 && k.feed.contentType == General {
		if f := k.feed.tenant.feed(DLP); f != nil {
			for i, p := range f.parts {
				if other := (blobKey{f, i, p.end(k.created()) - 1}); other.n >= p.first {
					dst = appendShare(dst, other, d.AcrossFeeds, forTwinFeed)
				}
			}
		}
	}
	return dst, own
}

func appendShare(dst []ref, k blobKey, share float64, purpose uint64) []ref {
	for i := range k.at().sizeOf(k.n) {
		if r := (ref{blobKey: k, index: i}); r.draw(purpose) < share {
			dst = append(dst, r)
		}
	}
	return dst
}

// planAt is plan as far as it is served at a time: a blob that still grows has the first half.
func (s *Sim) planAt(dst []ref, k blobKey, asOf time.Time) (refs []ref, own int) {
	from := len(dst)
	refs, own = s.plan(dst, k)
	if !s.grown(k, asOf) {
		n := (len(refs) - from) / 2
		refs, own = refs[:from+n], min(own, n)
	}
	return refs, own
}

// grown reports whether a blob is served with all of its records at a time.
func (s *Sim) grown(k blobKey, asOf time.Time) bool {
	return s.scenario.Growing.Share == 0 || !k.growsUntil(s.scenario.Late, s.scenario.Growing).After(asOf)
}

// slice returns the part of a plan that a cut holds.
func (c cut) slice(refs []ref) []ref {
	switch c {
	case firstHalf:
		return refs[:len(refs)/2]
	case secondHalf:
		return refs[len(refs)/2:]
	default: // whole
		return refs
	}
}

// notRecords are array elements that are valid JSON but no records.
var notRecords = []string{`null`, `"The record could not be serialized."`, `42`, `[]`}

// spoiled reports whether the scenario replaces a record by something that is none.
func (s *Sim) spoiled(r ref) bool {
	return s.scenario.Malformed > 0 && r.draw(forMalformed) < s.scenario.Malformed
}

// isMalformed reports whether an array element is not a usable record.
func (s *Sim) isMalformed(r ref) bool {
	if p := r.at(); p.generator == nil && p.records[r.n*p.size+r.index].malformed {
		return true
	}
	return s.spoiled(r)
}

// appendRecord appends the bytes of a record; the identity is that of a generated one.
func (s *Sim) appendRecord(w *writer, dst []byte, r ref) (_ []byte, id identity) {
	if s.spoiled(r) {
		return append(dst, notRecords[r.index%len(notRecords)]...), id
	}
	p := r.at()
	if p.generator == nil {
		return append(dst, p.records[r.n*p.size+r.index].raw...), id
	}
	var q quirks
	q.noID = s.scenario.WithoutID > 0 && r.draw(forIDless) < s.scenario.WithoutID
	if s.scenario.Odd > 0 && r.draw(forOdd) < s.scenario.Odd {
		q.odd = 1 + int(mix(r.seed(), forOdd, uint64(r.index), 1)%oddities)
	}
	span := p.span()
	from := p.firstEvent(r.n).Add(-span)
	start := len(dst)
	dst, id = p.generator.append(w, dst, place{
		blob: r.n, index: r.index, size: p.sizeOf(r.n),
		from: from.Unix(), span: int64(span / time.Second),
	}, q)
	if r.variant {
		dst = append(dst[:len(dst)-1], `,"Revision":2}`...)
		id.raw = dst[start:]
	}
	return dst, id
}

// body makes the JSON array of a blob as it is served at a time.
func (s *Sim) body(k blobKey, c cut, asOf time.Time) []byte {
	refs, _ := s.planAt(nil, k, asOf)
	refs = c.slice(refs)
	var w writer
	dst := make([]byte, 0, len(refs)*2048+2)
	dst = append(dst, '[')
	for i, r := range refs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = s.appendRecord(&w, dst, r)
	}
	return append(dst, ']')
}

// bodyCache keeps gzip-compressed bodies of blobs that were asked for more than once, up to a number of bytes.
type bodyCache struct {
	mu     sync.Mutex
	asked  map[cacheKey]bool
	packed map[cacheKey][]byte
	order  []cacheKey // oldest first
	bytes  int
	limit  int // 0: no limit
}

type cacheKey struct {
	blobKey
	cut
}

// cacheLimit bounds the memory of cached bodies unless the scenario says precompress.
const cacheLimit = 128 << 20

func newBodyCache(limit int) *bodyCache {
	return &bodyCache{asked: map[cacheKey]bool{}, packed: map[cacheKey][]byte{}, limit: limit}
}

// get returns the cached body, and whether the caller should put it.
func (c *bodyCache) get(k cacheKey) (packed []byte, wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if packed = c.packed[k]; packed != nil {
		return packed, false
	}
	wanted = c.asked[k]
	c.asked[k] = true
	return nil, wanted
}

func (c *bodyCache) put(k cacheKey, packed []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.packed[k] != nil {
		return
	}
	c.packed[k] = packed
	c.order = append(c.order, k)
	c.bytes += len(packed)
	for c.limit > 0 && c.bytes > c.limit && len(c.order) > 1 {
		c.bytes -= len(c.packed[c.order[0]])
		delete(c.packed, c.order[0])
		c.order = c.order[1:]
	}
}

var packers = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return gzip.NewWriter(nil)
	}
	return w
}}

// pack compresses a body.
func pack(body []byte) []byte {
	w := packers.Get().(*gzip.Writer)
	defer packers.Put(w)
	var out bytes.Buffer
	out.Grow(len(body)/6 + 512)
	w.Reset(&out)
	// Neither call can fail: a bytes.Buffer accepts everything.
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}
