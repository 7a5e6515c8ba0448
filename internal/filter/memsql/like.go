package memsql

import (
	"unicode/utf8"
)

// like reads LIKE pattern ESCAPE 'c'. The pattern may be lower(...) of a literal.
func (p *parser) like(left node) (node, error) {
	right, err := p.primary()
	if err != nil {
		return node{}, err
	}
	if err := p.expect("ESCAPE"); err != nil {
		return node{}, err
	}
	escape := p.next()
	source, err := constantText(right)
	if err != nil || escape.kind != stringToken || len(escape.text) != 1 {
		return node{}, unknown(escape.at, "expected LIKE with a literal and an escape character")
	}
	pattern := parseLike(source, escape.text[0])
	return node{eval: func(m *Machine) Value {
		v := left.eval(m)
		if !v.isText() {
			return null
		}
		return truth(matchLike(pattern, v.Bytes))
	}}, nil
}

// likePart is one character of a pattern, or % or _ with any set.
type likePart struct {
	char rune
	any  byte
}

func parseLike(source string, escape byte) []likePart {
	var parts []likePart
	escaped := false
	for _, r := range source {
		switch {
		case !escaped && r == rune(escape):
			escaped = true
			continue
		case !escaped && (r == '%' || r == '_'):
			parts = append(parts, likePart{any: byte(r)})
		default:
			parts = append(parts, likePart{char: r})
		}
		escaped = false
	}
	return parts
}

// matchLike matches the whole text. After a failure it returns to the last % and lets it take one character more:
// what an earlier % could take, the last one can too.
func matchLike(pattern []likePart, text []byte) bool {
	p, t := 0, 0
	star, from := -1, 0
	for t < len(text) {
		r, n := utf8.DecodeRune(text[t:])
		switch {
		case p < len(pattern) && pattern[p].any == '%':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p].any == '_' || pattern[p].any == 0 && pattern[p].char == r):
			p++
			t += n
		case star >= 0:
			_, n = utf8.DecodeRune(text[from:])
			from += n
			p, t = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p].any == '%' {
		p++
	}
	return p == len(pattern)
}
