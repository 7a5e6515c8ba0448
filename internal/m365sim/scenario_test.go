package m365sim

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestExample keeps the example true: it parses, starts, and shows every key of the format.
func TestExample(t *testing.T) {
	s, err := Load(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(s, Options{}); err != nil {
		t.Fatal(err)
	}
	if s.Tenants[0].Traffic[0].History != Duration(24*time.Hour) || s.Faults[1].Kind != AF429 || s.Faults[0].Kind != ServerError {
		t.Errorf("parsed %+v", s)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for key, child := range keysOf(typ) {
			if !strings.Contains(string(text), key+":") {
				t.Errorf("the example does not show %s", key)
			}
			visit(child)
		}
	}
	visit(reflect.TypeFor[Scenario]())
	for _, kind := range Kinds() {
		if !strings.Contains(string(text), string(kind)) {
			t.Errorf("the example does not name the fault %s", kind)
		}
	}
}

func TestScenarioMistakes(t *testing.T) {
	tenant := "tenants:\n  - id: " + testTenant + "\n"
	tests := map[string]struct{ text, want string }{
		"unknown key":        {"seed: 1\nsede: 2\n", "s.yaml:2:1: sede: unknown key"},
		"unknown nested key": {tenant + "    traffic:\n      - {content_type: DLP.All, rat: 3}\n", "s.yaml:4:33: tenants[0].traffic[0].rat: unknown key"},
		"wrong id":           {"tenants:\n  - id: contoso\n", `s.yaml:2:9: tenants[0].id: "contoso" is not a GUID`},
		"twice":              {tenant + "  - id: " + testTenant + "\n", "s.yaml:3:9: tenants[1].id: this tenant is defined twice"},
		"content type":       {tenant + "    traffic: [{content_type: Audit.All}]\n", "tenants[0].traffic[0].content_type: \"Audit.All\" is not one of"},
		"events":             {tenant + "    traffic: [{content_type: DLP.All, events: 5}]\n", "needs history"},
		"plan":               {tenant + "    plan: china\n", `s.yaml:3:11: tenants[0].plan: "china" is not one of enterprise, gcc, gcc_high, dod`},
		"share":              {"late: {share: 2}\n", "s.yaml:1:15: late.share: a share lies between 0 and 1"},
		"kind":               {"faults:\n  - {kind: 418}\n", `s.yaml:2:12: faults[0].kind: "418" is not one of`},
		"no kind":            {"faults:\n  - {route: blob}\n", `s.yaml:2:5: faults[0].kind: "" is not one of`},
		"retry":              {"faults:\n  - {kind: 429, retry_after: later}\n", "faults[0].retry_after"},
		"duration":           {"expiry: week\n", `"week" is not a duration`},
		"throttle":           {"throttle: {status: 500}\n", "throttle.status: must be 403 or 429"},
		"alias":              {"late: &a {share: 0.1}\nduplicates: *a\n", "aliases are not supported"},
		"two documents":      {"seed: 1\n---\nseed: 2\n", "only one document"},
		"not YAML":           {"a: [", "s.yaml: yaml:"},
	}
	for name, test := range tests {
		_, err := Parse("s.yaml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	_, err := Parse("s.yaml", []byte("page_size: -1\nwithout_id: 3\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two mistakes give: %v", err)
	}
	if s, err := Parse("s.yaml", nil); err != nil || len(s.Tenants) != 0 {
		t.Errorf("an empty scenario: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	missing := scenario(0)
	missing.Tenants[0].Records = []Files{{Paths: []string{"testdata/nothing.ndjson"}}}
	certificate := scenario(0)
	certificate.Tenants[0].Apps[0].Certificate = "testdata/records.ndjson"
	wrong := scenario(0)
	wrong.PageSize = -5
	for name, s := range map[string]Scenario{"missing file": missing, "no certificate": certificate, "wrong value": wrong} {
		if _, err := New(s, Options{}); err == nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("faults:\n  - {kind: 429, probability: .5, retry_after: 1e3}\n"))
	f.Add([]byte("tenants: [{id: " + testTenant + ", traffic: [{content_type: DLP.All, rate: 1e7, history: 7d}]}]"))
	f.Add([]byte("late: &a {share: 0.1}\nduplicates: *a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("fuzz", text)
		if err == nil && len(checkScenario(s.withDefaults())) > 0 {
			t.Errorf("defaults make %q wrong: %v", text, checkScenario(s.withDefaults()))
		}
	})
}

func FuzzContentID(f *testing.F) {
	sim, err := New(scenario(100, ContentTypes()...), Options{Clock: newClock()})
	if err != nil {
		f.Fatal(err)
	}
	tenant := sim.order[0]
	f.Add(blobKey{feed: tenant.feeds[0], n: 3}.contentID(secondHalf))
	f.Add("1$2$3$4$5")
	f.Fuzz(func(t *testing.T, id string) {
		if k, c, _, exists := tenant.parseContentID(id); exists && !strings.HasPrefix(id, k.contentID(c)) {
			t.Errorf("%q is taken for %q", id, k.contentID(c))
		}
	})
}

func FuzzFileRecord(f *testing.F) {
	f.Add([]byte(`{"Id":"a","RecordType":1,"n":[1.0,1e0,{"b":null}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r := newFileRecord(testTenant, line)
		if !r.malformed && (r.id == "" || len(r.content) != 8 || r.feed == "") {
			t.Errorf("%q: %+v", line, r)
		}
	})
}

func TestCanonical(t *testing.T) {
	same := [][]string{
		{`{"a":1,"b":"x/"}`, `{ "b":"\u0078\/", "a":1.0 }`},
		{`{"n":10e-1}`, `{"n":1}`},
		{`{"n":12345678901234567890123}`, `{"n":12345678901234567890123.0}`},
	}
	for _, pair := range same {
		if a, b := newFileRecord("t", []byte(pair[0])), newFileRecord("t", []byte(pair[1])); a.content != b.content {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
	differ := [][]string{{`{"a":1}`, `{"a":"1"}`}, {`{"a":12345678901234567890}`, `{"a":12345678901234567891}`}, {`{"a":[1,2]}`, `{"a":[2,1]}`}}
	for _, pair := range differ {
		if a, b := newFileRecord("t", []byte(pair[0])), newFileRecord("t", []byte(pair[1])); a.content == b.content {
			t.Errorf("%s and %s are equal", pair[0], pair[1])
		}
	}
}
