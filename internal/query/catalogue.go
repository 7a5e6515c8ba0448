package query

import (
	"slices"
	"strings"
)

// Kind says how the values of a column are compared.
type Kind uint8

// The kinds of columns.
const (
	Text   Kind = iota // VARCHAR
	Long               // integer types
	Double             // floating point and decimal types
	Bool               // BOOLEAN
	Time               // TIMESTAMP WITH TIME ZONE
	JSON               // VARCHAR that holds the JSON text of an array or object; multi-valued
)

// Column is a column that a query may name.
type Column struct {
	Name    string // dotted: "msg_class", "office365.Operation"
	SQLType string // DuckDB's name of the type
	Kind    Kind
	Vendor  bool // a top-level field of the vendor's record, named <vendor key>.<field>
}

// Catalogue is the set of columns against which a query is compiled. Names are unique when case is ignored, as in
// DuckDB. It is immutable and safe for concurrent use.
type Catalogue struct {
	columns []Column
	exact   map[string]int
	folded  map[string]int
	vendors []string // vendor keys, in order of appearance
}

// internalColumns exist in the lake for its own use. Only _unit, _batch and _seq can be searched; _overflow and _raw
// hold parts of records and are read by searches for bare words.
var internalColumns = map[string]bool{"_shape": true, "_style": true, "_overflow": true, "_raw": true}

// NewCatalogue makes a catalogue. Of columns whose names differ only in case the first is kept.
func NewCatalogue(columns []Column) *Catalogue {
	c := &Catalogue{exact: map[string]int{}, folded: map[string]int{}}
	for _, col := range columns {
		low := strings.ToLower(col.Name)
		if _, dup := c.folded[low]; dup {
			continue
		}
		c.folded[low] = len(c.columns)
		c.exact[col.Name] = len(c.columns)
		c.columns = append(c.columns, col)
		if key, _, ok := strings.Cut(col.Name, "."); ok && col.Vendor && !slices.Contains(c.vendors, key) {
			c.vendors = append(c.vendors, key)
		}
	}
	return c
}

// Columns returns the columns in the order given. The caller must not change them.
func (c *Catalogue) Columns() []Column { return c.columns }

func (c *Catalogue) find(name string, fold bool) (Column, bool) {
	m := c.exact
	if fold {
		m, name = c.folded, strings.ToLower(name)
	}
	i, ok := m[name]
	if !ok || internalColumns[c.columns[i].Name] {
		return Column{}, false
	}
	return c.columns[i], true
}

// target is a place in a record: a column, and for columns with JSON text a path below it.
type target struct {
	Column
	path []string
}

// maxWildcardFields bounds the columns that one field name may stand for.
const maxWildcardFields = 256

// aliases are names that analysts bring from other products (spec/query-languages.md section 2.3). A column of that
// name wins over the alias; an alias also keeps what its own name finds among the vendor fields.
var aliases = map[string]string{
	"@timestamp":   "timestamp",
	"source.ip":    "srcip",
	"ClientIP":     "srcip",
	"event.action": "Operation",
}

// resolve finds the places that a field name stands for; none when it is unknown.
func (c *Catalogue) resolve(name string) []target {
	for _, fold := range []bool{false, true} {
		if t, ok := c.path(name, fold); ok {
			return []target{t}
		}
		found := c.bare(name, fold)
		for alias, real := range aliases {
			if alias != name && (!fold || !strings.EqualFold(alias, name)) {
				continue
			}
			for _, t := range c.resolve(real) {
				if !slices.ContainsFunc(found, func(f target) bool { return f.Name == t.Name }) {
					found = append([]target{t}, found...)
				}
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return c.members(name)
}

// path finds a column by its full name, or the longest column of which name is a path into JSON text.
func (c *Catalogue) path(name string, fold bool) (target, bool) {
	if col, ok := c.find(name, fold); ok {
		return target{Column: col}, true
	}
	for i := len(name) - 1; i > 0; i-- {
		if name[i] != '.' {
			continue
		}
		col, ok := c.find(name[:i], fold)
		if !ok {
			continue
		}
		keys := strings.Split(name[i+1:], ".")
		holdsJSON := col.Kind == JSON || (col.Kind == Text && col.Vendor)
		if !holdsJSON || slices.ContainsFunc(keys, badKey) {
			return target{}, false
		}
		return target{col, keys}, true
	}
	return target{}, false
}

// badKey refuses keys that a JSON path of DuckDB cannot hold between quotes.
func badKey(key string) bool { return key == "" || strings.ContainsAny(key, "\"\\\x00") }

// bare finds an unqualified vendor field under every vendor key.
func (c *Catalogue) bare(name string, fold bool) []target {
	var found []target
	for _, vendor := range c.vendors {
		if t, ok := c.path(vendor+"."+name, fold); ok && t.Vendor {
			found = append(found, t)
		}
	}
	return found
}

// members finds the columns of an object: user stands for user.id, user.name, ...
func (c *Catalogue) members(name string) []target {
	prefix := strings.ToLower(name) + "."
	var found []target
	for _, col := range c.columns {
		if strings.HasPrefix(strings.ToLower(col.Name), prefix) && len(found) < maxWildcardFields {
			found = append(found, target{Column: col})
		}
	}
	return found
}

// wildcard finds the columns whose name, or bare vendor name, matches a pattern with *. ok is false when there are
// more than maxWildcardFields.
func (c *Catalogue) wildcard(pattern string) (found []target, ok bool) {
	pattern = strings.ToLower(pattern)
	for _, col := range c.columns {
		name := strings.ToLower(col.Name)
		if strings.HasPrefix(name, "_") && name != "_id" {
			continue
		}
		_, bare, _ := strings.Cut(name, ".")
		if matchStars(pattern, name) || (col.Vendor && matchStars(pattern, bare)) {
			found = append(found, target{Column: col})
		}
	}
	return found, len(found) <= maxWildcardFields
}

// matchStars matches text against a pattern in which * stands for any run of characters.
func matchStars(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// lastKey is the last part of the target's name, by which fields are told to be texts, times or addresses.
func (t target) lastKey() string {
	if len(t.path) > 0 {
		return t.path[len(t.path)-1]
	}
	return t.Name[strings.LastIndexByte(t.Name, '.')+1:]
}

// textLike fields hold prose: a value matches a sequence of words in them, not the whole.
func (t target) textLike() bool {
	switch strings.ToLower(t.lastKey()) {
	case "subject", "message", "description", "comments", "comment", "data":
		return true
	}
	return false
}

// address reports whether the field holds IP addresses by its name.
func (t target) address() bool {
	k := strings.ToLower(t.lastKey())
	return strings.HasSuffix(k, "ip") || strings.HasSuffix(k, "ipaddress") || strings.HasSuffix(k, "ip_address")
}

// timeText reports whether the field is text that holds times by its name.
func (t target) timeText() bool { return t.Kind == Text && strings.HasSuffix(t.lastKey(), "Time") }

// multi reports whether a record may have several values there.
func (t target) multi() bool { return t.Kind == JSON || len(t.path) > 0 }

// Output returns the SQL expression that shows a field, and its type. A field that stands for several places shows the
// first that is there; below JSON text it shows the values, separated by commas. ok is false for an unknown field.
func (c *Catalogue) Output(name string) (expr, sqlType string, ok bool) {
	if internalColumns[name] {
		return "", "", false
	}
	targets := c.resolve(name)
	switch {
	case len(targets) == 0:
		return "", "", false
	case len(targets) == 1 && len(targets[0].path) == 0:
		return Ident(targets[0].Name), targets[0].SQLType, true
	}
	parts := make([]string, len(targets))
	for i, t := range targets {
		parts[i] = "CAST(" + Ident(t.Name) + " AS VARCHAR)"
		if len(t.path) > 0 {
			parts[i] = "nullif(array_to_string(" + t.values() + ", ', '), '')"
		}
	}
	if len(parts) == 1 {
		return parts[0], "VARCHAR", true
	}
	return "coalesce(" + strings.Join(parts, ", ") + ")", "VARCHAR", true
}
