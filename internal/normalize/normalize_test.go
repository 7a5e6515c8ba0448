package normalize

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/internal/rawjson"
	"sluice/internal/record"
)

var update = flag.Bool("update", false, "rewrite the golden records")

// lines reads the lines of a file, packed or not.
func lines(tb testing.TB, name string) [][]byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			tb.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			tb.Fatal(err)
		}
	}
	var out [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		out = append(out, bytes.Clone(scanner.Bytes()))
	}
	if err := scanner.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

func newNormalizer(tb testing.TB) *Normalizer {
	tb.Helper()
	n, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func parse(tb testing.TB, raw []byte) []rawjson.Member {
	tb.Helper()
	if reason := rawjson.Check(raw); reason != "" {
		tb.Fatalf("%s: %s", reason, raw)
	}
	members, err := rawjson.Members(nil, raw)
	if err != nil {
		tb.Fatal(err)
	}
	return members
}

// TestGolden compares records of every family with the record/1 that they are known to become.
func TestGolden(t *testing.T) {
	n := newNormalizer(t)
	files, err := filepath.Glob("testdata/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures")
	}
	for _, name := range files {
		base := strings.TrimSuffix(filepath.Base(name), ".ndjson")
		t.Run(base, func(t *testing.T) {
			connectorType, contentType, _ := strings.Cut(base, "-")
			var out bytes.Buffer
			for i, raw := range lines(t, name) {
				goldenRecord(t, n, &out, connectorType, contentType, i, raw)
			}
			compareGolden(t, strings.TrimSuffix(name, ".ndjson")+".golden", out.Bytes())
		})
	}
}

func goldenRecord(t *testing.T, n *Normalizer, out *bytes.Buffer, connectorType, contentType string, i int, raw []byte) {
	t.Helper()
	members := parse(t, raw)
	if connectorType == Office365 {
		contentType = InferContentType(members)
	}
	connector := &record.Connector{ID: "c1", Name: "contoso", Type: connectorType, TenantName: "Contoso", DirectoryID: "11111111-2222-3333-4444-555555555555"}
	id, err := Identify(connectorType, connector.DirectoryID, raw, members, new(Scratch))
	if err != nil {
		t.Fatal(err)
	}
	env := &Envelope{
		ID: id.ID, Index: IndexFor(connectorType, contentType), Connector: connector,
		ContentType: contentType, ContentID: "blob-1", Created: 1768903900000, Received: 1768904000000,
	}
	row := NewRow()
	n.Normalize(env, raw, members, row)
	meta := Meta{ID: id.ID, Index: env.Index, WriteTime: 1768904100000, Seq: int64(i), Unit: "u1", Batch: 7}
	text := AppendRecord(nil, row, meta, VendorKey(connectorType), raw)
	if reason := rawjson.Check(text); reason != "" {
		t.Fatalf("record/1 is %s: %s", reason, text)
	}
	checkVendor(t, text, VendorKey(connectorType), raw)
	// The vendor record is compared above; leaving it out of the golden file keeps that readable.
	text = AppendRecord(nil, row, meta, VendorKey(connectorType), []byte(`"..."`))
	if err := json.Indent(out, text, "", " "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
}

// checkVendor checks that the Microsoft record is in the record byte for byte.
func checkVendor(t *testing.T, text []byte, key string, raw []byte) {
	t.Helper()
	for _, m := range parse(t, text) {
		if string(m.Key) == key {
			if !bytes.Equal(m.Value, raw) {
				t.Errorf("vendor record changed: %s", m.Value)
			}
			return
		}
	}
	t.Errorf("no %s in %s", key, text)
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i := range gotLines {
			if i >= len(wantLines) || gotLines[i] != wantLines[i] {
				t.Fatalf("%s line %d: got %s; run with -update and read the difference", name, i+1, gotLines[i])
			}
		}
		t.Fatalf("%s is longer than what comes out", name)
	}
}

// realRecords reads the public records beside the repository.
func realRecords(tb testing.TB) [][]byte {
	tb.Helper()
	files, _ := filepath.Glob("../../../shared/data/management-activity/*.ndjson*")
	if len(files) == 0 {
		tb.Skip("no public records in ../shared/data beside the repository")
	}
	var all [][]byte
	for _, name := range files {
		all = append(all, lines(tb, name)...)
	}
	return all
}

// TestRealRecords checks what must hold for every record there is.
func TestRealRecords(t *testing.T) {
	n := newNormalizer(t)
	connector := &record.Connector{ID: "c1", Name: "contoso", Type: Office365, TenantName: "Contoso"}
	row, scratch := NewRow(), new(Scratch)
	ids, identities := map[string]ContentHash{}, map[Identity]bool{}
	variants, other, noTime := 0, 0, 0
	for _, raw := range realRecords(t) {
		members := parse(t, raw)
		id, err := Identify(Office365, "", raw, members, scratch)
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if have, ok := ids[id.ID]; !ok {
			ids[id.ID] = id.Content
		} else if have != id.Content && !identities[id] {
			variants++
		}
		identities[id] = true
		if !strings.HasPrefix(id.ID, "o365:") {
			t.Errorf("identity %+v of %s", id, raw)
		}
		n.Normalize(&Envelope{Connector: connector, ContentType: InferContentType(members), Received: 1}, raw, members, row)
		if id.Second == 0 {
			noTime++ // one published record says 17:08:65
		}
		if ms, ok := row.Long(Timestamp); !ok || (ms != id.Event || row.Has(TimeSource)) != (id.Second == 0) {
			t.Errorf("timestamp %d, %v, %s: %s", ms, ok, row.Text(TimeSource), raw)
		}
		for _, c := range []ColumnID{MsgClassName, EventAction, EventCode, EventCategory, EventOutcome, OrganizationID} {
			if row.Text(c) == "" {
				t.Errorf("no %s: %s", Columns[c].Name, raw)
			}
		}
		if rule, ok := row.Long(OCSFRuleNumber); !ok || rule < 1 {
			t.Errorf("no OCSF rule: %s", raw)
		}
		if activity, _ := row.Long(OCSFActivityID); activity == 99 {
			other++
		}
		checkColumns(t, row)
		text := AppendRecord(nil, row, Meta{ID: id.ID, Index: record.WindowsEvents}, Office365, raw)
		if reason := rawjson.Check(text); reason != "" {
			t.Fatalf("record/1 is %s: %s", reason, text)
		}
	}
	t.Logf("%d ids, %d variants, %d without a particular activity", len(ids), variants, other)
	if len(ids) < 5373 {
		t.Errorf("%d ids, want at least the 5,373 of one data set", len(ids))
	}
	if noTime > 1 {
		t.Errorf("%d records without a time", noTime)
	}
}

// checkColumns checks that JSON columns hold arrays or objects, and texts are texts.
func checkColumns(t *testing.T, row *Row) {
	t.Helper()
	for i, c := range Columns {
		id := ColumnID(i)
		if !row.Has(id) || c.Kind == Long || c.Kind == Time {
			continue
		}
		text := row.Text(id)
		if text == "" {
			t.Errorf("%s is empty", c.Name)
		}
		if c.Kind == JSON && (!json.Valid([]byte(text)) || text == "[]" || text == "{}") {
			t.Errorf("%s is %s", c.Name, text)
		}
	}
}

func TestColumns(t *testing.T) {
	if len(Columns) != int(numColumns) {
		t.Fatalf("%d columns, %d ids", len(Columns), numColumns)
	}
	seen := map[string]bool{}
	var done []string // objects that were closed
	var open path
	for i, c := range Columns {
		if c.Name == "" || c.Help == "" || seen[c.Name] {
			t.Errorf("column %d: %+v", i, c)
		}
		seen[c.Name] = true
		if id, ok := ColumnByName(c.Name); !ok || int(id) != i || FieldHelp(c.Name) != c.Help {
			t.Errorf("ColumnByName(%s) = %d, %v", c.Name, id, ok)
		}
		p := paths[i]
		for depth := range open {
			if depth >= len(p)-1 || !slices.Equal(open[:depth+1], p[:depth+1]) {
				done = append(done, strings.Join(open[:depth+1], "."))
			}
		}
		open = p[:len(p)-1]
		for depth := range open {
			if slices.Contains(done, strings.Join(open[:depth+1], ".")) {
				t.Errorf("%s: the columns of its object do not stand together", c.Name)
			}
		}
	}
	if _, ok := ColumnByName("nonsense"); ok || FieldHelp("nonsense") != "" || FieldHelp("_id") == "" {
		t.Error("lookup of names")
	}
}

func TestUnusableTime(t *testing.T) {
	n := newNormalizer(t)
	row := NewRow()
	raw := []byte(`{"CreationTime":"soon"}`)
	env := &Envelope{Connector: &record.Connector{Type: Office365}, Created: 5, Received: 9}
	n.Normalize(env, raw, parse(t, raw), row)
	if ms, _ := row.Long(Timestamp); ms != 5 || row.Text(TimeSource) != "content" {
		t.Errorf("got %d from %s", ms, row.Text(TimeSource))
	}
	env.Created = 0
	n.Normalize(env, raw, parse(t, raw), row)
	if ms, _ := row.Long(Timestamp); ms != 9 || row.Text(TimeSource) != "receive" {
		t.Errorf("got %d from %s", ms, row.Text(TimeSource))
	}
}

func TestParseAddress(t *testing.T) {
	tests := []struct {
		in, ip string
		port   int64
		host   string
		ok     bool
	}{
		{"1.2.3.4", "1.2.3.4", 0, "", true},
		{" 1.2.3.4:5 ", "1.2.3.4", 5, "", true},
		{"[1.2.3.4]:5", "1.2.3.4", 5, "", true},
		{"[1.2.3.4]", "1.2.3.4", 0, "", true},
		{"::ffff:1.2.3.4", "1.2.3.4", 0, "", true},
		{"[::ffff:1.2.3.4]:5", "1.2.3.4", 5, "", true},
		{"2001:DB8::1", "2001:db8::1", 0, "", true},
		{"[2001:db8::1]:65535", "2001:db8::1", 65535, "", true},
		{"fe80::1%eth0", "fe80::1", 0, "", true},
		{"HOST01.contoso.example", "", 0, "HOST01.contoso.example", true},
		{"host:443", "", 443, "host", true},
		{"host (1.2.3.4)", "1.2.3.4", 0, "host", true},
		{"<null>", "", 0, "", false},
		{"", "", 0, "", false},
		{"XX.XX.15.90", "", 0, "", false},
		{"000.000.1.212", "", 0, "", false},
		{"ffff:10.11.0.229", "", 0, "", false},
		{"1.2.3.4:99999", "", 0, "", false},
		{"[1.2.3.4", "", 0, "", false},
		{"Some Text", "", 0, "", false},
	}
	for _, tt := range tests {
		a, ok := parseAddress(tt.in)
		ip := ""
		if a.ip.IsValid() {
			ip = a.ip.String()
		}
		if ok != tt.ok || ok && (ip != tt.ip || a.port != tt.port || a.host != tt.host) {
			t.Errorf("parseAddress(%q) = %+v, %v", tt.in, a, ok)
		}
	}
}

func TestParseUser(t *testing.T) {
	const guid = "33333333-0000-4000-8000-000000000000"
	tests := []struct {
		in   string
		want user
	}{
		{"Alice@Contoso.Example", user{upn: "alice@contoso.example", email: "alice@contoso.example", name: "alice", domain: "contoso.example"}},
		{"urn:spo:guest#Eve@x.example", user{upn: "eve@x.example", email: "eve@x.example", name: "eve", domain: "x.example", external: true}},
		{"urn:spo:anon#abc", user{name: "anonymous", external: true}},
		{"eve_x.example#EXT#@c.example", user{upn: "eve_x.example#ext#@c.example", email: "eve_x.example#ext#@c.example", name: "eve_x.example#ext#", domain: "c.example", external: true}},
		{guid, user{id: guid}},
		{"ServicePrincipal_" + guid, user{id: guid, name: "ServicePrincipal_" + guid, kind: "service_principal"}},
		{"S-1-5-21-1-2", user{id: "S-1-5-21-1-2"}},
		{`NT AUTHORITY\SYSTEM (Microsoft.Exchange.ServiceHost)`, user{name: `NT AUTHORITY\SYSTEM (Microsoft.Exchange.ServiceHost)`, kind: "system"}},
		{"app@sharepoint", user{name: "app@sharepoint", kind: "system"}},
		{"Not Available", user{}},
		{"", user{}},
		{`CONTOSO\bob`, user{name: "bob", domain: "contoso"}},
		{"a@b@c", user{name: "a@b@c"}},
		{"İ@x.example", user{upn: "i@x.example", email: "i@x.example", name: "i", domain: "x.example"}},
		{"Display Name", user{name: "Display Name"}},
	}
	for _, tt := range tests {
		if got := parseUser(tt.in); got != tt.want {
			t.Errorf("parseUser(%q) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestIDOfKey(t *testing.T) {
	for in, want := range map[string]string{
		"1003200126677019@contoso.example":            "1003200126677019",
		"i:0h.f|membership|100320001234abcd@live.com": "100320001234abcd",
		"33333333-0000-4000-8000-000000000000":        "33333333-0000-4000-8000-000000000000",
		"S-1-5-21-1":                                  "S-1-5-21-1",
		"Not Available":                               "",
		"DlpAgent":                                    "",
		"":                                            "",
	} {
		if got := idOfKey(in); got != want {
			t.Errorf("idOfKey(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestRules compares the index with a plain walk over the table.
func TestRules(t *testing.T) {
	n := newNormalizer(t)
	if len(n.ocsf.rules) != 195 {
		t.Errorf("%d rules", len(n.ocsf.rules))
	}
	operations := []string{"UserLoggedIn", "Add user.", "Add User.", "FileMoved", "Set-Mailbox", "Get-X", "MemberAdded", "DLPRuleMatch", "AlertTriggered", "ExportReport", "GroupShared", "x\ny", ""}
	for recordType := -1; recordType < 500; recordType++ {
		for _, op := range operations {
			for range 2 { // the second answer comes from memory
				got := n.ocsf.audit(recordType, op)
				if want := slowAudit(n.ocsf.rules, recordType, op); got == nil || got.Number != want {
					t.Fatalf("record type %d, %q: rule %+v, want %d", recordType, op, got, want)
				}
			}
		}
	}
	if r, ok := n.Rule(132); !ok || r.TypeUID != 200401 || r.Family != "scc_alert" {
		t.Errorf("rule 132: %+v", r)
	}
}

func slowAudit(rules []OCSFRule, recordType int, operation string) int {
	listed := slices.ContainsFunc(rules, func(r OCSFRule) bool { return slices.Contains(r.types, recordType) })
	for _, r := range rules {
		if listed && !slices.Contains(r.types, recordType) || !listed && r.Family != familyOther {
			continue
		}
		if loc := r.pattern.FindStringIndex(operation); loc != nil && loc[1]-loc[0] == len(operation) {
			return r.Number
		}
	}
	return 0
}

func FuzzNormalize(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.ndjson")
	for _, name := range files {
		for _, l := range lines(f, name) {
			f.Add(l, byte(len(name)))
		}
	}
	n := newNormalizer(f)
	types := []string{Office365, MessageTrace, CloudApps, ServiceHealth}
	f.Fuzz(func(t *testing.T, raw []byte, kind byte) {
		if rawjson.Check(raw) != "" {
			return
		}
		connectorType, contentType := types[int(kind)%len(types)], "Audit.General"
		if kind > 127 {
			contentType = "alerts and messages"
		}
		members := parse(t, raw)
		id, err := Identify(connectorType, "d", raw, members, new(Scratch))
		if err != nil || id.ID == "" {
			t.Fatalf("%+v, %v", id, err)
		}
		InferContentType(members)
		row := NewRow()
		n.Normalize(&Envelope{Connector: &record.Connector{Type: connectorType}, ContentType: contentType, Received: 1}, raw, members, row)
		checkColumns(t, row)
		if !row.Has(Timestamp) || !row.Has(MsgClassName) || !row.Has(OCSFRuleNumber) {
			t.Errorf("columns are missing: %s", raw)
		}
		text := AppendRecord(nil, row, Meta{ID: id.ID, Index: record.WindowsEvents}, VendorKey(connectorType), raw)
		if !rawjson.Valid(text) && !strings.Contains(rawjson.Check(text), "nested") {
			t.Errorf("record/1 is not JSON: %s", text)
		}
	})
}

func benchmarkRecords(b *testing.B, run func(raw []byte, members []rawjson.Member)) {
	all := realRecords(b)
	parsed := make([][]rawjson.Member, len(all))
	size := 0
	for i, raw := range all {
		parsed[i] = parse(b, raw)
		size += len(raw)
	}
	b.SetBytes(int64(size / len(all)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		run(all[i], parsed[i])
		i = (i + 1) % len(all)
	}
}

func BenchmarkIdentify(b *testing.B) {
	scratch := new(Scratch)
	benchmarkRecords(b, func(raw []byte, members []rawjson.Member) { _, _ = Identify(Office365, "", raw, members, scratch) })
}

func BenchmarkNormalize(b *testing.B) {
	n := newNormalizer(b)
	row := NewRow()
	env := &Envelope{Connector: &record.Connector{ID: "c1", Name: "contoso", Type: Office365, TenantName: "Contoso"}, ContentType: AuditGeneral, Created: 1, Received: 1}
	benchmarkRecords(b, func(raw []byte, members []rawjson.Member) { n.Normalize(env, raw, members, row) })
}

// TestQuarantineIsJSON: whatever was malformed, the answer is not.
func TestQuarantineIsJSON(t *testing.T) {
	meta := Meta{ID: "q:1", Index: record.Quarantine, Reason: "not JSON", Offset: 7}
	for raw, want := range map[string]string{
		"not json": `"not json"`, `{"Id":"m2"`: `"{\"Id\":\"m2\""`, "": `""`, "a\nb": `"a\nb"`, "\"x\xff\"": "\"\\\"x\uFFFD\\\"\"", `1},"_id":{"a":2`: `"1},\"_id\":{\"a\":2"`,
		"[1, 2]": "[1, 2]", " 42\n": "42", "null": "null",
	} {
		text := AppendRecord(nil, NewRow(), meta, Office365, []byte(raw))
		var got struct {
			ID        string          `json:"_id"`
			Reason    string          `json:"reason"`
			Offset    int64           `json:"offset"`
			Office365 json.RawMessage `json:"office365"`
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Errorf("%q: %v in %s", raw, err, text)
			continue
		}
		if got.ID != "q:1" || got.Reason != "not JSON" || got.Offset != 7 || raw != "null" && string(got.Office365) != want {
			t.Errorf("%q: %s", raw, text)
		}
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	n := newNormalizer(b)
	row := NewRow()
	env := &Envelope{Connector: &record.Connector{ID: "c1", Name: "contoso", Type: Office365, TenantName: "Contoso"}, ContentType: AuditGeneral, Created: 1, Received: 1}
	var out []byte
	benchmarkRecords(b, func(raw []byte, members []rawjson.Member) {
		n.Normalize(env, raw, members, row)
		out = AppendRecord(out[:0], row, Meta{ID: "x"}, Office365, raw)
	})
}

// TestTheEventIsAtOneTime: the lake is asked for an id on the day of the event as the identity says it, so that a row must be
// stored under that time.
func TestTheEventIsAtOneTime(t *testing.T) {
	n, row := newNormalizer(t), NewRow()
	for connectorType, records := range map[string][]string{
		Office365: {
			`{"Id":"a","CreationTime":"2024-01-02T03:04:05"}`, `{"Id":"a","creationtime":"2024-01-02T03:04:05Z"}`,
			`{"Id":"a","CreationTime":1704164645000}`, `{"Id":"a","CreationTime":"1704164645000"}`, `{"Id":"a","CreationTime":"1704164645"}`,
			`{"Id":"a","CreationTime":"2024-01-02T03:04:05","CreationTime":"2023-01-02T03:04:05"}`,
			`{"Id":"a","CreationTime":"2024-01-02T03:04:05","creationtime":"2023-01-02T03:04:05"}`,
			`{"Id":"a","creationtime":"2023-01-02T03:04:05","creationTime":"2024-01-02T03:04:05"}`,
			`{"Id":"a","CreationTime":"2024-01-02T03:04:05","CreationTime":null}`,
			`{"Id":"a","CreationTime":"2024-01-02T03:04:05","Creation\u0054ime":"2023-01-02T03:04:05"}`,
			`{"Id":"a","\u0043reationTime":"2024-01-02T03:04:05","creationtime":"2023-01-02T03:04:05"}`,
		},
		MessageTrace: {
			`{"MessageTraceId":"a","Received":"/Date(1704164645000)/"}`, `{"id":"a","receivedDateTime":"2024-01-02T03:04:05Z"}`,
			`{"MessageTraceId":"a","Received":1704164645000}`,
		},
		CloudApps:     {`{"_id":"a","timestamp":1704164645000}`, `{"_id":"a","timestamp":"2024-01-02T03:04:05Z"}`},
		ServiceHealth: {`{"id":"a","lastModifiedDateTime":"2024-01-02T03:04:05Z"}`, `{"id":"a","lastModifiedDateTime":1704164645000}`},
	} {
		for _, raw := range records {
			members := parse(t, []byte(raw))
			id, err := Identify(connectorType, "", []byte(raw), members, &Scratch{})
			if err != nil {
				t.Errorf("%s: %v", raw, err)
				continue
			}
			env := Envelope{Connector: &record.Connector{Type: connectorType}, Received: 1_800_000_000_000}
			n.Normalize(&env, []byte(raw), members, row)
			if ms, _ := row.Long(Timestamp); id.Event > 0 && ms != id.Event {
				t.Errorf("%s: the identity says %d, the lake %d", raw, id.Event, ms)
			}
		}
	}
}
