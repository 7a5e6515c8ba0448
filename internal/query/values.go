package query

import (
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode"
)

// Values that may contain unescaped colons (and, in date math, || ): they are taken whole.
var (
	isoTime  = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:[\d:.]*([Zz]|[+-]\d\d:?\d\d)?(\|\|[-+/\dyMwdhHms]*)?$`)
	dateMath = regexp.MustCompile(`^\d{4}-\d\d(-\d\d)?\|\|[-+/\dyMwdhHms]*$`)
	urlStart = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://.`)
	ipv6Like = regexp.MustCompile(`^[0-9A-Fa-f.*?]*:[0-9A-Fa-f:.*?]*:[0-9A-Fa-f:.*?]*$`)
)

// run returns the characters up to the next white space, quote or bracket, without consuming them.
func (p *parser) run() string {
	i := p.pos
	for i < len(p.src) && !unicode.IsSpace(p.src[i]) && !strings.ContainsRune(`()[]{}"`, p.src[i]) {
		i++
	}
	return string(p.src[p.pos:i])
}

// whole returns the run when it is an IPv6 address or network, a URL or an ISO time. wild allows wildcards in an
// IPv6 address, which are only told from a field name once a field was read.
func (p *parser) whole(wild bool) (string, bool) {
	run := p.run()
	if strings.Contains(run, `\`) {
		return "", false
	}
	if strings.Count(run, ":") >= 2 {
		if wild && ipv6Like.MatchString(run) {
			return run, true
		}
		if _, err := netip.ParseAddr(run); err == nil {
			return run, true
		}
		if _, err := netip.ParsePrefix(run); err == nil {
			return run, true
		}
	}
	return run, isoTime.MatchString(run) || dateMath.MatchString(run) || urlStart.MatchString(run)
}

// fieldName consumes "name:" if that stands at the position.
func (p *parser) fieldName() (string, bool, error) {
	if _, ok := p.whole(false); ok {
		return "", false, nil
	}
	start := p.pos
	var b strings.Builder
	for !p.end() {
		r := p.src[p.pos]
		switch {
		case r == '\\' && p.pos+1 < len(p.src):
			p.pos++
			b.WriteRune(p.src[p.pos])
		case r == ':':
			if b.Len() == 0 {
				return "", false, p.fail(p.pos, "a field name before the colon")
			}
			p.pos++
			return b.String(), true, nil
		case unicode.IsSpace(r) || strings.ContainsRune(notInField, r) || (r == '/' && p.pos == start):
			p.pos = start
			return "", false, nil
		default:
			b.WriteRune(r)
		}
		p.pos++
	}
	p.pos = start
	return "", false, nil
}

// value parses a phrase, regular expression, range, comparison or term.
func (p *parser) value() (value, error) {
	at := p.pos
	switch r := p.src[p.pos]; r {
	case '"':
		return p.phrase()
	case '/':
		return p.regex()
	case '[', '{':
		return p.rangeOf()
	case '<', '>':
		return p.comparison()
	case ')', ']', '}', '^', '~', ':':
		return value{}, p.fail(at, "a value, found %q", r)
	}
	return p.term()
}

func (p *parser) phrase() (value, error) {
	v := value{kind: phraseValue, at: p.pos, quoted: true}
	text, err := p.quoted()
	if err != nil {
		return v, err
	}
	v.text = text
	if !p.end() && p.src[p.pos] == '~' { // proximity: accepted, the distance is ignored
		p.pos++
		if p.number() == "" {
			return v, p.fail(p.pos, "a number after ~")
		}
	}
	return v, nil
}

// quoted consumes "..." and resolves its escapes.
func (p *parser) quoted() (string, error) {
	open := p.pos
	p.pos++
	var b strings.Builder
	for ; !p.end(); p.pos++ {
		switch r := p.src[p.pos]; r {
		case '"':
			p.pos++
			return b.String(), nil
		case '\\':
			if p.pos+1 < len(p.src) {
				p.pos++
			}
			b.WriteRune(p.src[p.pos])
		default:
			b.WriteRune(r)
		}
	}
	return "", p.fail(p.pos, "a closing quote for the one at position %d", open+1)
}

func (p *parser) number() string {
	start := p.pos
	for !p.end() && (unicode.IsDigit(p.src[p.pos]) || p.src[p.pos] == '.') {
		p.pos++
	}
	return string(p.src[start:p.pos])
}

func (p *parser) regex() (value, error) {
	v := value{kind: regexValue, at: p.pos}
	p.pos++
	var b strings.Builder
	inClass := false
	for ; !p.end(); p.pos++ {
		r := p.src[p.pos]
		switch {
		case r == '/':
			p.pos++
			v.text = b.String()
			if !p.end() && !unicode.IsSpace(p.src[p.pos]) && !strings.ContainsRune(")^", p.src[p.pos]) {
				return v, p.fail(p.pos, `white space after the regular expression (write \/ for a slash inside it)`)
			}
			if _, err := syntax.Parse(v.text, syntax.Perl); err != nil {
				return v, p.fail(v.at, "a regular expression in RE2 syntax: %v", err)
			}
			return v, nil
		case r == '\\' && p.pos+1 < len(p.src):
			p.pos++
			if p.src[p.pos] != '/' {
				b.WriteRune('\\')
			}
			b.WriteRune(p.src[p.pos])
			continue
		case r == '[':
			inClass = true
		case r == ']':
			inClass = false
		case !inClass && strings.ContainsRune("~<>&@#", r):
			return v, p.fail(p.pos, `RE2 syntax: the Lucene operator %q is not supported, write \%c for the character`, r, r)
		}
		b.WriteRune(r)
	}
	return v, p.fail(p.pos, "a closing / for the regular expression at position %d", v.at+1)
}

func (p *parser) rangeOf() (value, error) {
	v := value{kind: rangeValue, at: p.pos}
	v.lo.inclusive = p.src[p.pos] == '['
	p.pos++
	if err := p.bound(&v.lo); err != nil {
		return v, err
	}
	p.space()
	if !p.word("TO") {
		return v, p.fail(p.pos, "TO between the bounds of the range")
	}
	p.pos += len("TO")
	if err := p.bound(&v.hi); err != nil {
		return v, err
	}
	p.space()
	if p.end() || (p.src[p.pos] != ']' && p.src[p.pos] != '}') {
		return v, p.fail(p.pos, "] or } at the end of the range")
	}
	v.hi.inclusive = p.src[p.pos] == ']'
	p.pos++
	return v, nil
}

func (p *parser) bound(b *bound) error {
	p.space()
	b.at = p.pos
	if p.end() || strings.ContainsRune("]}", p.src[p.pos]) || p.word("TO") {
		return p.fail(p.pos, "a bound of the range (* for none)")
	}
	if p.src[p.pos] == '"' {
		text, err := p.quoted()
		b.text = text
		return err
	}
	var s strings.Builder
	for ; !p.end() && !unicode.IsSpace(p.src[p.pos]) && !strings.ContainsRune("]}", p.src[p.pos]); p.pos++ {
		if p.src[p.pos] == '\\' && p.pos+1 < len(p.src) {
			p.pos++
		}
		s.WriteRune(p.src[p.pos])
	}
	b.text = s.String()
	b.open = b.text == "*"
	return nil
}

func (p *parser) comparison() (value, error) {
	v := value{kind: rangeValue, at: p.pos}
	less := p.src[p.pos] == '<'
	p.pos++
	inclusive := !p.end() && p.src[p.pos] == '='
	if inclusive {
		p.pos++
	}
	p.space()
	if p.end() {
		return v, p.fail(p.pos, "a value after the comparison")
	}
	b := bound{inclusive: inclusive, at: p.pos}
	if p.src[p.pos] == '"' {
		text, err := p.quoted()
		if err != nil {
			return v, err
		}
		b.text = text
	} else {
		t, err := p.term()
		if err != nil {
			return v, err
		}
		if t.kind != termValue {
			return v, p.fail(b.at, "a plain value after the comparison")
		}
		b.text = t.text
	}
	none := bound{open: true}
	if v.lo, v.hi = b, none; less {
		v.lo, v.hi = none, b
	}
	return v, nil
}

// term parses an unquoted value, which may contain wildcards and end in ~ for fuzzy comparison.
func (p *parser) term() (value, error) {
	v := value{kind: termValue, at: p.pos}
	if text, ok := p.whole(true); ok {
		p.pos += len([]rune(text))
		if urlStart.MatchString(text) {
			v.setPieces(wildcards(text, "*"))
		} else {
			v.setPieces(wildcards(text, "*?"))
		}
		return v, nil
	}
	var parts []piece
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, piece{lit: lit.String()})
			lit.Reset()
		}
	}
scan:
	for ; !p.end(); p.pos++ {
		r := p.src[p.pos]
		switch {
		case r == '\\':
			if p.pos+1 >= len(p.src) {
				return v, p.fail(p.pos+1, "a character after the backslash")
			}
			p.pos++
			lit.WriteRune(p.src[p.pos])
		case r == '*' || r == '?':
			flush()
			parts = append(parts, piece{any: byte(r)})
		case unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' || r == '^' || r == '~' || p.peek("&&") || p.peek("||"):
			break scan
		case r == ':':
			return v, p.fail(p.pos, `a value without a colon: write \: or put the value in quotes`)
		case strings.ContainsRune("[]{}<>", r):
			return v, p.fail(p.pos, `a value: write \%c or put the value in quotes`, r)
		default:
			lit.WriteRune(r)
		}
	}
	flush()
	if len(parts) == 0 {
		return v, p.fail(p.pos, "a value")
	}
	v.setPieces(parts)
	return v, p.fuzzy(&v)
}

// fuzzy consumes ~, ~1 or ~2 after a term.
func (p *parser) fuzzy(v *value) error {
	if p.end() || p.src[p.pos] != '~' {
		return nil
	}
	p.pos++
	text := p.number()
	if v.kind != termValue {
		return p.fail(v.at, "a term without wildcards before ~")
	}
	v.kind, v.distance = fuzzyValue, 2
	if text == "" {
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n > 2 {
		return p.fail(p.pos, "a distance of 0, 1 or 2 after ~")
	}
	if n < 1 && n > 0 { // a similarity of old Lucene
		n = 2
	}
	v.distance = int(n)
	return nil
}

// setPieces makes v a term, a wildcard or, for a lone *, an existence test.
func (v *value) setPieces(parts []piece) {
	var b strings.Builder
	wild := false
	for _, s := range parts {
		b.WriteString(s.lit)
		if s.any != 0 {
			wild = true
			b.WriteByte(s.any)
		}
	}
	v.text = b.String()
	switch {
	case len(parts) == 1 && parts[0].any == '*':
		v.kind = existsValue
	case wild:
		v.kind, v.parts = wildcardValue, parts
	}
}

// wildcards cuts text at the characters of which.
func wildcards(text, which string) []piece {
	var parts []piece
	for text != "" {
		i := strings.IndexAny(text, which)
		if i < 0 {
			return append(parts, piece{lit: text})
		}
		if i > 0 {
			parts = append(parts, piece{lit: text[:i]})
		}
		parts = append(parts, piece{any: text[i]})
		text = text[i+1:]
	}
	return parts
}

// notInField are characters that end a field name; fields that contain them write a backslash before.
const notInField = `()[]{}"^~<>`
