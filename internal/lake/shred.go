package lake

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// shredder takes records apart into the columns of one table. It is for one goroutine.
type shredder struct {
	cols   *columnSet
	keys   map[string]map[string]target // vendor key -> key as written -> what becomes of it
	shapes map[string][]step            // parsed shapes, with slots

	cells    []cell
	bySlot   []int32 // slot -> 1 + index into cells, of the current record
	shape    []byte
	overflow []byte
	values   []byte // unquoted texts of the current record
	rebuilt  []byte
	verbatim int // records that were stored in _raw so far
}

// target is the column of a key.
type target struct {
	slot int    // -1: no column yet, or never
	name string // of the column, without the vendor key
	fold string // of the column, with the vendor key; "" when the key can have no column
}

// cell is a value of the current record.
type cell struct {
	slot int
	text []byte
	num  int64
}

func newShredder(cols *columnSet) *shredder {
	return &shredder{cols: cols, keys: make(map[string]map[string]target), shapes: make(map[string][]step)}
}

// maxKeys bounds the memory of seen keys.
const maxKeys = 8192

// shred appends the record raw to the current row of b. members are those of raw, nil when raw is not a JSON object.
// Nothing makes it fail: what cannot be taken apart is stored as it is.
func (s *shredder) shred(b *rowBuffer, vendor string, raw []byte, members []rawjson.Member, isObject bool) {
	s.cells, s.shape, s.overflow, s.values = s.cells[:0], s.shape[:0], s.overflow[:0], s.values[:0]
	if !isObject || !utf8.Valid(raw) {
		s.addRaw(b, raw, 0)
		return
	}
	style := rawjson.DetectStyle(raw)
	s.shape = append(append(s.shape, vendor...), '\n')
	for i := range members {
		s.member(vendor, &members[i])
	}
	if len(s.overflow) > 0 {
		s.overflow = append(s.overflow, '}')
	}
	exact := s.comesBack(raw, style)
	for _, c := range s.cells {
		s.bySlot[c.slot] = 0
		if kind := s.cols.defs[c.slot].kind; kind == Text || kind == JSON {
			b.addText(c.slot, c.text)
		} else {
			b.addNum(c.slot, c.num)
		}
	}
	b.addText(slotShape, s.shape)
	if len(s.overflow) > 0 {
		b.addText(slotOverflow, s.overflow)
	}
	if !exact {
		s.addRaw(b, raw, int64(style))
		return
	}
	b.addNum(slotStyle, int64(style))
}

// addRaw stores the record verbatim.
func (s *shredder) addRaw(b *rowBuffer, raw []byte, style int64) {
	s.verbatim++
	addRaw(b, raw, style)
}

// addRaw stores bytes in _raw, as text where they are text.
func addRaw(b *rowBuffer, raw []byte, style int64) {
	if utf8.Valid(raw) {
		b.addText(slotRaw, raw)
		b.addNum(slotStyle, style)
		return
	}
	b.addText(slotRaw, base64.StdEncoding.AppendEncode(nil, raw))
	b.addNum(slotStyle, styleBase64)
}

// member decides how one member is stored and writes its line of the shape.
func (s *shredder) member(vendor string, m *rawjson.Member) {
	if m.Kind == rawjson.Null {
		s.shape = appendShapeLine(s.shape, asNull, m.Key, "")
		return
	}
	t := s.target(vendor, m)
	if t.slot >= 0 && (t.slot >= len(s.bySlot) || s.bySlot[t.slot] == 0) {
		if c, code, ok := s.cell(t.slot, m); ok {
			s.cells = append(s.cells, c)
			s.markSlot(t.slot)
			s.shape = appendShapeLine(s.shape, code, m.Key, t.name)
			return
		}
	}
	s.shape = appendShapeLine(s.shape, asOverflow, m.Key, "")
	if len(s.overflow) == 0 {
		s.overflow = append(s.overflow, '{')
	} else {
		s.overflow = append(s.overflow, ',')
	}
	s.overflow = append(append(append(s.overflow, '"'), m.Key...), '"', ':')
	s.overflow = append(s.overflow, m.Value...)
}

func (s *shredder) markSlot(slot int) {
	if slot >= len(s.bySlot) {
		s.bySlot = append(s.bySlot, make([]int32, len(s.cols.defs)-len(s.bySlot))...)
	}
	s.bySlot[slot] = int32(len(s.cells))
}

// cell turns a value into what its column stores, or refuses.
func (s *shredder) cell(slot int, m *rawjson.Member) (c cell, code byte, ok bool) {
	c.slot = slot
	switch s.cols.defs[slot].kind {
	case JSON:
		c.text = m.Value
		return c, asJSON, true
	case Text:
		if m.Kind != rawjson.String {
			return c, 0, false
		}
		inner := m.Value[1 : len(m.Value)-1]
		if bytes.IndexByte(inner, '\\') < 0 {
			c.text = inner
			return c, asText, true
		}
		start := len(s.values)
		values, exact := rawjson.AppendUnquoted(s.values, m.Value)
		if !exact {
			return c, 0, false
		}
		s.values = values
		c.text = values[start:len(values):len(values)]
		return c, asText, true
	case Long:
		c.num, ok = canonicalInt(m.Value)
		return c, asLong, ok && m.Kind == rawjson.Number
	case Bool:
		if m.Value[0] == 't' {
			c.num = 1
		}
		return c, asBool, m.Kind == rawjson.Bool
	default: // Time: no column of the vendor has it
		return c, 0, false
	}
}

// canonicalInt parses an integer that is written the way strconv writes it.
func canonicalInt(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 20 {
		return 0, false
	}
	if digits := bytes.TrimPrefix(v, []byte{'-'}); len(digits) == 0 || digits[0] == '0' && len(v) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// target returns the column of a member's key, making it at first sight.
func (s *shredder) target(vendor string, m *rawjson.Member) target {
	byKey := s.keys[vendor]
	if t, ok := byKey[string(m.Key)]; ok && (t.slot >= 0 || t.fold == "" || len(s.cols.defs) >= s.cols.limit) {
		return t
	}
	if byKey == nil {
		byKey = make(map[string]target)
		s.keys[vendor] = byKey
	}
	if len(byKey) >= maxKeys {
		clear(byKey)
	}
	t := s.resolve(vendor, m)
	byKey[string(m.Key)] = t
	return t
}

func (s *shredder) resolve(vendor string, m *rawjson.Member) target {
	key, exact := rawjson.Unquote(m.Key)
	if !exact || !usableName(key) {
		return target{slot: -1}
	}
	full := vendor + "." + key
	folded := fold(full)
	if slot, ok := s.cols.byFold[folded]; ok {
		if !s.cols.defs[slot].vendor {
			return target{slot: -1}
		}
		return target{slot: slot, name: s.cols.defs[slot].name[len(vendor)+1:], fold: folded}
	}
	if len(s.cols.defs) >= s.cols.limit {
		return target{slot: -1, fold: folded}
	}
	slot := s.cols.add(columnDef{name: full, kind: kindAtFirstSight(fold(key), m), vendor: true})
	return target{slot: slot, name: key, fold: folded}
}

func kindAtFirstSight(folded string, m *rawjson.Member) Kind {
	if kind, ok := seedKinds[folded]; ok {
		return kind
	}
	switch m.Kind {
	case rawjson.String:
		return Text
	case rawjson.Bool:
		return Bool
	case rawjson.Number:
		if _, ok := canonicalInt(m.Value); ok {
			return Long
		}
	default: // lists and objects, and null, which tells nothing
	}
	return JSON
}

// comesBack rebuilds the record from its cells and compares it with what came.
func (s *shredder) comesBack(raw []byte, style rawjson.Style) bool {
	steps, ok := s.shapes[string(s.shape)]
	if !ok {
		if steps, ok = parseShape(string(s.shape)); !ok {
			return false
		}
		for i := range steps {
			if steps[i].column != "" {
				steps[i].slot = s.cols.byFold[fold(steps[i].column)]
			}
		}
		if len(s.shapes) >= maxShapes {
			clear(s.shapes)
		}
		s.shapes[string(s.shape)] = steps
	}
	var over []rawjson.Member
	if len(s.overflow) > 0 {
		var err error
		if over, err = rawjson.Members(nil, s.overflow); err != nil {
			return false
		}
	}
	out := append(s.rebuilt[:0], '{')
	for i := range steps {
		st := &steps[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), st.key...), '"', ':')
		switch st.code {
		case asNull:
			out = append(out, "null"...)
		case asOverflow:
			if len(over) == 0 {
				return false
			}
			out = append(out, over[0].Value...)
			over = over[1:]
		default:
			if st.slot >= len(s.bySlot) || s.bySlot[st.slot] == 0 {
				return false
			}
			out = appendCell(out, st.code, &s.cells[s.bySlot[st.slot]-1], style)
		}
	}
	s.rebuilt = append(out, '}')
	return bytes.Equal(s.rebuilt, raw)
}

func appendCell(dst []byte, code byte, c *cell, style rawjson.Style) []byte {
	switch code {
	case asText:
		// AppendQuoted neither keeps nor changes the text; a copy per value would cost as much as the quoting.
		return rawjson.AppendQuoted(dst, unsafe.String(unsafe.SliceData(c.text), len(c.text)), style) //nolint:gosec // see above
	case asLong:
		return strconv.AppendInt(dst, c.num, 10)
	case asBool:
		return strconv.AppendBool(dst, c.num != 0)
	default:
		return append(dst, c.text...)
	}
}

// envelope fills what the normaliser wants to know of a record besides its bytes.
func envelope(env *normalize.Envelope, b *record.Batch, r *record.Record) {
	u := &b.Units[r.Unit]
	*env = normalize.Envelope{
		ID: r.ID, Index: r.Index, Connector: &b.Connectors[u.Connector], ContentType: u.ContentType,
		ContentID: u.ContentID, Received: r.Received, VariantOf: r.VariantOf,
	}
	if !u.Created.IsZero() {
		env.Created = u.Created.UnixMilli()
	}
}
