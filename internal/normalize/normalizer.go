package normalize

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"sluice/internal/rawjson"
)

// maxListed bounds the users, addresses and recipients that normalised fields list of one record. The vendor object
// has all of them.
const maxListed = 100

// Normalizer turns Microsoft's records into the core columns. It is safe for concurrent use.
type Normalizer struct {
	fields  *fieldTable
	ocsf    *ruleIndex
	types   map[int]string
	workers sync.Pool // of *work
}

// New loads the tables. An error means that the binary was built with broken tables.
func New() (*Normalizer, error) {
	types, err := recordTypes()
	if err != nil {
		return nil, err
	}
	index, err := newRuleIndex()
	if err != nil {
		return nil, err
	}
	n := &Normalizer{fields: newFieldTable(), ocsf: index, types: types}
	n.workers.New = func() any { return &work{n: n} }
	return n, nil
}

// Rule returns a row of the OCSF class table by its number, which is in the column ocsf.rule.
func (n *Normalizer) Rule(number int) (OCSFRule, bool) {
	for _, r := range n.ocsf.rules {
		if r.Number == number {
			return r, true
		}
	}
	return OCSFRule{}, false
}

// work is one run of Normalize.
type work struct {
	n   *Normalizer
	env *Envelope
	row *Row

	vals       [numFields]rawjson.Member
	recordType int // -1 when the record has none
	operation  string
	rule       *OCSFRule
	targets    []user
	lists      [4][]string // of RelatedIP and the columns after it

	members  [maxNested][]rawjson.Member
	elements [maxNested][][]byte
	buf      []byte
	block    strings.Builder // texts of this and earlier records
	kept     []string        // of setList
}

// textBlock is how many bytes of texts are allocated at once: the texts of some ten records.
const textBlock = 4096

// lasting is a copy of a text that shares its allocation with others.
func (w *work) lasting(text []byte) string {
	if w.block.Cap()-w.block.Len() < len(text) {
		w.block.Reset()
		w.block.Grow(max(textBlock, len(text)))
	}
	start := w.block.Len()
	w.block.Write(text)
	return w.block.String()[start:]
}

// Normalize fills row, which it resets, with the core columns of a record. The members are those of raw, which
// rawjson.Check accepted. It never fails: what cannot be understood has no column, and the vendor record has it all.
// The row does not refer to raw afterwards.
func (n *Normalizer) Normalize(env *Envelope, _ []byte, members []rawjson.Member, row *Row) {
	w := n.workers.Get().(*work)
	w.env, w.row = env, row
	w.recordType, w.operation, w.rule, w.targets = -1, "", nil, w.targets[:0]
	for i := range w.lists {
		w.lists[i] = w.lists[i][:0]
	}
	row.Reset()
	w.collect(members)
	w.envelope()
	switch env.Connector.Type {
	case MessageTrace:
		w.messageTrace()
	case CloudApps:
		w.cloudApps()
	case ServiceHealth:
		w.serviceHealth()
	default:
		w.audit()
	}
	w.finish()
	clear(w.vals[:])
	w.env, w.row, w.rule = nil, nil, nil
	n.workers.Put(w)
}

// envelope fills what does not come from the record.
func (w *work) envelope() {
	env, row, c := w.env, w.row, w.env.Connector
	row.SetText(TenantName, c.TenantName)
	row.SetText(OrganizationID, c.DirectoryID)
	row.SetText(MsgClassName, MsgClass(c.Type, env.ContentType))
	origin := Origin(c.Type, env.ContentType)
	row.SetText(OriginSource, origin.Source)
	row.SetText(OriginVendor, origin.Vendor)
	row.SetText(OriginCategory, origin.Category)
	row.SetText(ConnectorID, c.ID)
	row.SetText(ConnectorName, c.Name)
	row.SetText(ConnectorType, c.Type)
	row.SetText(ContentType, env.ContentType)
	row.SetText(ContentID, env.ContentID)
	if env.Created != 0 {
		row.SetLong(ContentCreated, env.Created)
	}
	row.SetLong(ReceiveTime, env.Received)
	row.SetText(VariantOf, env.VariantOf)
	row.SetText(EventKind, "event")
	w.severity("informational")
}

// time sets timestamp from the first field that holds a time.
func (w *work) time(fields ...field) {
	for _, f := range fields {
		s := w.text(f)
		if s == "" {
			continue
		}
		if ms, ok := ParseTime(s); ok {
			w.row.SetLong(Timestamp, ms)
			return
		}
		if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > 0 { // as Scratch.eventTime reads it
			w.row.SetLong(Timestamp, ms)
			return
		}
	}
}

// finish fills what depends on other columns.
func (w *work) finish() {
	row := w.row
	if !row.Has(Timestamp) {
		if w.env.Created != 0 {
			row.SetLong(Timestamp, w.env.Created)
			row.SetText(TimeSource, "content")
		} else {
			row.SetLong(Timestamp, w.env.Received)
			row.SetText(TimeSource, "receive")
		}
	}
	w.setTargets()
	if r := w.rule; r != nil {
		row.SetLong(OCSFClassUID, r.ClassUID)
		row.SetLong(OCSFActivityID, r.ActivityID)
		row.SetLong(OCSFTypeUID, r.TypeUID)
		row.SetLong(OCSFRuleNumber, int64(r.Number))
	}
	if !row.Has(EventCategory) {
		w.words(`["web"]`, `["info"]`)
	}
	for i, list := range w.lists {
		if len(list) > 0 {
			w.row.SetText(RelatedIP+ColumnID(i), w.jsonList(list))
		}
	}
}

// words sets the categories and types, both JSON.
func (w *work) words(category, kind string) {
	w.row.SetText(EventCategory, category)
	w.row.SetText(EventType, kind)
}

// related adds a value to one of the lists for pivoting.
func (w *work) related(c ColumnID, value string) {
	list := &w.lists[c-RelatedIP]
	if value == "" || len(*list) >= maxListed {
		return
	}
	if slices.Contains(*list, value) {
		return
	}
	*list = append(*list, value)
}

// jsonList is a JSON array of texts.
func (w *work) jsonList(list []string) string {
	w.buf = append(w.buf[:0], '[')
	for i, s := range list {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = rawjson.AppendQuoted(w.buf, s, 0)
	}
	w.buf = append(w.buf, ']')
	return w.lasting(w.buf)
}

// setList sets a JSON column to the texts that are not empty, each once.
func (w *work) setList(c ColumnID, list ...string) {
	kept := w.kept[:0]
next:
	for _, s := range list {
		if s == "" || len(kept) >= maxListed {
			continue
		}
		for _, have := range kept {
			if have == s {
				continue next
			}
		}
		kept = append(kept, s)
	}
	if w.kept = kept; len(kept) > 0 {
		w.row.SetText(c, w.jsonList(kept))
	}
}

// texts reads a field that is a list of texts, one text, or texts separated by semicolons.
func (w *work) texts(m rawjson.Member, level int) []string {
	var list []string
	if elements := w.array(m, level); elements != nil {
		for _, e := range elements {
			if s := plainText(element(e)); s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	for s := range strings.SplitSeq(plainText(m), ";") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// client fills srcip and its companions from the first field that names a client.
func (w *work) client(texts ...string) {
	for _, s := range texts {
		a, ok := parseAddress(s)
		if !ok {
			continue
		}
		if a.ip.IsValid() {
			ip := a.ip.String()
			w.row.SetText(SrcIP, ip)
			w.row.SetText(SrcIPType, ipType(a.ip))
			w.related(RelatedIP, ip)
		}
		if a.port != 0 {
			w.row.SetLong(SrcPort, a.port)
		}
		w.row.SetText(SrcIPHost, a.host)
		w.related(RelatedHosts, a.host)
		return
	}
}

// severity sets event.severity and its word (spec/record-schema.md section 5.4). An unknown word changes nothing.
func (w *work) severity(word string) {
	lower := strings.ToLower(strings.TrimSpace(word))
	var score int64
	switch lower {
	case "informational":
		score = 10
	case "info":
		lower, score = "informational", 10
	case "low":
		score = 25
	case "medium":
		score = 50
	case "high":
		score = 75
	case "critical":
		score = 95
	case "unknown":
	default:
		return
	}
	w.row.SetLong(EventSeverity, score)
	w.row.SetText(EventSeverityStr, lower)
}

// outcomeOf reads a ResultStatus (spec/record-schema.md section 5.3).
func outcomeOf(status string) string {
	switch {
	case status == "", foldAny(status, "succeeded", "success", "partiallysucceeded", "true"):
		return "success"
	case foldAny(status, "failed", "failure", "false"):
		return "failure"
	}
	return "unknown"
}

// size sets a column of bytes from a number or its text.
func (w *work) size(c ColumnID, text string) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		w.row.SetLong(c, n)
	}
}
