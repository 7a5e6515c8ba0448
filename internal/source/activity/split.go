package activity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"sluice/internal/fault"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// The sizes of the splitter.
const (
	firstChunk    = 32 << 10  // many blobs are smaller
	fullChunk     = 256 << 10 // read size for the rest
	maxRecordSize = 64 << 20  // a larger element is not kept whole
	keptOfLarge   = 64 << 10  // what is kept of it, for people
)

// Reasons of malformed items besides those of rawjson.Check.
const (
	reasonEmpty    = "empty array element"
	reasonTooLarge = "record larger than 64 MiB, cut"
)

// split reads one JSON array from r and yields each element's exact bytes as it arrives. Memory is bounded by one
// element plus a chunk, whatever the size of the array. The bytes of an item are never written again: they are a part of a
// chunk that its items share.
//
// An element that is no usable record comes as a malformed item, and the rest still comes, as long as brackets and
// quotes tell where it ends. Everything that makes the array as a whole doubtful ends the sequence with
// fault.Unavailable, since fetching again usually helps: no array, a body that ends early, anything behind the array.
// Errors of r end it unchanged.
func split(op string, r io.Reader, limit int) iter.Seq2[record.Item, error] {
	return func(yield func(record.Item, error) bool) {
		s := splitter{op: op, r: r, limit: limit}
		if err := s.run(func(it record.Item) bool { return yield(it, nil) }); err != nil && !errors.Is(err, errStopped) {
			yield(record.Item{}, err)
		}
	}
}

// errStopped says that the consumer wants no more.
var errStopped = errors.New("stopped")

// splitter is the state of one split.
type splitter struct {
	op    string
	r     io.Reader
	limit int

	buf  []byte // bytes in hand; buf[:pos] is done with
	pos  int
	base int64 // offset of buf[0] in the body
	end  bool  // r has ended
}

// run yields all elements. It returns errStopped when the consumer stopped.
func (s *splitter) run(yield func(record.Item) bool) error {
	if err := s.open(); err != nil {
		return err
	}
	c, err := s.space()
	if err != nil {
		return err
	}
	if c == ']' {
		s.pos++
		return s.close()
	}
	for {
		item, err := s.element()
		if err != nil {
			return err
		}
		if !yield(item) {
			return errStopped
		}
		if c, err = s.space(); err != nil {
			return err
		}
		s.pos++ // a comma or the closing bracket: nothing else ends an element
		if c == ']' {
			return s.close()
		}
		if _, err = s.space(); err != nil {
			return err
		}
	}
}

// open finds the array's beginning, behind an optional byte order mark.
func (s *splitter) open() error {
	for len(s.buf) < 3 && !s.end {
		if _, err := s.more(0); err != nil {
			return err
		}
	}
	if bytes.HasPrefix(s.buf, []byte("\xef\xbb\xbf")) {
		s.pos = 3
	}
	c, err := s.space()
	if err != nil {
		if s.end && s.pos == len(s.buf) {
			return s.broken("the body is empty")
		}
		return err
	}
	switch c {
	case '[':
		s.pos++
		return nil
	case '{':
		return s.broken("the body is an object instead of an array")
	case '<':
		return s.broken("the body is a web page instead of records: a proxy may answer in the service's place")
	}
	return s.broken("the body is not a JSON array")
}

// close checks that nothing but white space follows the array.
func (s *splitter) close() error {
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			if !isSpace(s.buf[s.pos]) {
				return s.broken("there is more text behind the end of the array")
			}
		}
		if s.end {
			return nil
		}
		if _, err := s.more(s.pos); err != nil {
			return err
		}
	}
}

// space skips white space and returns the next byte without taking it.
func (s *splitter) space() (byte, error) {
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			if c := s.buf[s.pos]; !isSpace(c) {
				return c, nil
			}
		}
		if s.end {
			return 0, s.broken("the body ends inside the array")
		}
		if _, err := s.more(s.pos); err != nil {
			return 0, err
		}
	}
}

// element takes one element, up to the comma or bracket that ends it.
func (s *splitter) element() (item record.Item, err error) {
	start, offset := s.pos, s.base+int64(s.pos)
	var b bounds
	large := []byte(nil) // beginning of an element beyond the limit
	for {
		n, done := b.scan(s.buf[s.pos:])
		s.pos += n
		if done {
			break
		}
		if s.end {
			return record.Item{}, s.broken("the body ends inside a record")
		}
		if large == nil && s.pos-start > s.limit {
			large = bytes.Clone(s.buf[start:min(start+keptOfLarge, s.pos)])
		}
		if large != nil {
			start = s.pos
		}
		if start, err = s.more(start); err != nil {
			return record.Item{}, err
		}
	}
	if large != nil {
		return record.Item{Raw: large, Offset: offset, Malformed: reasonTooLarge}, nil
	}
	raw := bytes.TrimRight(s.buf[start:s.pos:s.pos], " \t\r\n")
	if len(raw) == 0 {
		return record.Item{Offset: offset, Malformed: reasonEmpty}, nil
	}
	return record.Item{Raw: slices.Clip(raw), Offset: offset, Malformed: rawjson.Check(raw)}, nil
}

// more reads on. When the chunk is full a new one takes over, with the bytes from keep on, because items still use the
// old one. It returns where the byte at keep is now.
func (s *splitter) more(keep int) (int, error) {
	if len(s.buf) == cap(s.buf) {
		// Chunks double, so that a small blob does not hold a large one.
		kept, size := s.buf[keep:], min(max(2*cap(s.buf), firstChunk), fullChunk)
		for size < 2*len(kept) {
			size *= 2
		}
		fresh := make([]byte, len(kept), size)
		copy(fresh, kept)
		s.base += int64(keep)
		s.pos -= keep
		s.buf, keep = fresh, 0
	}
	for range 100 { // readers may return nothing now and then, but not for ever
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		if errors.Is(err, io.EOF) {
			s.end = true
			return keep, nil
		}
		if err != nil {
			return keep, err
		}
		if n > 0 {
			return keep, nil
		}
	}
	return keep, io.ErrNoProgress
}

func (s *splitter) broken(what string) error {
	return fault.New(fault.Unavailable, s.op, fmt.Sprintf("%s (at byte %d)", what, s.base+int64(s.pos))).
		WithHint("nothing to do: Sluice fetches it again; if it stays, " + notTheService)
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// bounds finds the end of one array element by counting brackets outside of strings. It is fed piece by piece.
type bounds struct {
	depth    int
	inString bool
	escaped  bool // the next byte belongs to an escape
}

// scan reads p and returns how much of it belongs to the element, and whether the element ends there. The byte at the
// end, a comma or bracket, is not part of it.
func (b *bounds) scan(p []byte) (int, bool) {
	for i := 0; i < len(p); {
		if b.inString {
			n := b.scanString(p[i:])
			i += n
			continue
		}
		switch p[i] {
		case '"':
			b.inString = true
		case '{', '[':
			b.depth++
		case '}':
			if b.depth > 0 {
				b.depth--
			}
		case ']':
			if b.depth == 0 {
				return i, true
			}
			b.depth--
		case ',':
			if b.depth == 0 {
				return i, true
			}
		}
		i++
	}
	return len(p), false
}

// scanString reads to the end of the string that p is inside of.
func (b *bounds) scanString(p []byte) int {
	from := 0
	if b.escaped && len(p) > 0 {
		b.escaped, from = false, 1
	}
	for {
		n := bytes.IndexByte(p[from:], '"')
		end := from + n
		if n < 0 {
			end = len(p)
		}
		slashes := 0
		for j := end - 1; j >= from && p[j] == '\\'; j-- {
			slashes++
		}
		odd := slashes%2 == 1
		switch {
		case n < 0:
			b.escaped = odd
			return len(p)
		case !odd:
			b.inString = false
			return end + 1
		}
		from = end + 1
	}
}
