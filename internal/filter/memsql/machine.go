package memsql

import "sluice/internal/rawjson"

// Row is the record that a Program looks at. Column returns the value of a column by the number that the program's
// resolver gave it. Values must stay as they are during a Match.
type Row interface {
	Column(number int) Value
}

// Machine holds the buffers that evaluation needs, so that a Match allocates nothing once they have grown. It is for
// one goroutine. The zero Machine is ready.
type Machine struct {
	row      Row
	variable Value // of the lambda
	buf      []byte
	items    [][]byte
	members  []rawjson.Member
}

// keep bounds the buffers that are kept between records.
const keep = 1 << 20

// Reset forgets what the buffers hold: Values that were made by the machine end.
func (m *Machine) Reset() {
	if cap(m.buf) > keep {
		m.buf = nil
	}
	m.buf, m.items = m.buf[:0], m.items[:0]
}

// Append runs an append function on the buffer and returns what it added. Earlier results stay valid when the buffer
// moves, because they keep the old one.
func (m *Machine) Append(add func(dst []byte) []byte) []byte {
	start := len(m.buf)
	m.buf = add(m.buf)
	return m.buf[start:len(m.buf):len(m.buf)]
}

// Lower returns text in lower case: text itself when it is so already, else a copy that lives until Reset.
func (m *Machine) Lower(text []byte) []byte {
	if isLower(text) {
		return text
	}
	start := len(m.buf)
	m.buf = AppendLower(m.buf, text)
	return m.buf[start:len(m.buf):len(m.buf)]
}

// Unquote decodes a JSON string. The result lives until Reset, or as long as raw.
func (m *Machine) Unquote(raw []byte) []byte {
	if plain, ok := plainString(raw); ok {
		return plain
	}
	start := len(m.buf)
	m.buf, _ = rawjson.AppendUnquoted(m.buf, raw)
	return m.buf[start:len(m.buf):len(m.buf)]
}

// plainString returns the text of a JSON string that holds ASCII without escapes.
func plainString(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil, false
	}
	raw = raw[1 : len(raw)-1]
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			return nil, false
		}
	}
	return raw, true
}

// Program is a compiled condition.
type Program struct{ root node }

// Match reports whether the condition is true for the row; NULL is not.
func (p *Program) Match(m *Machine, row Row) bool {
	m.row = row
	defer func() { m.row = nil }()
	return p.root.eval(m).isTrue()
}

// node is a compiled expression.
type node struct {
	eval     func(*Machine) Value
	constant bool // eval reads neither row nor variable
}

func constant(v Value) node {
	return node{eval: func(*Machine) Value { return v }, constant: true}
}

// fold evaluates an expression of constants once.
func (n node) fold() node {
	if !n.constant {
		return n
	}
	var m Machine
	return constant(n.eval(&m))
}

// Text copies a text into the buffers of the machine. The result lives until Reset.
func (m *Machine) Text(text string) []byte {
	return m.Append(func(dst []byte) []byte { return append(dst, text...) })
}
