package lake

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// shredded shreds records into one buffer and returns its rows as a reader of the file would see them.
func shredded(t testing.TB, s *shredder, raws ...string) []row {
	t.Helper()
	b := newRowBuffer(&chunkPool{})
	for _, raw := range raws {
		members, err := rawjson.Members(nil, []byte(raw))
		s.shred(b, "office365", []byte(raw), members, err == nil)
		b.endRow()
	}
	rows := make([]row, b.rows)
	for i := range rows {
		rows[i] = row{}
	}
	for slot := range b.cols {
		c, d := &b.cols[slot], s.cols.defs[slot]
		for i, k := range b.positions(c, nil) {
			switch {
			case k < 0:
			case d.kind == Text || d.kind == JSON:
				rows[i][d.name] = string(b.text(c, k))
			case d.kind == Bool:
				rows[i][d.name] = c.nums[k] != 0
			default:
				rows[i][d.name] = c.nums[k]
			}
		}
	}
	return rows
}

func TestShredAndRebuild(t *testing.T) {
	tests := []struct {
		name, raw string
		want      row // some of the columns
		verbatim  bool
	}{
		{
			name: "plain", raw: `{"Operation":"Add user.","RecordType":8,"ExternalAccess":true,"Target":[1, 2]}`,
			want: row{"office365.Operation": "Add user.", "office365.RecordType": int64(8), "office365.ExternalAccess": true, "office365.Target": "[1, 2]"},
		},
		{name: "empty", raw: `{}`, want: row{ColShape: "office365\n"}},
		{name: "null", raw: `{"A":null}`, want: row{ColShape: "office365\nnA\n"}},
		{name: "escapes", raw: `{"Path":"a\/b\r\n\u0001\"\\"}`, want: row{"office365.Path": "a/b\r\n\x01\"\\", ColStyle: int64(rawjson.SlashEscaped)}},
		{name: "bare slash", raw: `{"Path":"a/b"}`, want: row{"office365.Path": "a/b", ColStyle: int64(0)}},
		{name: "mixed escapes", raw: `{"A":"a\/b","B":"c/d"}`, want: row{"office365.A": "a/b", "office365.B": "c/d"}, verbatim: true},
		{name: "spaces", raw: `{"A": "x"}`, want: row{"office365.A": "x"}, verbatim: true},
		{
			name: "wrong kinds", raw: `{"RecordType":"8","ExternalAccess":1,"Operation":5,"Actor":"x"}`,
			want: row{ColOverflow: `{"RecordType":"8","ExternalAccess":1,"Operation":5}`, "office365.Actor": `"x"`},
		},
		{
			name: "numbers", raw: `{"RecordType":-0,"Version":1.0,"UserType":9223372036854775808,"X":1e5,"Y":-12}`,
			want: row{ColOverflow: `{"RecordType":-0,"Version":1.0,"UserType":9223372036854775808}`, "office365.X": "1e5", "office365.Y": int64(-12)},
		},
		{
			name: "case collision", raw: `{"CorrelationId":"a","CorrelationID":"b"}`,
			want: row{"office365.CorrelationId": "a", ColOverflow: `{"CorrelationID":"b"}`},
		},
		{
			name: "same key twice", raw: `{"UserId":"a","UserId":"b","UserId":"c"}`,
			want: row{"office365.UserId": "a", ColOverflow: `{"UserId":"b","UserId":"c"}`},
		},
		{name: "escaped key", raw: `{"Operatio\u006e":"x"}`, want: row{"office365.Operation": "x"}},
		{
			name: "odd keys", raw: `{"":1,"a\nb":2,"a\"b":"c","` + strings.Repeat("k", 200) + `":4}`,
			want: row{ColOverflow: `{"":1,"a\nb":2,"a\"b":"c","` + strings.Repeat("k", 200) + `":4}`},
		},
		{name: "lone surrogate", raw: `{"A":"\ud800","B":"b"}`, want: row{ColOverflow: `{"A":"\ud800"}`, "office365.B": "b"}},
		{name: "not UTF-8", raw: "{\"A\":\"\xff\"}", want: row{ColStyle: int64(styleBase64)}, verbatim: true},
		{name: "not an object", raw: `[1]`, verbatim: true},
		{name: "not JSON", raw: "{\"a\tb\nc\":1}", verbatim: true},
		{name: "nothing", raw: ``, verbatim: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShredder(newColumnSet(normalize.Columns))
			r := shredded(t, s, tt.raw)[0]
			for column, want := range tt.want {
				if r[column] != want {
					t.Errorf("%s = %#v, want %#v", column, r[column], want)
				}
			}
			if _, verbatim := r[ColRaw]; verbatim != tt.verbatim || s.verbatim > 0 != tt.verbatim {
				t.Errorf("verbatim %v (%d), want %v", verbatim, s.verbatim, tt.verbatim)
			}
			checkRebuild(t, r, tt.raw)
		})
	}
}

// checkRebuild compares both ways to rebuild with what came.
func checkRebuild(t testing.TB, r row, raw string) {
	t.Helper()
	got, err := Rebuild(r.get)
	if err != nil || string(got) != raw {
		t.Errorf("rebuilt %q, %v\n   want %q", got, err, raw)
	}
	var columns []string
	var values []any
	for c := range r {
		columns = append(columns, c)
	}
	columns = RawColumns(append(columns, ColID, "event.action"))
	for _, c := range columns {
		values = append(values, r[c])
	}
	fast := NewRebuilder(columns)
	for range 2 { // the second time with a known shape
		if got, err := fast.Append([]byte("x"), values); err != nil || string(got) != "x"+raw {
			t.Errorf("fast: rebuilt %q, %v\n   want %q", got, err, raw)
		}
	}
}

func TestKindIsFixedAtFirstSight(t *testing.T) {
	s := newShredder(newColumnSet(normalize.Columns))
	raws := []string{`{"New":"text"}`, `{"New":7}`, `{"new":"other case"}`, `{"NEW":[1]}`}
	rows := shredded(t, s, raws...)
	if rows[0]["office365.New"] != "text" || rows[1][ColOverflow] != `{"New":7}` || rows[2]["office365.New"] != "other case" || rows[3][ColOverflow] != `{"NEW":[1]}` {
		t.Errorf("rows %v", rows)
	}
	for i, raw := range raws {
		checkRebuild(t, rows[i], raw)
	}
}

func TestColumnCap(t *testing.T) {
	cols := newColumnSet(normalize.Columns)
	cols.limit = len(cols.defs) + 2
	s := newShredder(cols)
	raws := []string{`{"A":"1","B":"2","C":"3"}`, `{"C":"3","A":"1"}`}
	rows := shredded(t, s, raws...)
	if rows[0]["office365.B"] != "2" || rows[0][ColOverflow] != `{"C":"3"}` || rows[1]["office365.A"] != "1" || rows[1][ColOverflow] != `{"C":"3"}` {
		t.Errorf("rows %v", rows)
	}
	if len(cols.defs) != cols.limit {
		t.Errorf("%d columns, want %d", len(cols.defs), cols.limit)
	}
	for i, raw := range raws {
		checkRebuild(t, rows[i], raw)
	}
}

func TestRebuildRefusesDamage(t *testing.T) {
	for name, r := range map[string]row{
		"no shape":       {},
		"bad shape":      {ColShape: "office365\nxA\n"},
		"cut shape":      {ColShape: "office365\nsA"},
		"no column":      {ColShape: "office365\nsA\n"},
		"other type":     {ColShape: "office365\nsA\n", "office365.A": int64(1)},
		"short overflow": {ColShape: "office365\noA\noB\n", ColOverflow: `{"A":1}`},
		"bad overflow":   {ColShape: "office365\noA\n", ColOverflow: `{"A"`},
		"bad base64":     {ColRaw: "*", ColStyle: int64(styleBase64)},
		"bad style":      {ColRaw: "*", ColStyle: "1"},
	} {
		if got, err := Rebuild(r.get); err == nil {
			t.Errorf("%s: rebuilt %q", name, got)
		}
		columns, values := []string{}, []any{}
		for c, v := range r {
			columns, values = append(columns, c), append(values, v)
		}
		if got, err := NewRebuilder(columns).Append(nil, values); err == nil {
			t.Errorf("%s: fast rebuilt %q", name, got)
		}
	}
}

// realRecords returns the lines of the real records, and of which folder.
func realRecords(t testing.TB) (raws []string, folders []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dataDir(t), "*", "*.ndjson*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var in io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if in, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			if line := lines.Text(); strings.TrimSpace(line) != "" {
				raws = append(raws, line)
				folders = append(folders, filepath.Base(filepath.Dir(path)))
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return raws, folders
}

// TestRealRecords sends every real record through the lake and gets it back byte for byte.
func TestRealRecords(t *testing.T) {
	raws, folders := realRecords(t)
	vendors := map[string]string{
		"management-activity": "office365", "message-trace": "office365_reportingwebservice",
		"defender-cloud-apps": "microsoft_defender_for_cloud_apps", "service-health": "office365_servicehealth",
	}
	counts := make(map[string]int)
	b := &record.Batch{Number: 1}
	connectors := make(map[string]int)
	for i, raw := range raws {
		vendor, ok := vendors[folders[i]]
		if !ok {
			vendor = "office365"
		}
		if _, ok := connectors[vendor]; !ok {
			connectors[vendor] = len(b.Connectors)
			c := testConnector
			c.Type = vendor
			b.Connectors = append(b.Connectors, c)
			b.Units = append(b.Units, record.BatchUnit{Connector: connectors[vendor], ContentType: "Audit.General"})
		}
		counts[folders[i]]++
		b.Records = append(b.Records, record.Record{
			ID: fmt.Sprint(i), Index: record.WindowsEvents, Unit: connectors[vendor], Received: 1700000000000, Raw: []byte(raw),
		})
	}
	s := newSetup(t)
	s.cfg.CommitRows = 4000
	verbatim := 0
	s.cfg.OnCommit = func(c CommitInfo) { verbatim += c.Verbatim }
	l := s.open()
	var entries []Entry
	for seq := 1; len(b.Records) > 0; seq++ {
		part := *b
		n := min(3000, len(b.Records))
		part.Records, b.Records = b.Records[:n], b.Records[n:]
		entries = append(entries, Entry{Position: Position{stream, uint64(seq)}, Batch: &part})
	}
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), uint64(len(entries))); err != nil {
		t.Fatal(err)
	}
	got := rebuilt(t, l, record.WindowsEvents)
	differ := 0
	for i, raw := range raws {
		if got[fmt.Sprint(i)] != raw {
			differ++
		}
	}
	if differ > 0 || len(got) != len(raws) {
		t.Errorf("%d of %d records differ, %d came back", differ, len(raws), len(got))
	}
	t.Logf("records %v: %d of %d kept in _raw, %d columns", counts, verbatim, len(raws), len(l.Columns(record.WindowsEvents)))
	if verbatim > len(raws)/100 {
		t.Errorf("%d records need _raw", verbatim)
	}
	if _, err := l.Compact(t.Context(), CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	for id, raw := range rebuilt(t, l, record.WindowsEvents) {
		if got[id] != raw {
			t.Fatalf("compaction changed record %s", id)
		}
	}
}

func FuzzShred(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"A":"b"}`, `{"a":1,"A":"x","Parameters":[{"Name":"x"}]}`, `{"A": 1}`, `{"A":"\u00e9\/","B":"/"}`, `{"RecordType":-0}`,
		`{"a\tb":1}`, "{\"a\tb\":1}", "{\"a\nb\":1,\"c\":2}", `{"A":"\ud83d\ude00"}`, `{"A":null,"A":null}`, "{\"\xff\":1}", `{"A":{"b":[1,2,{"c":null}]}}`,
		`{"_raw":"x","_shape":"y","event.action":"z"}`, `{"A":"` + strings.Repeat(`\\`, 40) + `"}`,
	} {
		f.Add(s, `{"A":true,"a":"other","x":1.5}`)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		cols := newColumnSet(normalize.Columns)
		cols.limit = len(cols.defs) + 3
		s := newShredder(cols)
		raws := []string{first, second, first}
		for i, r := range shredded(t, s, raws...) {
			checkRebuild(t, r, raws[i])
		}
	})
}

func FuzzRebuild(f *testing.F) {
	f.Add("office365\nsA\niB\noC\nnD\n", `{"C":1}`, int64(1))
	f.Add("\n", "", int64(-1))
	f.Add("x\nsA\tB\n", "{", int64(300))
	f.Fuzz(func(t *testing.T, shape, overflow string, style int64) {
		get := func(column string) (any, bool) {
			switch column {
			case ColShape:
				return shape, true
			case ColOverflow:
				return overflow, overflow != ""
			case ColStyle:
				return style, true
			case ColRaw:
				return nil, false
			}
			return "value", true
		}
		if got, err := Rebuild(get); err == nil && (len(got) < 2 || !bytes.HasPrefix(got, []byte{'{'})) {
			t.Errorf("rebuilt %q", got)
		}
	})
}
