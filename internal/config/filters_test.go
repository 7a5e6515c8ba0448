package config

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/filter"
)

// filterRoundTrip sends filters through the stored form and the printed form and compares.
func filterRoundTrip(t *testing.T, filters []Filter) {
	t.Helper()
	for _, f := range filters {
		stored, err := FilterFromSpec(f.SpecJSON())
		if err != nil {
			t.Fatalf("FilterFromSpec(%s): %v", f.SpecJSON(), err)
		}
		if got, want := string(stored.SpecJSON()), string(f.SpecJSON()); got != want {
			t.Errorf("stored form\ngot  %s\nwant %s", got, want)
		}
	}
	var yaml bytes.Buffer
	if err := WriteFiltersYAML(&yaml, filters); err != nil {
		t.Fatal(err)
	}
	apply, err := ParseApply("printed.yaml", yaml.Bytes(), drivers())
	if err != nil {
		t.Fatalf("%v\n%s", err, &yaml)
	}
	if len(apply.Filters) != len(filters) || len(apply.Connectors) != 0 {
		t.Fatalf("%d filters and %d connectors came back of %d filters\n%s", len(apply.Filters), len(apply.Connectors), len(filters), &yaml)
	}
	for i, f := range apply.Filters {
		if got, want := string(f.SpecJSON()), string(filters[i].SpecJSON()); got != want {
			t.Errorf("printed form\ngot  %s\nwant %s", got, want)
		}
	}
}

func TestFilterForms(t *testing.T) {
	t.Parallel()
	file, err := Load("f", read(t, "testdata/good/filters.yaml"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	filterRoundTrip(t, file.Filters)
	want := `{"name":"drop-noise","description":"Mailbox reads of the backup account","mode":"exclude","conditions":[` +
		`{"field":"Workload","operator":"equals","value":"Exchange"},` +
		`{"field":"Operation","operator":"in","values":["MailItemsAccessed","Create"]},` +
		`{"field":"RecordType","operator":"not_in","values":["2","3.5","true","2026-01-31"]},` +
		`{"field":"srcip","operator":"cidr","value":"10.0.0.0/8"},` +
		`{"field":"Operation","operator":"matches","value":"a${1}|/b\\d"},` +
		`{"field":"Operation","operator":"exists"},` +
		`{"field":"UserId","operator":"in_lookup","value":"vip-users"},` +
		`{"field":"CreationTime","operator":"lt","value":"2026-01-31T08:00:00Z"},` +
		`{"field":"Subject","operator":"equals","value":""}],"query":"NOT UserType:2\nAND Operation:File*"}`
	if got := string(file.Filters[0].SpecJSON()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var yaml bytes.Buffer
	if err := WriteFiltersYAML(&yaml, file.Filters[1:]); err != nil {
		t.Fatal(err)
	}
	if want := "filters:\n  - name: only-exchange\n    mode: include\n    query: Workload:Exchange\n"; yaml.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &yaml, want)
	}
	if f := file.Filters[1]; f.Pos.Line != 17 || f.Spec.Mode != filter.Include {
		t.Errorf("got %+v", f)
	}
}

func TestFilterFromSpecRefusals(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                   "stored filter:1:1: holds no filter",
		"[]":                 "must be a filter (keys and values), found a list",
		`{"name":"a"}`:       "has neither conditions nor a query",
		`{"name":"a","x":1}`: "x: unknown key",
	} {
		f, err := FilterFromSpec([]byte(spec))
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Config {
			t.Errorf("FilterFromSpec(%s) = %v, %v; want an error with %q", spec, f, err, want)
		}
	}
}

func TestCheckLogFilters(t *testing.T) {
	t.Parallel()
	apply, err := ParseApply("f", []byte(whole+"log_filters: [drop-noise, dorp-noise, zzzzzz]\n"), drivers())
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckLogFilters(apply.Connectors, []string{"drop-noise", "dorp-noise", "zzzzzz"}); err != nil {
		t.Errorf("all filters exist: %v", err)
	}
	err = CheckLogFilters(apply.Connectors, []string{"drop-noise", "b"})
	want := `f:7:27: log_filters[1]: there is no filter "dorp-noise", did you mean "drop-noise"?` + "\n" +
		`f:7:39: log_filters[2]: there is no filter "zzzzzz", known are b, drop-noise`
	var problems Problems
	if !errors.As(err, &problems) || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	stored, err := FromSpec(apply.Connectors[0].SpecJSON(), drivers())
	if err != nil {
		t.Fatal(err)
	}
	err = CheckLogFilters([]Connector{stored}, []string{"drop-noise", "dorp-noise"})
	if want := `connector a: log_filters: there is no filter "zzzzzz", known are dorp-noise, drop-noise`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The example on the reference page loads, but for the connector that is cut short there.
func TestFilterReferenceExampleLoads(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(FilterReference(), "```yaml\n")
	example, _, _ := strings.Cut(rest, "connectors:")
	file, err := Load("f", []byte(example), drivers(), nil)
	if err != nil || len(file.Filters) != 1 {
		t.Errorf("%v\n%s", err, example)
	}
	for _, o := range filter.Operators() {
		if !strings.Contains(FilterReference(), "| `"+string(o.Name)+"` |") {
			t.Errorf("the operator %s is missing", o.Name)
		}
	}
}

func FuzzFilterFromSpec(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","mode":"include","conditions":[{"field":"x","operator":"in","values":[1,"2",true]}],"query":"a AND b"}`,
		`{"name":"a","conditions":[{"field":"x","operator":"cidr","value":"10.0.0.0/8"},{"value":[1]}]}`, `{"name":1,"query":{}}`, "filters: []",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := FilterFromSpec(data)
		if err == nil {
			filterRoundTrip(t, []Filter{parsed})
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("got %#v, want Problems", err)
		}
	})
}
