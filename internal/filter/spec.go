package filter

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// Mode says what a filter does with the records that it matches.
type Mode string

// The modes.
const (
	Exclude Mode = "exclude" // drop what matches; the default
	Include Mode = "include" // keep only what matches
)

// Modes lists every mode.
func Modes() []string { return []string{string(Exclude), string(Include)} }

// Operator is the comparison of a condition.
type Operator string

// The operators of spec/record-schema.md section 2.
const (
	Equals     Operator = "equals"
	NotEquals  Operator = "not_equals"
	In         Operator = "in"
	NotIn      Operator = "not_in"
	Contains   Operator = "contains"
	StartsWith Operator = "starts_with"
	EndsWith   Operator = "ends_with"
	Matches    Operator = "matches"
	Exists     Operator = "exists"
	NotExists  Operator = "not_exists"
	Greater    Operator = "gt"
	Less       Operator = "lt"
	CIDR       Operator = "cidr"
	InLookup   Operator = "in_lookup"
)

// Spec is a filter as an operator writes it. The zero Mode is Exclude.
type Spec struct {
	Name        string
	Description string
	Mode        Mode
	Conditions  []Condition // all must hold
	Query       string      // LQ; empty for none
}

// Condition compares one field. How many values it takes depends on the operator: see Operators.
type Condition struct {
	Field    string
	Operator Operator
	Values   []string
}

// Bounds on the size of a filter. Longer lists of values belong into a lookup.
const (
	MaxConditions = 100
	MaxValues     = 10_000
	maxFieldName  = 256
)

// Mistake is something wrong in a Spec. Its text is a phrase for people.
type Mistake struct {
	Path []string // keys from the top of the filter: conditions, 0, operator; empty for the filter as a whole
	Text string
}

// String returns "conditions[0].operator: text".
func (m Mistake) String() string {
	if len(m.Path) == 0 {
		return m.Text
	}
	return m.where() + ": " + m.Text
}

// where is the path in one word: conditions[0].operator.
func (m Mistake) where() string {
	var b strings.Builder
	for _, key := range m.Path {
		if _, err := strconv.Atoi(key); err == nil {
			b.WriteString("[" + key + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(key)
	}
	return b.String()
}

// at builds the path of a mistake.
func at(keys ...any) []string {
	path := make([]string, len(keys))
	for i, k := range keys {
		switch k := k.(type) {
		case int:
			path[i] = strconv.Itoa(k)
		case string:
			path[i] = k
		}
	}
	return path
}

// checkSpec finds what is wrong with the frame of a filter: everything except its conditions and its query.
func checkSpec(s Spec) []Mistake {
	var list []Mistake
	add := func(path []string, text string) { list = append(list, Mistake{path, text}) }
	if s.Name == "" {
		add(at("name"), "is missing and required")
	}
	if s.Mode != "" && !slices.Contains(Modes(), string(s.Mode)) {
		add(at("mode"), unknown("mode", string(s.Mode), Modes()))
	}
	if len(s.Conditions) == 0 && strings.TrimSpace(s.Query) == "" {
		add(nil, "has neither conditions nor a query: it would match every record")
	}
	if len(s.Conditions) > MaxConditions {
		add(at("conditions"), "has "+strconv.Itoa(len(s.Conditions))+" conditions, at most "+strconv.Itoa(MaxConditions))
	}
	return list
}

// unknown words the message about a word that does not exist.
func unknown(what, word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "unknown " + what + " " + quote(word) + ", did you mean " + strconv.Quote(near) + "?"
	}
	return "unknown " + what + " " + quote(word) + ", known are " + strings.Join(known, ", ")
}

// quote quotes a word of a document, cut to a sensible length.
func quote(word string) string {
	const most = 60
	if utf8.RuneCountInString(word) > most {
		word = string([]rune(word)[:most]) + "..."
	}
	return strconv.Quote(word)
}

// operatorWords are what other products call our operators.
var operatorWords = map[string]Operator{
	"=": Equals, "==": Equals, "eq": Equals, "is": Equals, "!=": NotEquals, "<>": NotEquals, "ne": NotEquals, "neq": NotEquals,
	"is_not": NotEquals, "any_of": In, "one_of": In, "none_of": NotIn, "not in": NotIn, "like": Contains, "startswith": StartsWith,
	"prefix": StartsWith, "endswith": EndsWith, "suffix": EndsWith, "regex": Matches, "regexp": Matches, "=~": Matches,
	"missing": NotExists, ">": Greater, "greater_than": Greater, "<": Less, "less_than": Less, "subnet": CIDR, "in_cidr": CIDR,
	"lookup": InLookup,
}

// nearest returns the known word that a person most likely meant, "" when none is near enough.
func nearest(word string, known []string) string {
	word = strings.ToLower(word)
	if o, ok := operatorWords[word]; ok && slices.Contains(known, string(o)) {
		return string(o)
	}
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, k := range known {
		d := levenshtein.ComputeDistance(word, strings.ToLower(k))
		if d < bestDistance && d < len(k) && d < len(word) {
			best, bestDistance = k, d
		}
	}
	return best
}
