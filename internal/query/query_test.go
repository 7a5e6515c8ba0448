package query

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
)

var testNow = time.Date(2026, 11, 21, 12, 30, 15, 0, time.UTC)

func testCatalogue() *Catalogue {
	return NewCatalogue([]Column{
		{Name: "_id", SQLType: "VARCHAR"},
		{Name: "timestamp", SQLType: "TIMESTAMP WITH TIME ZONE", Kind: Time},
		{Name: "msg_class", SQLType: "VARCHAR"},
		{Name: "srcip", SQLType: "VARCHAR"},
		{Name: "user.name", SQLType: "VARCHAR"},
		{Name: "user.email", SQLType: "VARCHAR"},
		{Name: "_raw", SQLType: "VARCHAR"},
		{Name: "office365.Operation", SQLType: "VARCHAR", Vendor: true},
		{Name: "office365.RecordType", SQLType: "BIGINT", Kind: Long, Vendor: true},
		{Name: "office365.Parameters", SQLType: "VARCHAR", Kind: JSON, Vendor: true},
		{Name: "mcas.Operation", SQLType: "VARCHAR", Vendor: true},
	})
}

func compile(t *testing.T, text string, opt Options) (Compiled, error) {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		return Compiled{}, err
	}
	opt.Now = testNow
	return q.Compile(testCatalogue(), opt)
}

func TestWhere(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "true"},
		{"*:*", "true"},
		{"msg_class:A", `coalesce("msg_class" = lower('A'), false)`},
		{"user.name:o'neil", `coalesce(lower("user.name") = lower('o''neil'), false)`},
		{"user.name:42", `coalesce("user.name" = '42', false)`},
		{"user.name:a* OR NOT user.name:b", `(coalesce(starts_with(lower("user.name"), lower('a')), false)) OR (NOT (coalesce(lower("user.name") = lower('b'), false)))`},
		{`user.name:a_b*c`, `coalesce(lower("user.name") LIKE lower('a\_b%c') ESCAPE '\', false)`},
		{"Operation:x", `coalesce(lower("office365.Operation") = lower('x'), false) OR coalesce(lower("mcas.Operation") = lower('x'), false)`},
		{"RecordType:28", `coalesce("office365.RecordType" = (28), false)`},
		{"RecordType:abc", "false"},
		{"RecordType:[-5 TO *]", `coalesce("office365.RecordType" >= (-5), false)`},
		{"-RecordType:1 -RecordType:2", `NOT (coalesce("office365.RecordType" = (1), false)) AND NOT (coalesce("office365.RecordType" = (2), false))`},
		{"+RecordType:1 RecordType:2", `(coalesce("office365.RecordType" = (1), false))`},
		{"user.name:*", `coalesce("user.name" <> '', false)`},
		{"timestamp:2026-11", `coalesce("timestamp" >= TIMESTAMPTZ '2026-11-01 00:00:00+00:00' AND "timestamp" < TIMESTAMPTZ '2026-12-01 00:00:00+00:00', false)`},
	} {
		got, err := compile(t, c.text, Options{})
		if err != nil || got.Where != c.want {
			t.Errorf("%s:\n got %s (%v)\nwant %s", c.text, got.Where, err, c.want)
		}
	}
}

func TestDefaultOperatorAnd(t *testing.T) {
	got, err := compile(t, "RecordType:1 RecordType:>2", Options{DefaultOperator: And})
	want := `(coalesce("office365.RecordType" = (1), false)) AND (coalesce("office365.RecordType" > (2), false))`
	if err != nil || got.Where != want {
		t.Errorf("got %s, %v; want %s", got.Where, err, want)
	}
}

func TestErrorsNameThePosition(t *testing.T) {
	for text, want := range map[string]string{
		"Operation:":                 "position 11: expected a value",
		"(a AND":                     "position 7: expected a clause",
		"(a":                         "position 3: expected a closing parenthesis for the one at position 1",
		"a)":                         "position 2: expected the end",
		"AND a":                      "position 1: expected a clause",
		"a OR":                       "position 5: expected a clause",
		"()":                         "position 2: expected a clause",
		`f:"abc`:                     "position 7: expected a closing quote",
		"f:/a":                       "position 5: expected a closing /",
		"f:/(/":                      "position 3: expected a regular expression",
		"f:/a@b/":                    "RE2 syntax",
		"f:[1 2]":                    "position 6: expected TO",
		"f:[1 TO 2":                  "position 10: expected ]",
		"a:b:c":                      "position 4: expected a value without a colon",
		"f:a^":                       "position 5: expected a number after ^",
		"timestamp:2026*":            "position 11: expected a date",
		"timestamp:[now TO bad]":     "position 19: expected a date",
		"RecordType:28~":             "position 12: office365.RecordType is a number",
		"a~":                         "position 1: expected a field",
		">=5":                        "position 1: expected a field",
		"a | b":                      "KQL",
		strings.Repeat("(", 200):     "nested",
		"é:x AND":                    "position 8",
		"O365_CL | where x == \"1\"": "KQL",
	} {
		_, err := compile(t, text, Options{})
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want kind config with %q", text, err, want)
		}
	}
}

func TestHints(t *testing.T) {
	for text, want := range map[string]string{
		"a and b":                                 `"and" is searched as a word`,
		"a AND b OR c":                            "AND and OR are mixed",
		"nothing:x":                               "unknown field",
		"RecordType:x":                            "is not a number",
		"Operation:a AND Operation:b":             "contradictory conjunction on single-valued field Operation, run as OR: Operation:a OR Operation:b",
		"NOT (Operation:a AND (Operation:b))":     "",
		"Operation:a AND Operation:A":             "",
		"Operation:a OR Operation:b":              "",
		"Parameters:a AND Parameters:b":           "",
		"+RecordType:1 +RecordType:2":             "contradictory conjunction on single-valued field RecordType, run as OR: RecordType:1 OR RecordType:2",
		"Operation:(a AND b) AND user.name:\"x\"": "run as OR: (Operation:a OR Operation:b) AND user.name:\"x\"",
	} {
		got, err := compile(t, text, Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var all []string
		for _, n := range got.Notices {
			all = append(all, n.String())
		}
		joined := strings.Join(all, "; ")
		if (want == "" && joined != "" && !strings.Contains(joined, "run as OR")) || !strings.Contains(joined, want) {
			t.Errorf("%s: got notices %q, want %q", text, joined, want)
		}
	}
}

func TestTimeBounds(t *testing.T) {
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text     string
		from, to time.Time
	}{
		{"timestamp:2026-11-21 ", day, day.AddDate(0, 0, 1)},
		{"a AND timestamp:>=now-1d/d AND timestamp:<now/d", day.AddDate(0, 0, -1), day},
		{"a OR timestamp:2026-11-21", time.Time{}, time.Time{}},
		{"NOT timestamp:2026-11-21", time.Time{}, time.Time{}},
		{"+(timestamp:[2026-11-21||-1M/d TO *]) b", day.AddDate(0, -1, 0), time.Time{}},
		{"timestamp:1795219200000", day, day.Add(time.Millisecond)},
	} {
		got, err := compile(t, c.text, Options{})
		if err != nil || !got.From.Equal(c.from) || !got.To.Equal(c.to) {
			t.Errorf("%s: got [%v, %v), %v; want [%v, %v)", c.text, got.From, got.To, err, c.from, c.to)
		}
	}
}

func TestNormalizeIndex(t *testing.T) {
	for name, want := range map[string]string{"Windows Events": "windows_events", "ALERTS": "alerts", "windows_events": "windows_events", "WindowsEvents": "windows_events", "": "all", "All": "all"} {
		if got, err := NormalizeIndex(name); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := NormalizeIndex("firewall"); !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "windows_events, alerts, syslog, quarantine, all") {
		t.Errorf("unknown index: got %v", err)
	}
}

func TestIPKey(t *testing.T) {
	a, _ := IPKey("1.2.3.4:443")
	b, _ := IPKey("::ffff:1.2.3.4")
	c, ok := IPKey("[2001:db8::1]:80")
	if a != b || a != "00000000000000000000ffff01020304" || !ok || c[:8] != "20010db8" {
		t.Errorf("got %s, %s, %s", a, b, c)
	}
	if _, ok := IPKey("host.example.com"); ok {
		t.Error("a host name has a key")
	}
}

// Whatever is typed, parsing and compiling end without a panic, and text never escapes from its quotes.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"msg_class: office365_audit_general AND Operation:AlertTriggered", "+a -b c", "(a OR b) AND -c", `f:"x\"y"~2^3`, "f:/a\\/b/",
		"f:[a TO b}", "timestamp:2026-11-21||+1M/d", "srcip:2001:db8::/32", "a:(b OR c*)", "http://x.com/a?b", "_exists_:f", "*:*", "x~1", "é:'", "\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			if !fault.Is(err, fault.Config) {
				t.Errorf("%q: error of kind %s", text, fault.KindOf(err))
			}
			return
		}
		c, err := q.Compile(testCatalogue(), Options{Now: testNow})
		if err != nil {
			return
		}
		outside := strings.Split(c.Where, "'")
		if len(outside)%2 == 0 {
			t.Errorf("%q: unbalanced quotes in %s", text, c.Where)
		}
		for i := 0; i < len(outside); i += 2 {
			if strings.ContainsAny(outside[i], ";\x00") || strings.Contains(outside[i], "--") {
				t.Errorf("%q: text outside of quotes in %s", text, c.Where)
			}
		}
	})
}
