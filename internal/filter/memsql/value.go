package memsql

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values.
const (
	Null  Kind = iota
	Bool       // Num is 0 or 1
	Int        // Num
	Float      // Float
	Text       // Bytes
	JSON       // Bytes: text that is known to be valid JSON
	Time       // Num: microseconds since 1970, UTC
	list       // of JSON texts
	texts      // of texts; nil stands for NULL
)

// Value is a value of SQL. Bytes may alias the record or the buffers of the Machine.
type Value struct {
	Kind  Kind
	Num   int64
	Float float64
	Bytes []byte
	items [][]byte // of list and texts
}

// Of truth values.
var (
	null = Value{}
	yes  = Value{Kind: Bool, Num: 1}
	no   = Value{Kind: Bool}
)

func truth(b bool) Value {
	if b {
		return yes
	}
	return no
}

func (v Value) isTrue() bool { return v.Kind == Bool && v.Num != 0 }

func (v Value) isText() bool { return v.Kind == Text || v.Kind == JSON }

// compare orders two values of comparable kinds. ok is false when one is NULL or the kinds cannot be compared.
func compare(a, b Value) (order int, ok bool) {
	switch {
	case a.isText() && b.isText():
		return bytes.Compare(a.Bytes, b.Bytes), true
	case a.Kind == Float && (b.Kind == Float || b.Kind == Int), a.Kind == Int && b.Kind == Float:
		return compareFloats(a.float(), b.float()), true
	case a.Kind == b.Kind && (a.Kind == Int || a.Kind == Bool || a.Kind == Time):
		return cmp.Compare(a.Num, b.Num), true
	}
	return 0, false
}

// compareFloats orders NaN above everything, as DuckDB does.
func compareFloats(a, b float64) int {
	switch {
	case math.IsNaN(a) && math.IsNaN(b):
		return 0
	case math.IsNaN(a):
		return 1
	case math.IsNaN(b):
		return -1
	}
	return cmp.Compare(a, b)
}

func (v Value) float() float64 {
	if v.Kind == Int {
		return float64(v.Num)
	}
	return v.Float
}

// AppendLower appends text in lower case, character by character as SQL's lower does.
func AppendLower(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
		i += n
	}
	return dst
}

// isLower reports whether text is ASCII without capital letters.
func isLower(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// appendFloat writes a floating point number as DuckDB casts it to text.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		switch {
		case math.IsNaN(f):
			return append(dst, "nan"...)
		case f < 0:
			return append(dst, "-inf"...)
		}
		return append(dst, "inf"...)
	}
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[start:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}
