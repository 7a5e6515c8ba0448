package rawjson

import (
	"fmt"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of a usable record. Microsoft's records have fewer than ten levels.
const MaxDepth = 1000

// Valid reports whether b is one JSON value (RFC 8259, no leniency) in valid UTF-8, nested at most MaxDepth levels
// deep. It is safe for any input.
func Valid(b []byte) bool { return utf8.Valid(b) && syntax(b) == fine }

// Check returns "" for a usable record: one JSON object in valid UTF-8, nested at most MaxDepth levels deep. For
// anything else it returns the reason, for people, without any of the content.
func Check(b []byte) (reason string) {
	i := skipSpace(b, 0)
	switch {
	case i == len(b):
		return "empty"
	case !utf8.Valid(b):
		return "invalid UTF-8"
	}
	switch syntax(b) {
	case wrong:
		return "not JSON"
	case tooDeep:
		return fmt.Sprintf("nested deeper than %d levels", MaxDepth)
	}
	if b[i] == '{' {
		return ""
	}
	return "not a JSON object but " + kindNames[kinds[b[i]]]
}

var kindNames = [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}

// The validator is our own because the quick one at hand (sonic.Valid) accepts control characters and unknown escapes
// in strings, and such a record would break whoever reads the lake. The standard library's is four times as slow.
// Positions are indexes into the text; these negative ones end the walk.
const (
	fine    = 0
	wrong   = -1
	tooDeep = -2
)

// syntax returns fine, wrong or tooDeep.
func syntax(b []byte) int {
	i := checkValue(b, skipSpace(b, 0), 0)
	if i >= 0 && skipSpace(b, i) < len(b) {
		return wrong
	}
	return min(i, fine)
}

// checkValue returns the index after the value at i.
func checkValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return wrong
	}
	switch b[i] {
	case '"':
		return checkString(b, i+1)
	case '{':
		return checkObject(b, i+1, depth+1)
	case '[':
		return checkArray(b, i+1, depth+1)
	case 't':
		return checkWord(b, i, "true")
	case 'f':
		return checkWord(b, i, "false")
	case 'n':
		return checkWord(b, i, "null")
	}
	n, ok := scanNumber(b[i:])
	if !ok {
		return wrong
	}
	return i + n.length
}

func checkWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return wrong
	}
	return i + len(word)
}

// checkString returns the index after the string whose text starts at i.
func checkString(b []byte, i int) int {
	for {
		if i = skipPlain(b, i); i >= len(b) || b[i] < 0x20 {
			return wrong
		}
		if b[i] == '"' {
			return i + 1
		}
		if i+1 >= len(b) {
			return wrong
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if hex4(b[i+2:]) < 0 {
				return wrong
			}
			i += 6
		default:
			return wrong
		}
	}
}

func checkArray(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return tooDeep
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = checkValue(b, i, depth); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return wrong
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return wrong
		}
	}
}

func checkObject(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return tooDeep
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return wrong
		}
		if i = checkString(b, i+1); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
			return wrong
		}
		if i = checkValue(b, skipSpace(b, i+1), depth); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return wrong
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return i + 1
		default:
			return wrong
		}
	}
}
