package filter

import (
	"bytes"
	"strconv"
	"time"

	"sluice/internal/filter/memsql"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
)

// View shows one record after another to filters. It finds the members of the record and computes its core fields only
// when a filter needs them, and keeps its buffers from record to record. It is for one goroutine.
type View struct {
	normalizer *normalize.Normalizer
	env        *normalize.Envelope
	raw        []byte

	members []rawjson.Member
	own     []rawjson.Member // buffer of members
	state   viewState
	core    *normalize.Row
	filled  bool // core holds this record's fields

	machine memsql.Machine
	values  []value
	shape   []byte // see signature
}

type viewState uint8

const (
	unread viewState = iota // members are not known yet
	object
	broken // no JSON object
)

// NewView returns a view that computes core fields with n.
func NewView(n *normalize.Normalizer) *View {
	return &View{normalizer: n, core: normalize.NewRow()}
}

// Reset shows the next record. env says what Sluice knows of it besides its bytes: at least the connector and the
// content type, and its _id. members are those of raw, as rawjson.Members found them, or nil to find them when needed.
// Nothing is copied: the arguments must not change until the next Reset.
func (v *View) Reset(env *normalize.Envelope, raw []byte, members []rawjson.Member) {
	v.env, v.raw, v.members = env, raw, members
	v.state, v.filled, v.shape = unread, false, v.shape[:0]
	if members != nil {
		v.state = object
	}
	v.machine.Reset()
}

// object reports whether the record is a JSON object, and finds its members.
func (v *View) object() bool {
	if v.state == unread {
		var err error
		v.own, err = rawjson.Members(v.own[:0], v.raw)
		if v.members, v.state = v.own, object; err != nil {
			v.members, v.state = nil, broken
		}
	}
	return v.state == object
}

// row returns the core fields.
func (v *View) row() *normalize.Row {
	if !v.filled {
		v.object()
		v.normalizer.Normalize(v.env, v.raw, v.members, v.core)
		v.filled = true
	}
	return v.core
}

// vendorKey is the key of record/1 under which the vendor's fields stand.
func (v *View) vendorKey() string { return normalize.VendorKey(v.env.Connector.Type) }

// member finds a vendor field by its name, in any case when fold is set. The first of several counts.
func (v *View) member(name string, fold bool) *rawjson.Member {
	if !v.object() {
		return nil
	}
	for i := range v.members {
		m := &v.members[i]
		key := m.Key
		if len(key) != len(name) && bytes.IndexByte(key, '\\') < 0 {
			continue
		}
		if string(key) == name || fold && bytes.EqualFold(key, []byte(name)) {
			return m
		}
		if bytes.IndexByte(key, '\\') < 0 {
			continue
		}
		if key = v.machine.Unquote(key); string(key) == name || fold && bytes.EqualFold(key, []byte(name)) {
			return m
		}
	}
	return nil
}

// timeFormat is how a core field that is a time reads as text.
const timeFormat = "2006-01-02T15:04:05.999Z07:00"

// value is one value of a field.
type value struct {
	text   []byte // as a search compares it
	number bool   // a JSON number, or a core field that counts
	millis int64  // of a core field that is a time
	time   bool
}

// addMember adds the values of a vendor field, or of the path below it.
func (v *View) addMember(m *rawjson.Member, path []string) {
	switch {
	case len(path) > 0 || m.Kind == rawjson.Array || m.Kind == rawjson.Object:
		column := memsql.Value{Kind: memsql.JSON, Bytes: m.Value}
		if m.Kind == rawjson.String {
			column = memsql.Value{Kind: memsql.Text, Bytes: v.machine.Unquote(m.Value)}
		}
		v.addTexts(v.machine.Values(column, path))
	case m.Kind == rawjson.String:
		v.values = append(v.values, value{text: v.machine.Unquote(m.Value)})
	case m.Kind == rawjson.Number:
		v.values = append(v.values, value{text: m.Value, number: true})
	case m.Kind == rawjson.Bool:
		v.values = append(v.values, value{text: m.Value})
	}
}

func (v *View) addTexts(texts [][]byte) {
	for _, t := range texts {
		if t != nil {
			v.values = append(v.values, value{text: t})
		}
	}
}

// addCore adds the values of a core field, or of the path below it.
func (v *View) addCore(id normalize.ColumnID, path []string) {
	row := v.row()
	if !row.Has(id) {
		return
	}
	switch normalize.Columns[id].Kind {
	case normalize.JSON:
		v.addTexts(v.machine.Values(memsql.Value{Kind: memsql.JSON, Bytes: v.machine.Text(row.Text(id))}, path))
	case normalize.Long:
		n, _ := row.Long(id)
		v.values = append(v.values, value{text: v.machine.Append(func(dst []byte) []byte { return strconv.AppendInt(dst, n, 10) }), number: true})
	case normalize.Time:
		n, _ := row.Long(id)
		text := v.machine.Append(func(dst []byte) []byte { return time.UnixMilli(n).UTC().AppendFormat(dst, timeFormat) })
		v.values = append(v.values, value{text: text, time: true, millis: n})
	default:
		v.values = append(v.values, value{text: v.machine.Text(row.Text(id))})
	}
}
