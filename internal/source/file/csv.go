package file

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// rows reads the rows of a CSV file (RFC 4180). The standard library's reader is not used because it changes line
// ends inside of fields, has no bound on the length of a row, and loses all rows behind a quote that is not closed.
// Here such a quote costs one line: when a row that spans lines has not the shape of the header, its first line alone is
// malformed, and reading goes on with the second. A quote that no usable row follows any more is that of a field inside of
// which the file ends.
type rows struct {
	f       *Reader
	started bool
	looking bool   // for a usable row only, see holdsRow
	open    bool   // the file ended before the quotes of the row were balanced
	back    []byte // lines that were read and given back
	pos     int    // of the next byte of back
	buf     []byte // the row
	fields  [][]byte
}

// next returns the record of the next row.
func (r *rows) next() (record.Item, error) {
	if !r.started {
		r.started = true
		if err := r.skipHeader(); err != nil {
			return record.Item{}, err
		}
	}
	for {
		start := r.f.line + 1
		first, long, err := r.row()
		if err != nil {
			return record.Item{}, err
		}
		if len(trim(r.buf)) == 0 && !long {
			continue
		}
		item := record.Item{Offset: start}
		if long {
			item.Raw, item.Malformed = bytes.Clone(trim(r.buf)), tooLong("row", r.f.limit)
			return item, nil
		}
		var ok bool
		r.fields, ok = splitRow(bytes.TrimRight(r.buf, "\r\n"), r.f.csv.comma, r.fields[:0])
		if what := r.endsIn(first, ok); what != "" {
			item.Raw, item.Malformed = bytes.Clone(trim(r.buf)), r.f.endsInside("%s in line %d", what, start)
			return item, nil
		}
		if !ok || len(r.fields) != r.f.csv.width {
			item.Raw, item.Malformed = bytes.Clone(trim(r.buf[:first])), "the row does not have the columns of the header"
			r.giveBack(first, start)
			return item, nil
		}
		item.Raw = bytes.Clone(trim(r.fields[r.f.csv.column]))
		if len(item.Raw) == 0 {
			item.Raw, item.Malformed = bytes.Clone(trim(r.buf)), "the row has no AuditData"
		}
		return item, nil
	}
}

// endsIn returns what of the row the file ends inside of, "" when the row is whole, or is damaged in another way. first is
// the length of its first line, ok whether it could be split.
func (r *rows) endsIn(first int, ok bool) (what string) {
	switch h := r.f.csv; {
	case r.looking:
	case r.open && !ok:
		what = "a quoted field of the row that begins"
	case !ok, bytes.HasSuffix(r.buf, []byte("\n")):
	case len(r.fields) < h.width:
		what = "the row that begins"
	case len(r.fields) == h.width && h.column == h.width-1:
		if last := trim(r.fields[h.column]); len(last) == 0 || unclosed(last) {
			what = "the row that begins"
		}
	}
	if what != "" && r.holdsRow(r.buf[first:]) {
		return ""
	}
	return what
}

// holdsRow reports whether a usable row begins in one of the lines. Inside of a field there is none, because its quotes are
// doubled.
func (r *rows) holdsRow(lines []byte) bool {
	f := &Reader{src: bufio.NewReader(bytes.NewReader(lines)), csv: r.f.csv, limit: r.f.limit}
	look := &rows{f: f, started: true, looking: true}
	for {
		item, err := look.next()
		if err != nil {
			return false
		}
		if item.Malformed == "" && rawjson.Check(item.Raw) == "" {
			return true
		}
	}
}

// skipHeader reads the lines before the first row.
func (r *rows) skipHeader() error {
	for {
		line, _, err := r.line()
		if err != nil {
			return err
		}
		if text := trim(line); len(text) > 0 && !bytes.HasPrefix(text, typeLine) {
			return nil
		}
	}
}

// row reads lines into buf until the quotes are balanced. first is the length of the first line. A row that the limit
// or the end of the file cuts off has unbalanced quotes; only a single line can be long.
func (r *rows) row() (first int, long bool, err error) {
	r.buf, r.open = r.buf[:0], false
	quotes := 0
	for {
		line, long, err := r.line()
		switch {
		case errors.Is(err, io.EOF) && len(r.buf) > 0:
			r.open = true
			return first, false, nil
		case err != nil:
			return 0, false, err
		}
		cut := len(r.buf) > 0 && len(r.buf)+len(line) > r.f.limit
		r.buf = append(r.buf, line...)
		if first == 0 {
			first = len(r.buf)
		}
		quotes += bytes.Count(line, []byte{'"'})
		if long || cut || quotes%2 == 0 {
			return first, long && first == len(r.buf), nil
		}
	}
}

// line returns the next line, of those given back or of the file. It is valid until the next call.
func (r *rows) line() (line []byte, long bool, err error) {
	if rest := r.back[r.pos:]; len(rest) > 0 {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 {
			n = len(rest)
		}
		r.pos += n
		r.f.line++
		return rest[:n], false, nil
	}
	if line, long, err = r.f.readLine(nil); err == nil {
		r.f.line++
	}
	return line, long, err
}

// giveBack makes the row's lines but the first, which is line number start, the next to be read.
func (r *rows) giveBack(first int, start int64) {
	if r.pos >= len(r.buf) && bytes.Equal(r.back[r.pos-len(r.buf):r.pos], r.buf) {
		r.pos -= len(r.buf) - first // all of it came from there
	} else {
		// The rest of back was used up before lines of the file were read.
		r.back, r.pos = append(r.back[:0], r.buf[first:]...), 0
	}
	r.f.line = start
}

// splitRow splits a row into its fields, which alias the row except for those with doubled quotes. It is not ok when a
// quoted field is followed by anything but a comma, or does not end.
func splitRow(row []byte, comma byte, fields [][]byte) ([][]byte, bool) {
	for {
		if len(row) == 0 || row[0] != '"' {
			i := bytes.IndexByte(row, comma)
			if i < 0 {
				return append(fields, row), true
			}
			fields, row = append(fields, row[:i]), row[i+1:]
			continue
		}
		field, rest, ok := quotedField(row[1:])
		if !ok {
			return fields, false
		}
		fields = append(fields, field)
		if len(rest) == 0 {
			return fields, true
		}
		if rest[0] != comma {
			return fields, false
		}
		row = rest[1:]
	}
}

// quotedField reads the field whose opening quote is before text.
func quotedField(text []byte) (field, rest []byte, ok bool) {
	doubled := false
	for i := 0; ; {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return nil, nil, false
		}
		i += n + 1
		if i < len(text) && text[i] == '"' {
			doubled = true
			i++
			continue
		}
		field, rest = text[:i-1], text[i:]
		if doubled {
			field = bytes.ReplaceAll(field, []byte(`""`), []byte(`"`))
		}
		return field, rest, true
	}
}
