package search_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"sluice/internal/lake/engine/enginetest"
	"sluice/internal/lake/worker"
	"sluice/internal/query"
	"sluice/internal/search"
)

// now is when the tests happen.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

type fixedClock struct{}

func (fixedClock) Now() time.Time                             { return now }
func (fixedClock) Sleep(context.Context, time.Duration) error { return nil }
func (fixedClock) After(time.Duration) <-chan time.Time       { return nil }

var columns = []query.Column{
	{Name: "_id", SQLType: "VARCHAR"},
	{Name: "timestamp", SQLType: "TIMESTAMP WITH TIME ZONE", Kind: query.Time},
	{Name: "tenant_name", SQLType: "VARCHAR"},
	{Name: "msg_class", SQLType: "VARCHAR"},
	{Name: "msg_origin.source", SQLType: "VARCHAR"},
	{Name: "srcip", SQLType: "VARCHAR"},
	{Name: "user.name", SQLType: "VARCHAR"},
	{Name: "event_summary.alert_entity_list", SQLType: "VARCHAR", Kind: query.JSON},
	{Name: "_seq", SQLType: "BIGINT", Kind: query.Long},
	{Name: "_shape", SQLType: "VARCHAR"},
	{Name: "_raw", SQLType: "VARCHAR"},
	{Name: "office365.Operation", SQLType: "VARCHAR", Vendor: true},
	{Name: "office365.RecordType", SQLType: "BIGINT", Kind: query.Long, Vendor: true},
	{Name: "office365.UserId", SQLType: "VARCHAR", Vendor: true},
	{Name: "office365.CreationTime", SQLType: "VARCHAR", Vendor: true},
	{Name: "office365.Recipients", SQLType: "VARCHAR", Kind: query.JSON, Vendor: true},
	{Name: "office365.Parameters", SQLType: "VARCHAR", Kind: query.JSON, Vendor: true},
	{Name: "office365.Subject", SQLType: "VARCHAR", Vendor: true},
	{Name: "office365.ExternalAccess", SQLType: "BOOLEAN", Kind: query.Bool, Vendor: true},
	{Name: "office365.ClientIP", SQLType: "VARCHAR", Vendor: true},
	{Name: "office365.ErrorNumber", SQLType: "VARCHAR", Vendor: true},
}

// rec is one record of the fixture: column -> SQL expression.
type rec map[string]string

func s(text string) string { return query.Literal(text) }

func at(day, hour int) string {
	return fmt.Sprintf("TIMESTAMPTZ '2026-11-%02d %02d:00:00Z'", day, hour)
}

// records of the table windows_events, by name (which becomes _id).
var events = map[string]rec{
	"download": {"timestamp": at(21, 10), "msg_class": s("office365_audit_sharepoint"), "office365.Operation": s("FileDownloaded"), "office365.RecordType": "6", "office365.UserId": s("bob@x.com"), "srcip": s("198.51.100.7"), "office365.ClientIP": s("198.51.100.7:5000"), "office365.ExternalAccess": "true"},
	"upload":   {"timestamp": at(21, 9), "msg_class": s("office365_audit_sharepoint"), "office365.Operation": s("FileUploaded"), "office365.RecordType": "6", "office365.UserId": s("ann@x.com"), "srcip": s("198.51.101.7"), "office365.ErrorNumber": s("50058")},
	"rule":     {"timestamp": at(20, 8), "msg_class": s("office365_audit_exchange"), "office365.Operation": s("New-InboxRule"), "office365.RecordType": "1", "office365.UserId": s("Bob@X.com"), "srcip": s("2001:db8::7"), "office365.Parameters": s(`[{"Name":"ForwardTo","Value":"eve@y.com"},{"Name":"Delete Message","Value":"True"}]`)},
	"mail":     {"timestamp": at(20, 7), "msg_class": s("office365_audit_exchange"), "office365.Operation": s("Send"), "office365.RecordType": "2", "office365.Recipients": s(`["Ann@X.com","carl@x.com"]`), "office365.Subject": s("Quarterly  report!")},
	"mail2":    {"timestamp": at(19, 7), "msg_class": s("office365_audit_exchange"), "office365.Operation": s("Send"), "office365.RecordType": "2", "office365.Subject": s("quarterly sales report"), "office365.Recipients": s(`["http:\/\/z.com\/a"]`)},
	"dlp":      {"timestamp": at(10, 7), "tenant_name": s("Fabrikam"), "msg_class": s("office365_dlp_all"), "office365.Operation": s("DlpRuleMatch"), "office365.RecordType": "28", "office365.UserId": s("it's \"me\"")},
}

var alerts = map[string]rec{
	"al:1":   {"timestamp": at(21, 11), "msg_class": s("office365_audit_general"), "office365.Operation": s("AlertTriggered"), "office365.RecordType": "40", "event_summary.alert_entity_list": s(`[{"entity_type":"User","alert_entity_id":"bob@x.com"}]`)},
	"entity": {"timestamp": at(21, 11), "msg_class": s("office365_audit_general"), "office365.Operation": s("AlertEntityGenerated"), "office365.RecordType": "40"},
}

// writeTable writes one Parquet file per day and returns the table.
func writeTable(t testing.TB, dir, name string, recs map[string]rec) search.Table {
	t.Helper()
	byDay := map[string][]string{}
	ids := make([]string, 0, len(recs))
	for id := range recs {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for seq, id := range ids {
		r := recs[id]
		parts := make([]string, 0, len(columns))
		for _, c := range columns {
			v, ok := r[c.Name]
			switch {
			case c.Name == "_id":
				v = s(id)
			case c.Name == "_seq":
				v = fmt.Sprint(seq)
			case !ok && c.Name == "tenant_name":
				v = s("Contoso")
			case !ok && c.Name == "msg_origin.source":
				v = s("office365")
			case !ok:
				v = "NULL"
			}
			parts = append(parts, fmt.Sprintf("CAST(%s AS %s) AS %s", v, c.SQLType, query.Ident(c.Name)))
		}
		day := strings.Fields(strings.Split(r["timestamp"], "'")[1])[0]
		byDay[day] = append(byDay[day], "SELECT "+strings.Join(parts, ", "))
	}
	table := search.Table{Name: name, Columns: columns, CommittedAt: now}
	for day, selects := range byDay {
		path := filepath.Join(dir, name+"-"+day+".parquet")
		enginetest.WriteParquet(t, path, strings.Join(selects, " UNION ALL "))
		d, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		table.Files = append(table.Files, search.File{Path: path, Day: d, Records: int64(len(selects)), Bytes: info.Size()})
	}
	return table
}

// newSearcher returns a searcher over the fixture.
func newSearcher(t testing.TB, change func(*search.Config)) *search.Searcher {
	t.Helper()
	dir := t.TempDir()
	tables := []search.Table{writeTable(t, dir, "windows_events", events), writeTable(t, dir, "alerts", alerts), {Name: "syslog", Columns: columns}}
	return searcherOver(t, tables, change)
}

func searcherOver(t testing.TB, tables []search.Table, change func(*search.Config)) *search.Searcher {
	t.Helper()
	pool, err := worker.New(worker.Config{TempDir: t.TempDir(), DataLimit: dataLimit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	cfg := search.Config{
		Plan: func(_ context.Context, req search.PlanRequest) ([]search.Table, error) {
			var out []search.Table
			for _, table := range tables {
				for _, name := range req.Tables {
					if table.Name == name {
						out = append(out, table)
					}
				}
			}
			return out, nil
		},
		Rebuild: rebuild, Pool: pool, Clock: fixedClock{}, CoreColumns: columns[:11],
	}
	if change != nil {
		change(&cfg)
	}
	searcher, err := search.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return searcher
}

// ids runs a query and returns the _id of its rows in order.
func ids(t *testing.T, searcher *search.Searcher, req search.Request) ([]string, *search.Result, error) {
	t.Helper()
	res, err := searcher.Search(t.Context(), req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Close() }()
	out := []string{}
	for row, err := range res.Rows() {
		if err != nil {
			return nil, res, err
		}
		out = append(out, row.Map()["_id"].(string))
	}
	return out, res, nil
}
