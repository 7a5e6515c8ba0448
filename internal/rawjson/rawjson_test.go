package rawjson

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // key=value pairs
		wantErr  string
	}{
		{"empty", "{}", nil, ""},
		{"space", " \t\r\n{ \"a\" : 1 , \"b\":[1, 2] } \n", []string{"a=1", "b=[1, 2]"}, ""},
		{
			"kinds", `{"n":null,"t":true,"f":false,"i":-1.5e3,"s":"x","a":[],"o":{}}`,
			[]string{"n=null", "t=true", "f=false", "i=-1.5e3", `s="x"`, "a=[]", "o={}"},
			"",
		},
		{"duplicates and case", `{"Id":1,"Id":2,"id":3}`, []string{"Id=1", "Id=2", "id=3"}, ""},
		{"escapes", `{"a\"b":"\\","c":"\\\"}","d":"{\"x\":[1]}"}`, []string{`a\"b="\\"`, `c="\\\"}"`, `d="{\"x\":[1]}"`}, ""},
		{"brackets in strings", `{"a":{"b":"}]","c":["[{"]},"d":1}`, []string{`a={"b":"}]","c":["[{"]}`, "d=1"}, ""},
		{"long string", `{"a":"` + strings.Repeat("x", 100) + `"}`, []string{`a="` + strings.Repeat("x", 100) + `"`}, ""},
		{"array", `[1]`, nil, "not a JSON object"},
		{"nothing", ``, nil, "not a JSON object"},
		{"cut", `{"a":1`, []string{"a=1"}, "the object does not end"},
		{"cut string", `{"a":"x`, nil, "the value does not end"},
		{"cut nested", `{"a":[{"b":1}`, nil, "the value does not end"},
		{"cut key", `{"a`, nil, "the key does not end"},
		{"no colon", `{"a" 1}`, nil, "a colon was expected"},
		{"no comma", `{"a":1 "b":2}`, []string{"a=1"}, "a comma was expected"},
		{"trailing comma", `{"a":1,}`, []string{"a=1"}, "a key was expected"},
		{"text after", `{"a":1}{}`, []string{"a=1"}, "text after the value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			members, err := Members(nil, []byte(tt.in))
			var got []string
			for _, m := range members {
				got = append(got, string(m.Key)+"="+string(m.Value))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Members(%s) = %q, want %q", tt.in, got, tt.want)
			}
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("Members(%s): error %v, want %q", tt.in, err, tt.wantErr)
			}
		})
	}
}

func TestMembersKinds(t *testing.T) {
	members, err := Members(nil, []byte(`{"n":null,"t":true,"f":false,"i":-1,"s":"x","a":[],"o":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Kind{Null, Bool, Bool, Number, String, Array, Object}
	for i, m := range members {
		if m.Kind != want[i] {
			t.Errorf("member %s: kind %d, want %d", m.Key, m.Kind, want[i])
		}
	}
}

func TestElements(t *testing.T) {
	elements, err := Elements(nil, []byte(` [1, "a,]" ,{"b":[]} , [ ] ] `))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(bytes.Join(elements, []byte("|"))); got != `1|"a,]"|{"b":[]}|[ ]` {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"", "{}", "[1", "[1,", "[1 2]", "[1]x", "[,]"} {
		if _, err := Elements(nil, []byte(bad)); err == nil {
			t.Errorf("Elements(%s): no error", bad)
		}
	}
}

func TestCheck(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	tests := []struct{ name, in, want string }{
		{"object", ` {"a":"é"} `, ""},
		{"empty", " \n", "empty"},
		{"array", "[{}]", "not a JSON object but an array"},
		{"string", `"x"`, "not a JSON object but a string"},
		{"number", "12", "not a JSON object but a number"},
		{"null", "null", "not a JSON object but null"},
		{"cut", `{"a":1`, "not JSON"},
		{"two", `{}{}`, "not JSON"},
		{"control character", "{\"a\":\"x\ny\"}", "not JSON"},
		{"bad escape", `{"a":"\x"}`, "not JSON"},
		{"leading zero", `{"a":01}`, "not JSON"},
		{"byte order mark", "\xef\xbb\xbf{}", "not JSON"},
		{"utf8", "{\"a\":\"\xff\"}", "invalid UTF-8"},
		{"deepest", deep(MaxDepth), ""},
		{"too deep", deep(MaxDepth + 1), "nested deeper than 1000 levels"},
		{"bomb", strings.Repeat("[", 100_000), "nested deeper than 1000 levels"},
		{"closed bomb", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "nested deeper than 1000 levels"},
		{"brackets in a string", `{"a":"` + strings.Repeat("[", 5000) + `"}`, ""},
		{"wide", `{"a":[` + strings.Repeat("[],", 5000) + `1]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Check([]byte(tt.in)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got, want := Valid([]byte(tt.in)), tt.want == "" || strings.HasPrefix(tt.want, "not a JSON object"); got != want {
				t.Errorf("Valid = %v, want %v", got, want)
			}
		})
	}
}

func TestUnquote(t *testing.T) {
	tests := []struct {
		in, want string
		exact    bool
	}{
		{`"abc"`, "abc", true},
		{`abc`, "abc", true},
		{`""`, "", true},
		{``, "", true},
		{`"a\/b\\c\"d\b\f\n\r\t"`, "a/b\\c\"d\b\f\n\r\t", true},
		{`"\u00e9\u000D"`, "é\r", true},
		{`"\ud83d\udca7"`, "💧", true},
		{`"\ud83d"`, "\uFFFD", false},
		{`"\ud83dx"`, "\uFFFDx", false},
		{`"\ud83d\u0041"`, "\uFFFDA", false},
		{`"\udca7\ud83d"`, "\uFFFD\uFFFD", false},
		{`"\x"`, `\x`, false},
		{`"\u12"`, `\u12`, false},
		{"\"\xff\"", "\uFFFD", false},
		{"\"\uFFFD\"", "\uFFFD", true},
		{`a\`, `a\`, false},
	}
	for _, tt := range tests {
		if got, exact := Unquote([]byte(tt.in)); got != tt.want || exact != tt.exact {
			t.Errorf("Unquote(%s) = %q, %v; want %q, %v", tt.in, got, exact, tt.want, tt.exact)
		}
	}
}

func TestAppendQuoted(t *testing.T) {
	const s = "a/b\r\x01\"\\&<>'+`\x7fé💧"
	tests := []struct {
		style Style
		want  string
	}{
		{0, `"a/b\r\u0001\"\\&<>'+` + "`\x7f" + `é💧"`},
		{SlashEscaped, `"a\/b\r\u0001\"\\&<>'+` + "`\x7f" + `é💧"`},
		{ControlAsU00, `"a/b\u000d\u0001\"\\&<>'+` + "`\x7f" + `é💧"`},
		{HTMLAsU | ApostropheAsU, `"a/b\r\u0001\"\\\u0026\u003c\u003e\u0027+` + "`\x7f" + `é💧"`},
		{
			HTMLAsU | ApostropheAsU | MarksAsU | NonASCIIAsU | UpperHex,
			`"a/b\r\u0001\u0022\\\u0026\u003C\u003E\u0027\u002B\u0060\u007F\u00E9\uD83D\uDCA7"`,
		},
	}
	for _, tt := range tests {
		got := string(AppendQuoted(nil, s, tt.style))
		if got != tt.want {
			t.Errorf("style %b: got %s, want %s", tt.style, got, tt.want)
		}
		if back, exact := Unquote([]byte(got)); back != s || !exact {
			t.Errorf("style %b: Unquote gives %q", tt.style, back)
		}
		// All seven kinds of evidence are in s, except that the lone style 0 has an unescaped slash.
		if style := DetectStyle([]byte(got)); style != tt.style {
			t.Errorf("DetectStyle(%s) = %b, want %b", got, style, tt.style)
		}
	}
}

func TestAppendCanonical(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"order", `{"b":1,"a":2,"A":3,"":4}`, `{"":4,"A":3,"a":2,"b":1}`},
		{"long keys", `{"CreationTime":1,"CreationDate":2,"Creation":3,"CreationTim":4}`, `{"Creation":3,"CreationDate":2,"CreationTim":4,"CreationTime":1}`},
		{"duplicates", `{"a":2,"b":0,"a":1}`, `{"a":2,"a":1,"b":0}`},
		{"escaped keys", `{"b":1,"\u0061":2,"\"":3,"!":4,"#":5}`, `{"!":4,"\"":3,"#":5,"a":2,"b":1}`},
		{"zero byte in key", `{"a\u0000":1,"a":2}`, `{"a":2,"a\u0000":1}`},
		{"space", " { \"a\" : [ 1 , { } , [ ] ] , \"b\" : { \"d\" : 1 , \"c\" : 2 } } ", `{"a":[1,{},[]],"b":{"c":2,"d":1}}`},
		{
			"strings", `["\/\u002f","\u000d\r","\u0001","\u00e9é","\ud83d\udca7","\"\\\u0022\u005c","\u007f"]`,
			`["//","\r\r","\u0001","éé","💧","\"\\\"\\",` + "\"\x7f\"]",
		},
		{"unpaired", `["\uD800","\udc00x","\ud800\ud800\udc00"]`, `["\ud800","\udc00x","\ud800𐀀"]`},
		{"unpaired keys", `{"\ufffd":1,"\ud801":2,"\ud800":3}`, "{\"\\ud800\":3,\"\\ud801\":2,\"\uFFFD\":1}"},
		{"words", `[true,false,null]`, `[true,false,null]`},
		{"integers", `[0,-0,1,-1,10,1e1,1E+1,100e-1,1.0,10.00,0e5,0.0,-0.0]`, `[0,0,1,-1,10,10,10,10,1,10,0,0,0]`},
		{"fractions", `[1.50,15e-1,0.15e1,-0.001,1e-3,123.456]`, `[1.5,1.5,1.5,-0.001,0.001,123.456]`},
		{
			"big", `[1e23,1e24,1000000000000000000000000,1e-24,1e-25,12345678901234567890123456789]`,
			`[100000000000000000000000,1e24,1e24,0.000000000000000000000001,1e-25,12345678901234567890123456789e0]`,
		},
		{
			"exponents", `[1e999999999999999999999,10e999999999999999999998,-1.5e-999999999999999999999,0e999999999999999999999]`,
			`[1e999999999999999999999,1e999999999999999999999,-15e-1000000000000000000000,0]`,
		},
		{"no rounding", `[0.1,0.10000000000000001,9007199254740993]`, `[0.1,0.10000000000000001,9007199254740993]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := AppendCanonical([]byte("x"), []byte(tt.in))
			if err != nil || string(got) != "x"+tt.want {
				t.Fatalf("canonical of %s\n got %s, %v\nwant %s", tt.in, got, err, "x"+tt.want)
			}
			again, err := AppendCanonical(nil, got[1:])
			if err != nil || string(again) != tt.want {
				t.Errorf("not idempotent: %s, %v", again, err)
			}
		})
	}
}

func TestAppendCanonicalManyMembers(t *testing.T) {
	var in, want []string
	for i := range 500 {
		key := string(rune('a'+i%26)) + strings.Repeat("k", i%11)
		in = append(in, `"`+key+`":`+string(rune('0'+i%10)))
	}
	want = slices.Clone(in)
	slices.SortStableFunc(want, func(a, b string) int {
		return strings.Compare(strings.SplitN(a, ":", 2)[0], strings.SplitN(b, ":", 2)[0])
	})
	// A quote sorts before every letter, as the end of a key does.
	got, err := AppendCanonical(nil, []byte("{"+strings.Join(in, ",")+"}"))
	if err != nil || string(got) != "{"+strings.Join(want, ",")+"}" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestAppendCanonicalErrors(t *testing.T) {
	for _, in := range []string{
		"", " ", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `[1,]`, `[1 2]`, "[", "tru", "nul",
		"01", "-", "1.", ".5", "1e", "1e+", "+1", `"`, `"a`, `"\x"`, `"\u12"`, "\"\n\"", "{}{}", "1 2", "}",
		strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000),
	} {
		got, err := AppendCanonical([]byte("kept"), []byte(in))
		if err == nil || string(got) != "kept" {
			t.Errorf("AppendCanonical(%.20q) = %.20q, %v; want an error and dst as it was", in, got, err)
		}
	}
}

// realRecords reads the lines of public records beside the repository.
func realRecords(tb testing.TB) [][]byte {
	tb.Helper()
	dir, err := filepath.Abs("../../../shared/data/management-activity")
	if err != nil {
		tb.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.ndjson*"))
	if len(files) == 0 {
		tb.Skip("no public records in " + dir)
	}
	var lines [][]byte
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		scanner := bufio.NewScanner(bytes.NewReader(data))
		if strings.HasSuffix(name, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				tb.Fatal(err)
			}
			scanner = bufio.NewScanner(z)
		}
		scanner.Buffer(nil, 1<<24)
		for scanner.Scan() {
			lines = append(lines, bytes.Clone(scanner.Bytes()))
		}
		if err := scanner.Err(); err != nil {
			tb.Fatal(err)
		}
	}
	return lines
}

// TestRealRecords writes every record again in the detected style; all but a few come back byte for byte, which is
// what the lake depends on.
func TestRealRecords(t *testing.T) {
	lines := realRecords(t)
	var members []Member
	var out, canonical []byte
	differ, styles := 0, map[Style]int{}
	for _, line := range lines {
		if reason := Check(line); reason != "" {
			t.Fatalf("%s: %s", reason, line)
		}
		var err error
		if members, err = Members(members[:0], line); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		style := DetectStyle(line)
		styles[style]++
		out = append(out[:0], '{')
		for i, m := range members {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(append(out, '"'), m.Key...), '"'), ':')
			if m.Kind != String {
				out = append(out, m.Value...)
				continue
			}
			s, _ := Unquote(m.Value)
			out = AppendQuoted(out, s, style)
		}
		if out = append(out, '}'); !bytes.Equal(out, line) {
			differ++
		}
		if canonical, err = AppendCanonical(canonical[:0], line); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if want := marshalled(t, line); !bytes.Equal(canonical, want) {
			t.Fatalf("canonical form\n got %s\nwant %s", canonical, want)
		}
	}
	t.Logf("%d records, %d not rebuilt from their members, styles %v", len(lines), differ, styles)
	if differ*1000 > len(lines)*2 {
		t.Errorf("%d of %d records are not rebuilt from their members", differ, len(lines))
	}
}

// marshalled is the canonical form by way of the standard library, for values without duplicate keys or fractions.
func marshalled(tb testing.TB, text []byte) []byte {
	tb.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		tb.Fatal(err)
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		tb.Fatal(err)
	}
	out := bytes.TrimSpace(buf.Bytes())
	out = bytes.ReplaceAll(out, []byte(`\u2028`), []byte("\u2028"))
	return bytes.ReplaceAll(out, []byte(`\u2029`), []byte("\u2029"))
}

func benchmark(b *testing.B, run func(line []byte)) {
	lines := realRecords(b)
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, l := range lines {
			run(l)
		}
	}
}

func BenchmarkMembers(b *testing.B) {
	var m []Member
	benchmark(b, func(l []byte) { m, _ = Members(m[:0], l) })
}

func BenchmarkCheck(b *testing.B) { benchmark(b, func(l []byte) { Check(l) }) }

func BenchmarkAppendCanonical(b *testing.B) {
	var out []byte
	benchmark(b, func(l []byte) { out, _ = AppendCanonical(out[:0], l) })
}

func BenchmarkDetectStyle(b *testing.B) { benchmark(b, func(l []byte) { DetectStyle(l) }) }
