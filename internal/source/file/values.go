package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"sluice/internal/record"
)

// values reads JSON values: the elements of arrays, and values between arrays. It follows quotes and brackets and
// leaves the checking of each value to others.
type values struct {
	f       *Reader
	buf     []byte
	inArray bool
	comma   bool // the last thing in the array was an element: a comma or the end must follow
	count   int64
}

// next returns the next value.
func (v *values) next() (record.Item, error) {
	for {
		c, err := v.peek()
		if err != nil {
			if errors.Is(err, io.EOF) && v.inArray {
				err = io.ErrUnexpectedEOF
			}
			return record.Item{}, err
		}
		switch {
		case !v.inArray && c == '[':
			v.inArray, v.comma = true, false
		case v.inArray && c == ']':
			v.inArray, v.comma = false, false
		case v.inArray && c == ',' && v.comma:
			v.comma = false
		case v.inArray && v.comma, c == ']', c == '}', c == ',', c == ':':
			return record.Item{}, fmt.Errorf("%w: unexpected %q after element %d", errBroken, c, v.count)
		default:
			v.comma = true
			return v.value(c)
		}
		if _, err := v.f.src.Discard(1); err != nil {
			return record.Item{}, err
		}
	}
}

// peek skips white space and returns the next byte without consuming it.
func (v *values) peek() (byte, error) {
	for {
		if _, err := v.f.src.Peek(1); err != nil {
			return 0, err
		}
		window, err := v.f.src.Peek(v.f.src.Buffered())
		if err != nil {
			return 0, err
		}
		if rest := bytes.TrimLeft(window, " \t\r\n"); len(rest) > 0 {
			_, err := v.f.src.Discard(len(window) - len(rest))
			return rest[0], err
		}
		if _, err := v.f.src.Discard(len(window)); err != nil {
			return 0, err
		}
	}
}

// value reads the value that begins with the next byte.
func (v *values) value(first byte) (record.Item, error) {
	v.buf = v.buf[:0]
	end := scalarEnd
	if first == '{' || first == '[' || first == '"' {
		end = (&nesting{}).end
	}
	v.count++
	long := false
	reason := ""
	for {
		_, err := v.f.src.Peek(1)
		if errors.Is(err, io.EOF) {
			if v.inArray || first == '{' || first == '[' || first == '"' {
				reason = v.f.endsInside("element %d", v.count)
			}
			break
		}
		if err != nil {
			return record.Item{}, err
		}
		window, err := v.f.src.Peek(v.f.src.Buffered())
		if err != nil {
			return record.Item{}, err
		}
		n, done := end(window)
		if !long {
			v.buf = append(v.buf, window[:n]...)
		}
		if len(v.buf) > v.f.limit {
			long, v.buf = true, v.buf[:min(len(v.buf), keptOfLong)]
		}
		if _, err := v.f.src.Discard(n); err != nil {
			return record.Item{}, err
		}
		if done {
			break
		}
	}
	item := record.Item{Raw: bytes.Clone(trim(v.buf)), Offset: v.count, Malformed: reason}
	if long {
		item.Malformed = tooLong("element", v.f.limit)
	}
	return item, nil
}

// scalarEnd ends a number or word: before the byte that cannot belong to it.
func scalarEnd(window []byte) (n int, done bool) {
	if i := bytes.IndexAny(window, ",]}[{\" \t\r\n"); i >= 0 {
		return i, true
	}
	return len(window), false
}

// nesting follows an object, array or string over any number of windows.
type nesting struct {
	depth           int
	inText, escaped bool
}

// end returns how many bytes of the window belong to the value, and whether it ends there.
func (s *nesting) end(window []byte) (n int, done bool) {
	for i, c := range window {
		switch {
		case s.escaped:
			s.escaped = false
		case s.inText:
			switch c {
			case '\\':
				s.escaped = true
			case '"':
				s.inText = false
				if s.depth == 0 {
					return i + 1, true
				}
			}
		case c == '"':
			s.inText = true
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth <= 0 {
				return i + 1, true
			}
		}
	}
	return len(window), false
}
