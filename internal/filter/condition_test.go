package filter_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sluice/internal/fault"
	"sluice/internal/filter"
	"sluice/internal/query"
)

func cond(field string, o filter.Operator, values ...string) filter.Condition {
	return filter.Condition{Field: field, Operator: o, Values: values}
}

func TestConditions(t *testing.T) {
	all := order
	but := func(ids ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(ids, id) })
	}
	lookups := filter.FolderLookups(fstest.MapFS{"vip.txt": {Data: []byte("\ufeff# people\r\n BOB@x.com \r\n\nänne@X.com\n")}})
	v := filter.NewView(normalizer(t))
	for _, c := range []struct {
		cond filter.Condition
		want []string
	}{
		{cond("Operation", filter.Equals, "send"), []string{"mail", "mail2"}},
		{cond("operation", filter.Equals, "Send"), []string{"mail", "mail2"}},
		{cond("office365.Operation", filter.Equals, "Send"), []string{"mail", "mail2"}},
		{cond("microsoft_defender_for_cloud_apps.Operation", filter.Exists), []string{}},
		{cond("Operation", filter.NotEquals, "Send"), but("mail", "mail2")},
		{cond("RecordType", filter.Equals, "6"), []string{"download", "upload"}},
		{cond("RecordType", filter.Equals, "6.0"), []string{"download", "upload"}},
		{cond("RecordType", filter.Equals, "06x"), []string{}},
		{cond("ExternalAccess", filter.Equals, "True"), []string{"download"}},
		{cond("ExternalAccess", filter.NotEquals, "true"), but("download")},
		{cond("UserId", filter.Equals, "änne@x.com"), []string{"mail2"}},
		{cond("Operation", filter.In, "FILEUPLOADED", "FileDownloaded"), []string{"download", "upload"}},
		{cond("RecordType", filter.In, "28.0", "15"), []string{"dlp", "login"}},
		{cond("Operation", filter.NotIn, "FileUploaded", "FileDownloaded"), but("download", "upload")},
		{cond("UserId", filter.Contains, "OB@"), []string{"download", "rule", "login"}},
		{cond("UserId", filter.Contains, "ÄNN"), []string{"mail2"}},
		{cond("Operation", filter.StartsWith, "file"), []string{"download", "upload"}},
		{cond("Operation", filter.EndsWith, "LOADED"), []string{"download", "upload"}},
		{cond("Operation", filter.Matches, "File(Down|Up)loaded"), []string{"download", "upload"}},
		{cond("Operation", filter.Matches, "File"), []string{}},
		{cond("Operation", filter.Matches, "file.*"), []string{}},
		{cond("Operation", filter.Matches, "(?i)file.*|send"), []string{"download", "upload", "mail", "mail2"}},
		{cond("Recipients", filter.Equals, "ann@x.com"), []string{"mail"}},
		{cond("Recipients", filter.Equals, "http://z.com/a"), []string{"mail2"}},
		{cond("Parameters.ForwardTo", filter.EndsWith, "@y.com"), []string{"rule"}},
		{cond("office365.Parameters.Delete_Message", filter.Equals, "true"), []string{"rule"}},
		{cond("Parameters.Nothing", filter.Exists), []string{}},
		{cond("Item.ParentFolder.Path", filter.Equals, `\drafts`), []string{"mail"}},
		{cond("PolicyDetails.Rules.Severity", filter.Equals, "high"), []string{"dlp"}},
		{cond("Data.f3u", filter.Equals, "b@x.com"), []string{"dlp"}},
		{cond("ModifiedProperties.Display_Name", filter.Contains, `"new"`), []string{"login"}},
		{cond("Parameters", filter.Exists), []string{"rule"}},
		{cond("Parameters", filter.NotExists), but("rule")},
		{cond("Empty", filter.Exists), []string{}},
		{cond("Blank", filter.Exists), []string{}},
		{cond("Nil", filter.NotExists), all},
		{cond("FileSizeBytes", filter.Greater, "1e3"), []string{"download"}},
		{cond("FileSizeBytes", filter.Less, "2048"), []string{"upload"}},
		{cond("ErrorNumber", filter.Greater, "50000"), []string{"upload"}},
		{cond("Ratio", filter.Less, "0.75"), []string{"dlp"}},
		{cond("Numbers", filter.Greater, "999"), []string{"mail2"}},
		{cond("CreationTime", filter.Less, "2026-11-20T07:00:00Z"), []string{"mail2", "dlp"}},
		{cond("timestamp", filter.Greater, "2026-11-21"), []string{"download", "upload", "login"}},
		{cond("@timestamp", filter.Equals, "2026-11-21T10:00:00Z"), []string{"download"}},
		{cond("timestamp", filter.StartsWith, "2026-11-20t0"), []string{"rule", "mail"}},
		{cond("UserId", filter.Greater, "2026-01-01"), []string{}},
		{cond("srcip", filter.CIDR, "198.51.100.0/24"), []string{"download"}},
		{cond("ClientIP", filter.CIDR, "198.51.101.7"), []string{"upload"}},
		{cond("ClientIP", filter.CIDR, "2001:db8::/32", "203.0.113.0/24"), []string{"rule", "login"}},
		{cond("srcip", filter.CIDR, "::ffff:198.51.0.0/112"), []string{"download", "upload"}},
		{cond("source.ip", filter.CIDR, "203.0.0.0/8"), []string{"login"}},
		{cond("UserId", filter.CIDR, "0.0.0.0/0"), []string{}},
		{cond("UserId", filter.InLookup, "vip"), []string{"download", "rule", "mail2", "login"}},
		{cond("user.email", filter.Equals, "bob@x.com"), []string{"download", "rule", "login"}},
		{cond("User.Email", filter.Equals, "bob@x.com"), []string{"download", "rule", "login"}},
		{cond("tenant_name", filter.Equals, "CONTOSO"), all},
		{cond("msg_class", filter.Equals, "office365_audit_general"), all},
		{cond("_id", filter.Equals, "rule"), []string{"rule"}},
		{cond("_index", filter.Equals, "windows_events"), all},
		{cond("event.severity", filter.Less, "11"), all},
		{cond("related.user", filter.Equals, "bob@x.com"), []string{"download", "rule", "login"}},
		{cond("no.such.field", filter.NotEquals, "x"), all},
		{cond("no.such.field", filter.Equals, ""), []string{}},
		{cond("Blank", filter.Equals, ""), []string{"mail"}},
	} {
		got := matching(t, v, filter.Spec{Conditions: []filter.Condition{c.cond}}, filter.Options{Lookups: lookups})
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v\n got  %v\n want %v", c.cond, got, c.want)
		}
	}
}

func TestConditionsAndQueryMustAllHold(t *testing.T) {
	v := filter.NewView(normalizer(t))
	s := filter.Spec{Conditions: []filter.Condition{cond("Workload", filter.Equals, "Exchange"), cond("UserType", filter.Equals, "0")}}
	if got, want := matching(t, v, s, filter.Options{}), []string{"mail", "mail2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s.Query = "Subject:*report* AND NOT Recipients:*z.com*"
	if got, want := matching(t, v, s, filter.Options{}), []string{"mail"}; !slices.Equal(got, want) {
		t.Errorf("with a query: got %v, want %v", got, want)
	}
}

// The kind of a value is that of this record: a number in one and a text in the other are both found.
func TestFieldsOfSeveralKinds(t *testing.T) {
	v := filter.NewView(normalizer(t))
	byQuery := mustCompile(t, filter.Spec{Query: "ErrorNumber:0"}, filter.Options{})
	byCondition := mustCompile(t, filter.Spec{Conditions: []filter.Condition{cond("ErrorNumber", filter.Equals, "0")}}, filter.Options{})
	for raw, want := range map[string]bool{
		`{"ErrorNumber":"0"}`: false, `{"ErrorNumber":0}`: false, `{"ErrorNumber":[1,0]}`: false, `{"errornumber":0}`: false,
		`{"ErrorNumber":1}`: true, `{"ErrorNumber":null}`: true, `{"ErrorNumber":{"a":0}}`: true, `{}`: true,
		`{"Error\u004eumber":0}`: false, `{"ErrorNumber":0,"ErrorNumber":1}`: false,
	} {
		for _, f := range []*filter.Filter{byQuery, byCondition} {
			v.Reset(envelope("x"), []byte(raw), nil)
			if keep, _ := filter.NewSet(f).Decide(v); keep != want {
				t.Errorf("%s: query %q keeps %t, want %t", raw, f.Spec().Query, keep, want)
			}
		}
	}
}

func TestCompileRefusals(t *testing.T) {
	_, err := filter.Compile(filter.Spec{
		Name: "a\nb", Mode: "drop", Query: "f:[1 TO",
		Conditions: []filter.Condition{cond("", "equls", "x"), cond("UserId", filter.InLookup, "gone"), cond("UserId", filter.InLookup, "bad")},
	}, filter.Options{Lookups: filter.FolderLookups(fstest.MapFS{"bad.txt": {Data: []byte(strings.Repeat("x", 100_000))}})})
	want := `filter "a\nb": mode: unknown mode "drop", known are exclude, include
filter "a\nb": conditions[0].field: is missing and required
filter "a\nb": conditions[0].operator: unknown operator "equls", did you mean "equals"?
filter "a\nb": conditions[1].value: there is no lookup "gone"
filter "a\nb": conditions[2].value: the lookup "bad" cannot be read: bad.txt: read lookup: line 1: bufio.Scanner: token too long
filter "a\nb": query: position 8: expected a bound of the range (* for none)`
	if err == nil || err.Error() != want || !fault.Is(err, fault.Config) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := filter.Compile(filter.Spec{Name: "f", Conditions: []filter.Condition{cond("UserId", filter.InLookup, "vip")}}, filter.Options{}); err == nil || !strings.Contains(err.Error(), `there is no lookup "vip"`) {
		t.Errorf("without lookups: got %v", err)
	}
	many := filter.Spec{Name: "f", Conditions: slices.Repeat([]filter.Condition{cond("a", filter.Exists)}, filter.MaxConditions+1)}
	if got := filter.Check(many); len(got) != 1 || got[0].String() != "conditions: has 101 conditions, at most 100" {
		t.Errorf("got %v", got)
	}
}

func TestNotices(t *testing.T) {
	columns := []query.Column{{Name: "office365.Operation", SQLType: "VARCHAR", Vendor: true}, {Name: "office365.Parameters", SQLType: "VARCHAR", Kind: query.JSON, Vendor: true}}
	f := mustCompile(t, filter.Spec{
		Query:      "Operatoin:x AND timestamp:>now-1d",
		Conditions: []filter.Condition{cond("Operatoin", filter.Exists), cond("Parameters.ForwardTo", filter.Exists), cond("srcip", filter.Exists), cond("office365.operation", filter.Exists)},
	}, filter.Options{Columns: columns})
	want := []string{
		`conditions[0].field: no record so far has the field "Operatoin", did you mean "Operation"?`,
		`query: unknown field "Operatoin": the clause matches nothing`,
		"query: it says now, so what it decides about a record changes with the time; now is taken to the minute",
	}
	if got := f.Notices(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := mustCompile(t, filter.Spec{Query: "Operation:unknown"}, filter.Options{}).Notices(); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}

func TestReadLookup(t *testing.T) {
	l, err := filter.ReadLookup(strings.NewReader("a\nA\n\n# c\nb"))
	if err != nil || l.Len() != 2 {
		t.Errorf("got %d texts, %v; want 2", l.Len(), err)
	}
}
