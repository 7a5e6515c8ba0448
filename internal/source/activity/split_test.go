package activity

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// collect reads a whole split.
func collect(r io.Reader, limit int) (items []record.Item, err error) {
	for it, e := range split("fetch", r, limit) {
		if e != nil {
			return items, e
		}
		items = append(items, it)
	}
	return items, nil
}

func TestSplit(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 3000) + strings.Repeat(`]}`, 3000)
	tests := []struct {
		name  string
		body  string
		want  []string // raw of each item, "!reason:raw" for malformed ones
		fails string   // part of the error; empty: none
	}{
		{"empty array", `[]`, nil, ""},
		{"empty array with space and mark", "\xef\xbb\xbf \r\n[ \t]\n", nil, ""},
		{"records keep their bytes", `[ {"b":1 , "a":"x\/\u00e9"} ,` + "\n" + `{"a":1.0,"a":2}]`, []string{`{"b":1 , "a":"x\/\u00e9"}`, `{"a":1.0,"a":2}`}, ""},
		{"brackets and quotes in strings", `[{"a":"]},{\"[\\"},{"b":"\\\\"}]`, []string{`{"a":"]},{\"[\\"}`, `{"b":"\\\\"}`}, ""},
		{"not objects", `[1,"x,]",null,[{"a":1}],{}]`, []string{"!not a JSON object but a number:1", `!not a JSON object but a string:"x,]"`, "!not a JSON object but null:null", `!not a JSON object but an array:[{"a":1}]`, "{}"}, ""},
		{"bad JSON in the middle", `[{"a":1},{"a":tru},{"a":2}]`, []string{`{"a":1}`, `!not JSON:{"a":tru}`, `{"a":2}`}, ""},
		{"control character", "[{\"a\":\"x\ny\"},{}]", []string{"!not JSON:{\"a\":\"x\ny\"}", "{}"}, ""},
		{"bad escape", `[{"a":"C:\Users"},{}]`, []string{`!not JSON:{"a":"C:\Users"}`, "{}"}, ""},
		{"bad UTF-8", "[{\"a\":\"\xff\"},{}]", []string{"!invalid UTF-8:{\"a\":\"\xff\"}", "{}"}, ""},
		{"missing comma", `[{"a":1} {"b":2},{}]`, []string{`!not JSON:{"a":1} {"b":2}`, "{}"}, ""},
		{"trailing comma", `[{},]`, []string{"{}", "!empty array element:"}, ""},
		{"two commas", `[{}, ,{}]`, []string{"{}", "!empty array element:", "{}"}, ""},
		{"stray bracket", `[}},{}]`, []string{"!not JSON:}}", "{}"}, ""},
		{"very deep", "[" + deep + "]", []string{"!nested deeper than 1000 levels:" + deep}, ""},

		{"empty body", ``, nil, "empty"},
		{"only space", " \n", nil, "empty"},
		{"cut at once", `[`, nil, "ends inside the array"},
		{"cut in a record", `[{"a":1},{"a":`, []string{`{"a":1}`}, "ends inside a record"},
		{"cut in a string", `[{"a":1},{"a":"`, []string{`{"a":1}`}, "ends inside a record"},
		{"cut after a record", `[{"a":1}`, nil, "ends inside a record"},
		{"cut after a comma", `[{"a":1},`, []string{`{"a":1}`}, "ends inside the array"},
		{"text behind", `[{}] {}`, []string{"{}"}, "behind the end"},
		{"object", `{"error":{"code":"AF50000"}}`, nil, "object instead of an array"},
		{"web page", `<!DOCTYPE html><html>`, nil, "web page"},
		{"something else", `null`, nil, "not a JSON array"},
	}
	readers := map[string]func(string) io.Reader{
		"whole":         func(s string) io.Reader { return strings.NewReader(s) },
		"byte by byte":  func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
		"data with EOF": func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
	}
	for _, tt := range tests {
		for how, reader := range readers {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				items, err := collect(reader(tt.body), maxRecordSize)
				var got []string
				for _, it := range items {
					text := string(it.Raw)
					if it.Malformed != "" {
						text = "!" + it.Malformed + ":" + text
					}
					if at := tt.body[it.Offset:]; !strings.HasPrefix(at, string(it.Raw)) {
						t.Errorf("offset %d of %.40q points to %.40q", it.Offset, it.Raw, at)
					}
					got = append(got, text)
				}
				if strings.Join(got, "\x00") != strings.Join(tt.want, "\x00") {
					t.Errorf("split(%.60q) = %.200q, want %.200q", tt.body, got, tt.want)
				}
				switch {
				case tt.fails == "" && err != nil:
					t.Errorf("error %v", err)
				case tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails) || !fault.Is(err, fault.Unavailable)):
					t.Errorf("error %v (%s), want unavailable: …%s…", err, fault.KindOf(err), tt.fails)
				}
			})
		}
	}
}

func TestSplitPassesReadErrorsOn(t *testing.T) {
	boom := fault.New(fault.Unavailable, "fetch", "reset")
	items, err := collect(io.MultiReader(strings.NewReader(`[{"a":1},{"b"`), iotest.ErrReader(boom)), maxRecordSize)
	if !errors.Is(err, boom) || len(items) != 1 {
		t.Errorf("got %d items and %v, want 1 and the reader's error", len(items), err)
	}
	if _, err := collect(iotest.ErrReader(boom), maxRecordSize); !errors.Is(err, boom) {
		t.Errorf("error at once: %v", err)
	}
}

// TestSplitItemsAreOwned keeps all items until the end and checks that none was written over.
func TestSplitItemsAreOwned(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i := range 3000 {
		want = append(want, fmt.Sprintf(`{"n":%d,"s":%q}`, i, strings.Repeat("é\\\"]", rng.IntN(400))))
	}
	want[1500] = `{"large":"` + strings.Repeat("x", 3<<20) + `"}`
	body := "[" + strings.Join(want, ",\n") + "]"
	items, err := collect(iotest.HalfReader(strings.NewReader(body)), maxRecordSize)
	if err != nil || len(items) != len(want) {
		t.Fatalf("got %d items, %v; want %d", len(items), err, len(want))
	}
	for i, it := range items {
		if string(it.Raw) != want[i] || it.Malformed != "" || body[it.Offset:it.Offset+int64(len(it.Raw))] != want[i] {
			t.Fatalf("item %d differs: %.60q, want %.60q", i, it.Raw, want[i])
		}
		if cap(it.Raw) != len(it.Raw) {
			t.Fatalf("item %d could be appended to over its neighbour", i)
		}
	}
}

func TestSplitLargeRecord(t *testing.T) {
	const limit = 300 << 10
	huge := `{"a":"` + strings.Repeat(`\\`, 400<<10) + `"}`
	body := `[{"n":1},` + huge + `,{"n":2}]`
	items, err := collect(strings.NewReader(body), limit)
	if err != nil || len(items) != 3 {
		t.Fatalf("got %d items, %v", len(items), err)
	}
	if it := items[1]; it.Malformed != reasonTooLarge || len(it.Raw) != keptOfLarge || !strings.HasPrefix(huge, string(it.Raw)) || it.Offset != 9 {
		t.Errorf("large record: %d bytes at %d, %q", len(it.Raw), it.Offset, it.Malformed)
	}
	if string(items[2].Raw) != `{"n":2}` || int(items[2].Offset) != strings.LastIndex(body, `{"n":2}`) {
		t.Errorf("record behind the large one: %q at %d", items[2].Raw, items[2].Offset)
	}
}

func TestSplitStops(t *testing.T) {
	n := 0
	for _, err := range split("fetch", strings.NewReader(`[{},{},{`), maxRecordSize) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d items after break", n)
	}
}

// TestValidJSONAgreesWithTheStandardLibrary damages documents at random places.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{`[]`, `[{"a":"\\\""},1]`, `[{}`, `{"error":1}`, "[{\"a\":\"\xff\"}]", `[,]`, `[[1],{"a":{}}] `, "\xef\xbb\xbf[{}]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := collect(bytes.NewReader(body), maxRecordSize)
		slow, slowErr := collect(iotest.OneByteReader(bytes.NewReader(body)), maxRecordSize)
		if len(items) != len(slow) || (err == nil) != (slowErr == nil) {
			t.Fatalf("whole: %d items, %v; byte by byte: %d, %v", len(items), err, len(slow), slowErr)
		}
		for _, it := range items {
			if !bytes.Equal(body[it.Offset:it.Offset+int64(len(it.Raw))], it.Raw) {
				t.Fatalf("item at %d is not the body's", it.Offset)
			}
			if it.Malformed == "" && (!json.Valid(it.Raw) || it.Raw[0] != '{') {
				t.Fatalf("good item %q is no object", it.Raw)
			}
		}
		// Whatever the standard library takes for an array must come out complete.
		var want []json.RawMessage
		if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' && json.Unmarshal(body, &want) == nil {
			if err != nil || len(items) != len(want) {
				t.Fatalf("%d items, %v; want %d", len(items), err, len(want))
			}
		}
	})
}

// realArray is a blob of the public Management Activity records, at least n bytes long.
func realArray(tb testing.TB, n int) []byte {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	file, err := os.Open(filepath.Join(dir, "../shared/data/management-activity/invictus-o365.ndjson.gz"))
	if err != nil {
		tb.Skip("the public record collection (../shared/data) is not beside this repository")
	}
	defer func() { _ = file.Close() }()
	zip, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	lines, err := io.ReadAll(zip)
	if err != nil {
		tb.Fatal(err)
	}
	one := bytes.ReplaceAll(bytes.TrimSpace(lines), []byte("\n"), []byte(","))
	body := append([]byte("["), one...)
	for len(body) < n {
		body = append(append(body, ','), one...)
	}
	return append(body, ']')
}

func TestSplitRealRecords(t *testing.T) {
	body := realArray(t, 0)
	var want []json.RawMessage
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatal(err)
	}
	items, err := collect(bytes.NewReader(body), maxRecordSize)
	if err != nil || len(items) != len(want) {
		t.Fatalf("%d items, %v; want %d", len(items), err, len(want))
	}
	for i, it := range items {
		if !bytes.Equal(it.Raw, want[i]) || it.Malformed != "" {
			t.Fatalf("record %d differs or is %q", i, it.Malformed)
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	body := realArray(b, 32<<20)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range split("fetch", bytes.NewReader(body), maxRecordSize) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
