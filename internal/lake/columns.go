package lake

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apache/iceberg-go"

	"sluice/internal/normalize"
)

// Kind is how a column stores its values.
type Kind uint8

// The kinds of columns. Iceberg and DuckDB types follow from them.
const (
	Text Kind = iota // text; of a vendor field: the text of a JSON string
	Long             // 64-bit integer
	Bool             // boolean
	JSON             // the JSON text of any value
	Time             // Unix milliseconds in memory; a timestamp with time zone, in microseconds, on disk
)

// SQLType is the type of the column in DuckDB.
func (k Kind) SQLType() string {
	switch k {
	case Long:
		return "BIGINT"
	case Bool:
		return "BOOLEAN"
	case Time:
		return "TIMESTAMP WITH TIME ZONE"
	default:
		return "VARCHAR"
	}
}

func (k Kind) icebergType() iceberg.Type {
	switch k {
	case Long:
		return iceberg.PrimitiveTypes.Int64
	case Bool:
		return iceberg.PrimitiveTypes.Bool
	case Time:
		return iceberg.PrimitiveTypes.TimestampTz
	default:
		return iceberg.PrimitiveTypes.String
	}
}

// ColumnInfo describes a column of a table.
type ColumnInfo struct {
	Name    string // dotted: "event.action", "office365.Operation"
	SQLType string // DuckDB type, from Kind
	Vendor  bool   // a top-level field of the Microsoft record
	Kind    Kind
	FieldID int // Iceberg's id, also the field id in the Parquet files
}

// MaxColumns is the most columns that a table may have. Fields that would need another one live in _overflow.
const MaxColumns = 1000

// Columns of this package. Those that package normalize also knows are filled here and nowhere else.
const (
	ColID         = "_id"
	ColTimestamp  = "timestamp"
	ColWriteTime  = "write_time"
	ColUnit       = "_unit"     // record.UnitID in hexadecimal
	ColBatch      = "_batch"    // number of the batch
	ColSeq        = "_seq"      // record.Seq
	ColShape      = "_shape"    // see Shape in shape.go
	ColStyle      = "_style"    // rawjson.Style, or styleBase64
	ColOverflow   = "_overflow" // members that have no column, as a JSON object
	ColRaw        = "_raw"      // the record itself, where it cannot be rebuilt
	colAction     = "event.action"
	ColTenantName = "tenant_name"
	colReason     = "reason" // quarantine: why
	colOffset     = "offset" // quarantine: where in the unit's body, in bytes
)

// Slots of the columns of this package: their place in every columnSet.
const (
	slotID = iota
	slotTimestamp
	slotWriteTime
	slotUnit
	slotBatch
	slotSeq
	slotShape
	slotStyle
	slotOverflow
	slotRaw
	slotReason
	slotOffset
	numOwnSlots
)

// styleBase64 in _style says that _raw is the base64 form of bytes that are not valid UTF-8.
const styleBase64 = -1

var ownColumns = [numOwnSlots]columnDef{
	slotID:        {name: ColID, kind: Text},
	slotTimestamp: {name: ColTimestamp, kind: Time},
	slotWriteTime: {name: ColWriteTime, kind: Time},
	slotUnit:      {name: ColUnit, kind: Text},
	slotBatch:     {name: ColBatch, kind: Long},
	slotSeq:       {name: ColSeq, kind: Long},
	slotShape:     {name: ColShape, kind: Text},
	slotStyle:     {name: ColStyle, kind: Long},
	slotOverflow:  {name: ColOverflow, kind: JSON},
	slotRaw:       {name: ColRaw, kind: Text},
	slotReason:    {name: colReason, kind: Text},
	slotOffset:    {name: colOffset, kind: Long},
}

// statColumns have minimum and maximum in the manifests and in the Parquet footers; the value is Iceberg's metrics
// mode. More of them make commits slow, fewer make plans large. _seq and write_time are there for whoever reads what is
// new (package census), the others for searches.
var statColumns = map[string]string{
	ColTimestamp:     "full",
	ColSeq:           "full",
	ColWriteTime:     "full",
	ColTenantName:    "truncate(32)",
	"msg_class":      "truncate(48)",
	colAction:        "truncate(32)",
	"srcip_username": "truncate(32)",
	"srcip":          "truncate(40)",
	ColID:            "truncate(32)",
}

// columnDef is a column as the writer knows it.
type columnDef struct {
	name    string
	kind    Kind
	vendor  bool
	fieldID int // 0 until the table has the column
}

// columnSet is the columns of one table, known or about to be added. A slot is a position in defs; slots never move.
// It is owned by the writer of the table.
type columnSet struct {
	defs   []columnDef
	byFold map[string]int // folded name -> slot
	core   []int          // normalize.ColumnID -> slot, -1 for those of this package
	limit  int
}

// fold makes names comparable that DuckDB cannot tell apart.
func fold(name string) string { return strings.ToLower(name) }

// newColumnSet returns the columns that every table has from the start.
func newColumnSet(core []normalize.Column) *columnSet {
	s := &columnSet{byFold: make(map[string]int), limit: MaxColumns}
	for _, d := range ownColumns {
		s.add(d)
	}
	s.core = make([]int, len(core))
	for i, c := range core {
		if slot, ok := s.byFold[fold(c.Name)]; ok && slot < numOwnSlots {
			s.core[i] = -1
			continue
		}
		s.core[i] = s.add(columnDef{name: c.Name, kind: coreKind(c.Kind)})
	}
	return s
}

func coreKind(k normalize.Kind) Kind {
	switch k {
	case normalize.Long:
		return Long
	case normalize.Time:
		return Time
	case normalize.JSON:
		return JSON
	default:
		return Text
	}
}

// isCore reports whether a column belongs to every table.
func isCore(core []normalize.Column, name string) bool {
	name = fold(name)
	return slices.ContainsFunc(ownColumns[:], func(d columnDef) bool { return d.name == name }) ||
		slices.ContainsFunc(core, func(c normalize.Column) bool { return fold(c.Name) == name })
}

func (s *columnSet) add(d columnDef) int {
	slot := len(s.defs)
	s.defs = append(s.defs, d)
	s.byFold[fold(d.name)] = slot
	return slot
}

// adopt takes over what the table has: field ids, and columns that were added earlier.
func (s *columnSet) adopt(schema *iceberg.Schema) error {
	for _, f := range schema.Fields() {
		slot, ok := s.byFold[fold(f.Name)]
		if !ok {
			s.add(columnDef{name: f.Name, kind: storedKind(f), vendor: true, fieldID: f.ID})
			continue
		}
		if d := &s.defs[slot]; d.name != f.Name || !d.kind.icebergType().Equals(f.Type) {
			return errColumnChanged(f.Name)
		}
		s.defs[slot].fieldID = f.ID
	}
	return nil
}

// docJSON is the documentation text that tells JSON columns from text columns in the table's schema.
const docJSON = "JSON text"

func (d columnDef) doc() string {
	if d.kind == JSON {
		return docJSON
	}
	return ""
}

func storedKind(f iceberg.NestedField) Kind {
	switch {
	case f.Type.Equals(iceberg.PrimitiveTypes.Int64):
		return Long
	case f.Type.Equals(iceberg.PrimitiveTypes.Bool):
		return Bool
	case f.Type.Equals(iceberg.PrimitiveTypes.TimestampTz):
		return Time
	case f.Doc == docJSON:
		return JSON
	}
	return Text
}

// info is the public description of the columns of a schema.
func columnInfo(core []normalize.Column, schema *iceberg.Schema) []ColumnInfo {
	fields := schema.Fields()
	infos := make([]ColumnInfo, len(fields))
	for i, f := range fields {
		kind := storedKind(f)
		infos[i] = ColumnInfo{Name: f.Name, SQLType: kind.SQLType(), Vendor: !isCore(core, f.Name), Kind: kind, FieldID: f.ID}
	}
	return infos
}

// maxNameLen bounds the names of vendor columns, in bytes.
const maxNameLen = 128

// usableName reports whether a field name can be part of a column name. Others live in _overflow.
func usableName(name string) bool {
	if name == "" || len(name) > maxNameLen || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r == '"' || r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r)
	})
}

// seedKinds fixes the kind of vendor fields whose first value may mislead: spec/management-activity-api.md describes
// these as integers, booleans or structures, and some families send other things for some of them.
var seedKinds = map[string]Kind{
	"recordtype": Long, "usertype": Long, "version": Long, "internallogontype": Long, "logontype": Long,
	"azureactivedirectoryeventtype": Long,

	"externalaccess": Bool,

	"actor": JSON, "target": JSON, "parameters": JSON, "extendedproperties": JSON, "modifiedproperties": JSON,
	"operationproperties": JSON, "deviceproperties": JSON, "extraproperties": JSON, "policydetails": JSON,
	"sharepointmetadata": JSON, "exchangemetadata": JSON, "endpointmetadata": JSON, "alertlinks": JSON,
	"appaccesscontext": JSON, "folders": JSON, "affecteditems": JSON, "recipients": JSON, "attachmentdata": JSON,
	"members": JSON,

	"id": Text, "operation": Text, "creationtime": Text, "organizationid": Text, "userid": Text, "userkey": Text,
	"workload": Text, "resultstatus": Text, "objectid": Text, "clientip": Text, "errornumber": Text,
	"name": Text, "severity": Text, "status": Text, "source": Text, "category": Text, "alertid": Text, "data": Text,
}
