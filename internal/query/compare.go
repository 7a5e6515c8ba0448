package query

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// compare is the condition that one place in a record meets the value of l, by the kind of the place. It may be NULL.
func (c *compiler) compare(t target, l *leaf) (string, error) {
	v := l.value
	if v.kind == existsValue {
		return exists(t), nil
	}
	if t.multi() {
		cond, err := c.compareText(t, "v", l)
		if err != nil || cond == "false" {
			return cond, err
		}
		if strings.Contains(cond, IPKeyFunction) { // an address has other spellings
			return t.anyValue(cond, ""), nil
		}
		return t.anyValue(cond, fragment(v)), nil
	}
	switch t.Kind {
	case Long, Double:
		return c.compareNumber(t, l)
	case Bool:
		return c.compareBool(t, l)
	case Time:
		return c.compareTime(t, l)
	default: // Text, JSON
		return c.compareText(t, Ident(t.Name), l)
	}
}

// exists is the condition that the place is there and not empty.
func exists(t target) string {
	col := Ident(t.Name)
	switch {
	case len(t.path) > 0:
		return t.anyValue("v <> ''", "")
	case t.Kind == JSON:
		return col + ` IS NOT NULL AND ` + col + ` NOT IN ('', '[]', '{}', 'null', '""')`
	case t.Kind == Text:
		return col + " <> ''"
	}
	return col + " IS NOT NULL"
}

// compareText compares one text value, given as the SQL expression expr.
func (c *compiler) compareText(t target, expr string, l *leaf) (string, error) {
	v := l.value
	e := text{expr: expr, fold: !c.opt.CaseSensitive}
	if sql, ok := c.compareAddress(t, e, v); ok {
		return sql, nil
	}
	if t.timeText() && len(t.path) == 0 {
		if iv, ok := c.interval(v); ok && (!iv.from.IsZero() || !iv.to.IsZero()) {
			return within("try_cast("+expr+" AS TIMESTAMPTZ)", iv), nil
		}
	}
	switch v.kind {
	case termValue, phraseValue:
		if t.textLike() && v.text != "" {
			return phraseWords(v.text).in(expr), nil
		}
		if lowerCaseColumns[t.Name] && e.fold { // lets the engine skip row groups by their statistics
			return expr + " = lower(" + Literal(v.text) + ")", nil
		}
		return e.equal(v.text), nil
	case wildcardValue:
		return e.wildcard(v.parts, v.text), nil
	case regexValue:
		return e.regex(v.text), nil
	case fuzzyValue:
		return e.fuzzy(v.text, v.distance), nil
	default: // a range
		if numericRange(v) {
			return bounds("try_cast("+expr+" AS DOUBLE)", v, numberLiteral), nil
		}
		return e.between(v), nil
	}
}

// lowerCaseColumns hold values of Sluice's own vocabulary, which is lower case.
var lowerCaseColumns = map[string]bool{"msg_class": true, "msg_origin.source": true, "msg_origin.vendor": true, "msg_origin.category": true}

// compareAddress handles networks and ranges of addresses on fields that hold addresses. ok is false when the value is
// neither, or the field is another.
func (c *compiler) compareAddress(t target, e text, v value) (sql string, ok bool) {
	if !t.address() {
		return "", false
	}
	key := IPKeyFunction + "(" + e.expr + ")"
	switch v.kind {
	case termValue, phraseValue:
		if addr, err := netip.ParseAddr(v.text); err == nil && addr.Is6() {
			return e.equal(v.text) + " OR " + e.equal(addr.Unmap().String()), true
		}
		prefix, err := netip.ParsePrefix(v.text)
		if err != nil {
			return "", false
		}
		lo, hi := prefixBounds(prefix)
		sql = fmt.Sprintf("%s BETWEEN %s AND %s", key, Literal(lo), Literal(hi))
		return fmt.Sprintf("CASE WHEN %s THEN %s ELSE false END", prefixGuard(prefix, e.expr), sql), true
	case rangeValue:
		lit := make(map[string]string, 2)
		for _, b := range []bound{v.lo, v.hi} {
			k, isAddr := IPKey(b.text)
			if !b.open && !isAddr {
				return "", false
			}
			lit[b.text] = Literal(k)
		}
		if v.lo.open && v.hi.open {
			return "", false
		}
		return bounds(key, v, func(s string) string { return lit[s] }), true
	default: // patterns compare the text of an address
		return "", false
	}
}

// prefixBounds are the keys of the first and the last address of a network.
func prefixBounds(p netip.Prefix) (lo, hi string) {
	first := p.Masked().Addr()
	last := first.AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	lo, _ = IPKey(first.String())
	hi, _ = IPKey(end.String())
	return lo, hi
}

// prefixGuard is a cheap condition that every address of the network meets, so that few values are parsed.
func prefixGuard(p netip.Prefix, expr string) string {
	if p.Addr().Is4() && p.Bits() >= 8 {
		octets := strings.Split(p.Masked().Addr().String(), ".")[:min(p.Bits()/8, 3)]
		start := strings.Join(octets, ".") + "."
		return fmt.Sprintf("starts_with(%s, %s) OR contains(%s, ':')", expr, Literal(start), expr)
	}
	if p.Addr().Is4() {
		return expr + " IS NOT NULL"
	}
	return "contains(" + expr + ", ':')"
}

// compareNumber compares a numeric column.
func (c *compiler) compareNumber(t target, l *leaf) (string, error) {
	v, col := l.value, Ident(t.Name)
	asText := text{expr: "CAST(" + col + " AS VARCHAR)", fold: true}
	switch v.kind {
	case termValue, phraseValue:
		if !isNumber(v.text) {
			c.hint(v.at, "%q is not a number: the clause matches nothing on %s", v.text, t.Name)
			return "false", nil
		}
		return col + " = " + numberLiteral(v.text), nil
	case wildcardValue:
		return asText.wildcard(v.parts, v.text), nil
	case regexValue:
		return asText.regex(v.text), nil
	case fuzzyValue:
		return "", c.fail(v.at, "%s is a number: expected a value without ~", t.Name)
	default: // a range
	}
	if !numericRange(v) {
		if v.lo.open && v.hi.open {
			return col + " IS NOT NULL", nil
		}
		c.hint(v.at, "a bound of the range is not a number: the clause matches nothing on %s", t.Name)
		return "false", nil
	}
	return bounds(col, v, numberLiteral), nil
}

// numericRange reports whether all given bounds are numbers, and at least one is given.
func numericRange(v value) bool {
	given := false
	for _, b := range []bound{v.lo, v.hi} {
		if b.open {
			continue
		}
		if !isNumber(b.text) {
			return false
		}
		given = true
	}
	return given
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// numberLiteral writes a number that ParseFloat accepts: exact for integers, else as DOUBLE.
func numberLiteral(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return "(" + strconv.FormatInt(n, 10) + ")"
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return "NULL"
	}
	return "CAST(" + Literal(strconv.FormatFloat(f, 'g', -1, 64)) + " AS DOUBLE)"
}

func (c *compiler) compareBool(t target, l *leaf) (string, error) {
	v, col := l.value, Ident(t.Name)
	asText := text{expr: "CAST(" + col + " AS VARCHAR)", fold: true}
	switch v.kind {
	case termValue, phraseValue:
		switch strings.ToLower(v.text) {
		case "true", "false":
			return col + " = " + strings.ToLower(v.text), nil
		}
		c.hint(v.at, "%q is neither true nor false: the clause matches nothing on %s", v.text, t.Name)
		return "false", nil
	case wildcardValue:
		return asText.wildcard(v.parts, v.text), nil
	case regexValue:
		return asText.regex(v.text), nil
	default: // ranges and ~
		return "", c.fail(v.at, "%s is true or false: expected one of these", t.Name)
	}
}

// compareTime compares a time column.
func (c *compiler) compareTime(t target, l *leaf) (string, error) {
	v := l.value
	switch v.kind {
	case termValue, phraseValue, rangeValue:
	case wildcardValue, regexValue, fuzzyValue, existsValue:
		return "", c.fail(v.at, "expected a date, a range or a comparison: %s is a time, which has no wildcards", t.Name)
	}
	if v.kind == rangeValue {
		iv, bad := dateRange(v, c.opt.Now)
		if bad != nil {
			return "", c.fail(bad.at, "expected a date such as 2026-11-21, 2026-11-21T10:00:00Z or now-1d, found %q", bad.text)
		}
		return within(Ident(t.Name), iv), nil
	}
	iv, ok := parseDate(v.text, c.opt.Now)
	if !ok {
		return "", c.fail(v.at, "expected a date such as 2026-11-21, 2026-11-21T10:00:00Z or now-1d, found %q", v.text)
	}
	return within(Ident(t.Name), iv), nil
}

// within is the condition that a time lies in an interval with possibly open ends.
func within(expr string, iv interval) string {
	var parts []string
	add := func(op string, t time.Time) {
		if !t.IsZero() {
			parts = append(parts, expr+op+TimeLiteral(t))
		}
	}
	add(" >= ", iv.from)
	add(" < ", iv.to)
	if len(parts) == 0 {
		return expr + " IS NOT NULL"
	}
	return strings.Join(parts, " AND ")
}
