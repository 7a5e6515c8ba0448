package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Lang is a query language.
type Lang string

// The query languages.
const (
	LQ  Lang = "lq"  // Lucene/Kibana query strings
	KQL Lang = "kql" // Kusto subset
	SQL Lang = "sql" // read-only SQL over the lake's tables
)

// Langs lists the query languages.
func Langs() []string { return []string{string(LQ), string(KQL), string(SQL)} }

// IndexAll is the index that means windows_events, syslog and alerts.
const IndexAll = "all"

// Indices lists the names that a search takes as index (DESIGN 6.4).
func Indices() []string {
	return []string{IndexAll, "windows_events", "alerts", "syslog", "quarantine", "sluice_audit"}
}

// ParseIndex returns the name of an index written as people do: any case, spaces or underscores
// (spec/query-languages.md section 1).
func ParseIndex(text string) (string, bool) {
	name := strings.ToLower(strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r == ' ' || r == '_' || r == '-'
	}), "_"))
	return name, slices.Contains(Indices(), name)
}

// Format is a representation of search results on the wire.
type Format string

// The formats of a search's answer.
const (
	Frames    Format = "frames" // NDJSON of Frame; what Sluice's own clients read
	NDJSON    Format = "ndjson" // one row per line
	JSONArray Format = "json"   // an array of rows
	CSV       Format = "csv"    // RFC 4180 with a header
	Raw       Format = "raw"    // the original records byte for byte, one per line
)

// DefaultLimit bounds the rows of a search that does not say how many it wants.
const DefaultLimit = 100

// DefaultSince is how far back a search looks that does not say so.
const DefaultSince = "24h"

// SearchRequest is a search with everything resolved.
type SearchRequest struct {
	Query  string
	Index  string    // one of Indices
	Lang   Lang      // lq, kql, sql
	Since  time.Time // zero: from the beginning
	Until  time.Time // exclusive; zero: open
	Limit  int       // 0: all
	Fields []string  // columns wanted; empty: the default of the query
	Strict bool      // keep the pure boolean meaning of contradictory conjunctions
	Raw    bool      // yield Frame.Raw instead of rows
}

// ColumnType tells how a column's values read.
type ColumnType string

// The types of columns.
const (
	TextColumn ColumnType = "text"
	LongColumn ColumnType = "long"
	RealColumn ColumnType = "real"
	BoolColumn ColumnType = "bool"
	TimeColumn ColumnType = "time" // Unix milliseconds as a number, or RFC 3339 text
	JSONColumn ColumnType = "json"
)

// Column is a column of a result. A row's value for it is the member of that name, or what its dotted path leads to.
type Column struct {
	Name string     `json:"name"`
	Type ColumnType `json:"type" enum:"text,long,real,bool,time,json"`
}

// Frame is one piece of a search's answer. Exactly one member is set.
type Frame struct {
	Columns []Column `json:"columns,omitempty" nullable:"false"`
	Row     Object   `json:"row,omitempty" doc:"One JSON object: a record (record/1), or the columns of a projection"`
	Raw     []byte   `json:"-"` // original record; only for SearchRequest.Raw, never part of a JSON frame
	End     *End     `json:"end,omitempty"`
	Error   *Problem `json:"error,omitempty"`
}

// End closes a complete answer.
type End struct {
	Notices []string  `json:"notices,omitempty" nullable:"false" doc:"What a person should know about the answer"`
	Partial string    `json:"partial,omitempty" doc:"Why the answer is incomplete; empty when it is complete"`
	Fresh   Freshness `json:"freshness"`
	Stats   Stats     `json:"stats"`
}

// Freshness says up to when the lake was searched.
type Freshness struct {
	CommittedAt    *time.Time `json:"committed_at,omitempty" doc:"When the newest searchable records were committed"`
	PendingRecords int64      `json:"pending_records" doc:"Collected records that become searchable with the next commit"`
}

// Stats measures a search.
type Stats struct {
	Rows      int64 `json:"rows" doc:"Rows in this answer"`
	More      bool  `json:"more" doc:"The limit cut the answer"`
	ElapsedMS int64 `json:"elapsed_ms"`
}

// Object is the text of one JSON value, kept as it is: member order and the spelling of numbers survive.
type Object []byte

// MarshalJSON returns the text.
func (o Object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte("null"), nil
	}
	return o, nil
}

// UnmarshalJSON keeps a copy of the text.
func (o *Object) UnmarshalJSON(b []byte) error {
	*o = append((*o)[:0], b...)
	return nil
}

// Schema describes the value in OpenAPI.
func (Object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// Lookup returns the value of a column in a row: the member with that very name, or else the value that the dotted
// path leads to. Absent and null values are nil.
func Lookup(row map[string]json.RawMessage, name string) json.RawMessage {
	return (&object{members: row}).lookup(name)
}

// object is a JSON object of which many members are looked up. What is nested in it is parsed once.
type object struct {
	members map[string]json.RawMessage
	inner   map[string]*object // by the name of the member; nil for one that is no object
}

func (o *object) lookup(name string) json.RawMessage {
	if v, ok := o.members[name]; ok {
		return notNull(v)
	}
	for i := 0; i < len(name); i++ {
		if name[i] != '.' {
			continue
		}
		inner := o.nested(name[:i])
		if inner == nil {
			continue
		}
		if found := inner.lookup(name[i+1:]); found != nil {
			return found
		}
	}
	return nil
}

// nested is the object that a member is, nil when there is none.
func (o *object) nested(name string) *object {
	text, ok := o.members[name]
	if !ok {
		return nil
	}
	inner, known := o.inner[name]
	if known {
		return inner
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) == nil {
		inner = &object{members: members}
	}
	if o.inner == nil {
		o.inner = map[string]*object{}
	}
	o.inner[name] = inner
	return inner
}

func notNull(v json.RawMessage) json.RawMessage {
	if string(v) == "null" {
		return nil
	}
	return v
}

var _ huma.SchemaProvider = Object(nil)
