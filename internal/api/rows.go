package api

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
)

// rowFormat writes rows in one Format. It belongs to one answer.
type rowFormat interface {
	contentType() string
	columns(w *bufio.Writer, c []Column) error // at most once, before the rows
	row(w *bufio.Writer, f Frame) error
	close(w *bufio.Writer) error
}

func newRowFormat(f Format) rowFormat {
	switch f {
	case Frames:
		return frameRows{}
	case JSONArray:
		return &arrayRows{}
	case CSV:
		return &csvRows{}
	case Raw:
		return rawRows{}
	default: // NDJSON
		return lineRows{}
	}
}

// oneLine returns row without line breaks; most rows have none and are returned as they are.
func oneLine(row []byte) ([]byte, error) {
	if bytes.IndexByte(row, '\n') < 0 && bytes.IndexByte(row, '\r') < 0 {
		return row, nil
	}
	var buf bytes.Buffer
	err := json.Compact(&buf, row)
	return buf.Bytes(), err
}

// pieces writes several pieces; bufio remembers the first error.
func pieces(w *bufio.Writer, parts ...[]byte) error {
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

type frameRows struct{}

func (frameRows) contentType() string { return ndjsonType }

func (frameRows) columns(w *bufio.Writer, c []Column) error {
	text, err := json.Marshal(Frame{Columns: c})
	if err != nil {
		return err
	}
	return pieces(w, text, []byte("\n"))
}

func (frameRows) row(w *bufio.Writer, f Frame) error {
	text, err := oneLine(f.Row)
	if err != nil {
		return err
	}
	return pieces(w, []byte(`{"row":`), text, []byte("}\n"))
}

func (frameRows) close(*bufio.Writer) error { return nil }

type lineRows struct{}

func (lineRows) contentType() string                   { return ndjsonType }
func (lineRows) columns(*bufio.Writer, []Column) error { return nil }
func (lineRows) close(*bufio.Writer) error             { return nil }
func (lineRows) row(w *bufio.Writer, f Frame) error {
	text, err := oneLine(f.Row)
	if err != nil {
		return err
	}
	return pieces(w, text, []byte("\n"))
}

// arrayRows puts every row of the array on a line of its own.
type arrayRows struct{ began bool }

func (*arrayRows) contentType() string                   { return "application/json" }
func (*arrayRows) columns(*bufio.Writer, []Column) error { return nil }

func (a *arrayRows) row(w *bufio.Writer, f Frame) error {
	lead := ",\n"
	if !a.began {
		lead, a.began = "[\n", true
	}
	text, err := oneLine(f.Row)
	if err != nil {
		return err
	}
	return pieces(w, []byte(lead), text)
}

func (a *arrayRows) close(w *bufio.Writer) error {
	if !a.began {
		return pieces(w, []byte("[]\n"))
	}
	return pieces(w, []byte("\n]\n"))
}

type rawRows struct{}

func (rawRows) contentType() string                   { return "application/octet-stream" }
func (rawRows) columns(*bufio.Writer, []Column) error { return nil }
func (rawRows) row(w *bufio.Writer, f Frame) error    { return pieces(w, f.Raw, []byte("\n")) }
func (rawRows) close(*bufio.Writer) error             { return nil }

type csvRows struct{ names []string }

func (*csvRows) contentType() string { return "text/csv; charset=utf-8" }

func (c *csvRows) columns(w *bufio.Writer, columns []Column) error {
	for _, column := range columns {
		c.names = append(c.names, column.Name)
	}
	return writeCSV(w, c.names)
}

func (c *csvRows) row(w *bufio.Writer, f Frame) error {
	var row object
	if err := json.Unmarshal(f.Row, &row.members); err != nil {
		return fmt.Errorf("row is not an object: %w", err)
	}
	cells := make([]string, len(c.names))
	for i, name := range c.names {
		v := row.lookup(name)
		if v == nil && strings.HasPrefix(name, "_") { // _seq, _unit and _batch stand in ingest
			v = row.lookup("ingest." + name[1:])
		}
		cells[i] = CellText(v)
	}
	return writeCSV(w, cells)
}

func (*csvRows) close(*bufio.Writer) error { return nil }

func writeCSV(w io.Writer, cells []string) error {
	if len(cells) == 1 && cells[0] == "" { // a lone empty cell would be an empty line, which readers skip
		_, err := io.WriteString(w, "\"\"\n")
		return err
	}
	out := csv.NewWriter(w)
	if err := out.Write(cells); err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// CellText is a JSON value as the text of one cell: strings without quotes, nothing for null, JSON for the rest.
func CellText(v json.RawMessage) string {
	if len(v) == 0 || string(v) == "null" {
		return ""
	}
	if v[0] == '"' {
		var text string
		if json.Unmarshal(v, &text) == nil {
			return text
		}
	}
	return string(v)
}

// asciiJSON escapes what is not ASCII, because header fields cannot carry it.
func asciiJSON(text []byte) string {
	var out []byte
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			out = append(out, byte(r))
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			out = appendEscape(appendEscape(out, hi), lo)
		default:
			out = appendEscape(out, r)
		}
	}
	return string(out)
}

func appendEscape(out []byte, r rune) []byte {
	hex := strconv.FormatInt(int64(r)|0x10000, 16)
	return append(append(out, `\u`...), hex[1:]...)
}
