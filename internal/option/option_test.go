package option

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	utc := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		option Option
		in     any
		want   any
		err    string // part of the message
	}{
		{in: nil},
		{in: ""},
		{option: Option{Type: Int}, in: nil},
		{in: "x", want: "x"},
		{in: int64(5), err: "must be a text, found the number 5 (write it in quotes)"},
		{in: true, err: "the truth value true"},
		{in: []any{"x"}, err: "found a list"},
		{in: map[string]any{}, err: "a group of keys"},
		{in: " x", err: "white space"},
		{in: "a\u200bb", err: "U+200B"},
		{in: "a\xffb", err: "UTF-8"},
		{in: strings.Repeat("x", MaxText+1), err: "too long"},
		{in: "a $ b", want: "a $ b"},
		{in: "${env:A}", want: "${env:A}"},
		{in: "${A}", err: "unknown reference"},
		{option: Option{Type: Int}, in: int64(-5), want: int64(-5)},
		{option: Option{Type: Int}, in: 5.0, err: "whole number"},
		{option: Option{Type: Int}, in: "5", err: `found "5"`},
		{option: Option{Type: Int, Min: 1, Max: 3}, in: int64(4), err: "must be between 1 and 3, found 4"},
		{option: Option{Type: Int, Min: 1, Max: 3}, in: int64(3), want: int64(3)},
		{option: Option{Type: Bool}, in: true, want: true},
		{option: Option{Type: Bool}, in: "true", err: "true or false"},
		{option: Option{Type: Duration}, in: int64(5), want: 5 * time.Minute},
		{option: Option{Type: Duration}, in: "90s", want: 90 * time.Second},
		{option: Option{Type: Duration}, in: "-5m", err: "negative"},
		{option: Option{Type: Duration}, in: true, err: "duration"},
		{option: Option{Type: Duration, Min: 60, Max: 120}, in: "3m", err: "must be between 1m and 2m, found 3m"},
		{option: Option{Type: Time}, in: "2026-01-31T09:00:00+01:00", want: utc},
		{option: Option{Type: Time}, in: "09:00", err: "must be a time"},
		{option: Option{Type: GUID}, in: "AAAAAAAA-0000-0000-0000-000000000001", want: "aaaaaaaa-0000-0000-0000-000000000001"},
		{option: Option{Type: GUID}, in: "x", err: "must be a GUID"},
		{option: Option{Type: GUID}, in: "${env:A}", want: "${env:A}"},
		{option: Option{Type: URL}, in: "https://h.example/p", want: "https://h.example/p"},
		{option: Option{Type: URL}, in: "http://127.0.0.1:8080", want: "http://127.0.0.1:8080"},
		{option: Option{Type: URL}, in: "http://10.0.0.1", err: "only on loopback"},
		{option: Option{Type: URL}, in: "https:", err: "must be a URL"},
		{option: Option{Type: URL}, in: "https://u:hunter2@h", err: "user name"},
		{option: Option{Type: URL}, in: "https://h/#x", err: "fragment"},
		{option: Option{Type: URL}, in: "https://h:70000", err: "port"},
		{option: Option{Choices: []string{"One", "Two"}}, in: "TWO", want: "Two"},
		{option: Option{Choices: []string{"One", "Two"}}, in: "three", err: `unknown value "three", known are One, Two`},
		{option: Option{Type: StringList}, in: []any{"a", "b"}, want: []string{"a", "b"}},
		{option: Option{Type: StringList}, in: []any{}},
		{option: Option{Type: StringList, Choices: []string{"a"}}, in: []any{}, err: "at least one"},
		{option: Option{Type: StringList}, in: []any{"a", nil}, err: "item 2: must be a text, found nothing"},
		{option: Option{Type: StringList}, in: "a", err: "must be a list"},
		{option: Option{Type: StringList}, in: []any{"a", "a"}, err: "twice"},
		{option: Option{Secret: true}, in: int64(4711), err: "found a number"},
		{option: Option{Secret: true}, in: Redacted, err: "hidden on output"},
		{option: Option{Secret: true}, in: "@Microsoft.KeyVault(SecretUri=https://v)", want: "@Microsoft.KeyVault(SecretUri=https://v)"},
		{in: "@Microsoft.KeyVault(SecretUri=https://v)", err: "only possible for a secret"},
	} {
		got, err := tt.option.Decode(tt.in)
		switch {
		case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%+v.Decode(%v): error %v, want %q", tt.option, tt.in, err, tt.err)
		case tt.err == "" && !reflect.DeepEqual(got, tt.want):
			t.Errorf("%+v.Decode(%v) = %#v, want %#v", tt.option, tt.in, got, tt.want)
		case err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "4711")):
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		option Option
		in     string
		want   any
		fails  bool
	}{
		{in: "  ", want: nil},
		{in: " x ", want: "x"},
		{option: Option{Type: Int}, in: " 12 ", want: int64(12)},
		{option: Option{Type: Int}, in: "twelve", fails: true},
		{option: Option{Type: Bool}, in: "true", want: true},
		{option: Option{Type: Bool}, in: "si", fails: true},
		{option: Option{Type: Duration}, in: "5", want: 5 * time.Minute},
		{option: Option{Type: StringList}, in: "a, b\r\nc,,", want: []string{"a", "b", "c"}},
		{option: Option{Type: GUID}, in: "x", fails: true},
	} {
		got, err := tt.option.Parse(tt.in)
		if (err != nil) != tt.fails || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v.Parse(%q) = %#v, %v; want %#v", tt.option, tt.in, got, err, tt.want)
		}
	}
}

func TestErrorsAreTyped(t *testing.T) {
	t.Parallel()
	_, err := Option{Type: StringList, Choices: []string{"a"}}.Decode([]any{"a", "z"})
	var item *ItemError
	var choice *ChoiceError
	if !errors.As(err, &item) || item.Item != 1 || !errors.As(err, &choice) || choice.Value != "z" {
		t.Errorf("got %#v", err)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Minute, "0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "2w": 14 * day, "20y": 7300 * day,
		"1y2w3d4h": 382*day + 4*time.Hour, "1d12h": 36 * time.Hour, "0.5h": 30 * time.Minute, "292y": 292 * 365 * day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1", "x", "1x", "1d1y", "1.5d", "293y", "292y365d", "9223372036854775807", "99999999999999999999d", "1d-1h", "1 d"} {
		if got, err := ParseDuration(text); err == nil && text != "1" {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
	for want, d := range map[string]time.Duration{"5m": 5 * time.Minute, "24h": day, "2d": 2 * day, "1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "0s": 0, "1h0m5s": time.Hour + 5*time.Second} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestParseReferences(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		want  []Part
		fails bool
	}{
		{in: ""},
		{in: "a", want: []Part{{Text: "a"}}},
		{in: "$a}", want: []Part{{Text: "$a}"}}},
		{in: "${env:A}", want: []Part{{EnvRef, "A"}}},
		{in: "${file:/a:b}", want: []Part{{FileRef, "/a:b"}}},
		{in: "x${env:A}${file:B}y", want: []Part{{Text: "x"}, {EnvRef, "A"}, {FileRef, "B"}, {Text: "y"}}},
		{in: "$${env:A}", want: []Part{{Text: "${env:A}"}}},
		{in: "a$${b$${c", want: []Part{{Text: "a${b${c"}}},
		{in: "@Microsoft.KeyVault(SecretUri=u)", want: []Part{{VaultRef, "SecretUri=u"}}},
		{in: "${A}", fails: true},
		{in: "${env:A", fails: true},
		{in: "${env:}", fails: true},
		{in: "${ENV:A}", fails: true},
		{in: "@Microsoft.KeyVault(", fails: true},
		{in: "@Microsoft.KeyVault()", fails: true},
	} {
		got, err := ParseReferences(tt.in)
		if (err != nil) != tt.fails || !slices.Equal(got, tt.want) {
			t.Errorf("ParseReferences(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestRefHidesLiterals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "hunter2": Redacted, "${env:A}": "${env:A}", "hunter2${env:A}": Redacted, "${broken": Redacted, "$${x": Redacted,
		"${env:A}${file:B}": "${env:A}${file:B}", "@Microsoft.KeyVault(x)": "@Microsoft.KeyVault(x)",
	} {
		r := NewRef(text)
		j, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var decoded string
		if err := json.Unmarshal(j, &decoded); err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{r.String(), fmt.Sprint(r), fmt.Sprintf("%#v", r), fmt.Sprintf("%q", r), decoded} {
			if got != want {
				t.Errorf("%q prints as %s, want %s", text, got, want)
			}
		}
		if r.Text() != text || r.Empty() != (text == "") {
			t.Errorf("%q became %q", text, r.Text())
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	options := []Option{
		{Name: "s", Default: "default"},
		{Name: "n", Type: Int, Default: 7},
		{Name: "b", Type: Bool, Default: true},
		{Name: "d", Type: Duration, Default: time.Hour},
		{Name: "t", Type: Time},
		{Name: "l", Type: StringList, Default: []string{"x"}},
		{Name: "k", Secret: true},
	}
	v := NewValues(options, map[string]any{"b": false, "k": "hunter2", "ghost": "x"})
	if v.String("s") != "default" || v.Int("n") != 7 || v.Bool("b") || v.Duration("d") != time.Hour || !v.Time("t").IsZero() || v.Secret("k").Text() != "hunter2" {
		t.Errorf("got %v", v)
	}
	if v.String("k") != "" || v.String("ghost") != "" || v.Int("s") != 0 {
		t.Error("a getter of another type answered, or a name that is not declared")
	}
	if got := fmt.Sprint(v.Get("k")); got != Redacted {
		t.Errorf("Get prints the secret %s", got)
	}
	v.List("l")[0] = "changed"
	if v.List("l")[0] != "x" {
		t.Error("List hands out the default itself")
	}
	if got := v.Names(); !slices.Equal(got, []string{"b", "k"}) {
		t.Errorf("given %v", got)
	}
	w := v.With(map[string]any{"s": "new"})
	if w.String("s") != "new" || w.Bool("b") || v.String("s") != "default" {
		t.Error("With must change the copy only")
	}
	var zero Values
	if zero.String("s") != "" || zero.With(map[string]any{"s": "x"}).String("s") != "" || len(zero.Names()) != 0 {
		t.Error("the zero Values know nothing")
	}
}

func TestCheckDeclarations(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Option{
		"lower case":            {Name: "Bad-Name", Help: "x"},
		"no help":               {Name: "a"},
		"unknown type":          {Name: "a", Help: "x", Type: "guess"},
		"has a default":         {Name: "a", Help: "x", Required: true, Default: "x"},
		"must be a text":        {Name: "a", Help: "x", Secret: true, Type: Int},
		"between 1 and 2":       {Name: "a", Help: "x", Type: Int, Min: 1, Max: 2, Default: 3},
		"must be true or false": {Name: "a", Help: "x", Type: Bool, Default: "true"},
		"of the Go type":        {Name: "a", Help: "x", Type: Duration, Default: "5m"},
		"unknown value":         {Name: "a", Help: "x", Type: StringList, Choices: []string{"x"}, Default: []string{"y"}},
	} {
		if err := CheckDeclarations([]Option{o}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	good := []Option{{Name: "a", Help: "x", Type: Time, Default: time.Unix(0, 0)}, {Name: "b_2", Help: "x", Type: Duration, Default: time.Duration(math.MaxInt64)}}
	if err := CheckDeclarations(good); err != nil {
		t.Error(err)
	}
	if err := CheckDeclarations(append(good, good[0])); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a name declared twice: %v", err)
	}
}

// FuzzDecode: no text crashes a decoder, and what is accepted is accepted again in the same form.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "5m", "1y2d", "https://h.example", "11111111-2222-3333-4444-555555555555", "2026-01-31T08:00:00Z", "$${x}${env:A}", "a,b", "@Microsoft.KeyVault(x)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range Types() {
			v, err := Option{Type: kind}.Parse(text)
			if err != nil || v == nil {
				continue
			}
			if d, ok := v.(time.Duration); ok {
				again, err := ParseDuration(FormatDuration(d))
				if err != nil || again != d {
					t.Errorf("duration %v is written %q and read %v, %v", d, FormatDuration(d), again, err)
				}
			}
			if s, ok := v.(string); ok {
				again, err := Option{Type: kind}.Decode(s)
				if err != nil || again != v {
					t.Errorf("%s %q: accepted as %q, then %v, %v", kind, text, s, again, err)
				}
			}
		}
	})
}

func TestASealedSecretIsRedacted(t *testing.T) {
	t.Parallel()
	const sealed = SealedPrefix + "v1.0123456789ab.AQID.BAUG)"
	if !IsSealed(sealed) || NewRef(sealed).String() != Redacted || !NewRef(sealed).Literal() {
		t.Errorf("%s prints as %v", sealed, NewRef(sealed))
	}
	if got, err := (Option{Secret: true}).Decode(sealed); err != nil || got != sealed { // as it is stored
		t.Errorf("Decode: %v, %v", got, err)
	}
	for _, text := range []string{"", "x", SealedPrefix, "x" + sealed, sealed + "x", "@Microsoft.KeyVault(SecretUri=https://v)"} {
		if IsSealed(text) {
			t.Errorf("%q is called sealed", text)
		}
	}
}
