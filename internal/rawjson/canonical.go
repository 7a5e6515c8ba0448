package rawjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"unicode/utf8"
)

// AppendCanonical appends the canonical form of the JSON value to dst. Two texts have the same canonical form exactly
// when they hold the same JSON value:
//
//   - members sorted by their unescaped key, in the order of UTF-8; members with the same key keep their order
//   - no white space
//   - strings by value: only ", \ and control characters are escaped, with the short escape where there is one; an
//     unpaired surrogate stays an escape
//   - numbers by value, exactly, without rounding: 1.0, 1 and 10e-1 are all 1
//
// The text is checked on the way, except for UTF-8; an error leaves dst as it was. The form is stable: hashes of it are
// stored in the lake and in ids.
func AppendCanonical(dst, value []byte) ([]byte, error) {
	c := canonPool.Get().(*canon)
	c.src, c.pos, c.out, c.depth = value, skipSpace(value, 0), dst, 0
	err := c.value()
	if err == nil {
		err = onlySpace(value, c.pos)
	}
	out := c.out
	c.src, c.out, c.members = nil, nil, c.members[:0]
	canonPool.Put(c)
	if err != nil {
		return dst, err
	}
	return out, nil
}

var canonPool = sync.Pool{New: func() any { return &canon{members: make([]span, 0, 256)} }}

// canon is one run of AppendCanonical.
type canon struct {
	src     []byte
	pos     int // of the next byte of src
	out     []byte
	depth   int
	members []span // of all objects that are open, a stack
	sorted  []byte // scratch of sort
}

// span is a member in canon.out, from the quote of its key to the end of its value.
type span struct {
	prefix          uint64 // the first eight bytes of the key, big endian: decides most comparisons
	start, key, end int    // key is where the key's closing quote is
	escaped         bool   // the key's canonical form holds a backslash
}

// value reads the value at pos, which is not white space, and leaves pos after it.
func (c *canon) value() error {
	if c.pos >= len(c.src) {
		return broken(c.pos, "a value was expected")
	}
	switch b := c.src[c.pos]; b {
	case '"':
		c.pos++
		return c.string()
	case '{':
		return c.nested(c.object)
	case '[':
		return c.nested(c.array)
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *canon) nested(read func() error) error {
	if c.depth++; c.depth > MaxDepth {
		return broken(c.pos, "nested too deep")
	}
	c.pos++
	c.space()
	err := read()
	c.depth--
	return err
}

func (c *canon) space() {
	if c.pos < len(c.src) && c.src[c.pos] <= ' ' {
		c.pos = skipSpace(c.src, c.pos)
	}
}

func (c *canon) literal(word string) error {
	if len(c.src)-c.pos < len(word) || string(c.src[c.pos:c.pos+len(word)]) != word {
		return broken(c.pos, "unknown word")
	}
	c.pos += len(word)
	c.out = append(c.out, word...)
	return nil
}

// next consumes the byte after a value: a comma, or the end of the object or array.
func (c *canon) next(end byte) (more bool, err error) {
	c.space()
	if c.pos >= len(c.src) {
		return false, broken(c.pos, "the text ends early")
	}
	b := c.src[c.pos]
	c.pos++
	switch b {
	case ',':
		c.space()
		return true, nil
	case end:
		return false, nil
	}
	return false, broken(c.pos-1, "a comma was expected")
}

func (c *canon) array() error {
	c.out = append(c.out, '[')
	if c.pos < len(c.src) && c.src[c.pos] == ']' {
		c.pos++
		c.out = append(c.out, ']')
		return nil
	}
	for {
		if err := c.value(); err != nil {
			return err
		}
		more, err := c.next(']')
		if err != nil {
			return err
		}
		if !more {
			c.out = append(c.out, ']')
			return nil
		}
		c.out = append(c.out, ',')
	}
}

// object writes the members in the order of the text and then puts them in order.
func (c *canon) object() error {
	c.out = append(c.out, '{')
	if c.pos < len(c.src) && c.src[c.pos] == '}' {
		c.pos++
		c.out = append(c.out, '}')
		return nil
	}
	first := len(c.members)
	inOrder := true
	for {
		m := span{start: len(c.out)}
		if c.pos >= len(c.src) || c.src[c.pos] != '"' {
			return broken(c.pos, "a key was expected")
		}
		c.pos++
		if err := c.string(); err != nil {
			return err
		}
		m.key = len(c.out) - 1
		m.prefix, m.escaped = keyPrefix(c.out[m.start+1 : m.key])
		c.space()
		if c.pos >= len(c.src) || c.src[c.pos] != ':' {
			return broken(c.pos, "a colon was expected")
		}
		c.pos++
		c.space()
		c.out = append(c.out, ':')
		if err := c.value(); err != nil {
			return err
		}
		m.end = len(c.out)
		inOrder = inOrder && (len(c.members) == first || c.compare(c.members[len(c.members)-1], m) <= 0)
		c.members = append(c.members, m)
		more, err := c.next('}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		c.out = append(c.out, ',')
	}
	if !inOrder {
		c.sort(c.members[first:])
	}
	c.members = c.members[:first]
	c.out = append(c.out, '}')
	return nil
}

// keyPrefix is the sort key of a member. A key with a backslash in its canonical form is compared by its value.
func keyPrefix(key []byte) (prefix uint64, escaped bool) {
	if bytes.IndexByte(key, '\\') >= 0 {
		value, _ := appendUnquoted(nil, key)
		key, escaped = value, true
	}
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key), escaped
	}
	for i := range 8 {
		prefix <<= 8
		if i < len(key) {
			prefix |= uint64(key[i])
		}
	}
	return prefix, escaped
}

func (c *canon) compare(a, b span) int {
	switch {
	case a.prefix < b.prefix:
		return -1
	case a.prefix > b.prefix:
		return 1
	}
	ka, kb := c.out[a.start+1:a.key], c.out[b.start+1:b.key]
	if a.escaped || b.escaped {
		va, _ := appendUnquoted(nil, ka)
		vb, _ := appendUnquoted(nil, kb)
		if order := bytes.Compare(va, vb); order != 0 {
			return order
		}
		// Keys that differ only in which unpaired surrogate they hold have the same value here.
	}
	return bytes.Compare(ka, kb)
}

// sort puts the members, which lie in out from the first one's start to its end, in order.
func (c *canon) sort(members []span) {
	start := members[0].start
	if len(members) <= 64 {
		for i := 1; i < len(members); i++ {
			m, j := members[i], i
			for ; j > 0 && c.compare(members[j-1], m) > 0; j-- {
				members[j] = members[j-1]
			}
			members[j] = m
		}
	} else {
		slices.SortStableFunc(members, c.compare)
	}
	c.sorted = c.sorted[:0]
	for i, m := range members {
		if i > 0 {
			c.sorted = append(c.sorted, ',')
		}
		c.sorted = append(c.sorted, c.out[m.start:m.end]...)
	}
	copy(c.out[start:], c.sorted)
}

const spaces = lows * 0x20

// string reads a string whose opening quote is behind pos.
func (c *canon) string() error {
	c.out = append(c.out, '"')
	start, i, src := c.pos, c.pos, c.src
	for {
		i = skipPlain(src, i)
		if i >= len(src) {
			return broken(start, "the string does not end")
		}
		switch b := src[i]; {
		case b == '"':
			c.out = append(append(c.out, src[start:i]...), '"')
			c.pos = i + 1
			return nil
		case b < 0x20:
			return broken(i, "control character in a string")
		default:
			c.out = append(c.out, src[start:i]...)
			n := c.escape(src[i:])
			if n == 0 {
				return broken(i, "unknown escape")
			}
			i += n
			start = i
		}
	}
}

// skipPlain returns the index of the first byte at or after i that is a quote, a backslash or a control character.
func skipPlain(b []byte, i int) int {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		q, s := w^quotes, w^slants
		hit := ((q-lows)&^q | (s-lows)&^s | (w-spaces)&^w) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= 0x20 {
		i++
	}
	return i
}

// escape writes the escape that text begins with in its canonical form and returns its length in text, 0 when it is
// not an escape.
func (c *canon) escape(text []byte) int {
	if len(text) >= 2 {
		switch b := text[1]; b {
		case '/':
			c.out = append(c.out, '/')
			return 2
		case '"', '\\', 'b', 'f', 'n', 'r', 't':
			c.out = append(c.out, '\\', b)
			return 2
		}
	}
	r, n, ok := decodeEscape(text)
	switch {
	case r < 0:
		return 0
	case !ok: // an unpaired surrogate
		c.out = appendU(c.out, hex4(text[2:]), 0)
	case r >= utf8.RuneSelf:
		c.out = utf8.AppendRune(c.out, r)
	default:
		switch how := styleTables[0][r]; how {
		case escapeNone:
			c.out = append(c.out, byte(r))
		case escapeU:
			c.out = appendU(c.out, r, 0)
		default:
			c.out = append(c.out, '\\', how)
		}
	}
	return n
}
