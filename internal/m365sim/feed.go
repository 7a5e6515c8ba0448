package m365sim

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// apiTime is the zone-less form of times in records and queries.
const apiTime = "2006-01-02T15:04:05"

// lookBack is how far back a listing may start, with the hour of tolerance seen in the field.
const lookBack = 7*24*time.Hour + time.Hour

// feed is the content of one type of one tenant: an ordered list of parts, each a numbered sequence of blobs.
type feed struct {
	tenant      *tenant
	contentType string
	seed        uint64
	parts       []*part
}

// part is a run of blobs with evenly spaced creation times: blob k of the half-open range first..limit becomes
// available at base + (k+1) × interval. It is either generated or made of the records of files.
type part struct {
	generator *generator   // nil for files
	records   []fileRecord // of files
	base      time.Time
	interval  time.Duration
	first     int
	total     int // records; unbounded when negative (live traffic)
	size      int // records per blob
	group     int // so many neighbours share a creation time
	latency   time.Duration
}

// blobKey names a blob of a feed.
type blobKey struct {
	feed *feed
	part int
	n    int
}

// cut says which part of a blob's records a contentId stands for.
type cut int

const (
	whole cut = iota
	firstHalf
	secondHalf
)

// gridStart is where the grid of live blobs begins. It is absolute so that a restarted simulator continues with the
// same blobs.
var gridStart = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// newLivePart makes the part for traffic at a steady rate from a time on.
func newLivePart(g *generator, t Traffic, from time.Time, group int) *part {
	p := &part{generator: g, base: gridStart, total: -1, size: t.BlobSize, group: group, latency: t.Latency.std()}
	p.interval = max(time.Duration(float64(t.BlobSize)/t.Rate*float64(time.Minute)), time.Millisecond)
	if from.After(gridStart) {
		p.first = int(from.Sub(gridStart) / p.interval)
	}
	return p
}

// newSpreadPart makes a part of total records spread over a time that ends at end.
func newSpreadPart(end time.Time, over time.Duration, total, size, group int) *part {
	p := &part{base: end.Add(-over), total: total, size: size, group: group}
	p.interval = over / time.Duration(max(p.limit(), 1))
	return p
}

// limit is the number after the last blob of a bounded part.
func (p *part) limit() int { return (p.total + p.size - 1) / p.size }

// created is the contentCreated of blob n: whole milliseconds, never decreasing with n.
func (p *part) created(n int) time.Time {
	n = (n/p.group + 1) * p.group
	if p.total >= 0 {
		n = min(n, p.limit())
	}
	return p.base.Add(time.Duration(n) * p.interval).Truncate(time.Millisecond)
}

// search returns the first blob that is created at t or later, or the end of the part.
func (p *part) search(t time.Time) int {
	end := p.limit()
	if p.total < 0 {
		end = max(p.first, int(t.Sub(p.base)/p.interval)+p.group+1)
	}
	return p.first + sort.Search(max(end-p.first, 0), func(i int) bool { return !p.created(p.first + i).Before(t) })
}

// end returns the number after the last blob that is created at now or before.
func (p *part) end(now time.Time) int { return p.search(now.Add(1)) }

// records in blob n.
func (p *part) sizeOf(n int) int {
	if p.total < 0 {
		return p.size
	}
	return min(p.size, p.total-n*p.size)
}

// span is the time that the events of one blob cover.
func (p *part) span() time.Duration { return max(p.interval*time.Duration(p.group), time.Second) }

// firstEvent is the time of a blob's oldest usual event: the A of its contentId, from which it expires.
func (p *part) firstEvent(n int) time.Time { return p.created(n).Add(-p.latency) }

func (k blobKey) at() *part                   { return k.feed.parts[k.part] }
func (k blobKey) created() time.Time          { return k.at().created(k.n) }
func (k blobKey) seed() uint64                { return mix(k.feed.seed, uint64(k.part), uint64(k.n)) }
func (k blobKey) draw(purpose uint64) float64 { return unit(mix(k.seed(), purpose)) }

// appears is when the blob can first be listed: at its creation, or later when it is late.
func (k blobKey) appears(late Late) time.Time {
	created := k.created()
	if late.Share == 0 || k.draw(forLate) >= late.Share {
		return created
	}
	share := 0.5 + 0.5*unit(mix(k.seed(), forLate, 1))
	return created.Add(time.Duration(share * float64(late.Delay)))
}

// growsUntil is when the blob has all of its records: when it appears, or later when it is one that grows.
func (k blobKey) growsUntil(late Late, growing Growing) time.Time {
	appears := k.appears(late)
	if growing.Share == 0 || k.draw(forGrowth) >= growing.Share {
		return appears
	}
	share := 0.5 + 0.5*unit(mix(k.seed(), forGrowth, 1))
	return appears.Add(time.Duration(share * float64(growing.Delay)))
}

func (k blobKey) expires(expiry Duration) time.Time { return k.at().firstEvent(k.n).Add(expiry.std()) }

// contentID writes the identifier of spec/management-activity-api.md section 4.2. The digits behind the milliseconds of
// both times carry the blob's number, the region carries part and cut, so that a blob is found without an index.
func (k blobKey) contentID(c cut) string {
	p := k.at()
	lower := strings.ToLower(strings.ReplaceAll(k.feed.contentType, ".", "_"))
	return fmt.Sprintf("%s%06d$%s%06d$%s$%s$na%02d%d%d",
		contentStamp(p.firstEvent(k.n)), k.n/1_000_000, contentStamp(k.created()), k.n%1_000_000,
		lower, strings.ReplaceAll(k.feed.contentType, ".", "_"), contentRegion(k), k.part, int(c))
}

func contentRegion(k blobKey) int { return int(mix(k.feed.seed, forContentID) % 100) }

func contentStamp(t time.Time) string {
	t = t.UTC()
	return t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/int(time.Millisecond))
}

// parseContentID is the inverse of contentID within a tenant. It reports malformed identifiers and ones that do not
// exist separately, as the service does (AF20052, AF20050).
func (t *tenant) parseContentID(id string) (k blobKey, c cut, wellFormed, exists bool) {
	fields := strings.Split(id, "$")
	if len(fields) < 5 || len(fields[0]) != 23 || len(fields[1]) != 23 {
		return k, c, false, false
	}
	high, errHigh := strconv.ParseUint(fields[0][17:], 10, 32)
	low, errLow := strconv.ParseUint(fields[1][17:], 10, 32)
	if errHigh != nil || errLow != nil {
		return k, c, false, false
	}
	f := t.feed(strings.ReplaceAll(fields[3], "_", "."))
	region := fields[4]
	if f == nil || len(region) != 6 {
		return k, c, true, false
	}
	k = blobKey{feed: f, part: int(region[4]) - '0', n: int(high*1_000_000 + low)}
	c = cut(int(region[5]) - '0')
	if k.part < 0 || k.part >= len(f.parts) || c < whole || c > secondHalf {
		return k, c, true, false
	}
	p := k.at()
	if k.n < p.first || p.total >= 0 && k.n >= p.limit() {
		return k, c, true, false
	}
	return k, c, true, k.contentID(c) == strings.Join(fields[:5], "$")
}
