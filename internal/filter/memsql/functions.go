package memsql

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"

	"sluice/internal/query"
)

// function is one that conditions call.
type function struct {
	least int // number of arguments; concat_ws and coalesce take more
	build func(args []node) (node, error)
}

// variadic is the least number of arguments of a function that takes any number, else -1.
func variadic(name string) int {
	switch name {
	case "concat_ws", "coalesce":
		return 2
	}
	return -1
}

var functions = map[string]function{
	"coalesce":          {2, coalesce},
	"lower":             {1, onText(func(m *Machine, s []byte) Value { return Value{Kind: Text, Bytes: m.Lower(s)} })},
	"contains":          {2, onTexts(bytes.Contains)},
	"starts_with":       {2, onTexts(bytes.HasPrefix)},
	"ends_with":         {2, onTexts(bytes.HasSuffix)},
	"regexp_matches":    {2, matches("", "")},
	"regexp_full_match": {2, matches(`\A(?:`, `)\z`)},
	"levenshtein":       {2, distance},
	"concat_ws":         {2, concatWithSeparator},
	"len":               {1, length},
	"list_concat":       {2, concatLists},
	"sluice_items":      {1, items},
	"sluice_step":       {2, step},
	"sluice_named":      {2, named},
	"sluice_texts":      {1, textsOf},
	"sluice_word":       {3, word(true)},
	"sluice_number":     {3, word(false)},
	query.IPKeyFunction: {1, onText(ipKey)},
}

func coalesce(args []node) (node, error) {
	return node{eval: func(m *Machine) Value {
		for i := range args {
			if v := args[i].eval(m); v.Kind != Null {
				return v
			}
		}
		return null
	}}, nil
}

// onText makes a function of one text, NULL for anything else.
func onText(f func(m *Machine, s []byte) Value) func([]node) (node, error) {
	return func(args []node) (node, error) {
		arg := args[0]
		return node{eval: func(m *Machine) Value {
			v := arg.eval(m)
			if !v.isText() {
				return null
			}
			return f(m, v.Bytes)
		}}, nil
	}
}

// onTexts makes a condition on two texts.
func onTexts(f func(a, b []byte) bool) func([]node) (node, error) {
	return func(args []node) (node, error) {
		left, right := args[0], args[1]
		return node{eval: func(m *Machine) Value {
			a, b := left.eval(m), right.eval(m)
			if !a.isText() || !b.isText() {
				return null
			}
			return truth(f(a.Bytes, b.Bytes))
		}}, nil
	}
}

// constantText is the value of an argument that must be a literal.
func constantText(n node) (string, error) {
	if n.constant {
		if v := n.eval(&Machine{}); v.isText() {
			return string(v.Bytes), nil
		}
	}
	return "", errors.New("expected a literal")
}

// matches makes a condition on a text and a regular expression, which before and after surround.
func matches(before, after string) func([]node) (node, error) {
	return func(args []node) (node, error) {
		re, err := expression(args[1], before, after)
		arg := args[0]
		return node{eval: func(m *Machine) Value {
			v := arg.eval(m)
			if !v.isText() {
				return null
			}
			return truth(re.Match(v.Bytes))
		}}, err
	}
}

func expression(n node, before, after string) (*regexp.Regexp, error) {
	source, err := constantText(n)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(before + source + after)
}

// word makes sluice_word and, without fold, sluice_number.
func word(fold bool) func([]node) (node, error) {
	return func(args []node) (node, error) {
		re, err := expression(args[2], "", "")
		arg, segment := args[0], args[1]
		return node{eval: func(m *Machine) Value {
			v, s := arg.eval(m), segment.eval(m)
			if !v.isText() || !s.isText() {
				return no
			}
			if !fold && !bytes.Contains(v.Bytes, s.Bytes) {
				return no
			}
			text := m.Lower(v.Bytes)
			return truth((!fold || bytes.Contains(text, s.Bytes)) && re.Match(text))
		}}, err
	}
}

// distance counts bytes, as DuckDB does.
func distance(args []node) (node, error) {
	left, right := args[0], args[1]
	return node{eval: func(m *Machine) Value {
		a, b := left.eval(m), right.eval(m)
		if !a.isText() || !b.isText() {
			return null
		}
		return Value{Kind: Int, Num: int64(levenshtein.ComputeDistance(byteRunes(a.Bytes), byteRunes(b.Bytes)))}
	}}, nil
}

// byteRunes makes every byte a character.
func byteRunes(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

func concatWithSeparator(args []node) (node, error) {
	separator, err := constantText(args[0])
	args = args[1:]
	return node{eval: func(m *Machine) Value {
		// The columns are appended one by one and may themselves use the buffer, so the text is built behind them.
		start := len(m.items)
		for i := range args {
			if v := args[i].eval(m); v.isText() {
				m.items = append(m.items, v.Bytes)
			}
		}
		begin := len(m.buf)
		for i, text := range m.take(start) {
			if i > 0 {
				m.buf = append(m.buf, separator...)
			}
			m.buf = append(m.buf, text...)
		}
		return Value{Kind: Text, Bytes: m.buf[begin:len(m.buf):len(m.buf)]}
	}}, err
}

func length(args []node) (node, error) {
	arg := args[0]
	return node{eval: func(m *Machine) Value {
		v := arg.eval(m)
		if v.Kind != list && v.Kind != texts {
			return null
		}
		return Value{Kind: Int, Num: int64(len(v.items))}
	}}, nil
}

func concatLists(args []node) (node, error) {
	left, right := args[0], args[1]
	return node{eval: func(m *Machine) Value {
		a, b := left.eval(m), right.eval(m)
		return Value{Kind: list, items: m.concat(a.items, b.items)}
	}}, nil
}

func items(args []node) (node, error) {
	arg := args[0]
	return node{eval: func(m *Machine) Value { return Value{Kind: list, items: m.arrayItems(arg.eval(m))} }}, nil
}

// step takes the path of a member, written $."key".
func step(args []node) (node, error) {
	path, err := constantText(args[1])
	if err != nil {
		return node{}, err
	}
	key, isPath := strings.CutPrefix(path, `$."`)
	key, ends := strings.CutSuffix(key, `"`)
	if !isPath || !ends || strings.ContainsAny(key, `"\`) {
		return node{}, errors.New("unknown path " + strconv.Quote(path))
	}
	arg := args[0]
	return node{eval: func(m *Machine) Value { return Value{Kind: list, items: m.step(arg.eval(m).items, key)} }}, nil
}

func named(args []node) (node, error) {
	name, err := constantText(args[1])
	arg := args[0]
	return node{eval: func(m *Machine) Value { return Value{Kind: list, items: m.named(arg.eval(m).items, name)} }}, err
}

func textsOf(args []node) (node, error) {
	arg := args[0]
	return node{eval: func(m *Machine) Value { return Value{Kind: texts, items: m.texts(arg.eval(m).items)} }}, nil
}

func ipKey(m *Machine, s []byte) Value {
	key, ok := query.IPKey(string(s))
	if !ok {
		return null
	}
	return Value{Kind: Text, Bytes: m.Append(func(dst []byte) []byte { return append(dst, key...) })}
}
