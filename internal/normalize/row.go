package normalize

import "sluice/internal/record"

// Kind is the type of a core column.
type Kind uint8

// The kinds of core columns.
const (
	Text Kind = iota // UTF-8 text
	Long             // 64-bit integer
	Time             // Unix milliseconds, UTC; a timestamp with zone in the lake
	JSON             // JSON text of an array or object; multi-valued for search
)

// Column is a core column of the lake: a normalised field of the record, under its dotted name.
type Column struct {
	Name string // dotted path in record/1: "user.email"
	Kind Kind
	Help string
}

// ColumnID is the position of a column in Columns.
type ColumnID int

// Envelope is what Sluice knows of a record besides its bytes.
type Envelope struct {
	ID          string
	Index       record.Index
	Connector   *record.Connector
	ContentType string
	ContentID   string
	Created     int64 // of the content, Unix milliseconds; 0 when unknown
	Received    int64 // Unix milliseconds
	VariantOf   string
}

// Row holds the core columns of one record. Absent beats null: a column that was not set does not exist in record/1,
// and setting an empty text does nothing. Reset makes a Row ready for the next record; a Row is for one goroutine.
type Row struct {
	text []string // by ColumnID; Text and JSON
	long []int64  // by ColumnID; Long and Time
	set  []bool
}

// NewRow returns an empty row.
func NewRow() *Row {
	n := len(Columns)
	return &Row{text: make([]string, n), long: make([]int64, n), set: make([]bool, n)}
}

// Reset empties the row.
func (r *Row) Reset() { clear(r.set) }

// SetText sets a Text or JSON column. Empty text is absent.
func (r *Row) SetText(c ColumnID, v string) {
	if v != "" {
		r.text[c], r.set[c] = v, true
	}
}

// SetLong sets a Long or Time column.
func (r *Row) SetLong(c ColumnID, v int64) { r.long[c], r.set[c] = v, true }

// Has reports whether the column is set.
func (r *Row) Has(c ColumnID) bool { return r.set[c] }

// Text returns the value of a Text or JSON column, "" when absent.
func (r *Row) Text(c ColumnID) string {
	if !r.set[c] {
		return ""
	}
	return r.text[c]
}

// Long returns the value of a Long or Time column.
func (r *Row) Long(c ColumnID) (int64, bool) { return r.long[c], r.set[c] }
