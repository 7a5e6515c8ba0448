package query

import "strings"

// A conjunction that asks one single-valued field for two values can match no record. Documents that analysts follow
// contain such queries and mean "either" (spec/query-languages.md section 1, query 2), so unless Options.Strict is set
// they are run as OR, with a notice that shows what was run.

// contradictions returns n with every contradictory conjunction rewritten, and leaves the notices.
func (c *compiler) contradictions(n node) node {
	out, fields := c.rewrite(n)
	if len(fields) == 0 {
		return n
	}
	shown := render(c.src, out)
	if g, ok := out.(*orNode); ok {
		shown = join(c.src, g.kids, " OR ")
	}
	for _, f := range fields {
		notice := Notice{Kind: Rewrite, Query: shown, Text: "contradictory conjunction on single-valued field " + f + ", run as OR"}
		if c.opt.Strict {
			notice.Kind = Hint
			notice.Text += " without strict"
		}
		c.out.Notices = append(c.out.Notices, notice)
	}
	if c.opt.Strict {
		return n
	}
	return out
}

// rewrite returns n itself when nothing below it contradicts, and the names of the fields that do.
func (c *compiler) rewrite(n node) (node, []string) {
	made := extent{made: true}
	switch n := n.(type) {
	case *groupNode:
		if kid, fields := c.rewrite(n.kid); len(fields) > 0 {
			return &groupNode{made, "", kid}, fields
		}
	case *notNode:
		if kid, fields := c.rewrite(n.kid); len(fields) > 0 {
			return &notNode{made, kid}, fields
		}
	case *orNode:
		if kids, fields := c.rewriteAll(n.kids); len(fields) > 0 {
			return &orNode{made, kids}, fields
		}
	case *andNode:
		return c.rewriteAnd(n, n.kids)
	case *listNode:
		must, _, mustNot := n.roles(c.opt.DefaultOperator)
		if len(must) > 1 {
			kids := must
			for _, m := range mustNot {
				kids = append(kids, &notNode{made, m})
			}
			return c.rewriteAnd(n, kids)
		}
		items := make([]listItem, len(n.items))
		var all []string
		for i, it := range n.items {
			kid, fields := c.rewrite(it.kid)
			items[i] = listItem{it.required, kid}
			all = append(all, fields...)
		}
		if len(all) > 0 {
			return &listNode{made, items}, all
		}
	}
	return n, nil
}

func (c *compiler) rewriteAll(kids []node) (out []node, fields []string) {
	for _, k := range kids {
		kid, f := c.rewrite(k)
		out = append(out, kid)
		fields = append(fields, f...)
	}
	return out, fields
}

// rewriteAnd rewrites a conjunction of kids; n is what it was.
func (c *compiler) rewriteAnd(n node, kids []node) (node, []string) {
	kids, fields := c.rewriteAll(flatten(kids))
	byField := map[string][]node{}
	values := map[string]map[string]bool{}
	for _, k := range kids {
		if key, val, ok := c.singleEquality(k); ok {
			if values[key] == nil {
				values[key] = map[string]bool{}
			}
			values[key][val] = true
			byField[key] = append(byField[key], k)
		}
	}
	var out []node
	done := map[string]bool{}
	for _, k := range kids {
		key, _, ok := c.singleEquality(k)
		if !ok || len(values[key]) < 2 {
			out = append(out, k)
			continue
		}
		if done[key] {
			continue
		}
		done[key] = true
		out = append(out, &orNode{extent{made: true}, byField[key]})
		if l, isLeaf := k.(*leaf); isLeaf {
			fields = append(fields, l.field)
		}
	}
	if len(fields) == 0 {
		return n, nil
	}
	if len(out) == 1 {
		return out[0], fields
	}
	return &andNode{extent{made: true}, out}, fields
}

// flatten opens conjunctions inside a conjunction.
func flatten(kids []node) []node {
	var out []node
	for _, k := range kids {
		inner := k
		if g, ok := k.(*groupNode); ok {
			inner = g.kid
		}
		if a, ok := inner.(*andNode); ok {
			out = append(out, flatten(a.kids)...)
			continue
		}
		out = append(out, k)
	}
	return out
}

// singleEquality reports whether n asks for one value of a field that has at most one, and returns a key for the field
// and one for the value.
func (c *compiler) singleEquality(n node) (field, val string, ok bool) {
	l, isLeaf := n.(*leaf)
	if !isLeaf || l.field == "" || l.fieldWild || (l.value.kind != termValue && l.value.kind != phraseValue) {
		return "", "", false
	}
	targets := c.cat.resolve(l.field)
	if len(targets) == 0 {
		return "", "", false
	}
	names := make([]string, len(targets))
	for i, t := range targets {
		if t.multi() || t.textLike() || t.Kind == Time || t.timeText() || t.address() {
			return "", "", false
		}
		names[i] = t.Name
	}
	val = l.value.text
	if !c.opt.CaseSensitive {
		val = strings.ToLower(val)
	}
	return strings.Join(names, "\x00"), val, true
}
