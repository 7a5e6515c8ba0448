package normalize

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// Schema is the version of the record format, spec/record-schema.md section 3.
const Schema = "record/1"

// Meta is what the lake knows of a record besides its core columns.
type Meta struct {
	ID        string
	Index     record.Index
	WriteTime int64  // Unix milliseconds
	Seq       int64  // _seq
	Unit      string // _unit
	Batch     int64  // _batch
	RunID     string // may be empty
	// Quarantine: why it is no record, and where in the unit's body it stood. Absent without a reason.
	Reason string
	Offset int64
}

// path is a column's name, split at its dots.
type path []string

// paths are the names of Columns, split. They are computed once, by the initialiser, and then only read.
var paths = func() []path {
	p := make([]path, len(Columns))
	for i, c := range Columns {
		p[i] = strings.Split(c.Name, ".")
	}
	return p
}()

// AppendRecord appends the record as the API, exports and destinations show it: record/1, a JSON object in which
// dotted names are nested objects, absent columns do not exist, and the Microsoft record stands unchanged under
// vendorKey.
func AppendRecord(dst []byte, row *Row, meta Meta, vendorKey string, raw []byte) []byte {
	dst = append(dst, `{"_id":`...)
	dst = rawjson.AppendQuoted(dst, meta.ID, 0)
	dst = append(dst, `,"_index":`...)
	dst = rawjson.AppendQuoted(dst, string(meta.Index), 0)
	dst = append(dst, `,"schema":"`+Schema+`","write_time":`...)
	dst = strconv.AppendInt(dst, meta.WriteTime, 10)
	var open path // the objects that are open
	for i := range Columns {
		c := ColumnID(i)
		if !row.Has(c) || c == VariantOf || c == DuplicateOf || c == TimeSource {
			continue
		}
		dst, open = appendPath(dst, open, paths[i])
		dst = appendColumn(dst, row, c)
	}
	for range open {
		dst = append(dst, '}')
	}
	dst = appendIngest(dst, row, meta)
	if meta.Reason != "" {
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, meta.Offset, 10)
		dst = append(dst, `,"reason":`...)
		dst = rawjson.AppendQuoted(dst, meta.Reason, 0)
	}
	dst = append(dst, ',')
	dst = rawjson.AppendQuoted(dst, vendorKey, 0)
	dst = append(dst, ':')
	return append(appendVendor(dst, meta.Index, raw), '}')
}

// appendVendor appends the Microsoft record. What was quarantined need not be JSON: it stands as a text then, in which bytes
// that are no UTF-8 are replaced.
func appendVendor(dst []byte, index record.Index, raw []byte) []byte {
	if index == record.Quarantine && (!utf8.Valid(raw) || !json.Valid(raw)) {
		return rawjson.AppendQuoted(dst, strings.ToValidUTF8(string(raw), "\uFFFD"), 0)
	}
	return append(dst, bytes.TrimSpace(raw)...)
}

// appendPath closes and opens objects on the way from the last column to the next and writes its key. It returns the
// objects that are open then.
func appendPath(dst []byte, open, next path) ([]byte, path) {
	last := len(next) - 1
	same := 0
	for same < len(open) && same < last && open[same] == next[same] {
		same++
	}
	for range open[same:] {
		dst = append(dst, '}')
	}
	for i, name := range next[same:] {
		if i == 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), '"', ':')
		if same+i < last {
			dst = append(dst, '{')
		}
	}
	return dst, next[:last]
}

func appendColumn(dst []byte, row *Row, c ColumnID) []byte {
	switch Columns[c].Kind {
	case Long, Time:
		n, _ := row.Long(c)
		return strconv.AppendInt(dst, n, 10)
	case JSON:
		return append(dst, row.Text(c)...)
	default:
		return rawjson.AppendQuoted(dst, row.Text(c), 0)
	}
}

// appendIngest writes the object ingest, whose members come from both sides.
func appendIngest(dst []byte, row *Row, meta Meta) []byte {
	dst = append(dst, `,"ingest":{"seq":`...)
	dst = strconv.AppendInt(dst, meta.Seq, 10)
	text := func(name, value string) {
		if value != "" {
			dst = append(append(append(dst, `,"`...), name...), `":`...)
			dst = rawjson.AppendQuoted(dst, value, 0)
		}
	}
	text("unit", meta.Unit)
	if meta.Batch != 0 {
		dst = append(dst, `,"batch":`...)
		dst = strconv.AppendInt(dst, meta.Batch, 10)
	}
	text("run_id", meta.RunID)
	text("variant_of", row.Text(VariantOf))
	text("duplicate_of", row.Text(DuplicateOf))
	text("time_source", row.Text(TimeSource))
	return append(dst, '}')
}
