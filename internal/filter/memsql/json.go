package memsql

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/rawjson"
)

// The macros of query.Prelude, in Go. A list is a slice of JSON texts.

// Values returns the texts that a search would compare for a column with JSON text, or for a path below it: the
// elements of lists, the values of the named members, and the values of name/value elements that are called so. A nil
// element is a JSON null. The result lives until Reset.
func (m *Machine) Values(column Value, path []string) [][]byte {
	l := m.arrayItems(column)
	for i, key := range path {
		next := m.step(l, key)
		if i == 0 {
			next = m.concat(next, m.named(l, NormalName(key)))
			if len(path) > 1 {
				next = m.concat(next, m.named(l, NormalName(strings.Join(path, "_"))))
			}
		}
		l = next
	}
	return m.texts(l)
}

// NormalName is how the names of name/value elements are compared: blanks and dots are underscores.
func NormalName(name string) string { return strings.NewReplacer(" ", "_", ".", "_").Replace(name) }

// take returns the items that were added since start.
func (m *Machine) take(start int) [][]byte { return m.items[start:len(m.items):len(m.items)] }

// arrayItems is sluice_items.
func (m *Machine) arrayItems(column Value) [][]byte {
	start := len(m.items)
	switch {
	case !column.isText():
	case column.Kind == JSON || rawjson.Valid(column.Bytes):
		m.array(bytes.TrimSpace(column.Bytes))
	default:
		text := m.Append(func(dst []byte) []byte { return rawjson.AppendQuoted(dst, string(column.Bytes), 0) })
		m.items = append(m.items, text)
	}
	return m.take(start)
}

// array is sluice_array: it adds the elements of a list, or the value itself.
func (m *Machine) array(value []byte) {
	if rawjson.KindOf(value) != rawjson.Array {
		m.items = append(m.items, value)
		return
	}
	m.items, _ = rawjson.Elements(m.items, value) // on broken text what was found so far counts
}

// member returns the first member of an object that is called key.
func (m *Machine) member(object []byte, key string) ([]byte, bool) {
	if rawjson.KindOf(object) != rawjson.Object {
		return nil, false
	}
	var err error
	if m.members, err = rawjson.Members(m.members[:0], object); err != nil {
		return nil, false
	}
	for _, member := range m.members {
		if string(member.Key) == key || bytes.IndexByte(member.Key, '\\') >= 0 && string(m.Unquote(member.Key)) == key {
			return member.Value, true
		}
	}
	return nil, false
}

// step is sluice_step.
func (m *Machine) step(l [][]byte, key string) [][]byte {
	start := len(m.items)
	for _, object := range l {
		if value, ok := m.member(object, key); ok {
			m.array(value)
		}
	}
	return m.take(start)
}

// named is sluice_named.
func (m *Machine) named(l [][]byte, name string) [][]byte {
	start := len(m.items)
	for _, object := range l {
		called := m.memberText(object, "Name")
		if called == nil {
			called = m.memberText(object, "Key")
		}
		if called == nil || !sameNormalName(called, name) {
			continue
		}
		for _, key := range []string{"Value", "NewValue", "OldValue"} {
			if value, ok := m.member(object, key); ok {
				m.array(value)
			}
		}
	}
	return m.take(start)
}

// sameNormalName reports whether NormalName of text is name.
func sameNormalName(text []byte, name string) bool {
	if len(text) != len(name) {
		return false
	}
	for i, c := range text {
		if c == ' ' || c == '.' {
			c = '_'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// memberText is ->> on an object; nil is NULL.
func (m *Machine) memberText(object []byte, key string) []byte {
	value, ok := m.member(object, key)
	if !ok {
		return nil
	}
	return m.text(value)
}

// texts is sluice_texts. It may reuse l.
func (m *Machine) texts(l [][]byte) [][]byte {
	start := len(m.items)
	for _, value := range l {
		m.items = append(m.items, m.text(value))
	}
	return m.take(start)
}

// concat is list_concat.
func (m *Machine) concat(a, b [][]byte) [][]byte {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return b
	}
	start := len(m.items)
	m.items = append(append(m.items, a...), b...)
	return m.take(start)
}

// text is ->>'$': a string without its quotes, nil for null, else compact JSON.
func (m *Machine) text(value []byte) []byte {
	switch rawjson.KindOf(value) {
	case rawjson.Null, rawjson.Invalid:
		return nil
	case rawjson.String:
		return nonNil(m.Unquote(value))
	case rawjson.Bool:
		return value
	default:
		return m.Append(func(dst []byte) []byte { return appendCompact(dst, value) })
	}
}

// nonNil keeps an empty text apart from NULL.
func nonNil(text []byte) []byte {
	if text == nil {
		return []byte{}
	}
	return text
}

// appendCompact writes a JSON value without white space, strings in their shortest form.
func appendCompact(dst, value []byte) []byte {
	switch rawjson.KindOf(value) {
	case rawjson.Object:
		members, _ := rawjson.Members(nil, value)
		dst = append(dst, '{')
		for i, member := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendCompactString(dst, member.Key), ':')
			dst = appendCompact(dst, member.Value)
		}
		return append(dst, '}')
	case rawjson.Array:
		elements, _ := rawjson.Elements(nil, value)
		dst = append(dst, '[')
		for i, element := range elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendCompact(dst, element)
		}
		return append(dst, ']')
	case rawjson.String:
		return appendCompactString(dst, value)
	case rawjson.Number:
		return appendNumber(dst, value)
	default:
		return append(dst, value...)
	}
}

func appendCompactString(dst, raw []byte) []byte {
	text, _ := rawjson.Unquote(raw)
	return rawjson.AppendQuoted(dst, text, 0)
}

// appendNumber keeps an integer as it is and writes other numbers as the shortest decimal fraction.
func appendNumber(dst, raw []byte) []byte {
	if !slices.ContainsFunc(raw, func(c byte) bool { return c == '.' || c|0x20 == 'e' }) {
		return append(dst, raw...)
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return append(dst, raw...)
	}
	return appendFloat(dst, f)
}
