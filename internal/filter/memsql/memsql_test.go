package memsql

import (
	"strings"
	"testing"

	"sluice/internal/fault"
)

// testRow has the columns a (text), n (number), j (JSON text), t (time) and x (NULL).
type testRow struct{}

var testColumns = []string{"a", "n", "j", "t", "x", `o"k`}

func (testRow) Column(number int) Value {
	switch testColumns[number] {
	case "a", `o"k`:
		return Value{Kind: Text, Bytes: []byte("Äbc D")}
	case "n":
		return Value{Kind: Int, Num: 28}
	case "j":
		return Value{Kind: JSON, Bytes: []byte(`[{"Name":"A b","Value":["x\/y",null]},{"Key":"c.d","NewValue":1.50,"OldValue":{"k": "v"}},3]`)}
	case "t":
		return Value{Kind: Time, Num: 1795255200000000} // 2026-11-21T10:00:00Z
	}
	return Value{}
}

func columnNumber(name string) (int, bool) {
	for i, c := range testColumns {
		if c == name {
			return i, true
		}
	}
	return 0, false
}

// Most of the meaning is tested against the engine by package filter; these are the corners that no query reaches.
func TestMatch(t *testing.T) {
	for where, want := range map[string]bool{
		"true": true, "false": false, "NULL": false, "NOT (NULL)": false, "NOT (false)": true,
		"NULL OR true": true, "NULL AND false": false, "NOT (NULL AND false)": true, "NOT (NULL OR false)": false,
		`"x" = 'a'`: false, `NOT ("x" = 'a')`: false, `coalesce("x" = 'a', true)`: true, `"x" IS NOT NULL`: false, `"a" IS NOT NULL`: true,
		`"o""k" = 'Äbc D'`: true, `lower("a") = lower('äBC d')`: true, `"a" <> 'it''s'`: true,
		`"a" LIKE 'Ä%_D' ESCAPE '\'`: true, `"a" LIKE '____' ESCAPE '\'`: false, `"a" LIKE '_____' ESCAPE '\'`: true, `"a" LIKE '%\%' ESCAPE '\'`: false,
		`"a" LIKE '%b%c%D%' ESCAPE '\'`: true, `"a" LIKE '' ESCAPE '\'`: false, `"a" LIKE '%bc' ESCAPE '\'`: false,
		`"n" = (28)`: true, `"n" > (-1) AND "n" < CAST('28.5' AS DOUBLE)`: true, `CAST("n" AS VARCHAR) = '28'`: true, `"n" = '28'`: false,
		`try_cast("a" AS DOUBLE) > (1)`: false, `try_cast('0x1p2' AS DOUBLE) > (1)`: false, `try_cast(' 1e3 ' AS DOUBLE) = (1000)`: true,
		`"t" >= TIMESTAMPTZ '2026-11-21 10:00:00+00:00' AND "t" < TIMESTAMPTZ '2026-11-21 10:00:00.000001+00:00'`: true,
		`try_cast('2026-11-21T12:00:00+02:00' AS TIMESTAMPTZ) = "t"`:                                              true, `try_cast('tomorrow' AS TIMESTAMPTZ) = "t"`: false,
		`"a" NOT IN ('', 'b')`: true, `"x" NOT IN ('', 'b')`: false, `"a" BETWEEN 'A' AND 'É'`: true, `"x" BETWEEN 'A' AND 'É'`: false,
		`CASE WHEN "x" = 'a' THEN true ELSE "n" = (28) END`: true,
		`levenshtein(lower("a"), 'xbc d') <= (2)`:           true, `levenshtein(lower("a"), 'xbc d') <= (1)`: false, // bytes
		`sluice_word("a", 'bc', '(^|[^a-z])bc')`: true, `sluice_word("x", 'bc', 'bc')`: false, `NOT (sluice_word("x", 'bc', 'bc'))`: true,
		`regexp_matches(lower(concat_ws('|', "a", "x", "a")), '^äbc d\|äbc d$')`:                                         true,
		`len(list_filter(sluice_texts(sluice_named(sluice_items("j"), 'A_b')), lambda v: v = 'x/y')) > 0`:                true,
		`len(list_filter(sluice_texts(sluice_named(sluice_items("j"), 'A_b')), lambda v: v <> 'x')) = (1)`:               true,
		`len(sluice_texts(sluice_named(sluice_items("j"), 'c_d'))) = (2)`:                                                true,
		`len(list_filter(sluice_texts(sluice_named(sluice_items("j"), 'c_d')), lambda v: v = '1.5')) > 0`:                true,
		`len(list_filter(sluice_texts(sluice_items("j")), lambda v: v = '3')) > 0`:                                       true,
		`len(list_filter(sluice_texts(sluice_step(sluice_items("j"), '$."OldValue"')), lambda v: v = '{"k":"v"}')) > 0`:  true,
		`len(list_filter(sluice_texts(sluice_items("a")), lambda v: v = 'Äbc D')) > 0`:                                   true,
		`len(sluice_texts(sluice_items("x"))) > 0`:                                                                       false,
		`sluice_ip_key('10.0.0.1:80') BETWEEN '00000000000000000000ffff0a000000' AND '00000000000000000000ffff0affffff'`: true,
		`sluice_ip_key('host') IS NOT NULL`:                                                                              false,
	} {
		p, err := Compile(where, columnNumber)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		var m Machine
		if got := p.Match(&m, testRow{}); got != want {
			t.Errorf("%s: got %t, want %t", where, got, want)
		}
	}
}

func TestUnknownTextIsRefused(t *testing.T) {
	for where, want := range map[string]string{
		"":                                  `byte 1: expected a value, found ""`,
		`"y" = 'a'`:                         `byte 1: unknown column "y"`,
		"upper('a') = 'A'":                  "byte 1: unknown function upper with 1 arguments",
		"lower('a', 'b') = 'a'":             "unknown function lower with 2 arguments",
		"true true":                         `byte 6: expected the end, found "true"`,
		"'a":                                "byte 1: the quote does not end",
		"1.5 > 1":                           `expected a whole number, found "1.5"`,
		"CAST('1' AS BLOB) = 1":             `unknown type "BLOB"`,
		"CASE WHEN true THEN false":         `expected ELSE, found ""`,
		"TIMESTAMPTZ 'x' > NULL":            `expected a time, found "x"`,
		"regexp_matches('a', '(') AND true": "regexp_matches: error parsing regexp",
		`regexp_matches('a', "a")`:          "regexp_matches: expected a literal",
		"v = 'a'":                           `unknown word "v"`,
		"sluice_step(sluice_items('a'), '$.a') = NULL": "unknown path",
		"'a' LIKE 'b'":                 `expected ESCAPE, found ""`,
		"'a' IN ('b')":                 `expected the end, found "IN"`,
		strings.Repeat("(", 10_000):    "expected less nesting",
		strings.Repeat("NOT ", 10_000): "expected less nesting",
	} {
		_, err := Compile(where, columnNumber)
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Internal) {
			t.Errorf("%.60s: got %v, want %s", where, err, want)
		}
	}
}

// FuzzCompile: no text crashes the reader or the evaluation.
func FuzzCompile(f *testing.F) {
	for _, where := range []string{
		`coalesce(lower("a") = lower('x'), false) OR NOT ("n" >= (28))`, `"a" LIKE 'a\_%' ESCAPE '\'`,
		`CASE WHEN contains("j", 'A') THEN len(list_filter(sluice_texts(list_concat(sluice_step(sluice_items("j"), '$."k"'), sluice_named(sluice_items("j"), 'k'))), lambda v: v = 'x')) > 0 ELSE false END`,
		`concat_ws('', "a", "n") = levenshtein(NULL, "t")`, `len(list_filter(sluice_texts("j"), lambda v: v BETWEEN 1 AND 'a')) > -1`,
	} {
		f.Add(where)
	}
	f.Fuzz(func(t *testing.T, where string) {
		p, err := Compile(where, columnNumber)
		if err != nil {
			if !fault.Is(err, fault.Internal) {
				t.Errorf("error of kind %s", fault.KindOf(err))
			}
			return
		}
		var m Machine
		p.Match(&m, testRow{})
	})
}
