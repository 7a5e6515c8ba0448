// Package file reads records of Microsoft 365 from files: what other tools exported or collected earlier.
//
// Three formats are told apart by their beginning, packed with gzip or not, in UTF-8 or, as PowerShell likes to write,
// in UTF-16:
//
//   - lines: one JSON object per line (NDJSON). Blank lines are skipped.
//   - array: a JSON array, over any number of lines; also several arrays or objects one after the other.
//   - csv: the exports of Microsoft Purview and Search-UnifiedAuditLog, whose column AuditData holds the record.
//
// The stream is read once, with bounded memory: at most MaxRecord bytes of one record and some buffers. A record is
// handed over byte for byte as it stands in the file, without the white space around it; only the quoting of CSV and
// UTF-16 are undone. What is not a usable record is an item too, with the reason, and reading goes on behind it.
//
// # Files that are not whole
//
// A file that ends inside a record is not whole, whatever its format: inside a quoted field or before the last column of
// a CSV row, inside a JSON value or array, inside the packed stream. What there is of the last record is a malformed item,
// and then an error of kind malformed says where the file ends. The same holds for a packed stream that is damaged. What
// ends between two lines or rows that are not packed cannot be told from a file that is whole. When it is the reading
// itself that fails, the error has another kind and what there is of the last record is no item.
package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/klauspost/compress/gzip"

	"sluice/internal/fault"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// MaxRecord is the longest record, line or row that is read, in bytes. A longer one is malformed.
const MaxRecord = 64 << 20

// keptOfLong is how much is kept of what is longer than that.
const keptOfLong = 64 << 10

// Format is the format of a file.
type Format string

// The formats.
const (
	Empty Format = "empty"
	Lines Format = "lines" // NDJSON
	Array Format = "array" // JSON array, or JSON values one after the other
	CSV   Format = "csv"
)

// Reader reads one file. It is for one goroutine.
type Reader struct {
	name     string
	raw      *source
	unpacked *unpacked // nil: the file is not packed
	src      *bufio.Reader
	format   Format
	csv      header
	limit    int // MaxRecord, less in tests
	line     int64
	items    int64
	cut      string // what the file ends inside of, such as "line 7"; "" when nothing says so
}

// Open looks at the beginning of the file. The name is for error messages only. The error is of kind malformed when
// the format is not one of the known.
func Open(name string, r io.Reader) (*Reader, error) {
	f := &Reader{name: name, raw: &source{r: r}, limit: MaxRecord}
	src := bufio.NewReaderSize(f.raw, 64<<10)
	head, err := src.Peek(2)
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(src)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, f.failure(err)
		}
		f.unpacked = &unpacked{r: z, raw: f.raw}
		src = bufio.NewReaderSize(f.unpacked, 256<<10)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return nil, f.failure(err)
	}
	if f.src, err = decodeText(src); err != nil {
		return nil, f.failure(err)
	}
	if err := f.detect(); err != nil {
		return nil, err
	}
	return f, nil
}

// Format is the format that was found.
func (f *Reader) Format() Format { return f.format }

// Lines is how many items were yielded so far: lines that are not blank, elements, or rows.
func (f *Reader) Lines() int64 { return f.items }

// detect tells the format from the first bytes, without consuming them.
func (f *Reader) detect() error {
	head, err := f.src.Peek(f.src.Size())
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return f.failure(err)
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 {
		f.format = Empty
		if len(head) == f.src.Size() {
			f.format = Lines
		}
		return nil
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	first = bytes.TrimSpace(first)
	switch {
	case text[0] == '[', string(first) == "{":
		f.format = Array
		return nil
	case text[0] == '{':
		f.format = Lines
		return nil
	}
	if h, ok := findHeader(text); ok {
		f.format, f.csv = CSV, h
		return nil
	}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] == '{' {
			f.format = Lines
			return nil
		}
	}
	if err := f.damage(); err != nil {
		return f.failure(err)
	}
	return fault.New(fault.Malformed, "read "+f.name, "the file holds no records").
		WithHint("give lines of JSON, a JSON array, or a CSV export with the column AuditData")
}

// Items yields what the file holds, in its order. An item's Offset is the number of its line (lines), of the line that
// its row starts in (csv), or its number in the file (array); all count from 1. Item.Raw belongs to the receiver. An
// error ends the sequence, also when the file is not whole. Items can be called once.
func (f *Reader) Items() iter.Seq2[record.Item, error] {
	return func(yield func(record.Item, error) bool) {
		next := f.nextLine
		switch f.format {
		case Array:
			next = (&values{f: f}).next
		case CSV:
			next = (&rows{f: f}).next
		default: // Lines, and Empty, which has none
		}
		for {
			item, err := next()
			if errors.Is(err, io.EOF) {
				if f.damage() == nil && f.cut == "" {
					return
				}
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				yield(record.Item{}, f.failure(err))
				return
			}
			f.items++
			if item.Malformed == "" {
				item.Malformed = rawjson.Check(item.Raw)
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// errBroken is a file whose structure cannot be followed any further.
var errBroken = errors.New("the structure is broken")

// source remembers why reading failed, to tell a stream that cannot be read from one whose content is damaged.
type source struct {
	r   io.Reader
	err error // other than io.EOF
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// unpacked makes an early end of a packed stream, or damage in it, the end of what it holds, so that what comes before is
// read to the last byte, and remembers it.
type unpacked struct {
	r   io.Reader
	raw *source
	err error
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && u.raw.err == nil {
		u.err, err = err, io.EOF
	}
	return n, err
}

// damage is why the packed stream cannot be unpacked any further, nil when it was not packed or is whole so far.
func (f *Reader) damage() error {
	if f.unpacked == nil {
		return nil
	}
	return f.unpacked.err
}

// endsInside notes that the file ends inside of what, and returns the reason for its last item.
func (f *Reader) endsInside(format string, args ...any) (reason string) {
	f.cut = fmt.Sprintf(format, args...)
	return "the file ends inside " + f.cut
}

// failure classifies an error of the stream.
func (f *Reader) failure(err error) error {
	kind := fault.Malformed
	if f.raw.err != nil {
		if kind = fault.KindOf(err); kind == fault.Internal {
			kind = fault.Unavailable
		}
	}
	early := errors.Is(err, io.ErrUnexpectedEOF)
	if damage := f.damage(); early && damage != nil {
		early, err = errors.Is(damage, io.ErrUnexpectedEOF), damage
	}
	message := fmt.Sprintf("the file could be read up to item %d only", f.items)
	switch {
	case early && f.cut != "":
		message = "the file ends inside " + f.cut
	case early:
		message = fmt.Sprintf("the file ends early, after %d items", f.items)
	case f.cut != "":
		message = fmt.Sprintf("the file could be read up to the middle of %s only", f.cut)
	}
	e := fault.New(kind, "read "+f.name, message)
	if f.cut == "" || f.damage() != nil { // else the message says it all
		e.Err = err
	}
	return e.WithHint("the items before are in; import the file again when it is whole, nothing lands twice")
}

// nextLine returns the next line that is not blank.
func (f *Reader) nextLine() (record.Item, error) {
	for {
		line, long, err := f.readLine(nil)
		if err != nil {
			return record.Item{}, err
		}
		f.line++
		ended := bytes.HasSuffix(line, []byte("\n"))
		if line = trim(line); len(line) == 0 && !long {
			continue
		}
		item := record.Item{Raw: bytes.Clone(line), Offset: f.line}
		switch {
		case long:
			item.Malformed = tooLong("line", f.limit)
		case !ended && unclosed(line):
			item.Malformed = f.endsInside("line %d", f.line)
		}
		return item, nil
	}
}

// unclosed reports whether text is the beginning of a JSON object.
func unclosed(text []byte) bool {
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	_, done := (&nesting{}).end(text)
	return !done
}

func tooLong(what string, limit int) string {
	return fmt.Sprintf("the %s is longer than %d bytes; its beginning is kept", what, limit)
}

// trim cuts JSON white space off.
func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// readLine appends the next line, with its end, to buf. Of a line that is longer than the limit only the beginning is
// returned. The result may be valid until the next read only. A last line without an end is a line; io.EOF comes
// when there is nothing more.
func (f *Reader) readLine(buf []byte) (line []byte, long bool, err error) {
	part, err := f.src.ReadSlice('\n')
	if err == nil && buf == nil {
		return part, len(part) > f.limit, nil
	}
	some := len(part) > 0
	for errors.Is(err, bufio.ErrBufferFull) {
		if !long {
			buf = append(buf, part...)
		}
		if len(buf) > f.limit {
			long, buf = true, buf[:min(len(buf), keptOfLong)]
		}
		part, err = f.src.ReadSlice('\n')
	}
	if !long {
		if buf = append(buf, part...); len(buf) > f.limit {
			long, buf = true, buf[:min(len(buf), keptOfLong)]
		}
	}
	if errors.Is(err, io.EOF) && (some || len(part) > 0) {
		err = nil
	}
	return buf, long, err
}

// auditColumn is the column of the record, in lower case.
const auditColumn = "auditdata"

// header says where in a row of a CSV file the record is.
type header struct {
	comma  byte
	column int // of AuditData
	width  int // columns of a row
}

// findHeader looks for a first row with the column AuditData. Lists of some countries are separated by semicolons.
func findHeader(text []byte) (header, bool) {
	line, _, _ := strings.Cut(string(skipTypeLine(text)), "\n")
	for _, comma := range []byte{',', ';', '\t'} {
		fields, ok := splitRow([]byte(strings.TrimRight(line, "\r\n")), comma, nil)
		if !ok {
			continue
		}
		for i, name := range fields {
			if strings.EqualFold(strings.TrimSpace(string(name)), auditColumn) {
				return header{comma: comma, column: i, width: len(fields)}, true
			}
		}
	}
	return header{}, false
}

// typeLine begins a first line that Export-Csv of Windows PowerShell writes before the header.
var typeLine = []byte("#TYPE ")

func skipTypeLine(text []byte) []byte {
	if bytes.HasPrefix(text, typeLine) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text
}
