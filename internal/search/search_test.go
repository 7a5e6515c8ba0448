package search_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/search"
)

// The acceptance examples of spec/query-languages.md sections 1 and 2.5, and what else LQ promises, run on the engine.
func TestLQ(t *testing.T) {
	searcher := newSearcher(t, nil)
	cases := []struct {
		index, query string
		want         string // ids, sorted, separated by spaces
	}{
		{"alerts", `msg_class: office365_audit_general AND Operation:AlertTriggered`, "al:1"},
		{"Alerts", `msg_class: office365_audit_general AND Operation:AlertTriggered AND Operation:AlertEntityGenerated`, "al:1 entity"},
		{"all", `msg_origin.source: office365`, "al:1 dlp download entity mail mail2 rule upload"},
		{"Windows Events", `msg_class:office365_dlp_all`, "dlp"},
		{"alerts", `Operation:alerttriggered`, "al:1"},
		{"", `Operation:File*loaded`, "download upload"},
		{"", `Operation:*ownloade?`, "download"},
		{"windows_events", `NOT UserId:bob@x.com`, "dlp mail mail2 upload"},
		{"", `office365.Recipients:ann@x.com`, "mail"},
		{"", `RecordType:[6 TO 28]`, "dlp download upload"},
		{"", `RecordType:{6 TO 28]`, "dlp"},
		{"windows_events", `RecordType:>=28`, "dlp"},
		{"", `RecordType:<2`, "rule"},
		{"", `RecordType:2?`, "dlp"},
		{"", `Operation:/File(Down|Up)loaded/`, "download upload"},
		{"", `Operation:/File/`, ""},
		{"", `Subject:"quarterly report"`, "mail"},
		{"", `Subject:quarterly`, "mail mail2"},
		{"windows_events", `(Operation:Send OR Operation:New-InboxRule) AND -Subject:*`, "rule"},
		{"", `+Operation:Send -Subject:"quarterly report" Operation:FileUploaded`, "mail2"},
		{"", `msg_class: office365_audit_s* AND timestamp:[now-24h TO now]`, "download upload"},
		{"windows_events", `timestamp:2026-11-20`, "mail rule"},
		{"windows_events", `timestamp:2026-11-20T08`, "rule"},
		{"windows_events", `timestamp:<2026-11-19`, "dlp"},
		{"windows_events", `timestamp:>2026-11-20`, "download upload"},
		{"windows_events", `@timestamp:[now-1d/d TO now-1d/d]`, "mail rule"},
		{"windows_events", `timestamp:{2026-11-20T07:00:00Z TO 2026-11-21||+1d/d]`, "download rule upload"},
		{"", `srcip:198.51.100.0/24`, "download"},
		{"", `srcip:198.51.96.0/20`, "download upload"},
		{"", `office365.ClientIP:198.51.100.0/28`, "download"},
		{"", `srcip:2001:db8::/32`, "rule"},
		{"", `srcip:2001:DB8:0::7`, "rule"},
		{"", `srcip:[198.51.100.8 TO 198.51.255.255]`, "upload"},
		{"", `ClientIP:198.51.101.7`, "upload"},
		{"", `office365.Parameters.ForwardTo:*@y.com`, "rule"},
		{"", `Parameters.Delete_Message:true`, "rule"},
		{"", `Parameters.Name:ForwardTo AND Parameters.Value:true`, "rule"},
		{"", `Parameters.ForwardTo:*@z.com`, ""},
		{"", `event_summary.alert_entity_list.entity_type:user`, "al:1"},
		{"", `_exists_:Recipients`, "mail mail2"},
		{"windows_events", `NOT _exists_:office365.UserId`, "mail mail2"},
		{"", `ExternalAccess:true`, "download"},
		{"windows_events", `NOT ExternalAccess:true`, "dlp mail mail2 rule upload"},
		{"", `Operation:(Send OR FileUploaded)`, "mail mail2 upload"},
		{"", `UserId:"it's \"me\""`, "dlp"},
		{"", `UserId:it's\ \"me\"`, "dlp"},
		{"", `office365.User*:bob@x.com`, "download rule"},
		{"", `UserId:bbo@x.com~`, "download rule"},
		{"", `ErrorNumber:>=50000`, "upload"},
		{"", `eve@y.com`, "rule"},
		{"", `eve`, "rule"},
		{"", `ev`, ""},
		{"", `ev*`, "rule"},
		{"", `ANN`, "mail upload"},
		{"", `ann carl`, "mail upload"},
		{"", `ann AND carl`, "mail"},
		{"", `+ann -carl`, "upload"},
		{"", `"quarterly report"`, "mail"},
		{"", `http://z.com/a`, "mail2"},
		{"", `"198.51.100.7"`, "download"},
		{"windows_events", `-ann -bob`, "dlp mail2"},
		{"", `Nothing:here`, ""},
		{"windows_events", `NOT Nothing:here AND Operation:Send`, "mail mail2"},
		{"windows_events", `*`, "dlp download mail mail2 rule upload"},
		{"", `_index:alerts AND _id:al\:1`, "al:1"},
		{"", `CreationTime:2026-11-21`, ""},
		{"", `event.action:Send`, "mail mail2"},
		{"", `user:*`, ""},
	}
	for _, c := range cases {
		t.Run(c.query, func(t *testing.T) {
			got, _, err := ids(t, searcher, search.Request{Query: c.query, Index: c.index})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
			n, err := searcher.Count(t.Context(), search.Request{Query: c.query, Index: c.index})
			if err != nil || n != int64(len(got)) {
				t.Errorf("Count: got %d, %v; want %d", n, err, len(got))
			}
		})
	}
}

func TestContradictionIsRunAsOr(t *testing.T) {
	searcher := newSearcher(t, nil)
	q := `msg_class: office365_audit_general AND Operation:AlertTriggered AND Operation:AlertEntityGenerated`
	got, res, err := ids(t, searcher, search.Request{Query: q})
	if err != nil || len(got) != 2 {
		t.Fatalf("got %v, %v; want both records", got, err)
	}
	n := res.Notices[0]
	if n.Text != "contradictory conjunction on single-valued field Operation, run as OR" ||
		n.Query != "msg_class: office365_audit_general AND (Operation:AlertTriggered OR Operation:AlertEntityGenerated)" {
		t.Errorf("notice: got %+v", n)
	}
	got, res, err = ids(t, searcher, search.Request{Query: q, Strict: true})
	if err != nil || len(got) != 0 || len(res.Notices) != 1 {
		t.Errorf("strict: got %v, %+v, %v; want no rows and the hint", got, res.Notices, err)
	}
}

func TestOrderLimitAndPages(t *testing.T) {
	want := []string{"download", "upload", "rule", "mail", "mail2", "dlp"}
	for _, page := range []int{1, 2, 100} {
		searcher := newSearcher(t, func(c *search.Config) { c.PageRows = page })
		got, res, err := ids(t, searcher, search.Request{Query: "", Index: "windows_events"})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("pages of %d: got %v, %v; want %v", page, got, err, want)
		}
		if res.Stats.Files != 4 || res.Stats.Truncated || !res.Stats.CommittedAt.Equal(now) || res.Stats.Elapsed <= 0 {
			t.Errorf("stats: got %+v", res.Stats)
		}
	}
	searcher := newSearcher(t, func(c *search.Config) {
		plan := c.Plan
		c.Plan = func(ctx context.Context, req search.PlanRequest) ([]search.Table, error) {
			tables, err := plan(ctx, req)
			for i := range tables { // a file that only declares columns changes nothing, even one that is not there
				tables[i].Files = append([]search.File{{Path: "/no/such/columns.parquet"}}, tables[i].Files...)
			}
			return tables, err
		}
	})
	for limit := 1; limit <= 7; limit++ {
		got, res, err := ids(t, searcher, search.Request{Index: "windows_events", Limit: limit})
		if err != nil || !reflect.DeepEqual(got, want[:min(limit, 6)]) {
			t.Errorf("limit %d: got %v, %v", limit, got, err)
		}
		if res.Stats.Truncated != (limit < 6) {
			t.Errorf("limit %d: truncated %v", limit, res.Stats.Truncated)
		}
	}
	_, res, err := ids(t, searcher, search.Request{Index: "windows_events", Limit: 2})
	if err != nil || res.Stats.Files != 1 {
		t.Errorf("limit 2: read %d files, want only the newest day (%v)", res.Stats.Files, err)
	}
}

func TestTimeAndTenants(t *testing.T) {
	searcher := newSearcher(t, nil)
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		req  search.Request
		want string
	}{
		{search.Request{Since: day(20), Until: day(21)}, "[rule mail]"},
		{search.Request{Since: day(21).Add(9 * time.Hour), Until: day(21).Add(10 * time.Hour)}, "[upload]"},
		{search.Request{TenantNames: []string{"Fabrikam"}}, "[dlp]"},
		{search.Request{TenantNames: []string{}}, "[]"},
	} {
		c.req.Index = "windows_events"
		got, _, err := ids(t, searcher, c.req)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%+v: got %v, %v; want %s", c.req, got, err, c.want)
		}
		c.req.Lang, c.req.Query = search.SQL, "SELECT _id FROM windows_events ORDER BY timestamp DESC"
		got, _, err = ids(t, searcher, c.req)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("SQL %+v: got %v, %v; want %s", c.req, got, err, c.want)
		}
	}
}

func TestFieldsAndRaw(t *testing.T) {
	searcher := newSearcher(t, nil)
	first := func(req search.Request) (search.Row, *search.Result) {
		t.Helper()
		res, err := searcher.Search(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Close() })
		for row, err := range res.Rows() {
			if err != nil {
				t.Fatal(err)
			}
			return row, res
		}
		t.Fatal("no row")
		return search.Row{}, nil
	}
	wantRaw := `{"Operation":"FileDownloaded","RecordType":6,"UserId":"bob@x.com"}`
	row, _ := first(search.Request{Query: "Operation:FileDownloaded"})
	if raw, err := row.Raw(); err != nil || string(raw) != wantRaw {
		t.Errorf("Raw: got %s, %v", raw, err)
	}
	if ts := row.Map()["timestamp"]; ts != time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("timestamp: got %v, want milliseconds", ts)
	}
	row, res := first(search.Request{Query: "Operation:FileDownloaded", Fields: []string{"Operation", "raw", "timestamp", "ClientIP"}})
	if got := fmt.Sprint(row.Values); got != "[FileDownloaded "+wantRaw+" 1795255200000 198.51.100.7]" {
		t.Errorf("fields: got %q", got)
	}
	if len(res.Columns) != 4 || res.Columns[1].Name != "raw" {
		t.Errorf("columns: got %v", res.Columns)
	}
	row, _ = first(search.Request{Query: "Operation:New-InboxRule", Fields: []string{"Parameters.ForwardTo"}})
	if row.Values[0] != "eve@y.com" {
		t.Errorf("nested field: got %v", row.Values)
	}
	if _, err := row.Raw(); !fault.Is(err, fault.Config) {
		t.Errorf("Raw without Request.Raw: got %v", err)
	}
	row, res = first(search.Request{Query: "Operation:FileDownloaded", Fields: []string{"Operation", "nonsense"}})
	if got := fmt.Sprint(row.Values); got != "[FileDownloaded <nil>]" {
		t.Errorf("unknown field: got %s, want an empty column", got)
	}
	if len(res.Notices) != 1 || !strings.Contains(res.Notices[0].Text, `unknown field "nonsense"`) {
		t.Errorf("unknown field: got the notices %v", res.Notices)
	}
}

func TestSQL(t *testing.T) {
	searcher := newSearcher(t, func(c *search.Config) { c.MaxSQLRows = 3 })
	res, err := searcher.Search(t.Context(), search.Request{Lang: "SQL", Query: `SELECT "office365.Operation" AS op, count(*) AS n FROM "all" GROUP BY op ORDER BY n DESC, op`})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Close() }()
	var got []string
	for row, err := range res.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(row.Values))
	}
	if want := []string{"[Send 2]", "[AlertEntityGenerated 1]", "[AlertTriggered 1]"}; !reflect.DeepEqual(got, want) || !res.Stats.Truncated {
		t.Errorf("got %v, truncated %v; want %v, truncated", got, res.Stats.Truncated, want)
	}
	for _, q := range []string{"SELECT * FROM quarantine", "SELECT * FROM sluice_audit", "SELECT * FROM syslog"} {
		if got, _, err := ids(t, searcher, search.Request{Lang: "sql", Query: q}); err != nil || len(got) != 0 {
			t.Errorf("%s: got %v, %v; want no rows", q, got, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	searcher := newSearcher(t, nil)
	for _, c := range []struct {
		req  search.Request
		want string
	}{
		{search.Request{Query: "Operation:"}, "position 11: expected a value"},
		{search.Request{Query: "(a AND"}, "position 7: expected a clause"},
		{search.Request{Query: "a", Index: "firewall"}, "windows_events, alerts, syslog, quarantine, all"},
		{search.Request{Query: "a", Lang: "kql"}, "KQL is not supported"},
		{search.Request{Query: "a", Lang: "linq"}, "unknown language"},
		{search.Request{Query: "from devo.collectors.out where x"}, "LINQ"},
		{search.Request{Query: "O365_CL | where x == 1"}, "KQL"},
		{search.Request{Query: "Nothing:x", Strict: true}, "unknown field"},
		{search.Request{Fields: []string{"nonsense"}, Strict: true}, `unknown field "nonsense" in the list`},
		{search.Request{Query: "timestamp:yesterday"}, "position 11: expected a date"},
		{search.Request{Query: "a", Limit: -1}, "limit -1"},
		{search.Request{Query: "SELEC 1", Lang: "sql"}, "syntax error"},
	} {
		_, err := searcher.Search(t.Context(), c.req)
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want kind config with %q", c.req, err, c.want)
		}
	}
}

func TestEmptyLake(t *testing.T) {
	searcher := searcherOver(t, nil, nil)
	for _, req := range []search.Request{
		{Query: "Operation:x AND timestamp:>now-1d bare"}, {Index: "quarantine"}, {Fields: []string{"Operation", "_id"}}, {Lang: "sql", Query: `SELECT _id, "user.name", raw FROM "all" WHERE timestamp > now()`},
	} {
		got, _, err := ids(t, searcher, req)
		if err != nil || len(got) != 0 {
			t.Errorf("%+v: got %v, %v; want no rows", req, got, err)
		}
	}
}
