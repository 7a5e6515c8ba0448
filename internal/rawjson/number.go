package rawjson

import (
	"bytes"
	"math/big"
	"strconv"
)

// Limits of the canonical form of numbers. Both only choose how a value is written, never which values are equal.
const (
	maxPlain     = 24   // digits of a number that is written without an exponent
	maxExpDigits = 1000 // digits of an exponent up to which it is computed with; longer ones stay as they are
)

// number reads the number at pos.
func (c *canon) number() error {
	start := c.pos
	n, ok := scanNumber(c.src[start:])
	if !ok {
		return broken(start, "a value was expected")
	}
	c.pos = start + n.length
	text := c.src[start:c.pos]
	// An integer of usual size is canonical already. "-0" is the exception.
	if n.frac == nil && n.exp == nil && len(n.whole) <= maxPlain && n.whole[0] != '0' {
		c.out = append(c.out, text...)
		return nil
	}
	c.out = appendNumber(c.out, text, n)
	return nil
}

// number is a JSON number taken apart. The slices alias the text.
type number struct {
	length   int
	negative bool
	whole    []byte // digits before the point
	frac     []byte // digits after the point, nil without one
	exp      []byte // exponent with its sign, nil without one
}

// scanNumber reads the number that text begins with.
func scanNumber(text []byte) (n number, ok bool) {
	i := 0
	if i < len(text) && text[i] == '-' {
		n.negative = true
		i++
	}
	n.whole = digits(text[i:])
	if len(n.whole) == 0 || len(n.whole) > 1 && n.whole[0] == '0' {
		return n, false
	}
	i += len(n.whole)
	if i < len(text) && text[i] == '.' {
		if n.frac = digits(text[i+1:]); len(n.frac) == 0 {
			return n, false
		}
		i += 1 + len(n.frac)
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		from := i + 1
		i = from
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		d := digits(text[i:])
		if len(d) == 0 {
			return n, false
		}
		i += len(d)
		n.exp = text[from:i]
	}
	n.length = i
	return n, true
}

func digits(text []byte) []byte {
	i := 0
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return text[:i]
}

// appendNumber writes the value d x 10^e, where d neither begins nor ends with 0, as an integer, a decimal fraction or
// d followed by the exponent, whichever the value calls for.
func appendNumber(dst, text []byte, n number) []byte {
	var buf [64]byte
	d := append(append(buf[:0], n.whole...), n.frac...)
	d = bytes.TrimLeft(d, "0")
	if len(d) == 0 {
		return append(dst, '0')
	}
	zeros := len(d)
	d = bytes.TrimRight(d, "0")
	zeros -= len(d)
	shift := int64(zeros - len(n.frac))
	e, small := parseExponent(n.exp)
	if !small {
		return appendHuge(dst, text, n, d, shift)
	}
	e += shift
	if n.negative {
		dst = append(dst, '-')
	}
	point := int64(len(d)) + e // digits before the point
	switch {
	case e >= 0 && point <= maxPlain:
		return appendZeros(append(dst, d...), e)
	case e < 0 && point > 0 && len(d) <= maxPlain:
		return append(append(append(dst, d[:point]...), '.'), d[point:]...)
	case e < 0 && point <= 0 && -e <= maxPlain:
		return append(appendZeros(append(dst, '0', '.'), -point), d...)
	}
	return strconv.AppendInt(append(append(dst, d...), 'e'), e, 10)
}

func appendZeros(dst []byte, n int64) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}

// parseExponent reads an exponent of at most 18 digits.
func parseExponent(exp []byte) (e int64, small bool) {
	if len(exp) == 0 {
		return 0, true
	}
	negative, d := cutSign(exp)
	if len(d) > 18 {
		return 0, false
	}
	for _, c := range d {
		e = e*10 + int64(c-'0')
	}
	if negative {
		e = -e
	}
	return e, true
}

// cutSign returns the digits of an exponent without leading zeros.
func cutSign(exp []byte) (negative bool, d []byte) {
	negative = exp[0] == '-'
	return negative, bytes.TrimLeft(exp, "+-0")
}

// appendHuge writes a number whose exponent has more than 18 digits.
func appendHuge(dst, text []byte, n number, d []byte, shift int64) []byte {
	negative, exp := cutSign(n.exp)
	if len(exp) > maxExpDigits {
		return append(dst, text...)
	}
	e, _ := new(big.Int).SetString(string(exp), 10)
	if negative {
		e.Neg(e)
	}
	e.Add(e, big.NewInt(shift))
	if n.negative {
		dst = append(dst, '-')
	}
	return e.Append(append(append(dst, d...), 'e'), 10)
}
