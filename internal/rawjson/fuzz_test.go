package rawjson

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var seeds = []string{
	`{}`, `[]`, `{"a":1,"b":[1,2,{"c":"\/\u000d\ud83d\udca7"}],"a":null}`, `{"CreationTime":"2021-05-18T21:13:33","RecordType":1}`,
	`{"a":"\ud800","b":-0,"c":1e5,"d":1.50e-7,"e":12345678901234567890123}`, `{"a" : {"b" : [ ] } }`, `{"a":1`, `[[[[`, `"\x"`,
	`{"Data":"{\"f3u\":\"a@b.c\"}"}`, `1e999999999999999999999`, "{\"a\":\"\xff\"}", `{"\u0061":1,"b":2,"\"":3}`, ` null `, `{"a":"&<>'"}`,
}

func FuzzValid(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got := Valid(in)
		if bytes.Count(in, []byte("["))+bytes.Count(in, []byte("{")) <= MaxDepth {
			if want := utf8.Valid(in) && json.Valid(in); got != want {
				t.Errorf("Valid(%q) = %v, want %v", in, got, want)
			}
		}
		reason := Check(in)
		if object := got && bytes.TrimLeft(in, " \t\r\n")[0] == '{'; (reason == "") != object {
			t.Errorf("Check(%q) = %q, Valid %v", in, reason, got)
		}
	})
}

func FuzzMembers(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		members, err := Members(nil, in)
		_, _ = Elements(nil, in)
		if Check(in) != "" {
			return // no panic is all that is promised
		}
		if err != nil {
			t.Fatalf("Members(%q): %v", in, err)
		}
		rebuilt := []byte{'{'}
		for i, m := range members {
			if !json.Valid(m.Value) || KindOf(m.Value) != m.Kind || m.Kind == Invalid {
				t.Fatalf("member %q of %q: kind %d", m.Value, in, m.Kind)
			}
			if i > 0 {
				rebuilt = append(rebuilt, ',')
			}
			rebuilt = append(append(append(append(rebuilt, '"'), m.Key...), '"', ':'), m.Value...)
		}
		var want, got bytes.Buffer
		if json.Compact(&want, in) != nil || json.Compact(&got, append(rebuilt, '}')) != nil || !bytes.Equal(want.Bytes(), got.Bytes()) {
			t.Fatalf("members of %q rebuild to %q", in, rebuilt)
		}
	})
}

func FuzzUnquote(f *testing.F) {
	f.Add([]byte(`"a\/b\u000d\ud83d\udca7\ud800"`))
	f.Add([]byte(`a\`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, exact := Unquote(in)
		appended, exact2 := AppendUnquoted([]byte("x"), in)
		if string(appended) != "x"+got || exact != exact2 {
			t.Fatalf("AppendUnquoted(%q) = %q, %v; Unquote %q, %v", in, appended, exact2, got, exact)
		}
		if !utf8.ValidString(got) {
			t.Fatalf("Unquote(%q) = %q", in, got)
		}
		if !Valid(in) || in[0] != '"' || in[len(in)-1] != '"' {
			return
		}
		var want string
		if err := json.Unmarshal(in, &want); err != nil || got != want {
			t.Fatalf("Unquote(%q) = %q, want %q, %v", in, got, want, err)
		}
		if !exact && !strings.ContainsRune(got, utf8.RuneError) {
			t.Fatalf("Unquote(%q) = %q: not exact without U+FFFD", in, got)
		}
	})
}

func FuzzAppendQuoted(f *testing.F) {
	f.Add("a/b\r\n\x01\"\\&<>'+`\x7fé💧\xff", byte(0))
	f.Fuzz(func(t *testing.T, s string, style byte) {
		got := AppendQuoted(nil, s, Style(style))
		back, exact := Unquote(got)
		want := strings.ToValidUTF8(s, "\uFFFD")
		if utf8.ValidString(s) && (back != want || !exact || !Valid(got)) {
			t.Fatalf("AppendQuoted(%q, %b) = %s, which reads %q", s, style, got, back)
		}
		// One character of a class cannot speak for another, so only styles of one class each are sure to be detected.
		simple := Style(style)&^(SlashEscaped|ControlAsU00|NonASCIIAsU) == 0 && utf8.ValidString(s)
		if again := AppendQuoted(nil, s, DetectStyle(got)); simple && !bytes.Equal(again, got) {
			t.Fatalf("style %b of %s detected as %b: %s", style, got, DetectStyle(got), again)
		}
	})
}

func FuzzAppendCanonical(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := AppendCanonical(nil, in)
		if !utf8.Valid(in) {
			return
		}
		if (err == nil) != Valid(in) {
			t.Fatalf("canonical of %q: %v, Valid %v", in, err, Valid(in))
		}
		if err != nil {
			return
		}
		if again, err := AppendCanonical(nil, got); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("canonical of %q is %q, and of that %q, %v", in, got, again, err)
		}
		compact := new(bytes.Buffer)
		if err := json.Indent(compact, in, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		if spaced, err := AppendCanonical(nil, compact.Bytes()); err != nil || !bytes.Equal(spaced, got) {
			t.Fatalf("canonical of %q is %q, indented %q, %v", in, got, spaced, err)
		}
		// The standard library keeps one of several equal keys and replaces unpaired surrogates.
		if bytes.Contains(got, []byte(`\ud`)) || hasDuplicateKey(got) {
			return
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(in))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := AppendCanonical(nil, text); err != nil || !bytes.Equal(back, got) {
			t.Fatalf("canonical of %q is %q, re-marshalled %q, %v", in, got, back, err)
		}
	})
}

// hasDuplicateKey looks for two equal keys in one object of a canonical text.
func hasDuplicateKey(text []byte) bool {
	switch KindOf(text) {
	case Object:
		members, _ := Members(nil, text)
		for i, m := range members {
			if i > 0 && bytes.Equal(m.Key, members[i-1].Key) || hasDuplicateKey(m.Value) {
				return true
			}
		}
	case Array:
		elements, _ := Elements(nil, text)
		if slices.ContainsFunc(elements, hasDuplicateKey) {
			return true
		}
	default: // no keys
	}
	return false
}
