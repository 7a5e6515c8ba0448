package normalize

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

func identify(t testing.TB, connectorType, directoryID, raw string) Identity {
	t.Helper()
	members, err := rawjson.Members(nil, []byte(raw))
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	id, err := Identify(connectorType, directoryID, []byte(raw), members, new(Scratch))
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return id
}

func hash8(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

func TestIdentifyOffice365(t *testing.T) {
	const plain = `{"CreationTime":"2021-05-18T21:13:33","Id":"F12C","Operation":"Set-Mailbox","OrganizationId":"0873EE4D","RecordType":1}`
	want := "o365:0873ee4d:F12C:" + hash8("1|Set-Mailbox|2021-05-18T21:13:33")
	id := identify(t, Office365, "d1", plain)
	if id.ID != want || id.Second != 1621372413 || id.Event != 1621372413000 {
		t.Errorf("got %+v, want id %s", id, want)
	}
	same := []struct{ name, raw string }{
		{"key order", `{"RecordType":1,"OrganizationId":"0873EE4D","Operation":"Set-Mailbox","Id":"F12C","CreationTime":"2021-05-18T21:13:33"}`},
		{"white space", "\t{ \"CreationTime\" : \"2021-05-18T21:13:33\",\"Id\":\"F12C\",\"Operation\":\"Set-Mailbox\",\"OrganizationId\":\"0873EE4D\",\"RecordType\": 1 } "},
		{"escapes", `{"CreationTime":"2021-05-18T21:13:33","\u0049d":"F12\u0043","Operation":"Set\u002dMailbox","OrganizationId":"0873EE4D","RecordType":1}`},
	}
	for _, tt := range same {
		if got := identify(t, Office365, "d1", tt.raw); got != id {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, id)
		}
	}
	others := []struct{ name, raw, want string }{
		{"lower-case keys", strings.NewReplacer("CreationTime", "creationtime", "Id\"", "id\"", "Operation", "operation", "RecordType", "recordtype", "OrganizationId", "organizationid").Replace(plain), want},
		{"exact spelling wins", strings.Replace(plain, `"Id"`, `"ID":"other","Id"`, 1), want},
		{"last of equals wins", strings.Replace(plain, `"Id"`, `"Id":"other","Id"`, 1), want},
		{"extra member", strings.Replace(plain, `{`, `{"X":1,`, 1), want},
		{"number as text", strings.Replace(plain, `"RecordType":1`, `"RecordType":"1"`, 1), want},
		{"no organisation", strings.Replace(plain, `"OrganizationId":"0873EE4D",`, "", 1), strings.Replace(want, "0873ee4d", "d1", 1)},
		{"null organisation", strings.Replace(plain, `"0873EE4D"`, "null", 1), strings.Replace(want, "0873ee4d", "d1", 1)},
		{"other operation", strings.Replace(plain, `Set-Mailbox`, "x", 1), "o365:0873ee4d:F12C:" + hash8("1|x|2021-05-18T21:13:33")},
	}
	for _, tt := range others {
		got := identify(t, Office365, "D1", tt.raw)
		if got.ID != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got.ID, tt.want)
		}
		if got.Content == id.Content {
			t.Errorf("%s: the content hash did not change", tt.name)
		}
	}
}

func TestIdentifyWithoutID(t *testing.T) {
	for _, raw := range []string{`{"RecordType":1}`, `{"Id":""}`, `{"Id":null}`, `{"Id":["x"]}`, `{"Id":"` + strings.Repeat("x", 513) + `"}`} {
		sum := sha256.Sum256([]byte(raw))
		if got, want := identify(t, Office365, "D1", raw).ID, "o365:d1:"+hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

func TestIdentifyOthers(t *testing.T) {
	trace := `{"MessageTraceId":"T1","RecipientAddress":"A@B.c","Status":"Delivered","Received":"2024-10-18T14:54:36.3616847","Index":3,"StartDate":"x"}`
	id := identify(t, MessageTrace, "D1", trace)
	if id.ID != "mt:d1:T1:a@b.c:delivered" || id.Event != 1729263276361 {
		t.Errorf("trace: %+v", id)
	}
	if again := identify(t, MessageTrace, "D1", strings.NewReplacer(`"Index":3`, `"Index":9`, `:"x"`, `:"y"`).Replace(trace)); again != id {
		t.Errorf("trace: row number and window are part of the identity: %+v, %+v", again, id)
	}
	graph := identify(t, MessageTrace, "D1", `{"id":"T1","recipientAddress":"a@b.c","status":"delivered","receivedDateTime":"2024-10-18T14:54:36Z"}`)
	if graph.ID != id.ID {
		t.Errorf("graph: %s, want %s", graph.ID, id.ID)
	}
	if got := identify(t, CloudApps, "d", `{"_id":"a1","timestamp":1768941916475}`); got.ID != "mda-a:a1" || got.Event != 1768941916475 {
		t.Errorf("activity: %+v", got)
	}
	alert := identify(t, CloudApps, "d", `{"_id":"a1","timestamp":1768941916475,"severityValue":1}`)
	if want := "mda-al:a1:" + hex.EncodeToString(alert.Content[:6]); alert.ID != want {
		t.Errorf("alert: %s, want %s", alert.ID, want)
	}
	if got := identify(t, ServiceHealth, "d", `{"id":"EX1","lastModifiedDateTime":"2020-11-14T18:20:24.767Z"}`); got.ID != "sh:EX1:2020-11-14T18:20:24.767Z" || got.Event != 1605378024767 {
		t.Errorf("health: %+v", got)
	}
}

// TestOneIDOneSecond: the index of ids looks under both, so records that share an id must share the second.
func TestOneIDOneSecond(t *testing.T) {
	for _, tt := range []struct{ connectorType, one, other string }{
		{
			MessageTrace, `{"MessageTraceId":"T1","RecipientAddress":"a@b.c","Status":"Delivered","Received":"2024-10-18T14:54:36"}`,
			`{"MessageTraceId":"T1","RecipientAddress":"a@b.c","Status":"Delivered","Received":"2024-10-18T14:54:37"}`,
		},
		{CloudApps, `{"_id":"a1","timestamp":1768941916475}`, `{"_id":"a1","timestamp":1768941917475}`},
	} {
		one, other := identify(t, tt.connectorType, "d", tt.one), identify(t, tt.connectorType, "d", tt.other)
		if one.ID != other.ID || one.Second != other.Second || one.Content == other.Content {
			t.Errorf("%+v and %+v: want the same id and second, and other content", one, other)
		}
	}
	if id := identify(t, CloudApps, "d", `{"_id":"a1","timestamp":1768941916475,"severityValue":1}`); id.Second != 1768941916 {
		t.Errorf("an alert's id is made of its content, which has the time: %+v", id)
	}
}

func TestIdentifyErrors(t *testing.T) {
	if _, err := Identify("nonsense", "", []byte("{}"), nil, new(Scratch)); !isKind(err, fault.Config) {
		t.Errorf("unknown connector type: %v", err)
	}
	if _, err := Identify(Office365, "", []byte("{"), nil, new(Scratch)); !isKind(err, fault.Malformed) {
		t.Errorf("not JSON: %v", err)
	}
}

func isKind(err error, kind fault.Kind) bool {
	var e *fault.Error
	return errors.As(err, &e) && e.Kind == kind
}

func TestVariantAndClaim(t *testing.T) {
	if got := VariantID("o365:a", ContentHash{0xde, 0xad, 0xbe, 0xef, 1}); got != "o365:a~deadbeef" {
		t.Error(got)
	}
	keys := map[[16]byte]bool{ClaimKey(0, "a"): true, ClaimKey(1, "a"): true, ClaimKey(0, "b"): true, ClaimKey(0, strings.Repeat("a", 500)): true}
	if len(keys) != 4 || !keys[ClaimKey(0, "a")] {
		t.Errorf("keys %v", keys)
	}
}

func TestInferContentType(t *testing.T) {
	tests := []struct{ raw, want string }{
		{`{"Workload":"AzureActiveDirectory","RecordType":15}`, AuditAzureAD},
		{`{"workload":"azureactivedirectory"}`, AuditAzureAD},
		{`{"Workload":"Exchange"}`, AuditExchange},
		{`{"Workload":"SharePoint"}`, AuditSharePoint},
		{`{"Workload":"OneDrive","RecordType":6}`, AuditSharePoint},
		{`{"Workload":"OneDrive","RecordType":11}`, DLPAll},
		{`{"Workload":"Exchange","RecordType":"13"}`, DLPAll},
		{`{"Workload":"Endpoint","RecordType":63}`, DLPAll},
		{`{"Workload":"MicrosoftTeams","RecordType":25}`, AuditGeneral},
		{`{"RecordType":15}`, AuditGeneral},
		{`{"RecordType":11}`, DLPAll},
		{`{"RecordType":999999}`, AuditGeneral},
		{`{"RecordType":{}}`, AuditGeneral},
		{`{}`, AuditGeneral},
	}
	for _, tt := range tests {
		members, err := rawjson.Members(nil, []byte(tt.raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := InferContentType(members); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.raw, got, tt.want)
		}
	}
}

func TestClasses(t *testing.T) {
	tests := []struct {
		connector, content, class, source string
		index                             record.Index
	}{
		{Office365, AuditGeneral, "office365_audit_general", "office365", record.WindowsEvents},
		{Office365, AuditAzureAD, "office365_audit_azureactivedirectory", "office365", record.WindowsEvents},
		{Office365, DLPAll, "office365_dlp_all", "office365", record.WindowsEvents},
		{Office365, "Audit.New Feed", "office365_audit_new_feed", "office365", record.WindowsEvents},
		{MessageTrace, "x", "office365_reportingwebservice_message_trace", "office365_reportingwebservice", record.WindowsEvents},
		{CloudApps, "activities", "microsoft_defender_for_cloud_apps_activities", "microsoft_defender", record.WindowsEvents},
		{CloudApps, "Alerts", "microsoft_defender_for_cloud_apps_alerts", "microsoft_defender", record.Syslog},
		{ServiceHealth, "issues", "office365_servicehealth_issue", "office365_servicehealth", record.WindowsEvents},
		{ServiceHealth, "messages", "office365_servicehealth_message", "office365_servicehealth", record.WindowsEvents},
	}
	for _, tt := range tests {
		if got := MsgClass(tt.connector, tt.content); got != tt.class {
			t.Errorf("MsgClass(%s, %s) = %s, want %s", tt.connector, tt.content, got, tt.class)
		}
		if got := Origin(tt.connector, tt.content).Source; got != tt.source {
			t.Errorf("Origin(%s) = %s, want %s", tt.connector, got, tt.source)
		}
		if got := IndexFor(tt.connector, tt.content); got != tt.index {
			t.Errorf("IndexFor(%s, %s) = %s, want %s", tt.connector, tt.content, got, tt.index)
		}
	}
}

func TestParseTime(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"1970-01-01T00:00:00", 0, true},
		{"2021-05-18T21:13:33", 1621372413000, true},
		{"2021-05-18 21:13:33", 1621372413000, true},
		{"2021-06-15T09:59:00.0000000Z", 1623751140000, true},
		{"2024-02-22 09:46:54Z", 1708595214000, true},
		{"2024-10-18T14:54:36.3616847", 1729263276361, true},
		{"2024-10-18T14:54:36.9", 1729263276900, true},
		{"2021-06-15T11:59:00+02:00", 1623751140000, true},
		{"2021-06-15T07:29:00.5-02:30", 1623751140500, true},
		{"2020-02-29T00:00:00", 1582934400000, true},
		{"0001-01-02T00:00:00", -62135510400000, true},
		{"9999-12-31T23:59:59", 253402300799000, true},
		{"/Date(1768903814907)/", 1768903814907, true},
		{"2021-02-29T00:00:00", 0, false},
		{"2021-13-01T00:00:00", 0, false},
		{"2021-05-18T24:00:00", 0, false},
		{"2021-05-18T21:13:60", 0, false},
		{"2021-05-18T21:13:33.", 0, false},
		{"2021-05-18T21:13:33+0200", 0, false},
		{"2021-05-18T21:13:33X", 0, false},
		{"2021-05-18", 0, false},
		{"5/18/2021 9:13:33 PM", 0, false},
		{"20a1-05-18T21:13:33", 0, false},
		{"/Date(x)/", 0, false},
		{"/Date(1", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		if got, ok := ParseTime(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("ParseTime(%q) = %d, %v; want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}
