package query

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Searching words in text.
//
// A word matches where it stands between characters that are neither letters nor digits. The condition first looks for
// the longest piece of the words as a plain substring, which is fast, and lets a regular expression decide on what is
// left. Columns with JSON text are searched as they are, so the expression allows for the escapes of JSON: a slash may
// be \/, a quote \", a line break \n in front of a word.

const (
	wordStart = `(?:^|` + notWord + `|\\[nrtbf]|\\u00[01][0-9a-f])`
	wordEnd   = `(?:$|` + notWord + `)`
	between   = `(?:` + notWord + `|\\[nrtbf]|\\u00[01][0-9a-f])+`
	notWord   = `[^\p{L}\p{N}\x{E000}]`

	// columnEnd stands between columns that are searched as one text. It holds a private character that counts as a
	// word, so that no sequence of words reaches across.
	columnEnd = "\n\uE000\n"
)

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// words is a compiled search for words.
type words struct {
	segment string // lower case; "" when nothing can be searched for as it is
	regex   string // lower case
}

// phraseWords searches for the words of s in this order, whatever stands between them.
func phraseWords(s string) words {
	tokens := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !isWordRune(r) })
	if len(tokens) == 0 {
		return termWords([]piece{{lit: s}})
	}
	w := words{}
	for i, t := range tokens {
		if len(t) > len(w.segment) {
			w.segment = t
		}
		tokens[i] = regexp.QuoteMeta(t)
	}
	w.regex = wordStart + strings.Join(tokens, between) + wordEnd
	return w
}

// termWords searches for a term with its punctuation. A * stands for the rest of a word, a ? for one character.
func termWords(parts []piece) words {
	var w words
	var re strings.Builder
	for i, p := range parts {
		switch p.any {
		case '*':
			if i > 0 && i < len(parts)-1 {
				re.WriteString(`[^\s"]*`)
			}
			continue
		case '?':
			re.WriteString(".")
			continue
		}
		lit := []rune(strings.ToLower(p.lit))
		if i == 0 && isWordRune(lit[0]) {
			re.WriteString(wordStart)
		}
		for _, r := range lit {
			re.WriteString(jsonTolerant(r))
		}
		if i == len(parts)-1 && isWordRune(lit[len(lit)-1]) {
			re.WriteString(wordEnd)
		}
		for _, s := range strings.FieldsFunc(string(lit), func(r rune) bool {
			return r == '/' || r == '"' || r == '\\' || r < ' '
		}) {
			if len(s) > len(w.segment) {
				w.segment = s
			}
		}
	}
	w.regex = re.String()
	return w
}

// jsonTolerant is the expression for one character in plain or JSON text.
func jsonTolerant(r rune) string {
	switch {
	case r == '/':
		return `\\?/`
	case r == '"':
		return `\\?"`
	case r == '\\':
		return `\\{1,2}`
	case r < ' ':
		return `(?:[\x00-\x1f]|\\[nrtbf]|\\u00[01][0-9a-f])`
	}
	return regexp.QuoteMeta(string(r))
}

// inAny is the condition that one of the columns has the words; it is never NULL. All columns share one regular
// expression, which is run only on the rows in which some column has the segment: compiling one for each of hundreds of
// columns takes longer than reading a day of records, and below an OR only a CASE keeps it from being run everywhere.
func (w words) inAny(columns []string) string {
	has := make([]string, len(columns))
	fold := strings.ContainsFunc(w.segment, unicode.IsLetter)
	for i, c := range columns {
		has[i] = fmt.Sprintf("contains(%s, %s)", pick(fold, "lower("+c+")", c), Literal(w.segment))
	}
	return fmt.Sprintf("CASE WHEN %s THEN regexp_matches(lower(concat_ws(%s, %s)), %s) ELSE false END",
		strings.Join(has, " OR "), Literal(columnEnd), strings.Join(columns, ", "), Literal(w.regex))
}

// in is the condition that expr has the words.
func (w words) in(expr string) string {
	macro := "sluice_word"
	if !strings.ContainsFunc(w.segment, unicode.IsLetter) {
		macro = "sluice_number"
	}
	return fmt.Sprintf("%s(%s, %s, %s)", macro, expr, Literal(w.segment), Literal(w.regex))
}
