package query

import "strings"

// node is a part of the parsed query. Nodes are never changed after parsing; rewriting makes new ones.
type node interface{ span() extent }

// extent is the part of the source text that a node came from, as rune offsets. The zero extent with made set belongs
// to a node that a rewrite made and that has no text of its own.
type extent struct {
	from, to int
	made     bool
}

func (e extent) span() extent { return e }

// matchAll is the empty query, * and *:*.
type matchAll struct{ extent }

// notNode negates. It comes from NOT, ! and -.
type notNode struct {
	extent
	kid node
}

// andNode is a chain of clauses with AND between them.
type andNode struct {
	extent
	kids []node
}

// orNode is a chain with OR between its members.
type orNode struct {
	extent
	kids []node
}

// listNode is a list of clauses without operators between them. What it means depends on the default operator and on
// the prefixes.
type listNode struct {
	extent
	items []listItem
}

type listItem struct {
	required bool // had the prefix +
	kid      node
}

// groupNode is a parenthesis. It exists so that a rewritten query prints as the reader wrote it.
type groupNode struct {
	extent
	prefix string // "f:" of a field group, else ""
	kid    node
}

// leaf is one clause: a value with or without a field.
type leaf struct {
	extent
	field     string // unescaped; "" for a bare value
	fieldWild bool   // the name contains *
	fieldAt   int
	inGroup   bool // the field was written before the parenthesis, not here
	value     value
}

type valueKind uint8

const (
	termValue valueKind = iota
	phraseValue
	wildcardValue
	existsValue // *, or _exists_:f
	regexValue
	rangeValue
	fuzzyValue
)

// value is the right side of a clause.
type value struct {
	kind     valueKind
	text     string  // unescaped; of a regex: its source
	parts    []piece // of a wildcard
	lo, hi   bound   // of a range
	distance int     // of a fuzzy term
	at       int     // rune offset in the query
	quoted   bool    // a range bound or term that was a phrase
}

// piece is a part of a wildcard pattern.
type piece struct {
	lit string
	any byte // '*', '?', or 0 for lit
}

// bound is one end of a range.
type bound struct {
	text      string
	open      bool // no bound at this end
	inclusive bool
	at        int
}

// render prints n as query text: the reader's own words where n is unchanged.
func render(src []rune, n node) string {
	if e := n.span(); !e.made {
		text := string(src[e.from:e.to])
		if l, ok := n.(*leaf); ok && l.inGroup {
			return l.field + ":" + text
		}
		return text
	}
	switch n := n.(type) {
	case *notNode:
		return "NOT " + render(src, n.kid)
	case *andNode:
		return join(src, n.kids, " AND ")
	case *orNode:
		return "(" + join(src, n.kids, " OR ") + ")"
	case *groupNode:
		text := render(src, n.kid)
		if _, isOr := n.kid.(*orNode); isOr {
			return n.prefix + text
		}
		return n.prefix + "(" + text + ")"
	case *listNode:
		parts := make([]string, len(n.items))
		for i, it := range n.items {
			if it.required {
				parts[i] = "+"
			}
			parts[i] += render(src, it.kid)
		}
		return strings.Join(parts, " ")
	}
	return "*"
}

func join(src []rune, kids []node, sep string) string {
	parts := make([]string, len(kids))
	for i, k := range kids {
		parts[i] = render(src, k)
	}
	return strings.Join(parts, sep)
}
