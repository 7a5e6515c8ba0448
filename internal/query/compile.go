package query

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
)

// NoticeKind is the class of a notice.
type NoticeKind string

// The kinds of notices.
const (
	Hint    NoticeKind = "hint"    // something in the query probably does not mean what was intended
	Rewrite NoticeKind = "rewrite" // another query was run; Notice.Query shows it
	Partial NoticeKind = "partial" // the answer lacks something that the query asked for
)

// Notice tells the reader something about how a query was understood. It never changes the result by itself.
type Notice struct {
	Kind     NoticeKind `json:"kind"`
	Text     string     `json:"text"`
	Query    string     `json:"query,omitempty"`    // the rewritten query
	Position int        `json:"position,omitempty"` // character in the query, from 1; 0 when it is about the whole
}

// String returns the text, followed by the rewritten query if there is one.
func (n Notice) String() string {
	if n.Query == "" {
		return n.Text
	}
	return n.Text + ": " + n.Query
}

// Operator joins clauses that stand side by side.
type Operator string

// The default operators.
const (
	Or  Operator = "or"
	And Operator = "and"
)

// Options change how a query is understood. The zero value is the usual.
type Options struct {
	Now             time.Time // what now means; the current time when zero
	Strict          bool      // unknown fields are errors, contradictions are not rewritten
	DefaultOperator Operator  // Or when empty
	CaseSensitive   bool      // compare text exactly
}

// Compiled is a query as SQL.
type Compiled struct {
	Where    string    // a condition that is never NULL, over the columns of the catalogue
	Notices  []Notice  // in the order of the query
	From, To time.Time // every matching record has From <= timestamp < To; zero where the query sets no bound
	FullText bool      // searches for bare words in all text columns
}

// Compile turns the query into SQL over the columns of cat. Errors are of kind fault.Config and begin with a position.
func (q *Query) Compile(cat *Catalogue, opt Options) (Compiled, error) {
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	if opt.DefaultOperator != "" && opt.DefaultOperator != Or && opt.DefaultOperator != And {
		return Compiled{}, fault.Newf(fault.Config, "compile query", "default operator %q: expected and, or", opt.DefaultOperator)
	}
	c := &compiler{src: q.src, cat: cat, opt: opt, fields: map[string][]target{}}
	c.out.Notices = slices.Clone(q.hints)
	root := c.contradictions(q.root)
	c.bounds(root)
	where, err := c.node(root)
	if err != nil {
		return Compiled{}, err
	}
	c.out.Where = where
	return c.out, nil
}

// compiler holds the state of one Compile.
type compiler struct {
	src    []rune
	cat    *Catalogue
	opt    Options
	fields map[string][]target // resolved names
	out    Compiled
}

func (c *compiler) fail(at int, format string, args ...any) error {
	return fault.Newf(fault.Config, "compile query", "position %d: %s", at+1, fmt.Sprintf(format, args...))
}

func (c *compiler) hint(at int, format string, args ...any) {
	n := Notice{Kind: Hint, Text: fmt.Sprintf(format, args...), Position: at + 1}
	if !slices.Contains(c.out.Notices, n) {
		c.out.Notices = append(c.out.Notices, n)
	}
}

func (c *compiler) node(n node) (string, error) {
	switch n := n.(type) {
	case *matchAll:
		return "true", nil
	case *groupNode:
		return c.node(n.kid)
	case *notNode:
		sql, err := c.node(n.kid)
		return "NOT (" + sql + ")", err
	case *andNode:
		return c.joined(n.kids, " AND ")
	case *orNode:
		return c.joined(n.kids, " OR ")
	case *listNode:
		must, should, mustNot := n.roles(c.opt.DefaultOperator)
		return c.list(must, should, mustNot)
	case *leaf:
		return c.leaf(n)
	}
	return "", fault.Newf(fault.Internal, "compile query", "unknown node %T", n)
}

// roles sorts the clauses of a list as Lucene does: + is required, - and NOT exclude, the rest is optional. Optional
// clauses do not filter once something is required.
func (n *listNode) roles(op Operator) (must, should, mustNot []node) {
	for _, it := range n.items {
		not, negative := it.kid.(*notNode)
		switch {
		case it.required:
			must = append(must, it.kid)
		case negative:
			mustNot = append(mustNot, not.kid)
		default:
			should = append(should, it.kid)
		}
	}
	switch {
	case len(must) > 0:
		should = nil
	case op == And:
		must, should = should, nil
	}
	return must, should, mustNot
}

func (c *compiler) list(must, should, mustNot []node) (string, error) {
	var parts []string
	for _, n := range must {
		sql, err := c.node(n)
		if err != nil {
			return "", err
		}
		parts = append(parts, "("+sql+")")
	}
	if len(should) > 0 {
		sql, err := c.joined(should, " OR ")
		if err != nil {
			return "", err
		}
		parts = append(parts, "("+sql+")")
	}
	for _, n := range mustNot {
		sql, err := c.node(n)
		if err != nil {
			return "", err
		}
		parts = append(parts, "NOT ("+sql+")")
	}
	return strings.Join(parts, " AND "), nil
}

func (c *compiler) joined(kids []node, sep string) (string, error) {
	parts := make([]string, len(kids))
	for i, k := range kids {
		sql, err := c.node(k)
		if err != nil {
			return "", err
		}
		parts[i] = "(" + sql + ")"
	}
	return strings.Join(parts, sep), nil
}

// targets resolves the field of a leaf; the result is empty for an unknown field, which was then noticed.
func (c *compiler) targets(l *leaf) ([]target, error) {
	if found, ok := c.fields[l.field]; ok && len(found) > 0 {
		return found, nil
	}
	var found []target
	if l.fieldWild {
		var few bool
		if found, few = c.cat.wildcard(l.field); !few {
			return nil, c.fail(l.fieldAt, "field %q stands for %d fields, expected at most %d", l.field, len(found), maxWildcardFields)
		}
	} else {
		found = c.cat.resolve(l.field)
	}
	if len(found) == 0 {
		if c.opt.Strict {
			return nil, c.fail(l.fieldAt, "unknown field %q", l.field)
		}
		c.hint(l.fieldAt, "unknown field %q: the clause matches nothing", l.field)
	}
	c.fields[l.field] = found
	return found, nil
}

func (c *compiler) leaf(l *leaf) (string, error) {
	if l.field == "" {
		return c.bare(l)
	}
	targets, err := c.targets(l)
	if err != nil {
		return "", err
	}
	parts := make([]string, 0, len(targets))
	for _, t := range targets {
		sql, err := c.compare(t, l)
		if err != nil {
			return "", err
		}
		if sql != "false" {
			parts = append(parts, "coalesce("+sql+", false)")
		}
	}
	if len(parts) == 0 {
		return "false", nil
	}
	return strings.Join(parts, " OR "), nil
}

// bare searches all text columns.
func (c *compiler) bare(l *leaf) (string, error) {
	v := l.value
	var columns []string
	for _, col := range c.cat.columns {
		if (col.Kind == Text || col.Kind == JSON) && searchable(col) {
			columns = append(columns, Ident(col.Name))
		}
	}
	c.out.FullText = true
	if len(columns) == 0 {
		return "false", nil
	}
	switch v.kind {
	case termValue:
		return termWords([]piece{{lit: v.text}}).inAny(columns), nil
	case wildcardValue:
		return termWords(v.parts).inAny(columns), nil
	case phraseValue:
		if v.text == "" {
			return "true", nil
		}
		return phraseWords(v.text).inAny(columns), nil
	case regexValue:
		for i, col := range columns {
			columns[i] = "coalesce(" + text{expr: col}.regex(v.text) + ", false)"
		}
		return strings.Join(columns, " OR "), nil
	default:
		return "", c.fail(v.at, "expected a field before this value: ranges, comparisons and ~ need one")
	}
}

// searchable columns are read by searches for bare words: the vendor's fields, and the few of Sluice's own that no
// vendor field repeats. Most normalised fields are copies, and reading them too would double the work.
func searchable(c Column) bool {
	switch c.Name {
	case "_overflow", "_raw", "_id", "tenant_name", "connector.name", "msg_class", "event.code", "reason":
		return true
	}
	return c.Vendor
}

// bounds finds the time bounds in the clauses that every matching record must meet.
func (c *compiler) bounds(root node) {
	for _, n := range c.conjuncts(root) {
		l, ok := n.(*leaf)
		if !ok || l.field == "" || l.fieldWild {
			continue
		}
		targets := c.cat.resolve(l.field)
		if len(targets) != 1 || targets[0].Name != "timestamp" {
			continue
		}
		iv, ok := c.interval(l.value)
		if !ok {
			continue
		}
		if !iv.from.IsZero() && iv.from.After(c.out.From) {
			c.out.From = iv.from
		}
		if !iv.to.IsZero() && (c.out.To.IsZero() || iv.to.Before(c.out.To)) {
			c.out.To = iv.to
		}
	}
}

// interval is the time that a value stands for on a time field.
func (c *compiler) interval(v value) (interval, bool) {
	switch v.kind {
	case termValue, phraseValue:
		return parseDate(v.text, c.opt.Now)
	case rangeValue:
		iv, bad := dateRange(v, c.opt.Now)
		return iv, bad == nil
	default: // patterns are no times
		return interval{}, false
	}
}

// conjuncts are the nodes below n that must all be true, as deep as only AND leads.
func (c *compiler) conjuncts(n node) []node {
	var kids []node
	switch n := n.(type) {
	case *groupNode:
		return c.conjuncts(n.kid)
	case *andNode:
		kids = n.kids
	case *listNode:
		must, should, _ := n.roles(c.opt.DefaultOperator)
		if len(must) == 0 && len(should) == 1 {
			must = should
		}
		kids = must
	default:
		return []node{n}
	}
	var out []node
	for _, k := range kids {
		out = append(out, c.conjuncts(k)...)
	}
	return out
}
