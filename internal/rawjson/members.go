package rawjson

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// ErrNotObject is returned by Members for a value that is not a JSON object.
var ErrNotObject = errors.New("not a JSON object")

// Members appends the members of the top-level object obj to dst, in the order of the text, duplicates included. The
// slices alias obj. White space around the object is allowed, anything else around it is an error.
//
// Members finds bounds and nothing more: it expects text that Valid accepted. On other text it either returns an error
// or bounds of no meaning, but never slices outside of obj. On an error the members found so far are returned.
func Members(dst []Member, obj []byte) ([]Member, error) {
	i := skipSpace(obj, 0)
	if i >= len(obj) || obj[i] != '{' {
		return dst, ErrNotObject
	}
	i = skipSpace(obj, i+1)
	if i < len(obj) && obj[i] == '}' {
		return dst, onlySpace(obj, i+1)
	}
	for {
		if i >= len(obj) || obj[i] != '"' {
			return dst, broken(i, "a key was expected")
		}
		keyEnd := skipString(obj, i+1)
		if keyEnd < 0 {
			return dst, broken(i, "the key does not end")
		}
		key := obj[i+1 : keyEnd]
		i = skipSpace(obj, keyEnd+1)
		if i >= len(obj) || obj[i] != ':' {
			return dst, broken(i, "a colon was expected")
		}
		start := skipSpace(obj, i+1)
		if i = skipValue(obj, start); i < 0 {
			return dst, broken(start, "the value does not end")
		}
		dst = append(dst, Member{Key: key, Value: obj[start:i], Kind: KindOf(obj[start:i])})
		if i = skipSpace(obj, i); i >= len(obj) {
			return dst, broken(i, "the object does not end")
		}
		switch obj[i] {
		case ',':
			i = skipSpace(obj, i+1)
		case '}':
			return dst, onlySpace(obj, i+1)
		default:
			return dst, broken(i, "a comma was expected")
		}
	}
}

// Elements appends the elements of the top-level array arr to dst. The rules are those of Members.
func Elements(dst [][]byte, arr []byte) ([][]byte, error) {
	i := skipSpace(arr, 0)
	if i >= len(arr) || arr[i] != '[' {
		return dst, errors.New("not a JSON array")
	}
	i = skipSpace(arr, i+1)
	if i < len(arr) && arr[i] == ']' {
		return dst, onlySpace(arr, i+1)
	}
	for {
		start := i
		if i = skipValue(arr, start); i < 0 {
			return dst, broken(start, "the element does not end")
		}
		dst = append(dst, arr[start:i])
		if i = skipSpace(arr, i); i >= len(arr) {
			return dst, broken(i, "the array does not end")
		}
		switch arr[i] {
		case ',':
			i = skipSpace(arr, i+1)
		case ']':
			return dst, onlySpace(arr, i+1)
		default:
			return dst, broken(i, "a comma was expected")
		}
	}
}

// KindOf tells the kind of a value from its first byte. The value must have no white space before it.
func KindOf(value []byte) Kind {
	if len(value) == 0 {
		return Invalid
	}
	return kinds[value[0]]
}

var kinds = [256]Kind{
	'n': Null, 't': Bool, 'f': Bool, '"': String, '[': Array, '{': Object, '-': Number,
	'0': Number, '1': Number, '2': Number, '3': Number, '4': Number,
	'5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
}

func broken(at int, what string) error { return fmt.Errorf("at byte %d: %s", at, what) }

func onlySpace(b []byte, i int) error {
	if i = skipSpace(b, i); i < len(b) {
		return broken(i, "text after the value")
	}
	return nil
}

// skipSpace returns the index of the first byte at or after i that is not JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns the index after the value that starts at i, or -1.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		end := skipString(b, i+1)
		if end < 0 {
			return -1
		}
		return end + 1
	case '{', '[':
		return skipNested(b, i)
	}
	start := i
	for i < len(b) && !scalarEnd[b[i]] {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

var scalarEnd = [256]bool{',': true, '}': true, ']': true, ' ': true, '\n': true, '\r': true, '\t': true, ':': true, '"': true, '{': true, '[': true}

// skipNested returns the index after the object or array that starts at i, or -1. It counts brackets outside of
// strings, without a stack: it is safe at any depth.
func skipNested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i+1); i < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// Constants for looking at eight bytes at once.
const (
	lows   = 0x0101010101010101
	highs  = 0x8080808080808080
	quotes = lows * '"'
	slants = lows * '\\'
)

// skipString returns the index of the quote that ends the string whose text starts at i, or -1.
func skipString(b []byte, i int) int {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		q, s := w^quotes, w^slants
		// The lowest set bit marks the first byte that is a quote or a backslash; bits above it may lie.
		hit := ((q-lows)&^q | (s-lows)&^s) & highs
		if hit == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(hit) >> 3
		if b[i] == '"' {
			return i
		}
		i += 2
	}
	for i < len(b) {
		switch b[i] {
		case '"':
			return i
		case '\\':
			i++
		}
		i++
	}
	return -1
}
