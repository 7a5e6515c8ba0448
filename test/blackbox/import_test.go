package blackbox

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// known is a record of a file as the specification reads it (spec/record-schema.md section 4). The code shares nothing
// with package normalize: it decodes with encoding/json and counts.
type known struct {
	line      string
	id        string // identity without the mark of a variant
	content   string // canonical JSON
	class     string // msg_class
	operation string
}

// understand reads a line of a file.
func understand(t *testing.T, line string) known {
	t.Helper()
	var members map[string]any
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		t.Fatalf("%v in %s", err, last(line, 200))
	}
	text := func(name string) string {
		value, ok := members[name]
		for key := range members {
			if !ok && strings.EqualFold(key, name) {
				value = members[key]
			}
		}
		switch v := value.(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		}
		return ""
	}
	k := known{line: line, operation: text("Operation"), class: class(text("Workload"), text("RecordType"))}
	k.id = "o365:" + strings.ToLower(text("OrganizationId")) + ":"
	if id := text("Id"); id != "" {
		sum := sha256.Sum256([]byte(text("RecordType") + "|" + text("Operation") + "|" + text("CreationTime")))
		k.id += id + ":" + hex.EncodeToString(sum[:4])
	} else {
		sum := sha256.Sum256([]byte(line))
		k.id += hex.EncodeToString(sum[:])
	}
	canonical, err := json.Marshal(normal(members)) // sorts keys
	if err != nil {
		t.Fatal(err)
	}
	k.content = string(canonical)
	return k
}

// normal gives equal numbers an equal form.
func normal(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			v[key] = normal(member)
		}
	case []any:
		for i, member := range v {
			v[i] = normal(member)
		}
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return value
}

// class is the msg_class of the content type that would have delivered a record.
func class(workload, recordType string) string {
	switch {
	case recordType == "11" || recordType == "13":
		return "office365_dlp_all"
	case workload == "AzureActiveDirectory":
		return "office365_audit_azureactivedirectory"
	case workload == "Exchange":
		return "office365_audit_exchange"
	case workload == "SharePoint" || workload == "OneDrive":
		return "office365_audit_sharepoint"
	}
	return "office365_audit_general"
}

// readLines returns the lines of a file, which may be compressed.
func readLines(t *testing.T, path string) []string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var reader io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if reader, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	scanner := bufio.NewScanner(reader)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		if line := scanner.Text(); strings.TrimSpace(line) != "" {
			all = append(all, line)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// tally is the sum of an import as the command line prints it.
type tally struct{ lines, landed, duplicates, filtered, malformed int }

// importFiles imports files and sums up what the command says.
func (p *place) importFiles(code int, args ...string) tally {
	p.t.Helper()
	got := p.run(append([]string{"import", "--type", "office365", "--tenant-name", "Public data"}, args...)...)
	if got.code != code {
		p.t.Fatalf("import ended with %d, want %d: %s%s", got.code, code, got.out, got.errors)
	}
	var sum tally
	for _, row := range lines(got.out)[1:] {
		cells := strings.Fields(row)
		cells = cells[len(cells)-5:]
		for i, field := range []*int{&sum.lines, &sum.landed, &sum.duplicates, &sum.filtered, &sum.malformed} {
			n, err := strconv.Atoi(strings.ReplaceAll(cells[i], ",", ""))
			if err != nil {
				p.t.Fatalf("row %q: %v", row, err)
			}
			*field += n
		}
	}
	return sum
}

// TestImportOfPublicRecords imports every public record and compares with an independent count.
func TestImportOfPublicRecords(t *testing.T) {
	t.Parallel()
	const wantLines = 9693
	files, err := filepath.Glob(filepath.Join(dataset(t, "management-activity"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	var source []string
	for _, file := range files {
		source = append(source, readLines(t, file)...)
	}
	if len(source) != wantLines {
		t.Fatalf("%d lines, want %d", len(source), wantLines)
	}
	first := map[[2]string]known{} // by identity and content
	for _, line := range source {
		k := understand(t, line)
		if key := [2]string{k.id, k.content}; first[key].line == "" {
			first[key] = k
		}
	}
	var bases, raw []string
	for _, k := range first {
		bases = append(bases, k.id)
		raw = append(raw, k.line)
	}

	p := newPlace(t)
	p.start()
	if got, want := p.importFiles(0, files...), (tally{lines: wantLines, landed: len(first), duplicates: wantLines - len(first)}); got != want {
		t.Errorf("import: %+v, want %+v", got, want)
	}
	t.Logf("%d lines, %d identities with %d contents", wantLines, len(slices.Compact(slices.Sorted(slices.Values(bases)))), len(first))
	var got []string
	unique := map[string]bool{}
	for _, l := range p.records("all") {
		if unique[l.ID] {
			t.Errorf("%s is in the lake twice", l.ID)
		}
		unique[l.ID] = true
		got = append(got, l.base())
	}
	same(t, "identities", got, bases)
	same(t, "raw records", lines(p.must("search", "*", "--since", "all", "--limit", "0", "--raw")), raw)
	if got, want := p.importFiles(0, files...), (tally{lines: wantLines, duplicates: wantLines}); got != want {
		t.Errorf("second import: %+v, want %+v", got, want)
	}
	foundingQueries(t, p, first)
}

// foundingQueries runs the queries of spec/query-languages.md section 1.
func foundingQueries(t *testing.T, p *place, records map[[2]string]known) {
	count := func(match func(known) bool) (n int) {
		for _, k := range records {
			if match(k) {
				n++
			}
		}
		return n
	}
	ofClass := func(name string) int { return count(func(k known) bool { return k.class == name }) }
	search := func(query string, flags ...string) (rows int, said string) {
		got := p.run(append([]string{"search", query, "--since", "all", "--limit", "0", "--fields", "_id", "-o", "ndjson"}, flags...)...)
		if got.code != 0 {
			t.Errorf("%s: exit code %d: %s", query, got.code, got.errors)
		}
		return len(lines(got.out)), got.errors
	}
	isAlert := func(k known) bool {
		return k.class == "office365_audit_general" && (k.operation == "AlertTriggered" || k.operation == "AlertEntityGenerated")
	}
	for _, tt := range []struct {
		query string
		flags []string
		want  int
		says  string
	}{
		{"msg_class: office365_audit_general AND Operation:AlertTriggered", []string{"--index", "Alerts"}, 0, ""},
		{
			"msg_class: office365_audit_general AND Operation:AlertTriggered AND Operation:AlertEntityGenerated",
			[]string{"--index", "Windows Events"},
			count(isAlert), "contradictory conjunction on single-valued field Operation, run as OR",
		},
		{
			"msg_class: office365_audit_general AND Operation:AlertTriggered AND Operation:AlertEntityGenerated",
			[]string{"--strict"},
			0,
			"contradictory conjunction",
		},
		{"msg_origin.source: office365", nil, len(records), ""},
		{"msg_class: office365_audit_general", nil, ofClass("office365_audit_general"), ""},
		{"msg_class: microsoft_defender_for_cloud_apps_alerts", []string{"--index", "alerts"}, 0, ""},
		{"msg_class: microsoft_defender_for_cloud_apps_alerts", []string{"--index", "syslog"}, 0, ""},
		{"msg_class:office365_audit_exchange", nil, ofClass("office365_audit_exchange"), ""},
		{"msg_class:office365_audit_sharepoint", nil, ofClass("office365_audit_sharepoint"), ""},
		{"msg_class:office365_audit_azureactivedirectory", nil, ofClass("office365_audit_azureactivedirectory"), ""},
		{"msg_class:office365_dlp_all", nil, ofClass("office365_dlp_all"), ""},
		{"msg_class:office365_reportingwebservice_message_trace", nil, 0, ""},
		{"msg_class:microsoft_defender_for_cloud_apps_activities", nil, 0, ""},
	} {
		rows, said := search(tt.query, tt.flags...)
		if rows != tt.want || !strings.Contains(said, tt.says) {
			t.Errorf("%s %q: %d rows and %q, want %d and %q", tt.query, tt.flags, rows, said, tt.want, tt.says)
		}
	}
	if count(isAlert) == 0 || ofClass("office365_dlp_all") == 0 {
		t.Error("the data hold no alerts or no DLP records: nothing was tested")
	}
}

// audit is a small record of an own fixture.
func audit(id, operation string) string {
	return fmt.Sprintf(`{"Id":%q,"OrganizationId":%q,"CreationTime":"2026-11-20T10:00:00","RecordType":6,"Operation":%q,"Workload":"SharePoint","UserId":"ann@contoso.example"}`,
		id, directory, operation)
}

// TestImportOfOtherForms imports a CSV export, a compressed file and a file with lines that are no records.
func TestImportOfOtherForms(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	var table bytes.Buffer
	export := csv.NewWriter(&table)
	rows := [][]string{{"RecordType", "CreationDate", "UserIds", "Operations", "AuditData"}}
	for i := range 3 {
		rows = append(rows, []string{"SharePointFileOperation", "2026-11-20", "ann@contoso.example", "FileDownloaded", audit(fmt.Sprintf("csv-%d", i), "FileDownloaded")})
	}
	if err := export.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	fromCSV := write(t, p.root, "export.csv", table.String())
	if got, want := p.importFiles(0, fromCSV), (tally{lines: 3, landed: 3}); got != want {
		t.Errorf("CSV: %+v, want %+v", got, want)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(audit("csv-0", "FileDownloaded") + "\n" + audit("gz-1", "FileDeleted") + "\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	// One record of it came with the CSV file already.
	if got, want := p.importFiles(0, write(t, p.root, "older.ndjson.gz", packed.String())), (tally{lines: 2, landed: 1, duplicates: 1}); got != want {
		t.Errorf("gzip: %+v, want %+v", got, want)
	}
	broken := []string{"not JSON at all", `{"Id":"x","cut":`, "42", `["a list"]`, "{\"Id\":\"bad \xff\xfe UTF-8\"}", strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)}
	mixed := []string{audit("mixed-1", "FileDeleted")}
	mixed = append(append(mixed, broken...), audit("mixed-2", "FileDeleted"))
	got := p.run("import", "--type", "office365", "--tenant-name", "Public data", write(t, p.root, "mixed.ndjson", strings.Join(mixed, "\n")+"\n"))
	got.wants(t, 0, "mixed.ndjson:2: ", "mixed.ndjson:7: ", "put into the index quarantine: 6 malformed records")
	same(t, "quarantine", lines(p.must("search", "*", "--index", "quarantine", "--since", "all", "--limit", "0", "--raw")), broken)
	if n := len(p.records("all")); n != 6 {
		t.Errorf("%d records in the lake, want 6", n)
	}

	p.run("import", "--type", "office356", "--tenant-name", "x", fromCSV).wants(t, 1, `unknown type "office356"`, "hint: ")
	p.run("import", "--type", "office365", "--tenant-name", "x", p.path("absent.csv")).wants(t, 1, "absent.csv", "no such file")
	p.run("import", "--type", "office365", "--tenant-name", "x", write(t, p.root, "empty-table.csv", "Name,Age\nAnn,7\n")).
		wants(t, 3, "AuditData")
}

// TestImportOfCutFiles imports exports that were cut off: what came before the cut lands, what there is of the last record is
// in the quarantine, and the command says where the file ends and that not all was done. The whole file adds the rest.
func TestImportOfCutFiles(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	records := func(form string) (all []string) {
		for i := range 3 {
			all = append(all, audit(fmt.Sprintf("%s-%d", form, i), "FileDeleted"))
		}
		return all
	}
	table := records("csv")
	for i, text := range table {
		table[i] = fmt.Sprintf("%d,\"%s\",note", i, strings.ReplaceAll(text, `"`, `""`))
	}
	pack := func(text string) string {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write([]byte(text))
		_ = z.Flush() // and no end
		return packed.String()
	}
	const kept = 20 // bytes of the last record
	var rests []string
	for _, tt := range []struct {
		name           string
		before         string
		records        []string
		between, after string
		pack           func(string) string
		says           string
	}{
		{"export.csv", "Id,AuditData,Note\r\n", table, "\r\n", "\r\n", nil, "the file ends inside a quoted field of the row that begins in line 4"},
		{"export.ndjson", "", records("ndjson"), "\n", "\n", nil, "the file ends inside line 3"},
		{"export.json", "[\n", records("json"), ",\n", "\n]", nil, "the file ends inside element 3"},
		{"packed.ndjson.gz", "", records("gz"), "\n", "\n", pack, "the file ends inside line 3"},
	} {
		landed, rest := tt.records[:2], tt.records[2][:kept]
		cut := tt.before + strings.Join(landed, tt.between) + tt.between + rest
		if tt.pack != nil {
			cut = tt.pack(cut)
		}
		got := p.run("import", "--type", "office365", "--tenant-name", "Public data", write(t, p.root, tt.name, cut))
		got.wants(t, 3, "error: ", tt.name+": not imported in full: ", tt.says, "hint: ", "1 of 1 file")
		if row := strings.Join(strings.Fields(last(got.out, 200)), " "); !strings.HasSuffix(row, " 3 2 0 0 1") {
			t.Errorf("%s: %s", tt.name, got.out)
		}
		rests = append(rests, rest)
		whole := tt.before + strings.Join(tt.records, tt.between) + tt.after
		if got, want := p.importFiles(0, write(t, p.root, "whole-"+strings.TrimSuffix(tt.name, ".gz"), whole)), (tally{lines: 3, landed: 1, duplicates: 2}); got != want {
			t.Errorf("%s, whole: %+v, want %+v", tt.name, got, want)
		}
	}
	same(t, "quarantine", lines(p.must("search", "*", "--index", "quarantine", "--since", "all", "--limit", "0", "--raw")), rests)
}
