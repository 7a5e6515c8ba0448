package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/clock"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/filter"
	"sluice/internal/m365"
	"sluice/internal/normalize"
	"sluice/internal/record"
	"sluice/internal/state"
)

// newService is a service with a state database, whose connectors are started but never run.
func newService(t *testing.T) *service {
	t.Helper()
	t.Setenv("SLUICE_TEST_KEY", "opens~nothing")
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	store, err := state.Open(t.Context(), filepath.Join(dir, "state.db"), state.Options{Clock: clock.Real{}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	normalizer, err := normalize.New()
	if err != nil {
		t.Fatal(err)
	}
	keys := withSecrets(t, dir, config.Secrets{})
	s := &service{
		nodeGroup: config.DefaultNodeGroup,
		failures:  failures{clock: clock.Real{}}, dataDir: dir, clock: clock.Real{}, log: log, state: store, properties: driverProperties(), normalizer: normalizer,
		manager: collect.NewManager(collect.Deps{State: store, Logger: log, Clock: clock.Real{}}, nil),
		shared:  sharedDeps{pacers: m365.NewPacers(clock.Real{}), tokens: m365.NewTokens(clock.Real{}, log), clock: clock.Real{}, log: log, sealer: keys.sealer, secrets: keys.secrets},
		samples: func(context.Context, sampleQuery) iter.Seq2[filter.Sample, error] {
			return func(func(filter.Sample, error) bool) {}
		},
	}
	keys.svc = s
	if err := keys.openConsent(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) mustApply(t *testing.T, r api.ApplyRequest) api.ApplyResult {
	t.Helper()
	result, err := s.Apply(t.Context(), r)
	if err != nil || len(result.Problems) > 0 {
		t.Fatalf("%+v, %v\n%s", result.Problems, err, r.Document)
	}
	return result
}

// did renders what apply did: "filter noise updated conditions".
func did(result api.ApplyResult) []string {
	var lines []string
	for _, e := range result.Entries {
		lines = append(lines, strings.TrimSpace(e.Kind.Singular()+" "+e.Name+" "+string(e.Action)+" "+strings.Join(e.Changed, ",")))
	}
	return lines
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// connectors is a document with a connector that uses filters.
func connectorWith(name string, filters ...string) string {
	text := fmt.Sprintf(`connectors:
  - name: %s
    tenant_name: Contoso
    type: office365
    directory_id: 11111111-2222-3333-4444-555555555555
    application_id: 99999999-8888-7777-6666-555555555555
    api_access_key: ${env:SLUICE_TEST_KEY}
`, name)
	if len(filters) > 0 {
		text += "    log_filters: [" + strings.Join(filters, ", ") + "]\n"
	}
	return text
}

const (
	noise   = "filters:\n  - name: noise\n    conditions: [{field: Operation, operator: in, values: [Create, 5]}]\n"
	chatter = "  - name: chatter\n    description: |\n      two\n      lines\n    mode: include\n    conditions:\n      - {field: UserId, operator: exists}\n    query: NOT UserType:2\n"
)

func docOf(parts ...string) api.ApplyRequest {
	return api.ApplyRequest{Name: "doc.yaml", Document: []byte(strings.Join(parts, ""))}
}

func TestApplyFilters(t *testing.T) {
	s := newService(t)
	wantLines(t, did(s.mustApply(t, docOf(noise, chatter, connectorWith("contoso", "noise")))),
		"connector contoso created", "filter noise created", "filter chatter created")
	wantLines(t, did(s.mustApply(t, docOf(noise, chatter))), "filter noise unchanged", "filter chatter unchanged")
	changed := strings.Replace(noise, "[Create, 5]", "[Create]", 1) + "    description: new\n"
	wantLines(t, did(s.mustApply(t, docOf(changed))), "filter noise updated description,conditions")
	entries, err := s.Entries(t.Context(), api.Filters)
	if err != nil || len(entries) != 2 || entries[0].Name != "chatter" || entries[1].Name != "noise" || entries[0].Kind != api.Filters {
		t.Fatalf("%+v, %v", entries, err)
	}
	all, err := s.Entries(t.Context(), "")
	if err != nil || len(all) != 3 || all[0].Kind != api.Connectors {
		t.Errorf("%+v, %v", all, err)
	}
	dry := docOf(noise, connectorWith("contoso", "noise"))
	dry.Prune, dry.DryRun = true, true
	wantLines(t, did(s.mustApply(t, dry)), "connector contoso unchanged", "filter noise updated description,conditions", "filter chatter deleted")
	dry.DryRun = false
	s.mustApply(t, dry)
	entries, err = s.Entries(t.Context(), api.Filters)
	if err != nil || len(entries) != 1 || entries[0].Name != "noise" {
		t.Errorf("after prune: %+v, %v", entries, err)
	}
	if _, err := s.FilterHistory(t.Context(), "absent"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	history, err := s.FilterHistory(t.Context(), "chatter")
	if err != nil || len(history) != 2 || history[0].What != "created" || history[1].What != "deleted" || history[1].Actor != "apply" {
		t.Errorf("%+v, %v", history, err)
	}
}

// TestFilterDocumentsCanBeAppliedAgain: what get prints changes nothing when it is applied.
func TestFilterDocumentsCanBeAppliedAgain(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, chatter, connectorWith("contoso", "noise", "chatter")))
	entries, err := s.Entries(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e api.Entry) bool { return e.Kind != api.Filters })
	for _, format := range []string{"yaml", "json"} {
		text, err := api.Document(entries, format)
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, did(s.mustApply(t, docOf(string(text)))), "filter chatter unchanged", "filter noise unchanged")
	}
}

func TestFiltersAreRefused(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, chatter, connectorWith("contoso", "noise")))
	file := &config.File{Path: "/etc/sluice.yaml"}
	owned, err := config.ParseApply("x", []byte("filters: [{name: owned, query: 'a:1'}]"), s.properties)
	if err != nil {
		t.Fatal(err)
	}
	file.Filters = owned.Filters
	if err := s.applyFile(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	prune := docOf(connectorWith("other"))
	prune.Document = []byte(chatter[:0] + "filters:\n" + chatter)
	prune.Prune = true
	for _, tt := range []struct {
		name    string
		request api.ApplyRequest
		says    string // of the only problem
	}{
		{"unknown filter", docOf(connectorWith("second", "nois")), `nois`},
		{"owned by a file", docOf("filters: [{name: owned, query: 'a:2'}]"), "owned by the file /etc/sluice.yaml"},
		{"unknown lookup", docOf("filters: [{name: vip, conditions: [{field: UserId, operator: in_lookup, value: vips}]}]"), "vips.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result, err := s.Apply(t.Context(), tt.request)
			if err != nil || len(result.Problems) != 1 || !strings.Contains(result.Problems[0].Message, tt.says) || result.Problems[0].Line == 0 {
				t.Errorf("%+v, %v, want %q", result.Problems, err, tt.says)
			}
		})
	}
	t.Run("deleting one that is used", func(t *testing.T) {
		_, err := s.Delete(t.Context(), api.Filters, "noise", api.DeleteOptions{})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "contoso") || fault.HintOf(err) == "" {
			t.Error(err)
		}
	})
	t.Run("deleting one of a file", func(t *testing.T) {
		if _, err := s.Delete(t.Context(), api.Filters, "owned", api.DeleteOptions{}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "/etc/sluice.yaml") {
			t.Error(err)
		}
	})
	t.Run("a file without one that is used", func(t *testing.T) {
		s.mustApply(t, docOf(connectorWith("contoso", "noise", "owned")))
		if err := s.applyFile(t.Context(), &config.File{Path: "/etc/sluice.yaml"}); !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "contoso uses it") {
			t.Error(err)
		}
	})
	if _, err := s.Delete(t.Context(), api.Filters, "chatter", api.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Delete(t.Context(), api.Filters, "chatter", api.DeleteOptions{}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

// TestPruneDeletesConnectorAndFilterTogether: a filter may go with the connector that uses it.
func TestPruneDeletesConnectorAndFilterTogether(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, connectorWith("contoso", "noise")))
	r := docOf("filters:\n" + chatter)
	r.Prune = true
	wantLines(t, did(s.mustApply(t, r)), "connector contoso deleted", "filter chatter created", "filter noise deleted")
}

func TestChangedFilterRestartsItsConnectors(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, chatter, connectorWith("with", "noise"), strings.TrimPrefix(connectorWith("without", "chatter"), "connectors:\n")))
	restarted := func(what, document string, want ...string) {
		t.Helper()
		stored, err := s.state.Connectors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range stored {
			s.manager.Stop(c.ID)
		}
		s.mustApply(t, docOf(document))
		var got []string
		for _, c := range stored {
			if _, err := s.manager.Runner(c.ID); fault.Is(err, fault.Unavailable) { // it waits for the publisher
				got = append(got, c.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q restarted, want %q", what, got, want)
		}
	}
	restarted("the same", noise)
	restarted("another description", noise+"    description: text\n")
	restarted("other conditions", strings.Replace(noise, "Create", "Delete", 1), "with")
	restarted("both", strings.Replace(noise, "Create", "Update", 1)+strings.Replace(chatter, "UserType:2", "UserType:3", 1), "with", "without")
}

// TestConnectorWithBrokenFilterDoesNotRun: nothing is collected unfiltered because a lookup is gone.
func TestConnectorWithBrokenFilterDoesNotRun(t *testing.T) {
	s := newService(t)
	folder := filepath.Join(s.dataDir, lookupFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "vips.txt")
	if err := os.WriteFile(file, []byte("ann@contoso.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustApply(t, docOf("filters: [{name: vip, conditions: [{field: UserId, operator: in_lookup, value: vips}]}]\n", connectorWith("contoso", "vip")))
	c, err := s.state.Connector(t.Context(), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.manager.Runner(c.ID); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("the connector does not wait for the publisher: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := s.startConnector(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.build(t.Context(), c); !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "vips.txt") {
		t.Errorf("%v", err)
	}
	if _, err := s.manager.Runner(c.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("the connector runs: %v", err)
	}
}

// sampled makes the service's lake hold records with these operations, the newest first, for every connector.
func (s *service) sampled(operations ...string) (asked *[]sampleQuery) {
	asked = new([]sampleQuery)
	s.samples = func(_ context.Context, q sampleQuery) iter.Seq2[filter.Sample, error] {
		*asked = append(*asked, q)
		return func(yield func(filter.Sample, error) bool) {
			for i, op := range operations[:min(len(operations), q.limit)] {
				if op == "error" {
					yield(filter.Sample{}, errors.New("the lake is away"))
					return
				}
				raw := fmt.Sprintf(`{"Id":"r%d","Operation":%q,"CreationTime":"2026-03-04T05:06:07","UserId":"ann"}`, i, op)
				env := &normalize.Envelope{
					ID: fmt.Sprint("id-", i), ContentType: "Audit.General", Index: record.WindowsEvents,
					Connector: &record.Connector{ID: "c", Name: "contoso", Type: "office365", TenantName: "Contoso"},
				}
				if !yield(filter.Sample{Env: env, Raw: []byte(raw)}, nil) {
					return
				}
			}
		}
	}
	return asked
}

func TestFiltersThatDropEverything(t *testing.T) {
	for _, tt := range []struct {
		name       string
		operations []string
		refused    string // "": applied
		looks      int
	}{
		{"an empty lake", nil, "", 1},
		{"one is kept", []string{"Create", "Delete", "Create"}, "", 1},
		{"all are dropped", []string{"Create", "Create"}, "would drop everything that connector contoso collected in the last 24 hours (2 records were looked at)", 1},
		{"a late one is kept", append(slices.Repeat([]string{"Create"}, safetyFirst+1), "Delete"), "", 2},
		{"more than are looked at", slices.Repeat([]string{"Create"}, safetyLimit+1), "(10000 records were looked at)", 2},
		{"the lake does not answer", []string{"Create", "error"}, "could not be looked up (the lake is away)", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t)
			s.mustApply(t, docOf(connectorWith("contoso")))
			asked := s.sampled(tt.operations...)
			r := docOf(noise, connectorWith("contoso", "noise"))

			r.DryRun = true
			dry := s.mustApply(t, r)
			if (len(dry.Warnings) > 0) != (tt.refused != "") || tt.refused != "" && !strings.Contains(dry.Warnings[0].Message, tt.refused) {
				t.Errorf("dry run: %+v", dry.Warnings)
			}
			r.DryRun, *asked = false, nil
			result, err := s.Apply(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if tt.refused == "" {
				if len(result.Problems) > 0 {
					t.Errorf("%+v", result.Problems)
				}
			} else if p := result.Problems; len(p) != 1 || !strings.Contains(p[0].Message, tt.refused) || !strings.Contains(p[0].Message, "--confirm") || p[0].Line == 0 {
				t.Errorf("%+v, want %q", p, tt.refused)
			}
			if len(*asked) != tt.looks || (*asked)[0].connectorID == "" || time.Since((*asked)[0].since) < 23*time.Hour {
				t.Errorf("asked the lake for %+v, want %d looks", *asked, tt.looks)
			}
			if tt.refused != "" {
				if have, err := s.state.Filters(t.Context()); err != nil || len(have) > 0 {
					t.Errorf("refused, and stored %+v, %v", have, err)
				}
				r.Confirm, *asked = true, nil
				s.mustApply(t, r)
				if len(*asked) > 0 {
					t.Error("the lake was asked all the same")
				}
			}
		})
	}
}

// TestOnlyChangedFiltersAreLookedAt: what was there before is not questioned again.
func TestOnlyChangedFiltersAreLookedAt(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, chatter, connectorWith("contoso", "noise")))
	asked := s.sampled("Create")
	s.mustApply(t, docOf(noise, chatter, strings.Replace(connectorWith("contoso", "noise"), "type: office365", "type: office365\n    interval: 7m", 1)))
	s.mustApply(t, docOf(strings.Replace("filters:\n"+chatter, "UserType:2", "UserType:3", 1))) // nobody uses it
	s.mustApply(t, docOf(connectorWith("new", "noise")))                                        // it has collected nothing
	if len(*asked) > 0 {
		t.Errorf("asked the lake for %+v", *asked)
	}
	result, err := s.Apply(t.Context(), docOf(strings.Replace(noise, "[Create, 5]", "[Create]", 1)))
	if err != nil || len(result.Problems) != 2 || result.Problems[0].Path != "filter noise" {
		t.Errorf("a changed filter of two connectors: %+v, %v", result.Problems, err)
	}
}

func TestTestFilters(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, chatter, connectorWith("contoso", "noise"), strings.TrimPrefix(connectorWith("plain"), "connectors:\n")))
	asked := s.sampled("Create", "Delete", "Create")
	since := time.Now().Add(-time.Hour)
	try := func(r api.FilterTest) (api.FilterReport, error) {
		r.Since, r.Limit = since, 3
		return s.TestFilters(t.Context(), r)
	}
	choice := func(name string) []api.FilterChoice { return []api.FilterChoice{{Name: name}} }
	spec := func(text string) []api.FilterChoice {
		return []api.FilterChoice{{Name: "noise"}, {Spec: api.Object(text)}}
	}

	report, err := try(api.FilterTest{Filters: choice("noise"), Connector: "contoso"})
	if err != nil || report.Seen != 3 || report.Dropped != 2 || !report.More || report.DropsEverything {
		t.Errorf("%+v, %v", report, err)
	}
	want := api.FilterExample{Filter: "noise", ID: "id-0", Timestamp: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Operation: "Create"}
	if len(report.Examples) != 2 || report.Examples[0] != want {
		t.Errorf("examples %+v", report.Examples)
	}
	if c, err := s.state.Connector(t.Context(), "contoso"); err != nil || (*asked)[0].connectorID != c.ID || (*asked)[0].limit != 3 || !(*asked)[0].since.Equal(since) {
		t.Errorf("asked for %+v", *asked)
	}
	report, err = try(api.FilterTest{Connector: "contoso"}) // its own
	if err != nil || report.Dropped != 2 || !slices.Equal(report.Filters, []string{"noise"}) {
		t.Errorf("%+v, %v", report, err)
	}
	report, err = try(api.FilterTest{Filters: spec(`{"name":"rest","conditions":[{"field":"Operatoin","operator":"not_exists"}]}`)})
	if err != nil || !report.DropsEverything || fmt.Sprint(report.ByFilter) != "[{noise 2} {rest 1}]" || len(report.UnknownFields) != 1 || report.UnknownFields[0].Suggest != "Operation" {
		t.Errorf("%+v, %v", report, err)
	}
	report, err = try(api.FilterTest{Document: []byte(noise), Name: "f.yaml"})
	if err != nil || report.Dropped != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	report, err = try(api.FilterTest{Filters: spec(`{"name":"x","conditions":[{"field":"a","operator":"is"}]}`)})
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Path != "filters[1].conditions[0].operator" {
		t.Errorf("%+v, %v", report.Problems, err)
	}
	report, err = try(api.FilterTest{Document: []byte("filters: [{name: x}]"), Name: "f.yaml"})
	if err != nil || len(report.Problems) == 0 || report.Problems[0].File != "f.yaml" || report.Problems[0].Line != 1 {
		t.Errorf("%+v, %v", report.Problems, err)
	}
	for name, tt := range map[string]struct {
		r    api.FilterTest
		kind fault.Kind
	}{
		"unknown filter":    {api.FilterTest{Filters: choice("absent")}, fault.NotFound},
		"unknown connector": {api.FilterTest{Filters: choice("noise"), Connector: "absent"}, fault.NotFound},
		"nothing":           {api.FilterTest{}, fault.Config},
		"no filters":        {api.FilterTest{Connector: "plain"}, fault.Config},
		"an empty document": {api.FilterTest{Document: []byte(connectorWith("x"))}, fault.Config},
	} {
		if _, err := try(tt.r); !fault.Is(err, tt.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.sampled("error")
	if _, err := try(api.FilterTest{Filters: choice("noise")}); err == nil {
		t.Error("the lake failed and nobody heard of it")
	}
}

func TestLogFiltersCount(t *testing.T) {
	s := newService(t)
	s.mustApply(t, docOf(noise, chatter, connectorWith("contoso", "noise")))
	c, err := s.state.Connector(t.Context(), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	term, err := s.state.AcquireTerm(t.Context(), "records", "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	err = s.state.Step(t.Context(), term, func(st *state.Step) error {
		n, err := st.OpenBatch()
		if err != nil {
			return err
		}
		return st.CountFiltered(n, []state.FilterCount{
			{ConnectorID: c.ID, ContentType: "Audit.General", Filter: "noise", Records: 5},
			{ConnectorID: c.ID, ContentType: "DLP.All", Filter: "noise", Records: 2},
			{ConnectorID: "gone", ContentType: "DLP.All", Filter: "noise", Records: 1},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.LogFilters(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	f := all[1]
	if f.Name != "noise" || f.Mode != "exclude" || f.Dropped != 8 || !slices.Equal(f.Connectors, []string{"contoso"}) || len(f.Drops) != 3 {
		t.Errorf("%+v", f)
	}
	if !slices.Contains(f.Drops, api.FilterDrop{Connector: "contoso", ContentType: "Audit.General", Records: 5}) || !slices.Contains(f.Drops, api.FilterDrop{Connector: "gone", ContentType: "DLP.All", Records: 1}) {
		t.Errorf("%+v", f.Drops)
	}
	if all[0].Mode != "include" || all[0].Dropped != 0 || len(all[0].Connectors) != 0 {
		t.Errorf("%+v", all[0])
	}
}
