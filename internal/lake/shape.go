package lake

import (
	"bytes"
	"strings"
)

// How the value of a member is stored: the letters of a shape.
const (
	asText     = 's' // column, text of the JSON string
	asLong     = 'i' // column
	asBool     = 'b' // column
	asJSON     = 'j' // column, JSON text
	asNull     = 'n' // nowhere: the value is null
	asOverflow = 'o' // next member of _overflow
)

// A shape is the text in the column _shape. Its first line is the vendor key ("office365"), the prefix of the record's
// columns. Then comes one line per member, in the order of the record: the letter, the key as it was written between
// its quotes and, where the column is not simply named after the key, a tab and the name of the column without the
// vendor key. JSON keys hold no raw control characters, so the separators are safe. A service writes few shapes (106 in
// 9,693 records of 27 types), hence the column costs almost nothing.

// step is a line of a parsed shape.
type step struct {
	code   byte
	key    string // as written
	column string // full name; only for stored values
	slot   int    // of the column; only while writing
}

// parseShape returns the steps of a shape. It is safe for any text.
func parseShape(text string) (steps []step, ok bool) {
	vendor, rest, ok := strings.Cut(text, "\n")
	if !ok {
		return nil, false
	}
	for rest != "" {
		line, tail, ok := strings.Cut(rest, "\n")
		if !ok || line == "" {
			return nil, false
		}
		rest = tail
		st := step{code: line[0], key: line[1:]}
		name := st.key
		if key, column, named := strings.Cut(st.key, "\t"); named {
			st.key, name = key, column
		}
		switch st.code {
		case asText, asLong, asBool, asJSON:
			st.column = vendor + "." + name
		case asNull, asOverflow:
		default:
			return nil, false
		}
		steps = append(steps, st)
	}
	return steps, true
}

// appendShapeLine adds a member to a shape. name is the column's name without the vendor key, empty when the value has
// no column.
func appendShapeLine(dst []byte, code byte, key []byte, name string) []byte {
	dst = append(dst, code)
	dst = append(dst, key...)
	if name != "" && !bytes.Equal(key, []byte(name)) {
		dst = append(dst, '\t')
		dst = append(dst, name...)
	}
	return append(dst, '\n')
}
