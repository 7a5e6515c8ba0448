package m365sim

import (
	"strconv"
	"time"
)

// generator makes the records of one feed of one tenant. It is immutable and safe for concurrent use: record i of blob
// k is a pure function of the generator's seed, k and i (and the times of the blob), so blobs of any age are made on
// demand and millions of events need no memory.
type generator struct {
	seed  uint64
	vocab *vocabulary
	menu  menu
}

// menu is a weighted choice of record templates.
type menu struct {
	total int
	items []menuItem
}

type menuItem struct {
	weight int
	make   func(*writer)
}

func newMenu(items ...menuItem) menu {
	m := menu{items: items}
	for _, item := range items {
		m.total += item.weight
	}
	return m
}

func (m menu) pick(r *rng) int {
	n := r.below(m.total)
	for i, item := range m.items {
		if n -= item.weight; n < 0 {
			return i
		}
	}
	return 0
}

// menuOf returns the templates of a content type.
func menuOf(contentType string) menu {
	switch contentType {
	case AzureActiveDirectory:
		return entraMenu
	case Exchange:
		return exchangeMenu
	case SharePoint:
		return sharePointMenu
	case DLP:
		return dlpMenu
	default:
		return generalMenu
	}
}

// place says which record is wanted and between which seconds its event happened.
type place struct {
	blob, index, size int
	from, span        int64 // Unix seconds, seconds
}

// quirks are the deviations from a well-formed record that the scenario asks for.
type quirks struct {
	noID bool
	odd  int // 0: none; otherwise which deviation, see writer.created and writer.recordType
}

const oddities = 5

// append appends record p as JSON and returns what its identity is made of. w is scratch space of the caller; the
// result's fields stay valid until the next call with the same writer.
func (g *generator) append(w *writer, dst []byte, p place, q quirks) ([]byte, identity) {
	w.buf, w.generator, w.place, w.quirks = dst, g, p, q
	w.rng = rng(g.recordSeed(p.blob, p.index))
	template := g.menu.pick(&w.rng)
	w.who = w.skewed(len(g.vocab.users))
	w.user = &g.vocab.users[w.who]
	w.ip = g.vocab.ips[w.user.home]
	if w.rng.below(4) == 0 {
		w.ip = g.vocab.ips[w.rng.below(len(g.vocab.ips))]
	}
	w.at = p.from
	if p.span > 0 {
		w.at += int64(w.rng.next() % uint64(p.span))
	}
	if w.rng.below(100) == 0 { // a straggler: the event is up to a day older than the blob's usual content
		w.at -= int64(w.rng.below(86_400))
	}
	w.ident = identity{org: g.vocab.tenant}
	start := len(dst)
	g.menu.items[template].make(w)
	w.lit("}")
	w.ident.raw = w.buf[start:]
	return w.buf, w.ident
}

func (g *generator) recordSeed(blob, index int) uint64 {
	return mix(g.seed, forRecord, uint64(blob), uint64(index))
}

// templateOf tells which template record index of blob uses, without making it.
func (g *generator) templateOf(blob, index int) int {
	r := rng(g.recordSeed(blob, index))
	return g.menu.pick(&r)
}

// writer is the scratch space in which templates write a record: append-only, no intermediate values.
type writer struct {
	buf []byte
	rng rng
	*generator
	place
	quirks
	who   int // index of user
	user  *person
	ip    string
	at    int64 // Unix seconds of the event
	ident identity
}

func (w *writer) lit(s string) { w.buf = append(w.buf, s...) }
func (w *writer) guid()        { w.buf = appendGUID(w.buf, w.rng.next(), w.rng.next()) }
func (w *writer) seededGUID(seed uint64) {
	r := rng(seed)
	w.buf = appendGUID(w.buf, r.next(), r.next())
}
func (w *writer) num(n int)                 { w.buf = strconv.AppendInt(w.buf, int64(n), 10) }
func (w *writer) pick(list []string) string { return list[w.rng.below(len(list))] }

// skewed returns an index below n, small ones more often: some users are busier than others.
func (w *writer) skewed(n int) int { return min(w.rng.below(n), w.rng.below(n)) }

// member writes ,"key":"value" for a value that is already escaped.
func (w *writer) member(key, value string) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":"`)
	w.lit(value)
	w.lit(`"`)
}

// Things that outlive a record: their identifiers come back in other records, as in real traffic, where sessions,
// files, folders and devices repeat. That also makes the data as compressible as real data.
const (
	aSession uint64 = iota + 1
	aToken
	aFolder
	aMessage
	aFile
	aDevice
	aSite
	aTeam
	aChannel
	aReport
)

// lasting is the seed of a thing of the tenant.
func (w *writer) lasting(what uint64, which ...int) uint64 {
	seed := mix(w.vocab.seed, what)
	for _, n := range which {
		seed = mix(seed, uint64(n))
	}
	return seed
}

// session is the seed of the user's session: a new one every eight hours.
func (w *writer) session() uint64 { return w.lasting(aSession, w.who, int(w.at/(8*3600))) }

// lastingMember writes ,"key":"<GUID of the thing>".
func (w *writer) lastingMember(key string, seed uint64) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":"`)
	w.seededGUID(seed)
	w.lit(`"`)
}

// agent writes the user's usual program, or now and then another.
func (w *writer) agent() string {
	if w.rng.below(5) == 0 {
		return w.pick(agents)
	}
	return agents[w.who%len(agents)]
}

// guidMember writes ,"key":"<new GUID>".
func (w *writer) guidMember(key string) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":"`)
	w.guid()
	w.lit(`"`)
}

// numMember writes ,"key":n.
func (w *writer) numMember(key string, n int) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":`)
	w.num(n)
}

// hex writes n hexadecimal digits.
func (w *writer) hex(n int) {
	w.seededHex(w.rng.next(), n)
}

// seededHex writes n hexadecimal digits that follow from seed.
func (w *writer) seededHex(seed uint64, n int) {
	r := rng(seed)
	for n > 0 {
		bits := r.next()
		for range min(n, 16) {
			w.buf = append(w.buf, "0123456789ABCDEF"[bits&15])
			bits >>= 4
		}
		n -= 16
	}
}

// header writes the members that every record begins with, in the order of most workloads. Empty arguments are left
// out, as the service does.
func (w *writer) header(operation string, recordType int, status, userKey string, userType int, workload string) {
	w.lit("{")
	w.created()
	w.id()
	w.operation(operation)
	w.member("OrganizationId", w.vocab.tenant)
	w.recordType(recordType)
	if status != "" {
		w.member("ResultStatus", status)
	}
	w.member("UserKey", userKey)
	w.numMember("UserType", userType)
	w.lit(`,"Version":1`)
	w.member("Workload", workload)
}

// created writes "CreationTime" without a leading comma: zone-less seconds, unless the record is to be odd.
func (w *writer) created() {
	if w.odd == 1 {
		w.lit(`"Scope":0`) // without any time
		return
	}
	w.lit(`"CreationTime":"`)
	start := len(w.buf)
	w.seconds(w.at)
	switch w.odd {
	case 2:
		w.lit("Z")
	case 3:
		w.lit(".1234567")
	}
	w.ident.created = string(w.buf[start:])
	w.lit(`"`)
}

func (w *writer) id() {
	hi, lo := w.rng.next(), w.rng.next()
	if w.noID {
		return
	}
	w.lit(`,"Id":"`)
	start := len(w.buf)
	w.buf = appendGUID(w.buf, hi, lo)
	w.ident.id = string(w.buf[start:])
	w.lit(`"`)
}

func (w *writer) operation(name string) {
	w.member("Operation", name)
	w.ident.operation = name
}

func (w *writer) recordType(n int) {
	if w.odd == 4 {
		n += 9000 // a number that no table knows
	}
	w.ident.recordType = strconv.Itoa(n)
	if w.odd == 5 {
		w.member("RecordType", w.ident.recordType)
		return
	}
	w.numMember("RecordType", n)
}

// clientIP writes ClientIP in one of the forms seen in the field.
func (w *writer) clientIP() {
	w.lit(`,"ClientIP":"`)
	six := isIPv6(w.ip)
	switch n := w.rng.below(40); {
	case n < 3 && !six, n < 2 && six:
		w.lit("[")
		w.lit(w.ip)
		w.lit("]:")
		w.num(1024 + w.rng.below(60_000))
	case n == 3 && !six:
		w.lit(w.ip)
		w.lit(":")
		w.num(1024 + w.rng.below(60_000))
	case n == 4 && !six:
		w.lit("::ffff:")
		w.lit(w.ip)
	default:
		w.lit(w.ip)
	}
	w.lit(`"`)
}

func isIPv6(ip string) bool { return len(ip) > 4 && ip[4] == ':' }

// timeMember writes ,"key":"<event time plus offset seconds>" in zone-less seconds.
func (w *writer) timeMember(key string, offset int) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":"`)
	w.seconds(w.at + int64(offset))
	w.lit(`"`)
}

// accessContext writes the AppAccessContext of newer SharePoint and Exchange records.
func (w *writer) accessContext() {
	w.lit(`,"AppAccessContext":{"AADSessionId":"`)
	w.seededGUID(w.session())
	w.lit(`"`)
	w.guidMember("CorrelationId")
	w.lit(`,"UniqueTokenId":"`)
	w.seededHex(w.lasting(aToken, w.who, int(w.at/3600)), 22)
	w.lit(`"}`)
}

// seconds writes a time as zone-less seconds.
func (w *writer) seconds(at int64) {
	w.buf = time.Unix(at, 0).UTC().AppendFormat(w.buf, apiTime)
}
