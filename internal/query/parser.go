package query

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"sluice/internal/fault"
)

// Bounds on what is parsed: text beyond them is refused, so that neither stack nor SQL grows without limit.
const (
	maxQueryRunes = 64 << 10
	maxDepth      = 100
	maxClauses    = 4096
)

// Query is a parsed LQ query. It is immutable and safe for concurrent use.
type Query struct {
	src   []rune
	root  node
	hints []Notice
}

// String returns the text that was parsed.
func (q *Query) String() string { return string(q.src) }

// Parse reads an LQ query. The empty text, * and *:* match everything. A mistake is a fault.Config error whose message
// begins with "position N: expected", N counting characters from 1.
func Parse(text string) (*Query, error) {
	p := &parser{src: []rune(text)}
	if len(p.src) > maxQueryRunes {
		return nil, p.fail(maxQueryRunes, "a query of at most %d characters", maxQueryRunes)
	}
	if err := otherLanguage(text); err != nil {
		return nil, err
	}
	if i := slices.Index(p.src, 0); i >= 0 {
		return nil, p.fail(i, "a printable character, found NUL")
	}
	p.space()
	if p.end() {
		return &Query{src: p.src, root: &matchAll{extent{to: len(p.src)}}}, nil
	}
	root, err := p.disjunction("")
	if err != nil {
		return nil, err
	}
	p.space()
	if !p.end() {
		return nil, p.fail(p.pos, "the end of the query or an operator, found %q", p.src[p.pos])
	}
	return &Query{src: p.src, root: root, hints: p.hints}, nil
}

// Text of other languages that would otherwise be searched for word by word.
var (
	linqText = regexp.MustCompile(`(?is)^\s*from\s+[\w.]+\s+(where|select|group)\s`)
	kqlText  = regexp.MustCompile(`(?s)^\s*[A-Za-z_]\w*\s*\|($|[^|])`)
)

func otherLanguage(text string) error {
	const op = "parse query"
	switch {
	case linqText.MatchString(text):
		return fault.New(fault.Config, op, "position 1: expected LQ, found what looks like LINQ, which is not supported").
			WithHint("the two supported languages are LQ (field:value AND ...) and KQL (Table | where ...)")
	case kqlText.MatchString(text):
		return fault.New(fault.Config, op, "position 1: expected LQ, found what looks like KQL").
			WithHint("choose the language KQL, or put quotes around the text to search for it")
	}
	return nil
}

// parser is a recursive-descent parser without a separate lexer, because what a character means depends on whether a
// field, a value or an operator is expected.
type parser struct {
	src     []rune
	pos     int
	depth   int
	clauses int
	hints   []Notice
}

func (p *parser) fail(at int, format string, args ...any) error {
	return fault.Newf(fault.Config, "parse query", "position %d: expected %s", at+1, fmt.Sprintf(format, args...))
}

func (p *parser) end() bool { return p.pos >= len(p.src) }

func (p *parser) space() {
	for !p.end() && unicode.IsSpace(p.src[p.pos]) {
		p.pos++
	}
}

func (p *parser) peek(s string) bool {
	for i, r := range []rune(s) {
		if p.pos+i >= len(p.src) || p.src[p.pos+i] != r {
			return false
		}
	}
	return true
}

// word reports whether the operator word w stands at the position, not as the beginning of a longer term.
func (p *parser) word(w string) bool {
	if !p.peek(w) {
		return false
	}
	next := p.pos + len(w)
	return next >= len(p.src) || unicode.IsSpace(p.src[next]) || strings.ContainsRune(`()"`, p.src[next])
}

// operator consumes an operator that has a word and a symbol form.
func (p *parser) operator(word, symbol string) bool {
	switch {
	case p.word(word):
		p.pos += len(word)
	case p.peek(symbol):
		p.pos += len(symbol)
	default:
		return false
	}
	return true
}

func (p *parser) atOr() bool  { return p.word("OR") || p.peek("||") }
func (p *parser) atAnd() bool { return p.word("AND") || p.peek("&&") }

// disjunction parses lists with OR between them. field is the field of the group that it stands in.
func (p *parser) disjunction(field string) (node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, p.fail(p.pos, "at most %d nested parentheses", maxDepth)
	}
	p.space()
	start := p.pos
	var kids []node
	hadAnd, hadOr := false, false
	for {
		kid, and, or, err := p.list(field)
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
		hadAnd, hadOr = hadAnd || and, hadOr || or
		p.space()
		if !p.operator("OR", "||") {
			break
		}
		hadOr = true
	}
	if hadAnd && hadOr {
		p.hint(start, "AND and OR are mixed without parentheses: AND binds stronger")
	}
	if len(kids) == 1 {
		return kids[0], nil
	}
	return &orNode{extent{from: start, to: kids[len(kids)-1].span().to}, kids}, nil
}

// list parses AND chains that follow each other without an operator.
func (p *parser) list(field string) (n node, hadAnd, juxtaposed bool, err error) {
	p.space()
	start := p.pos
	var items []listItem
	for {
		item, and, err := p.conjunction(field)
		if err != nil {
			return nil, false, false, err
		}
		items = append(items, item)
		hadAnd = hadAnd || and
		p.space()
		if p.end() || p.src[p.pos] == ')' || p.atOr() {
			break
		}
	}
	p.lowerCaseOperators(items)
	if len(items) == 1 && !items[0].required {
		return items[0].kid, hadAnd, false, nil
	}
	for _, it := range items {
		if _, negative := it.kid.(*notNode); !negative && !it.required && len(items) > 1 {
			juxtaposed = true
		}
	}
	return &listNode{extent{from: start, to: p.trimmed(start)}, items}, hadAnd, juxtaposed, nil
}

// trimmed is the position before the white space that was skipped.
func (p *parser) trimmed(from int) int {
	to := p.pos
	for to > from && unicode.IsSpace(p.src[to-1]) {
		to--
	}
	return to
}

// conjunction parses clauses with AND between them.
func (p *parser) conjunction(field string) (item listItem, hadAnd bool, err error) {
	p.space()
	start := p.pos
	var kids []node
	for {
		kid, required, err := p.clause(field)
		if err != nil {
			return listItem{}, false, err
		}
		kids = append(kids, kid)
		item.required = required
		end := p.pos
		p.space()
		if !p.operator("AND", "&&") {
			p.pos = end
			break
		}
	}
	if len(kids) == 1 {
		item.kid = kids[0]
		return item, false, nil
	}
	return listItem{kid: &andNode{extent{from: start, to: p.pos}, kids}}, true, nil
}

// clause parses one clause with its prefix.
func (p *parser) clause(field string) (n node, required bool, err error) {
	p.space()
	start := p.pos
	if p.end() {
		return nil, false, p.fail(p.pos, "a clause, found the end of the query")
	}
	if p.atAnd() || p.atOr() {
		return nil, false, p.fail(p.pos, "a clause, found an operator")
	}
	if p.clauses++; p.clauses > maxClauses {
		return nil, false, p.fail(p.pos, "at most %d clauses", maxClauses)
	}
	switch {
	case p.src[p.pos] == '+':
		p.pos++
		required = true
	case p.src[p.pos] == '-' || p.src[p.pos] == '!' || p.word("NOT"):
		if p.word("NOT") {
			p.pos += len("NOT")
		} else {
			p.pos++
		}
		p.depth++
		defer func() { p.depth-- }()
		if p.depth > maxDepth {
			return nil, false, p.fail(p.pos, "at most %d nested negations", maxDepth)
		}
		kid, _, err := p.clause(field)
		if err != nil {
			return nil, false, err
		}
		return &notNode{extent{from: start, to: p.pos}, kid}, false, nil
	}
	n, err = p.primary(field)
	if err != nil {
		return nil, false, err
	}
	return n, required, p.boost()
}

// boost consumes ^number, which is accepted and ignored: results are ordered by time.
func (p *parser) boost() error {
	if p.end() || p.src[p.pos] != '^' {
		return nil
	}
	p.pos++
	start := p.pos
	for !p.end() && (unicode.IsDigit(p.src[p.pos]) || p.src[p.pos] == '.') {
		p.pos++
	}
	if p.pos == start {
		return p.fail(p.pos, "a number after ^")
	}
	return nil
}

// primary parses a group, a clause with a field or a bare value.
func (p *parser) primary(field string) (node, error) {
	p.space()
	if p.end() {
		return nil, p.fail(p.pos, "a clause, found the end of the query")
	}
	start := p.pos
	if p.src[p.pos] == '(' {
		return p.group(field, "", start)
	}
	if field == "" {
		if name, ok, err := p.fieldName(); err != nil {
			return nil, err
		} else if ok {
			return p.fieldClause(name, start)
		}
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if field == "" && v.kind == existsValue {
		return &matchAll{extent{from: start, to: p.pos}}, nil
	}
	return &leaf{
		extent: extent{from: start, to: p.pos}, field: field, fieldWild: strings.Contains(field, "*"),
		fieldAt: start, inGroup: field != "", value: v,
	}, nil
}

// fieldClause parses what follows "name:".
func (p *parser) fieldClause(name string, start int) (node, error) {
	p.space()
	if p.end() || p.src[p.pos] == ')' || p.atAnd() || p.atOr() {
		return nil, p.fail(p.pos, "a value after %q", name+":")
	}
	if name == "*" {
		name = ""
	}
	if p.src[p.pos] == '(' {
		return p.group(name, string(p.src[start:p.pos]), start)
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if name == "_exists_" {
		if v.kind != termValue && v.kind != phraseValue && v.kind != wildcardValue {
			return nil, p.fail(v.at, "a field name after _exists_:")
		}
		name, v.kind = v.text, existsValue
	}
	if name == "" && v.kind == existsValue {
		return &matchAll{extent{from: start, to: p.pos}}, nil
	}
	return &leaf{
		extent: extent{from: start, to: p.pos}, field: name, fieldWild: strings.Contains(name, "*"),
		fieldAt: start, value: v,
	}, nil
}

// group parses a parenthesis, whose clauses have the given field unless it is "".
func (p *parser) group(field, prefix string, start int) (node, error) {
	open := p.pos
	p.pos++
	p.space()
	if !p.end() && p.src[p.pos] == ')' {
		return nil, p.fail(p.pos, "a clause inside the parentheses")
	}
	kid, err := p.disjunction(field)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.end() || p.src[p.pos] != ')' {
		return nil, p.fail(p.pos, "a closing parenthesis for the one at position %d", open+1)
	}
	p.pos++
	return &groupNode{extent{from: start, to: p.pos}, prefix, kid}, nil
}

func (p *parser) hint(at int, text string) {
	p.hints = append(p.hints, Notice{Kind: Hint, Text: text, Position: at + 1})
}

// lowerCaseOperators hints at and, or, not that were probably meant as operators.
func (p *parser) lowerCaseOperators(items []listItem) {
	for i, it := range items {
		l, ok := it.kid.(*leaf)
		if !ok || l.value.kind != termValue || l.value.quoted || (l.field != "" && !l.inGroup) {
			continue
		}
		w := l.value.text
		between := i > 0 && i < len(items)-1
		if (between && (w == "and" || w == "or")) || (i < len(items)-1 && w == "not") {
			p.hint(l.from, fmt.Sprintf("%q is searched as a word; the operator is %s", w, strings.ToUpper(w)))
		}
	}
}
