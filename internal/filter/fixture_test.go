package filter_test

import (
	"testing"

	"sluice/internal/filter"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
)

var connector = &record.Connector{
	ID: "c1", Name: "contoso-office365", Type: normalize.Office365, TenantName: "Contoso",
	DirectoryID: "11111111-2222-3333-4444-555555555555",
}

// records of the tests, by _id.
var records = map[string]string{
	"download": `{"CreationTime":"2026-11-21T10:00:00","Id":"a1","Operation":"FileDownloaded","RecordType":6,"UserType":0,"UserId":"bob@x.com","Workload":"SharePoint","ClientIP":"198.51.100.7","ExternalAccess":true,"ObjectId":"https:\/\/x.sharepoint.com\/a b.docx","FileSizeBytes":2048}`,
	"upload":   `{"CreationTime":"2026-11-21T09:00:00","Id":"a2","Operation":"FileUploaded","RecordType":6,"UserType":2,"UserId":"ann@x.com","Workload":"SharePoint","ClientIP":"198.51.101.7:5000","ErrorNumber":"50058","ExternalAccess":false,"FileSizeBytes":10}`,
	"rule":     `{"CreationTime":"2026-11-20T08:00:00","Id":"a3","Operation":"New-InboxRule","RecordType":1,"UserType":2,"UserId":"Bob@X.com","Workload":"Exchange","ClientIP":"[2001:db8::7]:443","Parameters":[{"Name":"ForwardTo","Value":"eve@y.com"},{"Name":"Delete Message","Value":"True"},{"Name":"Nothing","Value":null}],"ResultStatus":"True"}`,
	"mail":     `{"CreationTime":"2026-11-20T07:00:00","Id":"a4","Operation":"Send","RecordType":2,"UserType":0,"UserId":"carl@x.com","Workload":"Exchange","Recipients":["Ann@X.com","carl@x.com"],"Subject":"Quarterly  report!","Item":{"Id":"i1","ParentFolder":{"Path":"\\Drafts","Size":1.50}},"Empty":[],"Nil":null,"Blank":""}`,
	"mail2":    `{"CreationTime":"2026-11-19T07:00:00","Id":"a5","Operation":"Send","RecordType":2,"UserType":0,"UserId":"ÄNNE@x.com","Workload":"Exchange","Subject":"quarterly sales report","Recipients":["http:\/\/z.com\/a","50% off_now"],"Numbers":[1,2.5,1e3,-0.25,true,null,{"a": [1, "x\/y"]}]}`,
	"dlp":      `{"CreationTime":"2026-11-10T07:00:00","Id":"a6","Operation":"DlpRuleMatch","RecordType":28,"UserType":4,"UserId":"it's \"me\"","Workload":"Exchange","PolicyDetails":[{"PolicyName":"Card numbers","Rules":[{"RuleName":"Low count","Severity":"Low"},{"RuleName":"High","Severity":"High"}]}],"Data":"{\"sev\":\"Medium\",\"f3u\":[\"a@x.com\",\"b@x.com\"]}","Ratio":0.5}`,
	"login":    `{"CreationTime":"2026-11-21T11:30:00","Id":"a7","Operation":"UserLoggedIn","RecordType":15,"UserType":0,"UserId":"bob@x.com","Workload":"AzureActiveDirectory","ClientIP":"203.0.113.9","ExtendedProperties":[{"Name":"UserAgent","Value":"Mozilla\/5.0 (X11)"},{"Name":"RequestType","Value":"OAuth2:Token"}],"ModifiedProperties":[{"Name":"Display.Name","NewValue":"[\r\n  \"New\"\r\n]","OldValue":"[]"}],"DeviceProperties":[{"Name":"OS","Value":"Linux"}]}`,
}

// order of the records.
var order = []string{"download", "upload", "rule", "mail", "mail2", "dlp", "login"}

func envelope(id string) *normalize.Envelope {
	return &normalize.Envelope{
		ID: id, Index: record.WindowsEvents, Connector: connector, ContentType: "Audit.General",
		ContentID: "blob1", Created: 1795255200000, Received: 1795258800000,
	}
}

func normalizer(t testing.TB) *normalize.Normalizer {
	t.Helper()
	n, err := normalize.New()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func members(t testing.TB, raw string) []rawjson.Member {
	t.Helper()
	m, err := rawjson.Members(nil, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustCompile(t testing.TB, s filter.Spec, opt filter.Options) *filter.Filter {
	t.Helper()
	if s.Name == "" {
		s.Name = "f"
	}
	f, err := filter.Compile(s, opt)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	return f
}

// matching returns the records that an exclude filter drops, in order.
func matching(t testing.TB, v *filter.View, s filter.Spec, opt filter.Options) []string {
	t.Helper()
	set := filter.NewSet(mustCompile(t, s, opt))
	ids := []string{}
	for _, id := range order {
		v.Reset(envelope(id), []byte(records[id]), nil)
		if keep, _ := set.Decide(v); !keep {
			ids = append(ids, id)
		}
	}
	return ids
}

// members2 are the members of what may be no record.
func members2(raw string) []rawjson.Member {
	m, err := rawjson.Members(nil, []byte(raw))
	if err != nil {
		return nil
	}
	return m
}
