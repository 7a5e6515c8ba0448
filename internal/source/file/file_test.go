package file

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// read reads a whole file with a small limit and in small pieces.
func read(t testing.TB, data []byte, limit int) (f *Reader, items []record.Item, err error) {
	t.Helper()
	f, err = Open("test", iotest.HalfReader(bytes.NewReader(data)))
	if err != nil {
		return nil, nil, err
	}
	if limit > 0 {
		f.limit = limit
	}
	for item, err := range f.Items() {
		if err != nil {
			return f, items, err
		}
		items = append(items, item)
	}
	return f, items, nil
}

func describe(items []record.Item) string {
	var b strings.Builder
	for _, it := range items {
		fmt.Fprintf(&b, "%d %s", it.Offset, it.Raw)
		if it.Malformed != "" {
			fmt.Fprintf(&b, " (%s)", it.Malformed)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func zip(data string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(data))
	_ = z.Close()
	return b.Bytes()
}

func wide(data string, order binary.AppendByteOrder, mark bool) []byte {
	var b []byte
	if mark {
		b = order.AppendUint16(b, 0xfeff)
	}
	for _, u := range utf16.Encode([]rune(data)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

const export = "RecordId,CreationDate,AuditData,Note\r\n" +
	`1,2021,"{""Id"":""a"",""x"":""é""}",` + "\r\n" +
	"\r\n" +
	"2,2021,\"{\r\n \"\"Id\"\": \"\"b\"\"\r\n}\",\"two\nlines\"\r\n" +
	`3,2021,"{""Id"":""c",` + "\r\n" +
	`4,2021,,x` + "\r\n" +
	`5,2021,"{""Id"":",x` + "\r\n" +
	`6,2021,"{""Id"":""f""}",x`

const exportItems = `2 {"Id":"a","x":"é"}
` + "4 {\r\n \"Id\": \"b\"\r\n}\n" +
	`8 {"Id":"c (not JSON)
9 4,2021,,x (the row has no AuditData)
10 {"Id": (not JSON)
11 {"Id":"f"}
`

func TestItems(t *testing.T) {
	lines := "\n{\"a\":1}\r\n  \n \t{\"b\":\"x \"} \n{\"c\":\n[1]\n{}"
	lineItems := "2 {\"a\":1}\n4 {\"b\":\"x \"}\n5 {\"c\": (not JSON)\n6 [1] (not a JSON object but an array)\n7 {}\n"
	array := " [ {\"a\":[\"]\",\"\\\"\"]} ,\n{},3, \"x,\" , null]\n\n[{\"b\":1}]"
	arrayItems := "1 {\"a\":[\"]\",\"\\\"\"]}\n2 {}\n3 3 (not a JSON object but a number)\n4 \"x,\" (not a JSON object but a string)\n" +
		"5 null (not a JSON object but null)\n6 {\"b\":1}\n"
	tests := []struct {
		name   string
		data   []byte
		format Format
		want   string
	}{
		{"lines", []byte(lines), Lines, lineItems},
		{"lines packed", zip(lines), Lines, lineItems},
		{"lines packed twice in a row", append(zip("{\"a\":1}\n"), zip("{\"b\":1}\n")...), Lines, "1 {\"a\":1}\n2 {\"b\":1}\n"},
		{"lines with mark", []byte("\xef\xbb\xbf{\"a\":1}\n"), Lines, "1 {\"a\":1}\n"},
		{"lines packed with mark", zip("\xef\xbb\xbf{\"a\":1}\n"), Lines, "1 {\"a\":1}\n"},
		{"first line malformed", []byte("oops\n{\"a\":1}\n"), Lines, "1 oops (not JSON)\n2 {\"a\":1}\n"},
		{"invalid UTF-8", []byte("{\"a\":\"\xff\"}\n{}"), Lines, "1 {\"a\":\"\xff\"} (invalid UTF-8)\n2 {}\n"},
		{"array", []byte(array), Array, arrayItems},
		{"empty array", []byte(" [ ] "), Array, ""},
		{"indented object", []byte("{\n \"a\": 1\n}\n{\n}\n"), Array, "1 {\n \"a\": 1\n}\n2 {\n}\n"},
		{"csv", []byte(export), CSV, exportItems},
		{"csv with mark", []byte("\xef\xbb\xbf" + export), CSV, exportItems},
		{"csv UTF-16 LE", wide(export, binary.LittleEndian, true), CSV, exportItems},
		{"csv UTF-16 BE", wide(export, binary.BigEndian, true), CSV, exportItems},
		{"csv UTF-16 LE without mark", wide(export, binary.LittleEndian, false), CSV, exportItems},
		{"csv packed UTF-16", zip(string(wide(export, binary.LittleEndian, true))), CSV, exportItems},
		{"csv of PowerShell", []byte("#TYPE Selected.System\r\n\"Id\";\"AUDITDATA\"\r\n\"1\";\"{\"\"a\"\":\"\";\"\"}\"\r\n"), CSV, "3 {\"a\":\";\"}\n"},
		{"csv of one column", []byte("AuditData\n\"{\"\"a\"\":1}\"\n"), CSV, "2 {\"a\":1}\n"},
		{
			"csv with an open quote", []byte("AuditData,N\n\"{\"\"a\"\":1},1\n{},2\n{},3\n{},4\n"), CSV,
			"2 \"{\"\"a\"\":1},1 (the row does not have the columns of the header)\n3 {}\n4 {}\n5 {}\n",
		},
		{
			"csv with two open quotes", []byte("AuditData,N\n\"{},1\n{},2\n\"{},3\n{},4\n"), CSV,
			"2 \"{},1 (the row does not have the columns of the header)\n3 {}\n4 \"{},3 (the row does not have the columns of the header)\n5 {}\n",
		},
		{"csv header only", []byte("AuditData,N\n"), CSV, ""},
		{"empty", nil, Empty, ""},
		{"blank", []byte(" \n\n"), Empty, ""},
		{"empty packed", zip(""), Empty, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, items, err := read(t, tt.data, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(items); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			if f.Format() != tt.format || f.Lines() != int64(len(items)) {
				t.Errorf("format %s, %d lines, want %s", f.Format(), f.Lines(), tt.format)
			}
		})
	}
}

func TestLongRecords(t *testing.T) {
	long := strings.Repeat("x", 400_000)
	const limit = 300_000
	tests := []struct{ name, data, want string }{
		{"lines", "{\"a\":1}\n{\"a\":\"" + long + "\"}\n{\"b\":1}\n", "the line is longer"},
		{"array", "[{\"a\":1},{\"a\":\"" + long + "\"},{\"b\":1}]", "the element is longer"},
		{"csv", "AuditData,N\n\"{\"\"a\"\":1}\",1\n\"{\"\"a\"\":\"\"" + long + "\"\"}\",2\n\"{\"\"b\"\":1}\",3\n", "the row is longer"},
	}
	for _, tt := range tests {
		_, items, err := read(t, []byte(tt.data), limit)
		if err != nil || len(items) != 3 {
			t.Fatalf("%s: %d items, %v", tt.name, len(items), err)
		}
		if !strings.Contains(items[1].Malformed, tt.want) || len(items[1].Raw) > keptOfLong || items[0].Malformed+items[2].Malformed != "" {
			t.Errorf("%s: %q, %d bytes kept", tt.name, items[1].Malformed, len(items[1].Raw))
		}
	}
	// A quote that is not closed makes all that follows one row, until the limit is reached; then the rows come.
	rows := strings.Repeat("{},1\n", 100_000)
	_, items, err := read(t, []byte("AuditData,N\n\"{},1\n"+rows), limit)
	if err != nil || len(items) != 100_001 || items[0].Malformed == "" || items[100_000].Malformed != "" || items[100_000].Offset != 100_002 {
		t.Errorf("open quote: %d items, last %+v, %v", len(items), items[len(items)-1], err)
	}
}

func TestErrors(t *testing.T) {
	packed := zip(strings.Repeat("{\"a\":1}\n", 1000))
	corrupt := bytes.Clone(packed)
	corrupt[len(corrupt)-6] ^= 0xff // the checksum
	tests := []struct {
		name  string
		data  []byte
		items int
		want  string
	}{
		{"cut gzip", packed[:len(packed)-9], -1, "the file ends early, after"},
		{"cut array", []byte(`[{"a":1},{"a":1}`), 2, "the file ends early, after 2 items"},
		{"missing comma", []byte(`[{"a":1} {"b":1}]`), 1, "up to item 1 only"},
		{"double comma", []byte(`[{"a":1},,{"b":1}]`), 1, "up to item 1 only"},
		{"checksum", corrupt, 1000, "up to item 1000 only"},
		{"no records", []byte("hello\nworld\n"), 0, "holds no records"},
		{"other csv", []byte("a,b\n1,2\n"), 0, "holds no records"},
		{"gzip header only", packed[:5], 0, "ends early"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, items, err := read(t, tt.data, 0)
			if !fault.Is(err, fault.Malformed) || !strings.Contains(err.Error(), tt.want) || fault.HintOf(err) == "" {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if tt.items >= 0 && len(items) != tt.items {
				t.Errorf("%d items, want %d", len(items), tt.items)
			}
			for _, item := range items {
				if item.Malformed != "" {
					t.Errorf("item %s: %s", item.Raw, item.Malformed)
				}
			}
		})
	}
}

func TestReadError(t *testing.T) {
	want := errors.New("connection lost")
	f, err := Open("test", io.MultiReader(strings.NewReader("{}\n{}\n{\"a\""), iotest.ErrReader(want)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err = range f.Items() {
		if err == nil {
			n++
		}
	}
	if n != 2 || !errors.Is(err, want) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%d items, %v", n, err)
	}
	if _, err := Open("test", iotest.ErrReader(want)); !errors.Is(err, want) {
		t.Errorf("Open: %v", err)
	}
}

// TestStop checks that a caller may stop at any item, and that items are the receiver's own.
func TestStop(t *testing.T) {
	for _, data := range []string{"{\"a\":1}\n{\"b\":1}\n", "[{\"a\":1},{\"b\":1}]", "AuditData\n{\"a\":1}\n{\"b\":1}\n"} {
		f, err := Open("test", strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for item, err := range f.Items() {
			if err != nil || string(item.Raw) != `{"a":1}` {
				t.Errorf("%s, %v", item.Raw, err)
			}
			break
		}
	}
}

// TestPublicRecords reads the public records as they are, as an array and as a CSV export: the same records come.
func TestPublicRecords(t *testing.T) {
	name := "../../../../shared/data/management-activity/invictus-o365.ndjson.gz"
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Skip("no public records in ../shared/data beside the repository")
	}
	_, items, err := read(t, data, 0)
	if err != nil || len(items) != 9608 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	var array, table bytes.Buffer
	w := csv.NewWriter(&table)
	w.UseCRLF = true
	if err := w.Write([]string{"RecordId", "AuditData", "Note"}); err != nil {
		t.Fatal(err)
	}
	array.WriteByte('[')
	for i, item := range items {
		if item.Malformed != "" || item.Offset != int64(i+1) {
			t.Fatalf("item %d: %d, %s", i, item.Offset, item.Malformed)
		}
		if i > 0 {
			array.WriteString(",\n")
		}
		array.Write(item.Raw)
		if err := w.Write([]string{"x", string(item.Raw), "a \"note\",\nof two lines"}); err != nil {
			t.Fatal(err)
		}
	}
	array.WriteByte(']')
	w.Flush()
	for format, data := range map[Format][]byte{Array: array.Bytes(), CSV: table.Bytes()} {
		f, got, err := read(t, data, 0)
		if err != nil || len(got) != len(items) || f.Format() != format {
			t.Fatalf("%s: %d items, format %s, %v", format, len(got), f.Format(), err)
		}
		for i := range got {
			if !bytes.Equal(got[i].Raw, items[i].Raw) || got[i].Malformed != "" {
				t.Fatalf("%s: item %d differs", format, i)
			}
		}
	}
}

func fuzz(f *testing.F, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
		f.Add(zip(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, items, err := read(t, data, 1<<12)
		if err != nil && fault.KindOf(err) != fault.Malformed {
			t.Errorf("kind of %v", err)
		}
		last := int64(0)
		for _, item := range items {
			if len(item.Raw) == 0 && item.Malformed == "" || item.Offset < last {
				t.Errorf("item %+v after %d", item, last)
			}
			last = item.Offset
		}
	})
}

func FuzzLines(f *testing.F) { fuzz(f, "{\"a\":1}\n\n{\"b\":2}\r\n{", "x\n{}", "\xef\xbb\xbf{}") }

func FuzzArray(f *testing.F) {
	fuzz(f, `[{"a":"]\""},1,"x",null] [{}]`, "{\n\"a\":1\n}", `[[1,[2]]`, "[}", "[\"\\")
}

func FuzzCSV(f *testing.F) {
	fuzz(f, export, "#TYPE x\nAuditData\n\"\"\n\"", "a;AuditData\n\"x\ny\";{}\n\"z;1\n", string(wide(export, binary.LittleEndian, true)))
}
