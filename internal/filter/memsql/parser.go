package memsql

import (
	"strconv"
	"strings"
	"time"
)

// Columns gives the columns that a condition may name their numbers. ok is false for a column that does not exist.
type Columns func(name string) (number int, ok bool)

// Compile reads a condition. The error is of kind fault.Internal and says what is not understood and where: package
// query wrote something that this package has not learned.
func Compile(where string, columns Columns) (*Program, error) {
	tokens, err := lex(where)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, columns: columns}
	root, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.tokens[p.pos].kind != endToken {
		return nil, p.unexpected("the end")
	}
	return &Program{root}, nil
}

type parser struct {
	tokens  []token
	pos     int
	depth   int
	lambda  string // variable of the lambda around the position
	columns Columns
}

// maxDepth bounds the nesting of expressions: above what query.Parse accepts, each level of which is a few here.
const maxDepth = 2000

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != endToken {
		p.pos++
	}
	return t
}

func (p *parser) unexpected(want string) error {
	t := p.peek()
	return unknown(t.at, "expected "+want+", found "+strconv.Quote(t.text))
}

func (p *parser) word(w string) bool {
	if t := p.peek(); t.kind != wordToken || !strings.EqualFold(t.text, w) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) symbol(s string) bool {
	if t := p.peek(); t.kind != symbolToken || t.text != s {
		return false
	}
	p.pos++
	return true
}

// expect consumes words and symbols in this order.
func (p *parser) expect(texts ...string) error {
	for _, text := range texts {
		if !p.word(text) && !p.symbol(text) {
			return p.unexpected(text)
		}
	}
	return nil
}

// expression reads a disjunction.
func (p *parser) expression() (node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return node{}, p.unexpected("less nesting")
	}
	return p.chain("OR", func() (node, error) { return p.chain("AND", p.negation) })
}

// chain reads members with a logical operator between them.
func (p *parser) chain(operator string, member func() (node, error)) (node, error) {
	first, err := member()
	if err != nil {
		return node{}, err
	}
	members := []node{first}
	for p.word(operator) {
		n, err := member()
		if err != nil {
			return node{}, err
		}
		members = append(members, n)
	}
	if len(members) == 1 {
		return first, nil
	}
	return logical(members, operator == "OR"), nil
}

// logical is AND, or OR when decisive is true: the first member with the decisive value decides, and NULL stays NULL
// unless one does.
func logical(members []node, decisive bool) node {
	constants := true
	for _, n := range members {
		constants = constants && n.constant
	}
	return node{constant: constants, eval: func(m *Machine) Value {
		unsure := false
		for i := range members {
			v := members[i].eval(m)
			if v.Kind != Bool {
				unsure = true
			} else if (v.Num != 0) == decisive {
				return truth(decisive)
			}
		}
		if unsure {
			return null
		}
		return truth(!decisive)
	}}.fold()
}

func (p *parser) negation() (node, error) {
	if !p.word("NOT") {
		return p.predicate()
	}
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return node{}, p.unexpected("less nesting")
	}
	n, err := p.negation()
	return node{constant: n.constant, eval: func(m *Machine) Value {
		v := n.eval(m)
		if v.Kind != Bool {
			return null
		}
		return truth(v.Num == 0)
	}}, err
}

// predicate reads a value with what is asked of it.
func (p *parser) predicate() (node, error) {
	left, err := p.primary()
	if err != nil {
		return node{}, err
	}
	t := p.peek()
	switch {
	case t.kind == symbolToken && comparisons[t.text] != nil:
		p.pos++
		right, err := p.primary()
		return comparison(left, right, comparisons[t.text]), err
	case p.word("BETWEEN"):
		return p.between(left)
	case p.word("LIKE"):
		return p.like(left)
	case p.word("IS"):
		err := p.expect("NOT", "NULL")
		return node{constant: left.constant, eval: func(m *Machine) Value { return truth(left.eval(m).Kind != Null) }}, err
	case p.word("NOT"):
		return p.notIn(left)
	}
	return left, nil
}

var comparisons = map[string]func(order int) bool{
	"=":  func(o int) bool { return o == 0 },
	"<>": func(o int) bool { return o != 0 },
	">=": func(o int) bool { return o >= 0 },
	"<=": func(o int) bool { return o <= 0 },
	">":  func(o int) bool { return o > 0 },
	"<":  func(o int) bool { return o < 0 },
}

func comparison(left, right node, holds func(int) bool) node {
	return node{constant: left.constant && right.constant, eval: func(m *Machine) Value {
		order, ok := compare(left.eval(m), right.eval(m))
		if !ok {
			return null
		}
		return truth(holds(order))
	}}
}

func (p *parser) between(left node) (node, error) {
	low, err := p.primary()
	if err != nil {
		return node{}, err
	}
	if err := p.expect("AND"); err != nil {
		return node{}, err
	}
	high, err := p.primary()
	return node{eval: func(m *Machine) Value {
		v := left.eval(m)
		a, okA := compare(v, low.eval(m))
		b, okB := compare(v, high.eval(m))
		if !okA || !okB {
			return null
		}
		return truth(a >= 0 && b <= 0)
	}}, err
}

func (p *parser) notIn(left node) (node, error) {
	if err := p.expect("IN", "("); err != nil {
		return node{}, err
	}
	items, err := p.arguments()
	return node{eval: func(m *Machine) Value {
		v := left.eval(m)
		if v.Kind == Null {
			return null
		}
		for _, item := range items {
			if order, ok := compare(v, item.eval(m)); ok && order == 0 {
				return no
			}
		}
		return yes
	}}, err
}

// primary reads a value.
func (p *parser) primary() (node, error) {
	t := p.next()
	switch t.kind {
	case stringToken:
		return constant(Value{Kind: Text, Bytes: []byte(t.text)}), nil
	case nameToken:
		number, ok := p.columns(t.text)
		if !ok {
			return node{}, unknown(t.at, "unknown column "+strconv.Quote(t.text))
		}
		return node{eval: func(m *Machine) Value { return m.row.Column(number) }}, nil
	case numberToken:
		return number(t, "")
	case wordToken:
		return p.named(t)
	default: // a symbol or the end
	}
	switch {
	case t.text == "(" && t.kind == symbolToken:
		n, err := p.expression()
		if err != nil {
			return node{}, err
		}
		return n, p.expect(")")
	case t.text == "-" && p.peek().kind == numberToken:
		return number(p.next(), "-")
	}
	p.pos = max(0, p.pos-1)
	return node{}, p.unexpected("a value")
}

func number(t token, sign string) (node, error) {
	n, err := strconv.ParseInt(sign+t.text, 10, 64)
	if err != nil {
		return node{}, unknown(t.at, "expected a whole number, found "+strconv.Quote(t.text))
	}
	return constant(Value{Kind: Int, Num: n}), nil
}

// named reads what begins with a word.
func (p *parser) named(t token) (node, error) {
	switch word := strings.ToLower(t.text); word {
	case "true":
		return constant(yes), nil
	case "false":
		return constant(no), nil
	case "null":
		return constant(null), nil
	case "timestamptz":
		return p.timeLiteral()
	case "case":
		return p.choice()
	case "cast", "try_cast":
		return p.cast()
	default:
		if p.symbol("(") {
			return p.call(t, word)
		}
		if p.lambda != "" && t.text == p.lambda {
			return node{eval: func(m *Machine) Value { return m.variable }}, nil
		}
		return node{}, unknown(t.at, "unknown word "+strconv.Quote(t.text))
	}
}

func (p *parser) timeLiteral() (node, error) {
	t := p.next()
	at, err := time.Parse("2006-01-02 15:04:05.999999Z07:00", t.text)
	if t.kind != stringToken || err != nil {
		return node{}, unknown(t.at, "expected a time, found "+strconv.Quote(t.text))
	}
	return constant(Value{Kind: Time, Num: at.UnixMicro()}), nil
}

func (p *parser) choice() (node, error) {
	if err := p.expect("WHEN"); err != nil {
		return node{}, err
	}
	var parts [3]node
	for i, after := range []string{"THEN", "ELSE", "END"} {
		n, err := p.expression()
		if err != nil {
			return node{}, err
		}
		if err := p.expect(after); err != nil {
			return node{}, err
		}
		parts[i] = n
	}
	return node{eval: func(m *Machine) Value {
		if parts[0].eval(m).isTrue() {
			return parts[1].eval(m)
		}
		return parts[2].eval(m)
	}}, nil
}

func (p *parser) cast() (node, error) {
	if err := p.expect("("); err != nil {
		return node{}, err
	}
	n, err := p.expression()
	if err != nil {
		return node{}, err
	}
	if err := p.expect("AS"); err != nil {
		return node{}, err
	}
	t := p.next()
	convert := casts[strings.ToUpper(t.text)]
	if convert == nil {
		return node{}, unknown(t.at, "unknown type "+strconv.Quote(t.text))
	}
	cast := node{constant: n.constant, eval: func(m *Machine) Value { return convert(m, n.eval(m)) }}
	return cast.fold(), p.expect(")")
}

// arguments reads expressions up to the closing parenthesis.
func (p *parser) arguments() ([]node, error) {
	var list []node
	for {
		n, err := p.expression()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if p.symbol(")") {
			return list, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

// call reads the arguments of a function.
func (p *parser) call(t token, name string) (node, error) {
	if name == "list_filter" {
		return p.listFilter()
	}
	args, err := p.arguments()
	if err != nil {
		return node{}, err
	}
	f, ok := functions[name]
	if !ok || len(args) < f.least || f.least != variadic(name) && len(args) > f.least {
		return node{}, unknown(t.at, "unknown function "+name+" with "+strconv.Itoa(len(args))+" arguments")
	}
	n, err := f.build(args)
	if err != nil {
		return node{}, unknown(t.at, name+": "+err.Error())
	}
	n.constant = true
	for _, a := range args {
		n.constant = n.constant && a.constant
	}
	return n.fold(), nil
}

// listFilter reads list_filter(list, lambda v: condition), of which query only counts the result.
func (p *parser) listFilter() (node, error) {
	source, err := p.expression()
	if err != nil {
		return node{}, err
	}
	if err := p.expect(",", "lambda"); err != nil {
		return node{}, err
	}
	outer := p.lambda
	p.lambda = p.next().text
	if err := p.expect(":"); err != nil {
		return node{}, err
	}
	condition, err := p.expression()
	p.lambda = outer
	if err != nil {
		return node{}, err
	}
	return node{eval: func(m *Machine) Value { return m.filter(source.eval(m), condition) }}, p.expect(")")
}

// filter keeps the texts for which the condition is true.
func (m *Machine) filter(source Value, condition node) Value {
	if source.Kind != texts {
		return null
	}
	start := len(m.items)
	outer := m.variable
	for _, text := range source.items {
		m.variable = null
		if text != nil {
			m.variable = Value{Kind: Text, Bytes: text}
		}
		if condition.eval(m).isTrue() {
			m.items = append(m.items, text)
		}
	}
	m.variable = outer
	return Value{Kind: texts, items: m.take(start)}
}
