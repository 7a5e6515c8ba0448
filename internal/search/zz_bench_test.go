package search_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/query"
	"sluice/internal/search"
)

func TestZZBench(t *testing.T) {
	if os.Getenv("ZZ") == "" { t.Skip("x") }
	cols := []query.Column{
		{Name: "_id", SQLType: "VARCHAR"}, {Name: "timestamp", SQLType: "TIMESTAMP WITH TIME ZONE", Kind: query.Time}, {Name: "tenant_name", SQLType: "VARCHAR"},
		{Name: "msg_class", SQLType: "VARCHAR"}, {Name: "_seq", SQLType: "BIGINT", Kind: query.Long}, {Name: "_shape", SQLType: "VARCHAR"}, {Name: "_raw", SQLType: "VARCHAR"}, {Name: "srcip", SQLType: "VARCHAR"},
		{Name: "office365.ExtendedProperties", SQLType: "VARCHAR", Kind: query.JSON, Vendor: true}}
	for _, n := range []string{"Operation", "UserId", "Id", "ObjectId"} { cols = append(cols, query.Column{Name: "office365." + n, SQLType: "VARCHAR", Vendor: true}) }
	for i := 1; i <= 60; i++ { cols = append(cols, query.Column{Name: fmt.Sprintf("office365.F%d", i), SQLType: "VARCHAR", Vendor: true}) }
	for i := 1; i <= 60; i++ { cols = append(cols, query.Column{Name: fmt.Sprintf("office365.Absent%d", i), SQLType: "VARCHAR", Vendor: true}) }
	tab := search.Table{Name: "windows_events", Columns: cols}
	for d := range 7 {
		tab.Files = append(tab.Files, search.File{Path: filepath.Join("/tmp/bench", fmt.Sprintf("day%d.parquet", d)), Day: time.Date(2026, 11, 15+d, 0, 0, 0, 0, time.UTC), Bytes: 1})
	}
	s := searcherOver(t, []search.Table{tab, {Name: "alerts", Columns: cols}, {Name: "syslog", Columns: cols}}, nil)
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for _, r := range []search.Request{
		{Query: "Operation:FileDownloaded", Limit: 100},
		{Query: "UserId:user42@contoso.com", Limit: 100},
		{Query: "UserId:user42@contoso.com", Limit: 100, Index: "windows_events"},
		{Query: "UserId:nobody@contoso.com", Limit: 100},
		{Query: "doc285999", Limit: 100},
		{Query: "srcip:10.3.0.0/16", Limit: 100}, {Query: "srcip:10.3.0.0/20 AND Operation:Nothing", Limit: 100},
		{Query: "ExtendedProperties.ForwardTo:x77@y.com", Limit: 1000},
		{Query: "ExtendedProperties:*x77@y*", Limit: 1000},
		{Lang: "sql", Since: day, Query: `select "office365.Operation", count(*) from windows_events group by 1`},
		{Lang: "sql", Since: day, Query: `select date_trunc('minute', timestamp), count(*) from "all" where msg_class='office365_audit_general' group by 1`},
		{Lang: "sql", Query: `select raw from windows_events where "office365.UserId"='user42@contoso.com' limit 100`},
		{Query: "Operation:Send", Since: day, Limit: 0},
		{Query: "nosuchword", Limit: 100}, {Query: "10.3.4.5", Limit: 100},
	} {
		for range 2 {
			tm := time.NewTimer(300 * time.Millisecond)
			<-tm.C
			a := time.Now()
			res, err := s.Search(t.Context(), r)
			if err != nil { t.Log(r.Query, err); break }
			n := 0
			for _, err := range res.Rows() { if err != nil { t.Log(err) }; n++ }
			res.Close()
			b := time.Since(a)
			t.Log(r.Query, r.Index, n, "rows", b, res.Stats.Files, res.Stats.Truncated)
		}
	}
	a := time.Now()
	n, err := s.Count(t.Context(), search.Request{Query: "UserId:user42@contoso.com"})
	t.Log("count", n, err, time.Since(a))
}
