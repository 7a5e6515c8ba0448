package file

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// TestCutOnce shows what is said of a file that was cut, and what is not taken for one.
func TestCutOnce(t *testing.T) {
	for _, tt := range []struct{ name, data, items, says string }{
		{
			"quoted field", "Id,AuditData,Note\n1,\"{\"\"a\"\":1}\",x\n2,\"{\"\"b\"\":\"\"y", "2 {\"a\":1}\n" +
				"3 2,\"{\"\"b\"\":\"\"y (the file ends inside a quoted field of the row that begins in line 3)\n",
			"the file ends inside a quoted field of the row that begins in line 3",
		},
		{
			"quoted field over lines", "AuditData,N\n\"{\n \"\"a\"\": 1\n}\",x\n\"{\n \"\"b\"\": 1,\n \"\"c\"\": ", "2 {\n \"a\": 1\n}\n" +
				"5 \"{\n \"\"b\"\": 1,\n \"\"c\"\": (the file ends inside a quoted field of the row that begins in line 5)\n",
			"a quoted field of the row that begins in line 5",
		},
		{
			"at a line end inside a quoted field", "AuditData\n\"{\n", "2 \"{ (the file ends inside a quoted field of the row that begins in line 2)\n",
			"a quoted field of the row that begins in line 2",
		},
		{
			"between columns", "Id,AuditData,Note\n1,{},\n2,{}", "2 {}\n3 2,{} (the file ends inside the row that begins in line 3)\n",
			"inside the row that begins in line 3",
		},
		{
			"inside of a doubled quote", "Id,AuditData\n1,{}\n2,\"{\"\"a\"\":\"", "2 {}\n3 2,\"{\"\"a\"\":\" (the file ends inside the row that begins in line 3)\n",
			"inside the row that begins in line 3",
		},
		{"before the record", "Id,AuditData\n1,{}\n2,", "2 {}\n3 2, (the file ends inside the row that begins in line 3)\n", "inside the row that begins in line 3"},
		{"line", "{\"a\":1}\n\n{\"b\":\"}", "1 {\"a\":1}\n3 {\"b\":\"} (the file ends inside line 3)\n", "the file ends inside line 3"},
		{"element", "[{\"a\":1},\n{\"b\":[1", "1 {\"a\":1}\n2 {\"b\":[1 (the file ends inside element 2)\n", "the file ends inside element 2"},
		{"number", "[1, 2", "1 1 (not a JSON object but a number)\n2 2 (the file ends inside element 2)\n", "the file ends inside element 2"},
		{"indented object", "{\n \"a\": 1\n}\n{\n \"b\"", "1 {\n \"a\": 1\n}\n2 {\n \"b\" (the file ends inside element 2)\n", "the file ends inside element 2"},
		{"between elements", "[{\"a\":1},", "1 {\"a\":1}\n", "the file ends early, after 1 items"},

		{"last line without an end", "{\"a\":1}\n{\"b\":1}", "1 {\"a\":1}\n2 {\"b\":1}\n", ""},
		{"unclosed object with a line end", "{}\n{\"b\":\n", "1 {}\n2 {\"b\": (not JSON)\n", ""},
		{"a last line of text", "{}\n2 records", "1 {}\n2 2 records (not JSON)\n", ""},
		{"row of too few columns with a line end", "AuditData,N\n{},1\n{}\n", "2 {}\n3 {} (the row does not have the columns of the header)\n", ""},
		{"lone quote in the last row", "Note,AuditData\n5\" disk,{}", "2 {}\n", ""},
		{
			"open quote before a usable row", "AuditData,N\n\"{},1\nnone\n{},2\n",
			"2 \"{},1 (the row does not have the columns of the header)\n3 none (the row does not have the columns of the header)\n4 {}\n", "",
		},
		{
			"open quote before a usable row and a cut", "AuditData,N\n\"{},1\n{},2\n\"{\"\"", "2 \"{},1 (the row does not have the columns of the header)\n" +
				"3 {}\n4 \"{\"\" (the file ends inside a quoted field of the row that begins in line 4)\n",
			"a quoted field of the row that begins in line 4",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, data := range [][]byte{[]byte(tt.data), zip(tt.data), wide(tt.data, binary.LittleEndian, true)} {
				f, items, err := read(t, data, 0)
				if got := describe(items); got != tt.items || f.Lines() != int64(len(items)) {
					t.Errorf("form %d: %d items\n%swant\n%s", i, f.Lines(), got, tt.items)
				}
				if tt.says == "" && err == nil {
					continue
				}
				if tt.says == "" || !fault.Is(err, fault.Malformed) || !strings.Contains(err.Error(), "read test: ") || !strings.Contains(err.Error(), tt.says) || fault.HintOf(err) == "" {
					t.Errorf("form %d: error %v, want %q", i, err, tt.says)
				}
			}
		})
	}
}

// piece is a record of a file with the bytes between which it stands there.
type piece struct {
	raw        string
	start, end int
}

// assemble makes a file of texts, each a record in the form of the file, and of what stands before, between and behind them.
func assemble(before, between, behind string, raws, texts []string) (data string, pieces []piece) {
	data = before
	for i, text := range texts {
		if i > 0 {
			data += between
		}
		pieces = append(pieces, piece{raws[i], len(data), len(data) + len(text)})
		data += text
	}
	return data + behind, pieces
}

// TestCutAnywhere cuts files of each form at each byte. The records before the cut come, what there is of the one that is
// cut comes as a malformed item, and the error says so.
func TestCutAnywhere(t *testing.T) {
	raws := []string{`{"Id":"a","x":"é, \"q\""}`, "{\r\n \"Id\": \"b\",\n \"l\": [{}, []]\r\n}", `{"Id":"c"}`}
	var flat, middle, last []string
	for i, raw := range raws {
		flat = append(flat, strings.Join(strings.Fields(raw), " "))
		quoted := `"` + strings.ReplaceAll(raw, `"`, `""`) + `"`
		middle = append(middle, fmt.Sprintf("%d,%s,\"two\n\"\"lines\"\"\"", i, quoted))
		last = append(last, fmt.Sprintf("%d,\"a, b\",%s", i, quoted))
	}
	for _, form := range []struct {
		name                    string
		before, between, behind string
		raws, texts             []string
		closed                  bool // a cut between records shows
	}{
		{"lines", "", "\n", "\n", flat, flat, false},
		{"array", "[", ",\n", "]", raws, raws, true},
		{"objects", "\n", "\n", "", []string{"{\n}", "{\n\"a\":1}"}, []string{"{\n}", "{\n\"a\":1}"}, false},
		{"csv", "Id,AuditData,Note\r\n", "\r\n", "\r\n", raws, middle, false},
		{"csv with the record at the end", "Id,Note,AuditData\n", "\n", "", raws, last, false},
		{"csv of one column", "AuditData\n", "\n", "\n", raws, []string{last[0][9:], last[1][9:], last[2][9:]}, false},
	} {
		t.Run(form.name, func(t *testing.T) {
			data, pieces := assemble(form.before, form.between, form.behind, form.raws, form.texts)
			for n := len(form.before); n < len(data); n++ {
				var want []string
				rest := ""
				for _, p := range pieces {
					if p.end <= n {
						want = append(want, p.raw)
					} else if p.start < n {
						rest = strings.TrimSpace(data[p.start:n])
					}
				}
				if form.name == "csv" && strings.Contains(rest, `}",`) && strings.Count(rest, `"`)%2 == 0 {
					want, rest = append(want, pieces[len(want)].raw), "" // all columns are there, only the note is cut
				}
				checkCut(t, n, []byte(data[:n]), want, rest, form.closed)
			}
		})
	}
}

// checkCut reads what is left of a file that was cut at n, as it is and packed.
func checkCut(t *testing.T, n int, data []byte, want []string, rest string, closed bool) {
	t.Helper()
	for _, packed := range []bool{false, true} {
		text := data
		if packed {
			text = zip(string(data))
			text = text[:len(text)-8] // the length and the checksum of what is packed
		}
		_, items, err := read(t, text, 0)
		good := items
		if rest != "" && len(items) > 0 {
			good = items[:len(items)-1]
			if it := items[len(items)-1]; string(it.Raw) != rest || !strings.Contains(it.Malformed, "the file ends inside ") {
				t.Errorf("cut at %d: the last item is %q (%s), want %q", n, it.Raw, it.Malformed, rest)
			}
		}
		same := len(good) == len(want)
		for i := range good {
			same = same && string(good[i].Raw) == want[i] && good[i].Malformed == ""
		}
		if !same {
			t.Errorf("cut at %d: items\n%swant %q and %q", n, describe(items), want, rest)
		}
		switch {
		case rest != "" && (!fault.Is(err, fault.Malformed) || !strings.Contains(err.Error(), "the file ends inside ")):
			t.Errorf("cut at %d, packed %v: error %v", n, packed, err)
		case rest == "" && (err != nil) != (packed || closed):
			t.Errorf("cut at %d, between records, packed %v: error %v", n, packed, err)
		}
	}
}

// TestCutPackedStream cuts a packed file at each byte: it is never taken for a whole one, and what can be unpacked comes.
func TestCutPackedStream(t *testing.T) {
	var text strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		fmt.Fprintf(&text, "{\"Id\":\"%d-%x\"}\n", i, random.Uint64())
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.SplitAfter(text.String(), "\n") {
		_, _ = z.Write([]byte(line))
		if i%20 == 0 {
			_ = z.Flush()
		}
	}
	_ = z.Close()
	most := 0
	for n := 2; n < packed.Len(); n++ {
		_, items, err := read(t, packed.Bytes()[:n], 0)
		if !fault.Is(err, fault.Malformed) {
			t.Fatalf("cut at %d: %d items, error %v", n, len(items), err)
		}
		var got strings.Builder
		for i, item := range items {
			got.Write(item.Raw)
			if item.Malformed == "" {
				got.WriteByte('\n')
			} else if i < len(items)-1 || !strings.Contains(err.Error(), "the file ends inside ") {
				t.Errorf("cut at %d: item %d of %d: %s, %v", n, i, len(items), item.Malformed, err)
			}
		}
		if rest, ok := strings.CutPrefix(text.String(), got.String()); !ok {
			t.Errorf("cut at %d: %s is not the beginning of the file", n, got.String())
		} else if most = max(most, len(items)); rest == "" && len(items) != 200 {
			t.Errorf("cut at %d: %d items", n, len(items))
		}
	}
	if most != 200 {
		t.Errorf("at most %d items came", most)
	}
	damaged := bytes.Clone(packed.Bytes())
	for i := packed.Len() / 2; i < packed.Len()/2+40; i++ {
		damaged[i] = 0xff
	}
	_, items, err := read(t, damaged, 0)
	if !fault.Is(err, fault.Malformed) || !strings.Contains(err.Error(), "the file could be read up to ") || len(items) < 50 {
		t.Errorf("damaged: %d items, %v", len(items), err)
	}
}

// TestReadingThatFails: when it is not the file but the reading that ends early, what there is of the last record is no item,
// because the same file is read again.
func TestReadingThatFails(t *testing.T) {
	broken := errors.New("connection lost")
	for format, text := range map[Format]string{
		Lines: "{\"a\":1}\n{\"b\"", Array: "[{\"a\":1},{\"b\"", CSV: "AuditData,N\n\"{\"\"a\"\":1}\",x\n\"{\"\"b\"\"",
	} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write([]byte(text))
		_ = z.Flush()
		for form, data := range map[string][]byte{"plain": []byte(text), "packed": packed.Bytes()} {
			f, err := Open("test", io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)))
			if err != nil {
				t.Fatal(err)
			}
			var items []record.Item
			for item, itemErr := range f.Items() {
				if err = itemErr; err == nil {
					items = append(items, item)
				}
			}
			if len(items) != 1 || items[0].Malformed != "" || !errors.Is(err, broken) || !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s, %s: items %q, error %v", format, form, describe(items), err)
			}
		}
	}
}
