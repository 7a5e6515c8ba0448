package rawjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote decodes a JSON string, given with or without the quotes around it. exact is false when the text could not be
// decoded without a change: an unpaired surrogate or a byte that is not UTF-8 becomes U+FFFD, an escape that JSON does
// not know stays as it is. The result is a copy.
func Unquote(raw []byte) (s string, exact bool) {
	text := inner(raw)
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return string(text), true
	}
	out, exact := appendUnquoted(make([]byte, 0, len(text)), text)
	return string(out), exact
}

// AppendUnquoted is Unquote into a buffer.
func AppendUnquoted(dst, raw []byte) (out []byte, exact bool) {
	text := inner(raw)
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return append(dst, text...), true
	}
	return appendUnquoted(dst, text)
}

// inner cuts the quotes off. A string's text cannot begin with a quote, so the two forms are told apart safely.
func inner(raw []byte) []byte {
	if len(raw) >= 2 && raw[0] == '"' && raw[len(raw)-1] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}

func appendUnquoted(dst, text []byte) (out []byte, exact bool) {
	exact = true
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf && c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if c != '\\' {
			r, n := utf8.DecodeRune(text[i:])
			exact = exact && (r != utf8.RuneError || n > 1)
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		r, n, ok := decodeEscape(text[i:])
		exact = exact && ok
		if r < 0 {
			dst = append(dst, text[i:i+n]...)
		} else {
			dst = utf8.AppendRune(dst, r)
		}
		i += n
	}
	return dst, exact
}

// decodeEscape decodes the escape that text begins with and returns how many bytes it takes. An unpaired surrogate is
// U+FFFD and not ok; an unknown escape is -1 and not ok.
func decodeEscape(text []byte) (r rune, n int, ok bool) {
	if len(text) < 2 {
		return -1, len(text), false
	}
	switch text[1] {
	case '"', '\\', '/':
		return rune(text[1]), 2, true
	case 'b':
		return '\b', 2, true
	case 'f':
		return '\f', 2, true
	case 'n':
		return '\n', 2, true
	case 'r':
		return '\r', 2, true
	case 't':
		return '\t', 2, true
	case 'u':
	default:
		return -1, 1, false
	}
	hi := hex4(text[2:])
	if hi < 0 {
		return -1, 1, false
	}
	if !utf16.IsSurrogate(hi) {
		return hi, 6, true
	}
	if len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
		if both := utf16.DecodeRune(hi, hex4(text[8:])); both != utf8.RuneError {
			return both, 12, true
		}
	}
	return utf8.RuneError, 6, false
}

// hex4 reads four hexadecimal digits, or returns -1.
func hex4(text []byte) rune {
	if len(text) < 4 {
		return -1
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Style says how a JSON writer escapes strings where JSON leaves the choice. It is a set of bits; zero is the minimal
// way: short escapes for the control characters that have one, and nothing else that need not be escaped. The values
// are stored in the lake and never change.
type Style uint8

// The bits of a Style. The records of the Management Activity API are almost all SlashEscaped; some families write
// control characters as ControlAsU00 does; the other bits are habits of .NET, Go and Python writers.
const (
	SlashEscaped  Style = 1 << iota     // "/" as "\/"
	ControlAsU00                        // carriage return as \u000d and so on, never \r
	HTMLAsU                             // & < > as \u0026 \u003c \u003e
	ApostropheAsU                       // ' as \u0027
	MarksAsU                            // " + ` and DEL as \u0022 \u002b \u0060 \u007f
	NonASCIIAsU                         // everything above U+007F, in surrogate pairs where needed
	UpperHex                            // hexadecimal digits in upper case
	numStyles           = 1 << 7        // number of styles
	anyStyle      Style = numStyles - 1 // mask of all bits
)

// escape says what becomes of an ASCII byte. Values above escapeU are the letter of a short escape.
const (
	escapeNone = 0
	escapeU    = 1
)

// styleTables[s][c] is what style s does to byte c < 0x80. It is filled once, by the initialiser, and then only read.
var styleTables = func() (tables [numStyles][utf8.RuneSelf]byte) {
	for s := range tables {
		style, t := Style(s), &tables[s]
		for c := range 0x20 {
			t[c] = escapeU
		}
		if style&ControlAsU00 == 0 {
			t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = 'b', 'f', 'n', 'r', 't'
		}
		t['"'], t['\\'] = '"', '\\'
		mark := func(bit Style, chars string, how byte) {
			if style&bit != 0 {
				for _, c := range chars {
					t[c] = how
				}
			}
		}
		mark(SlashEscaped, "/", '/')
		mark(HTMLAsU, "&<>", escapeU)
		mark(ApostropheAsU, "'", escapeU)
		mark(MarksAsU, "\"+`\x7f", escapeU)
	}
	return tables
}()

// AppendQuoted appends s as a JSON string, quotes included, escaped in the given style. Bytes of s that are not UTF-8
// are copied as they are, except under NonASCIIAsU, where they become \ufffd.
func AppendQuoted(dst []byte, s string, style Style) []byte {
	table := &styleTables[style&anyStyle]
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if style&NonASCIIAsU == 0 {
				i++
				continue
			}
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = appendRuneAsU(append(dst, s[start:i]...), r, style)
			i += n
			start = i
			continue
		}
		how := table[c]
		if how == escapeNone {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		if how == escapeU {
			dst = appendU(dst, rune(c), style)
		} else {
			dst = append(dst, '\\', how)
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendRuneAsU(dst []byte, r rune, style Style) []byte {
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		return appendU(appendU(dst, hi, style), lo, style)
	}
	return appendU(dst, r, style)
}

func appendU(dst []byte, r rune, style Style) []byte {
	digits := "0123456789abcdef"
	if style&UpperHex != 0 {
		digits = "0123456789ABCDEF"
	}
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// DetectStyle guesses the style of the writer of a JSON text from the escapes in it. The guess is right for every
// writer that is consistent; whoever depends on it writes the text again and compares. Where the text holds no
// evidence about slashes the answer is SlashEscaped, so that most records share one style.
func DetectStyle(obj []byte) Style {
	var style Style
	slashSeen := false
	for i := 0; ; {
		n := bytes.IndexByte(obj[i:], '\\')
		if n < 0 || i+n+1 >= len(obj) {
			break
		}
		i += n + 2
		switch obj[i-1] {
		case '/':
			slashSeen = true
		case 'u':
			style |= styleOfU(obj[i:])
			i = min(i+4, len(obj))
		}
	}
	if slashSeen || bytes.IndexByte(obj, '/') < 0 {
		style |= SlashEscaped
	}
	return style
}

// styleOfU is the evidence in the four digits of a \u escape.
func styleOfU(digits []byte) Style {
	r := hex4(digits)
	if r < 0 {
		return 0
	}
	var style Style
	switch {
	case r == '\b' || r == '\f' || r == '\n' || r == '\r' || r == '\t':
		style = ControlAsU00
	case r == '&' || r == '<' || r == '>':
		style = HTMLAsU
	case r == '\'':
		style = ApostropheAsU
	case r == '"' || r == '+' || r == '`' || r == 0x7f:
		style = MarksAsU
	case r >= utf8.RuneSelf:
		style = NonASCIIAsU
	}
	for _, c := range digits[:4] {
		if 'A' <= c && c <= 'F' {
			style |= UpperHex
		}
	}
	return style
}
