package filter_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/filter"
	"sluice/internal/lake/engine/enginetest"
	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/normalize"
	"sluice/internal/query"
	"sluice/internal/rawjson"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// lakeColumns are the columns that the records of the tests have in the lake.
func lakeColumns(t *testing.T) []query.Column {
	t.Helper()
	columns := []query.Column{{Name: "_id", SQLType: "VARCHAR"}, {Name: "_index", SQLType: "VARCHAR"}}
	for _, c := range normalize.Columns {
		col := query.Column{Name: c.Name, SQLType: "VARCHAR"}
		switch c.Kind {
		case normalize.Long:
			col.Kind, col.SQLType = query.Long, "BIGINT"
		case normalize.Time:
			col.Kind, col.SQLType = query.Time, "TIMESTAMP WITH TIME ZONE"
		case normalize.JSON:
			col.Kind = query.JSON
		default: // text
		}
		columns = append(columns, col)
	}
	for _, id := range order {
		for _, m := range members(t, records[id]) {
			col := query.Column{Name: "office365." + string(m.Key), SQLType: "VARCHAR", Vendor: true}
			switch m.Kind {
			case rawjson.Bool:
				col.Kind, col.SQLType = query.Bool, "BOOLEAN"
			case rawjson.Number:
				if col.Kind, col.SQLType = query.Long, "BIGINT"; strings.Contains(string(m.Value), ".") {
					col.Kind, col.SQLType = query.JSON, "VARCHAR"
				}
			case rawjson.Array, rawjson.Object:
				col.Kind = query.JSON
			default: // text
			}
			if !slices.ContainsFunc(columns, func(c query.Column) bool { return c.Name == col.Name }) {
				columns = append(columns, col)
			}
		}
	}
	return columns
}

// cell is the value of a column as an SQL expression.
func cell(t *testing.T, c query.Column, id string, row *normalize.Row, m []rawjson.Member) string {
	t.Helper()
	switch c.Name {
	case "_id":
		return query.Literal(id)
	case "_index":
		return query.Literal("windows_events")
	}
	if !c.Vendor {
		column, _ := normalize.ColumnByName(c.Name)
		if !row.Has(column) {
			return "NULL"
		}
		if n, ok := row.Long(column); ok && c.Kind == query.Long {
			return strconv.FormatInt(n, 10)
		} else if ok && c.Kind == query.Time {
			return query.TimeLiteral(time.UnixMilli(n))
		}
		return query.Literal(row.Text(column))
	}
	for _, member := range m {
		if "office365."+string(member.Key) != c.Name {
			continue
		}
		switch {
		case member.Kind == rawjson.Null:
			return "NULL"
		case member.Kind == rawjson.String && c.Kind == query.Text:
			text, _ := rawjson.Unquote(member.Value)
			return query.Literal(text)
		case c.Kind == query.JSON:
			return query.Literal(string(member.Value))
		default:
			return string(member.Value)
		}
	}
	return "NULL"
}

// engineSession opens the query engine on the records of the tests.
func engineSession(t *testing.T, columns []query.Column) *worker.Session {
	t.Helper()
	n := normalizer(t)
	var selects []string
	for _, id := range order {
		row, m := normalize.NewRow(), members(t, records[id])
		n.Normalize(envelope(id), []byte(records[id]), m, row)
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = fmt.Sprintf("CAST(%s AS %s) AS %s", cell(t, c, id, row, m), c.SQLType, query.Ident(c.Name))
		}
		selects = append(selects, "SELECT "+strings.Join(cells, ", "))
	}
	file := filepath.Join(t.TempDir(), "records.parquet")
	enginetest.WriteParquet(t, file, strings.Join(selects, " UNION ALL "))
	table := wire.Table{Name: "windows_events", Files: []string{file}}
	for _, c := range columns {
		if c.Name != "_index" {
			table.Columns = append(table.Columns, wire.Column{Name: c.Name, SQLType: c.SQLType, Vendor: c.Vendor})
		}
	}
	pool, err := worker.New(worker.Config{TempDir: t.TempDir(), DataLimit: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	session, err := pool.Open(t.Context(), wire.OpenBody{Tables: []wire.Table{table}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// inEngine returns which records each condition matches. Many conditions go into one statement.
func inEngine(t *testing.T, session *worker.Session, where []string) [][]string {
	t.Helper()
	out := make([][]string, len(where))
	for chunk := range slices.Chunk(numbersTo(len(where)), 40) {
		parts := []string{"_id"}
		for _, i := range chunk {
			parts = append(parts, fmt.Sprintf("(%s) AS q%d", where[i], i))
		}
		rows, err := session.Query(t.Context(), worker.Query{SQL: "SELECT " + strings.Join(parts, ", ") + " FROM windows_events", MaxRows: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := rows.Values()
			for k, i := range chunk {
				if values[k+1] == true {
					out[i] = append(out[i], values[0].(string))
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(parts, "\n"))
		}
	}
	return out
}

func numbersTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// queries are chosen to reach every function and every shape of condition that package query writes.
var queries = []string{
	"msg_class: office365_audit_general AND Operation:filedownloaded", "Operation:File*loaded", "Operation:*loaded", "Operation:File*",
	"Operation:*own*", "Operation:F?le*ed", "Operation:/File(Down|Up)loaded/", "Operation:/File/", "Operation:File~", "Operation:Sned~1", "Operation:Sned~", "Operation:Sent~1", "UserId:aenne@x.com~2",
	"Operation:(Send OR New-InboxRule)", "NOT UserId:bob@x.com", "UserId:*", "_exists_:ErrorNumber", "NOT _exists_:ErrorNumber",
	"Blank:*", "Nil:*", "Empty:*", "Item:*", "ExternalAccess:*", "RecordType:*", "ExternalAccess:true", "ExternalAccess:fal*",
	"ExternalAccess:/true/", "RecordType:[6 TO 28]", "RecordType:{6 TO 28]", "RecordType:>=15", "RecordType:<2", "RecordType:1?",
	"RecordType:/1.*/", "RecordType:6.0", "RecordType:[* TO *]", "FileSizeBytes:>1e3", "ErrorNumber:[50000 TO 60000]", "ErrorNumber:>x",
	"UserId:[a TO c]", "UserId:{* TO bob@x.com}", "office365.Recipients:ann@x.com", "Recipients:*@x.com", "Recipients:/.*z.com.*/",
	"Recipients:http\\:\\/\\/z.com\\/a", `Recipients:"50% off_now"`, "Recipients:50%*", "Recipients:*_now", "NOT Recipients:ann@x.com",
	"Parameters.ForwardTo:eve@y.com", "Parameters.ForwardTo:*@y.com", "Parameters.Delete_Message:true", `Parameters.Delete\ Message:True`,
	"Parameters.Name:ForwardTo AND Parameters.Value:True", "Parameters.Nothing:*", "Parameters.Name:*", "Parameters:*forward*",
	"ExtendedProperties.UserAgent:mozilla*", "ExtendedProperties.RequestType:OAuth2\\:Token", "ModifiedProperties.Display_Name:*new*",
	"ModifiedProperties.Display.Name:*new*", "ModifiedProperties.OldValue:*", "Item.Id:i1", "Item.ParentFolder.Path:*drafts*",
	"Item.ParentFolder.Size:1.5", "Item.ParentFolder:*", "PolicyDetails.Rules.Severity:high", "PolicyDetails.PolicyName:\"card numbers\"",
	"PolicyDetails:*Low*", "Data.sev:medium", "Data.f3u:b@x.com", "Data:medium", "Numbers:2.5", "Numbers:1", "Numbers:true", "Numbers:>100",
	"Numbers:[-1 TO 0]", "Numbers.a:x\\/y", "Numbers.a:1", "Numbers:*x*", "Ratio:0.5", "Ratio:[0 TO 1]", "Ratio:*",
	`Subject:"quarterly report"`, "Subject:quarterly", "Subject:rep*", "message:*", "srcip:198.51.100.0/24", "srcip:198.51.0.0/16",
	"srcip:2001:db8::/32", "srcip:2001:DB8::7", "srcip:203.0.113.9", "srcip:198.51.*", "ClientIP:198.51.100.7", "ClientIP:198.51.101.0/24",
	"ClientIP:[198.51.100.0 TO 198.51.101.255]", "srcip:{198.51.100.7 TO *]", "source.ip:203.0.113.0/24", "srcip:0.0.0.0/0",
	"timestamp:2026-11-21", "timestamp:[now-1d TO now]", "timestamp:<2026-11-20", "@timestamp:2026-11", "timestamp:>now-12h/d",
	"CreationTime:2026-11-21", "CreationTime:[2026-11-20 TO 2026-11-20]", "CreationTime:>=now-1d", "CreationTime:2026*", "receive_time:2026-11-21",
	"event.action:send", "event.severity:10", "event.category:file", "event.severity_str:info*", "user.email:bob@x.com", "user:bob", "file.*:docx",
	"office365.\\*:bob@x.com", "office365.*Type:6", "related.user:*", "related.ip:198.51.100.7", "ocsf.class_uid:>=3001", "tenant_name:contoso",
	"connector.type:office365", "_id:download", "_index:windows_events", "content.type:audit.general", "unknown.field:x", "NOT unknown.field:x",
	"bob", "bob@x.com", "docx", "50058", "quarterly report", `"quarterly report"`, "quart*", "fil?downloaded", "/.*Inbox.*/", "nothinghere",
	"Mozilla/5.0", "sharepoint.com/a", "2048", "True", "2.5", "änne", "UserId:änne@x.com", "UserId:ÄNNE*", "UserId:*ÄNNE*",
	`UserId:"it's \"me\""`, "UserId:it*", "+Operation:Send Recipients:ann@x.com", "Operation:Send -Recipients:ann@x.com", "(bob OR ann) AND -Operation:FileUploaded",
	"Operation:Send RecordType:6", "!Operation:Send !RecordType:6", "Operation:AlertTriggered AND Operation:Send", "NOT (Operation:Send AND Workload:Exchange)",
	"Operation:Send AND NOT (Subject:sales OR Recipients:*y.com)", "*:*", "Operation:\"\"", "UserId:[* TO *]", "RecordType:x", "RecordType:[a TO b]",
}

// compileAll compiles queries for the lake and leaves out those that are errors there.
func compileAll(t *testing.T, columns []query.Column, texts []string) (kept, where []string) {
	t.Helper()
	catalogue := query.NewCatalogue(columns)
	for _, text := range texts {
		q, err := query.Parse(text)
		if err != nil {
			continue
		}
		c, err := q.Compile(catalogue, query.Options{Now: now})
		if err != nil {
			continue
		}
		kept, where = append(kept, text), append(where, c.Where)
	}
	return kept, where
}

// compareEngines demands that filters match what the engine matches. It returns how many queries did not match all
// records or none.
func compareEngines(t *testing.T, session *worker.Session, columns []query.Column, texts []string) (telling int) {
	t.Helper()
	kept, where := compileAll(t, columns, texts)
	v := filter.NewView(normalizer(t))
	for i, want := range inEngine(t, session, where) {
		f, err := filter.Compile(filter.Spec{Name: "f", Query: kept[i]}, filter.Options{Now: func() time.Time { return now }})
		if err != nil {
			if !strings.Contains(err.Error(), "matches every record") && !strings.Contains(err.Error(), "can match no record") {
				t.Errorf("%s: %v", kept[i], err)
			}
			continue
		}
		got := []string{}
		for _, id := range order {
			v.Reset(envelope(id), []byte(records[id]), nil)
			if keep, _ := filter.NewSet(f).Decide(v); !keep {
				got = append(got, id)
			}
		}
		if len(got) > 0 && len(got) < len(order) {
			telling++
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s\n  in memory %v\n  in engine %v\n  %s", kept[i], got, want, where[i])
		}
	}
	return telling
}

func TestQueriesMatchWhatSearchesFind(t *testing.T) {
	columns := lakeColumns(t)
	session := engineSession(t, columns)
	if kept, _ := compileAll(t, columns, queries); len(kept) != len(queries) {
		for _, text := range queries {
			if !slices.Contains(kept, text) {
				t.Errorf("%s does not compile", text)
			}
		}
	}
	if telling := compareEngines(t, session, columns, queries); telling < len(queries)/2 {
		t.Errorf("only %d of %d queries tell records apart", telling, len(queries))
	}
	random := make([]string, 200)
	rng := rand.New(rand.NewPCG(1, 2)) // the same queries in every run
	for i := range random {
		random[i] = randomQuery(rng, 3)
	}
	if telling := compareEngines(t, session, columns, random); telling < len(random)/8 {
		t.Errorf("only %d of %d random queries tell records apart", telling, len(random))
	}
}

// randomQuery builds a query out of the fields and values of the records.
func randomQuery(rng *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	if depth > 0 && rng.IntN(3) > 0 {
		a, b := randomQuery(rng, depth-1), randomQuery(rng, depth-1)
		return pick("("+a+" AND "+b+")", "("+a+" OR "+b+")", "NOT "+a, "("+a+" "+b+")", "(+"+a+" "+b+")", "("+a+" -"+b+")")
	}
	field := pick("Operation", "UserId", "RecordType", "Recipients", "Parameters.Value", "Subject", "srcip", "ClientIP", "office365.*",
		"Numbers", "PolicyDetails.Rules.RuleName", "event.action", "user.email", "Data", "CreationTime", "ErrorNumber", "ExternalAccess", "Item.Id", "related.user", "event.type")
	value := pick("send", "Send", "bob@x.com", "*@x.com", "b*", "*o*", "?end", "6", "2", "[1 TO 6]", "{2 TO *}", ">=15", "<1000", "true", "*", "/.*e.*/",
		`"quarterly report"`, "198.51.100.0/24", "198.51.101.7", "2026-11-21", "[2026-11-20 TO now]", "[b TO f]", "file~2", "high", "x", "1.5", `""`, "50*")
	if rng.IntN(8) == 0 {
		return value
	}
	return field + ":" + value
}
