package filter

import (
	"bytes"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/filter/memsql"
	"sluice/internal/normalize"
)

// condition is a compiled Condition.
type condition struct {
	field  field
	negate bool
	test   func(v *View, x *value) bool // of one value
}

// holds reports whether the record meets the condition.
func (c *condition) holds(v *View) bool {
	c.field.read(v)
	for i := range v.values {
		if c.test(v, &v.values[i]) {
			return !c.negate
		}
	}
	return c.negate
}

// present reports whether the record has the field.
func (c *condition) present(v *View) bool {
	c.field.read(v)
	return len(v.values) > 0
}

// compileCondition makes a condition. Mistakes have paths below the condition.
func compileCondition(spec Condition, lookups Lookups) (condition, []Mistake) {
	var mistakes []Mistake
	add := func(text string, path ...any) { mistakes = append(mistakes, Mistake{at(path...), text}) }
	if text := fieldMistake(spec.Field); text != "" {
		add(text, KeyField)
	}
	info, ok := operatorInfo(spec.Operator)
	if !ok {
		if spec.Operator == "" {
			add("is missing and required", KeyOperator)
		} else {
			add(unknown("operator", string(spec.Operator), operatorNames()), KeyOperator)
		}
		return condition{}, mistakes
	}
	if text := countMistake(info, len(spec.Values)); text != "" {
		add(text, KeyValue)
		return condition{}, mistakes
	}
	negative := spec.Operator == NotEquals || spec.Operator == NotIn || spec.Operator == NotExists
	c := condition{field: newField(spec.Field), negate: negative}
	test, bad, text := operators[info.Name](spec.Values, lookups)
	switch {
	case text == "":
		c.test = test
	case len(spec.Values) > 1:
		add(text, KeyValues, bad)
	default:
		add(text, KeyValue)
	}
	return c, mistakes
}

func fieldMistake(name string) string {
	switch {
	case name == "":
		return "is missing and required"
	case len(name) > maxFieldName:
		return "is too long: " + strconv.Itoa(len(name)) + " bytes, at most " + strconv.Itoa(maxFieldName)
	case strings.ContainsAny(name, "*?"):
		return "must be one field: wildcards are for the query"
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' }):
		return "must be the name of a field, found " + quote(name)
	case slices.Contains(lakeOnly(), strings.ToLower(name)):
		return quote(name) + " does not exist yet when filters run: the lake adds it"
	}
	return ""
}

func countMistake(info OperatorInfo, n int) string {
	name := string(info.Name)
	switch {
	case info.Takes == NoValue && n > 0:
		return "the operator " + name + " takes no value"
	case info.Takes != NoValue && n == 0:
		return "is missing: the operator " + name + " needs " + needs(info.Takes)
	case info.Takes == OneValue && n > 1:
		return "the operator " + name + " takes one value, found " + strconv.Itoa(n) + moreValues(info.Name)
	case n > MaxValues:
		return "has " + strconv.Itoa(n) + " values, at most " + strconv.Itoa(MaxValues) + ": put them into a lookup and use in_lookup"
	}
	return ""
}

func needs(t Takes) string {
	if t == OneValue {
		return "a value"
	}
	return "one or more values"
}

func moreValues(o Operator) string {
	switch o {
	case Equals:
		return ": use in"
	case NotEquals:
		return ": use not_in"
	default:
		return ""
	}
}

// compiler makes the test of one value. When text is not empty it says what is wrong with value number bad.
type compiler func(values []string, lookups Lookups) (test func(*View, *value) bool, bad int, text string)

var operators = map[Operator]compiler{
	Equals:     equality,
	NotEquals:  equality,
	In:         equality,
	NotIn:      equality,
	Contains:   part(bytes.Contains),
	StartsWith: part(bytes.HasPrefix),
	EndsWith:   part(bytes.HasSuffix),
	Matches:    expression,
	Exists:     existence,
	NotExists:  existence,
	Greater:    order(1),
	Less:       order(-1),
	CIDR:       networks,
	InLookup:   lookup,
}

func lower(text string) []byte { return memsql.AppendLower(nil, []byte(text)) }

// equality compares with one or more values: numbers with numbers, times with times, everything as text.
func equality(values []string, _ Lookups) (func(*View, *value) bool, int, string) {
	set := NewLookup(values)
	var numbers []float64
	var times []int64
	for _, s := range values {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			numbers = append(numbers, f)
		}
		if ms, ok := parseTime(s); ok {
			times = append(times, ms)
		}
	}
	var single []byte
	if len(values) == 1 {
		single = lower(values[0])
	}
	return func(v *View, x *value) bool {
		switch {
		case x.time:
			return slices.Contains(times, x.millis)
		case single != nil && equalFold(v, x.text, single), single == nil && set.has(v.machine.Lower(x.text)):
			return true
		case x.number && len(numbers) > 0:
			f, err := strconv.ParseFloat(string(x.text), 64)
			return err == nil && exactEnough(x.text) && slices.Contains(numbers, f)
		}
		return false
	}, 0, ""
}

// equalFold compares text with a text in lower case.
func equalFold(v *View, text, lower []byte) bool {
	if len(text) != len(lower) && isASCII(lower) && isASCII(text) {
		return false
	}
	return bytes.Equal(v.machine.Lower(text), lower)
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// exactEnough reports whether a number has few enough digits to be told from its neighbours as a float64. Longer ones
// are compared as text only.
func exactEnough(number []byte) bool {
	digits := 0
	for _, c := range number {
		if '0' <= c && c <= '9' {
			digits++
		}
	}
	return digits <= 15
}

// part compares the beginning, the end or any part of a text.
func part(holds func(text, part []byte) bool) compiler {
	return func(values []string, _ Lookups) (func(*View, *value) bool, int, string) {
		if values[0] == "" {
			return nil, 0, "must not be empty: every text would match"
		}
		want := lower(values[0])
		return func(v *View, x *value) bool { return holds(v.machine.Lower(x.text), want) }, 0, ""
	}
}

func expression(values []string, _ Lookups) (func(*View, *value) bool, int, string) {
	if _, err := regexp.Compile(values[0]); err != nil {
		return nil, 0, "must be a regular expression in RE2 syntax: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	whole, err := regexp.Compile(`(?s)\A(?:` + values[0] + `)\z`)
	if err != nil {
		return nil, 0, "must be a regular expression in RE2 syntax: " + err.Error()
	}
	return func(_ *View, x *value) bool { return whole.Match(x.text) }, 0, ""
}

// existence takes what a search takes for existing: not null, not empty.
func existence([]string, Lookups) (func(*View, *value) bool, int, string) {
	return func(_ *View, x *value) bool {
		return len(x.text) > 0 && string(x.text) != "{}" && string(x.text) != "[]"
	}, 0, ""
}

// order compares numbers or times; sign is 1 for greater and -1 for less.
func order(sign int) compiler {
	return func(values []string, _ Lookups) (func(*View, *value) bool, int, string) {
		if n, err := strconv.ParseFloat(values[0], 64); err == nil && n == n {
			return func(_ *View, x *value) bool {
				if x.time || len(x.text) == 0 || len(x.text) > 64 {
					return false
				}
				f, err := strconv.ParseFloat(string(x.text), 64)
				return err == nil && (sign > 0 && f > n || sign < 0 && f < n)
			}, 0, ""
		}
		limit, ok := parseTime(values[0])
		if !ok {
			return nil, 0, "must be a number or a time such as 2026-01-31T08:00:00Z, found " + quote(values[0])
		}
		return func(_ *View, x *value) bool {
			ms, known := x.millis, x.time
			if !known {
				ms, known = normalize.ParseTime(string(x.text))
			}
			return known && (sign > 0 && ms > limit || sign < 0 && ms < limit)
		}, 0, ""
	}
}

// parseTime reads a time of a filter: those of records, and a day.
func parseTime(text string) (int64, bool) {
	if len(text) == len("2026-01-31") {
		text += "T00:00:00Z"
	}
	return normalize.ParseTime(text)
}

func networks(values []string, _ Lookups) (func(*View, *value) bool, int, string) {
	prefixes := make([]netip.Prefix, len(values))
	for i, s := range values {
		p, err := netip.ParsePrefix(s)
		if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, i, "must be a network such as 10.0.0.0/8 or 2001:db8::/32, found " + quote(s)
		}
		if unmapped := p.Addr().Unmap(); unmapped != p.Addr() && p.Bits() >= 96 {
			p = netip.PrefixFrom(unmapped, p.Bits()-96)
		}
		prefixes[i] = p.Masked()
	}
	return func(_ *View, x *value) bool {
		addr, ok := address(x.text)
		return ok && slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
	}, 0, ""
}

// address reads an address with or without brackets and port.
func address(text []byte) (netip.Addr, bool) {
	if len(text) < 2 || len(text) > 64 || bytes.IndexByte(text, '.') < 0 && bytes.IndexByte(text, ':') < 0 {
		return netip.Addr{}, false
	}
	s := string(text)
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func lookup(values []string, lookups Lookups) (func(*View, *value) bool, int, string) {
	name := values[0]
	if !lookupName.MatchString(name) {
		return nil, 0, "must be the name of a lookup: letters, digits, _, - and dots, found " + quote(name)
	}
	if lookups == nil { // nobody can tell here: see Check
		return func(*View, *value) bool { return false }, 0, ""
	}
	l, err := lookups(name)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, 0, "there is no lookup " + quote(name)
	case err != nil:
		return nil, 0, "the lookup " + quote(name) + " cannot be read: " + err.Error()
	}
	return func(v *View, x *value) bool { return l.has(v.machine.Lower(x.text)) }, 0, ""
}
