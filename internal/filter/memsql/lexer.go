package memsql

import (
	"strings"

	"sluice/internal/fault"
)

type tokenKind uint8

const (
	endToken    tokenKind = iota
	wordToken             // keyword, function, type or the lambda's variable
	nameToken             // "column"
	stringToken           // 'text'
	numberToken
	symbolToken
)

type token struct {
	kind tokenKind
	text string // without quotes
	at   int    // byte offset
}

func unknown(at int, what string) error {
	return fault.Newf(fault.Internal, "read condition", "byte %d: %s", at+1, what)
}

// lex cuts a condition into tokens; the last one is an endToken.
func lex(sql string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(sql); {
		start := i
		switch c := sql[i]; {
		case c == ' ' || c == '\n' || c == '\t':
			i++
			continue
		case c == '\'' || c == '"':
			text, end := quoted(sql, i)
			if end < 0 {
				return nil, unknown(i, "the quote does not end")
			}
			kind := stringToken
			if c == '"' {
				kind = nameToken
			}
			tokens = append(tokens, token{kind, text, start})
			i = end
		case isDigit(c):
			for i < len(sql) && (isDigit(sql[i]) || sql[i] == '.') {
				i++
			}
			tokens = append(tokens, token{numberToken, sql[start:i], start})
		case isWord(c):
			for i < len(sql) && (isWord(sql[i]) || isDigit(sql[i])) {
				i++
			}
			tokens = append(tokens, token{wordToken, sql[start:i], start})
		default:
			i += symbolLength(sql[i:])
			tokens = append(tokens, token{symbolToken, sql[start:i], start})
		}
	}
	return append(tokens, token{kind: endToken, at: len(sql)}), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }

func symbolLength(s string) int {
	for _, two := range []string{"<=", ">=", "<>"} {
		if strings.HasPrefix(s, two) {
			return 2
		}
	}
	return 1
}

// quoted reads text between quotes, in which a quote is written twice. end is -1 when it does not end.
func quoted(sql string, start int) (text string, end int) {
	quote := sql[start]
	var b strings.Builder
	for i := start + 1; i < len(sql); i++ {
		if sql[i] != quote {
			b.WriteByte(sql[i])
			continue
		}
		if i+1 >= len(sql) || sql[i+1] != quote {
			return b.String(), i + 1
		}
		b.WriteByte(quote)
		i++
	}
	return "", -1
}
