package query

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// Literal quotes text as an SQL string. It is the only function that puts text of a query into SQL.
func Literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// Ident quotes the name of a column or view.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// TimeLiteral is t as a TIMESTAMP WITH TIME ZONE constant, to the microsecond.
func TimeLiteral(t time.Time) string {
	return "TIMESTAMPTZ " + Literal(t.UTC().Format("2006-01-02 15:04:05.999999")+"+00:00")
}

// IPKeyFunction is the scalar function VARCHAR -> VARCHAR that conditions on addresses call. IPKey implements it.
const IPKeyFunction = "sluice_ip_key"

// IPKey returns the 128-bit value of an address as 32 hexadecimal digits, so that addresses compare as text; IPv4 is
// taken as ::ffff:a.b.c.d. It accepts a port and brackets: 1.2.3.4:443, [2001:db8::1]:443. ok is false for other text.
func IPKey(text string) (key string, ok bool) {
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(text)
		if err != nil {
			return "", false
		}
		addr = ap.Addr()
	}
	return fmt.Sprintf("%x", addr.As16()), true
}

// Prelude returns the statements that define the macros which conditions use. Run them once per database.
//
//	sluice_items(c)     the values of JSON text: the elements of an array, else the value itself
//	sluice_step(l, k)   the members of the objects in l at the JSON path k, arrays flattened
//	sluice_named(l, n)  the values of the elements of a name/value array that are called n
//	sluice_texts(l)     JSON values as text, without quotes
//	sluice_word(c,s,r)  c holds the lower-case text s, and the lower-case regular expression r matches; never NULL. It
//	                    is a CASE because that alone keeps the engine from running r on every row below an OR
//	sluice_number       the same for s without letters, where no case needs folding
func Prelude() []string {
	return []string{
		`CREATE MACRO sluice_array(j) AS CASE WHEN j IS NULL THEN []::JSON[] WHEN json_type(j) = 'ARRAY' THEN json_extract(j, '$[*]') ELSE [j::JSON] END`,
		`CREATE MACRO sluice_items(c) AS CASE WHEN c IS NULL THEN []::JSON[] WHEN json_valid(c) THEN sluice_array(c::JSON) ELSE [to_json(c)] END`,
		`CREATE MACRO sluice_step(l, k) AS flatten(list_transform(l, lambda x: sluice_array(json_extract(x, k))))`,
		`CREATE MACRO sluice_named(l, n) AS flatten(list_transform(list_filter(l, lambda x: coalesce(replace(replace(coalesce(x->>'$.Name', x->>'$.Key'), ' ', '_'), '.', '_') = n, false)), ` +
			`lambda x: list_concat(list_concat(sluice_array(x->'$.Value'), sluice_array(x->'$.NewValue')), sluice_array(x->'$.OldValue'))))`,
		`CREATE MACRO sluice_texts(l) AS list_transform(l, lambda x: x->>'$')`,
		`CREATE MACRO sluice_word(c, s, r) AS CASE WHEN contains(lower(c), s) THEN regexp_matches(lower(c), r) ELSE false END`,
		`CREATE MACRO sluice_number(c, s, r) AS CASE WHEN contains(c, s) THEN regexp_matches(lower(c), r) ELSE false END`,
	}
}

// values is the SQL list of texts of a multi-valued target.
func (t target) values() string {
	col := Ident(t.Name)
	if len(t.path) == 0 {
		return "sluice_texts(sluice_items(" + col + "))"
	}
	list := "sluice_items(" + col + ")"
	for i, key := range t.path {
		step := fmt.Sprintf("sluice_step(%s, %s)", list, Literal(`$."`+key+`"`))
		if i == 0 {
			named := strings.Join(t.path, "_") // names lose their dots when they become keys
			step = fmt.Sprintf("list_concat(%s, sluice_named(%s, %s))", step, list, Literal(normalName(key)))
			if len(t.path) > 1 {
				step = fmt.Sprintf("list_concat(%s, sluice_named(%s, %s))", step, list, Literal(normalName(named)))
			}
		}
		list = step
	}
	return "sluice_texts(" + list + ")"
}

func normalName(key string) string { return strings.NewReplacer(" ", "_", ".", "_").Replace(key) }

// anyValue is the condition that some value of the multi-valued t meets cond, a condition on v. Cheap tests on the JSON
// text come first: for the key where it can be searched for as it is, and for fragment, lower-case text that every
// matching value contains and JSON never escapes; "" is none.
func (t target) anyValue(cond, fragment string) string {
	sql := fmt.Sprintf("len(list_filter(%s, lambda v: %s)) > 0", t.values(), cond)
	col := Ident(t.Name)
	guard := col + " IS NOT NULL"
	if len(t.path) == 1 && plainKey(t.path[0]) {
		guard = fmt.Sprintf("contains(%s, %s)", col, Literal(t.path[0]))
	}
	if fragment != "" {
		guard += fmt.Sprintf(" AND contains(lower(%s), %s)", col, Literal(fragment))
	}
	return fmt.Sprintf("CASE WHEN %s THEN %s ELSE false END", guard, sql)
}

// fragment is the longest part of a value's text that looks the same, but for case, in any JSON spelling of it.
func fragment(v value) string {
	switch v.kind {
	case termValue, phraseValue, wildcardValue:
	default:
		return ""
	}
	longest := ""
	for _, part := range strings.FieldsFunc(v.text, func(r rune) bool {
		return r > unicode.MaxASCII || (!unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.@", r))
	}) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return strings.ToLower(longest)
}

// plainKey reports whether a key looks the same in JSON text and after names were normalised.
func plainKey(key string) bool {
	for _, r := range key {
		if r > unicode.MaxASCII || (!unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-') {
			return false
		}
	}
	return true
}

// text compares an SQL text expression with values of the query.
type text struct {
	expr string
	fold bool // ignore case
}

// operand returns both sides of a comparison with s, folded where that can matter.
func (t text) operand(s string) (expr, lit string) {
	if t.fold && strings.ContainsFunc(s, unicode.IsLetter) {
		return "lower(" + t.expr + ")", "lower(" + Literal(s) + ")"
	}
	return t.expr, Literal(s)
}

func (t text) equal(s string) string {
	e, lit := t.operand(s)
	return e + " = " + lit
}

// wildcard uses the cheapest function that means the pattern.
func (t text) wildcard(parts []piece, source string) string {
	star := func(i int) bool { return i < len(parts) && parts[i].any == '*' }
	lit := func(i int) bool { return i < len(parts) && parts[i].any == 0 }
	call := func(fn, s string) string {
		e, l := t.operand(s)
		return fmt.Sprintf("%s(%s, %s)", fn, e, l)
	}
	switch {
	case len(parts) == 2 && lit(0) && star(1):
		return call("starts_with", parts[0].lit)
	case len(parts) == 2 && star(0) && lit(1):
		return call("ends_with", parts[1].lit)
	case len(parts) == 3 && star(0) && lit(1) && star(2):
		return call("contains", parts[1].lit)
	}
	var b strings.Builder
	for _, p := range parts {
		switch p.any {
		case '*':
			b.WriteByte('%')
		case '?':
			b.WriteByte('_')
		default:
			b.WriteString(strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(p.lit))
		}
	}
	e := t.expr
	pattern := Literal(b.String())
	if t.fold && strings.ContainsFunc(source, unicode.IsLetter) {
		e, pattern = "lower("+e+")", "lower("+pattern+")"
	}
	return fmt.Sprintf(`%s LIKE %s ESCAPE '\'`, e, pattern)
}

func (t text) regex(source string) string {
	return fmt.Sprintf("regexp_full_match(%s, %s)", t.expr, Literal("(?s)"+source))
}

func (t text) fuzzy(s string, distance int) string {
	return fmt.Sprintf("levenshtein(lower(%s), lower(%s)) <= %d", t.expr, Literal(s), distance)
}

// between compares by code point.
func (t text) between(v value) string {
	e := t.expr
	if t.fold {
		e = "lower(" + e + ")"
	}
	lit := func(s string) string {
		if t.fold {
			return "lower(" + Literal(s) + ")"
		}
		return Literal(s)
	}
	return bounds(e, v, lit)
}

// bounds writes the comparisons of a range; with both ends open it is a test for existence.
func bounds(expr string, v value, lit func(string) string) string {
	var parts []string
	if !v.lo.open {
		parts = append(parts, expr+pick(v.lo.inclusive, " >= ", " > ")+lit(v.lo.text))
	}
	if !v.hi.open {
		parts = append(parts, expr+pick(v.hi.inclusive, " <= ", " < ")+lit(v.hi.text))
	}
	if len(parts) == 0 {
		return expr + " IS NOT NULL"
	}
	return strings.Join(parts, " AND ")
}

func pick(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}
