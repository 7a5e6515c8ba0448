package filter

import (
	"slices"
	"strings"

	"sluice/internal/normalize"
)

// field is a resolved field name of a condition. It looks where a search looks: a core field of exactly this name is
// the field; otherwise the vendor's field of exactly this name, then a core field in another case, then a vendor field
// in another case. An alias adds a core field to what its name finds by itself.
type field struct {
	core     *corePlace // exact core field, or a path below one
	coreFold *corePlace // the same in another case
	alias    *corePlace
	id       idField
	vendor   []vendorPlace // possible readings, the longest member name first
}

type corePlace struct {
	id   normalize.ColumnID
	path []string
}

// vendorPlace is a member and a path below it.
type vendorPlace struct {
	key  string // vendor key that the name began with; "" for a bare name
	name string
	path []string
}

// idField marks the two fields of the envelope that a filter can ask for besides the core fields.
type idField uint8

const (
	noID idField = iota
	recordID
	recordIndex
)

// aliases are those of package query.
var aliases = map[string]normalize.ColumnID{
	"@timestamp": normalize.Timestamp,
	"source.ip":  normalize.SrcIP,
	"clientip":   normalize.SrcIP,
}

// lakeOnly are fields that records have in the lake and not yet when filters run.
func lakeOnly() []string {
	return []string{"write_time", "_seq", "_unit", "_batch", "schema", "ingest.seq", "ingest.unit", "ingest.batch"}
}

// vendorKeys are the keys under which vendor fields stand.
func vendorKeys() []string {
	return []string{
		normalize.VendorKey(normalize.Office365), normalize.VendorKey(normalize.MessageTrace),
		normalize.VendorKey(normalize.CloudApps), normalize.VendorKey(normalize.ServiceHealth),
	}
}

func newField(name string) field {
	var f field
	lower := strings.ToLower(name)
	switch lower {
	case "_id":
		f.id = recordID
	case "_index":
		f.id = recordIndex
	}
	if f.core = findCore(name, false); f.core != nil {
		return f
	}
	f.coreFold = findCore(name, true)
	if id, ok := aliases[lower]; ok {
		f.alias = &corePlace{id: id}
	}
	for _, key := range vendorKeys() {
		if rest, ok := cutPrefixFold(name, key+"."); ok {
			f.vendor = append(f.vendor, splits(key, rest)...)
		}
	}
	f.vendor = append(f.vendor, splits("", name)...)
	return f
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) <= len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// findCore finds a core field, or the core field with JSON text of which name is a path.
func findCore(name string, fold bool) *corePlace {
	same := func(a, b string) bool { return a == b || fold && strings.EqualFold(a, b) }
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		for i, c := range normalize.Columns {
			if !same(c.Name, name[:end]) {
				continue
			}
			if end == len(name) {
				return &corePlace{id: normalize.ColumnID(i)}
			}
			if c.Kind == normalize.JSON {
				return &corePlace{normalize.ColumnID(i), strings.Split(name[end+1:], ".")}
			}
			return nil
		}
	}
	return nil
}

// splits are the ways to read a dotted name as a member and a path.
func splits(key, name string) []vendorPlace {
	var places []vendorPlace
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		p := vendorPlace{key: key, name: name[:end]}
		if end < len(name) {
			p.path = strings.Split(name[end+1:], ".")
			if slices.Contains(p.path, "") {
				continue
			}
		}
		places = append(places, p)
	}
	return places
}

// read puts the field's values of the record into v.values.
func (f *field) read(v *View) {
	v.values = v.values[:0]
	switch f.id {
	case recordID:
		v.addText(v.env.ID)
	case recordIndex:
		v.addText(string(v.env.Index))
	default: // any other field
	}
	if f.core != nil {
		v.addCore(f.core.id, f.core.path)
		return
	}
	switch {
	case f.readVendor(v, false):
	case f.coreFold != nil:
		v.addCore(f.coreFold.id, f.coreFold.path)
	default:
		f.readVendor(v, true)
	}
	if f.alias != nil {
		v.addCore(f.alias.id, f.alias.path)
	}
}

func (v *View) addText(text string) {
	if text != "" {
		v.values = append(v.values, value{text: v.machine.Text(text)})
	}
}

// readVendor adds the values of the first reading of the name for which the record has the member.
func (f *field) readVendor(v *View, fold bool) bool {
	for i := range f.vendor {
		p := &f.vendor[i]
		if p.key != "" && p.key != v.vendorKey() {
			continue
		}
		if m := v.member(p.name, fold); m != nil {
			v.addMember(m, p.path)
			return true
		}
	}
	return false
}

// isCore reports whether the name stands for a field that Sluice computes.
func (f *field) isCore() bool {
	return f.core != nil || f.coreFold != nil || f.alias != nil || f.id != noID
}

// among reports whether one of the names is the vendor field, or holds the path.
func (f *field) among(names []string) bool {
	return slices.ContainsFunc(f.vendor, func(p vendorPlace) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, p.name) })
	})
}
