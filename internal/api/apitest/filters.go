package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/movein"
)

// LogFilters implements api.LogFilters: every filter is used by "contoso" and dropped 1,234 records of it.
func (f *Fake) LogFilters(context.Context) ([]api.FilterInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []api.FilterInfo
	for _, e := range f.entries {
		if e.Kind == api.Filters {
			out = append(out, api.FilterInfo{
				Name: e.Name, Mode: "exclude", Owner: e.Owner, Connectors: []string{"contoso"}, Dropped: 1234,
				Drops:   []api.FilterDrop{{Connector: "contoso", ContentType: "Audit.General", Records: 1234}},
				Created: e.Created, Updated: e.Updated,
			})
		}
	}
	return out, nil
}

// TestFilters implements api.LogFilters. A given filter needs a name; one that is named "everything" drops all.
func (f *Fake) TestFilters(_ context.Context, r api.FilterTest) (api.FilterReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Tried = append(f.Tried, r)
	if r.Connector != "" {
		if _, err := f.find(api.Connectors, r.Connector); err != nil {
			return api.FilterReport{}, err
		}
	}
	report := api.FilterReport{Connector: r.Connector, Since: r.Since, Seen: 200, More: true}
	for _, choice := range r.Filters {
		name := choice.Name
		if choice.Spec != nil {
			var spec struct{ Name string }
			if err := json.Unmarshal(choice.Spec, &spec); err != nil || spec.Name == "" {
				report.Problems = append(report.Problems, api.Mistake{File: "filters", Line: 1, Column: 1, Path: "filters[0].name", Message: "is missing"})
				return report, nil
			}
			name = spec.Name
		} else if _, err := f.find(api.Filters, name); err != nil {
			return api.FilterReport{}, err
		}
		report.Filters = append(report.Filters, name)
	}
	if len(r.Document) > 0 {
		report.Filters = []string{"everything"}
	}
	if len(report.Filters) == 0 {
		return api.FilterReport{}, fault.New(fault.Config, "", "there is nothing to try")
	}
	report.Dropped = 150
	if report.Filters[0] == "everything" {
		report.Dropped, report.DropsEverything = report.Seen, true
	}
	report.ByFilter = []api.FilterDropped{{Filter: report.Filters[0], Records: report.Dropped}}
	report.Examples = []api.FilterExample{{Filter: report.Filters[0], ID: "a1", Timestamp: Now, Operation: "File\x1bAccessed"}}
	report.UnknownFields = []api.FilterField{{Filter: report.Filters[0], Path: "conditions[0].field", Field: "Operatoin", Suggest: "Operation"}}
	report.Notices = []api.FilterRemark{{Filter: report.Filters[0], Text: "query: unknown field x"}}
	return report, nil
}

// FilterHistory implements api.LogFilters.
func (f *Fake) FilterHistory(_ context.Context, name string) ([]api.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Filters, name); err != nil {
		return nil, err
	}
	return []api.Change{{At: Now, Actor: "apply", What: "created"}}, nil
}

// unusual answers the documents of other collectors (they have inputs), and those with a filter named drops-all, which
// have to be confirmed.
func unusual(r api.ApplyRequest) (api.ApplyResult, bool) {
	switch {
	case bytes.Contains(r.Document, []byte(`"inputs"`)):
		return api.ApplyResult{
			DryRun: r.DryRun, Entries: []api.AppliedEntry{{Kind: api.Connectors, Name: "contoso-office365", Action: api.Created}},
			MovedIn: &api.MoveIn{
				Kind: movein.Devo, Title: movein.Devo.Title(),
				Taken: []movein.Taken{{Line: 7, Column: 22, From: "inputs.o365.credentials.tenant_id", To: "directory_id of contoso-office365", Note: "as it is"}},
				Left:  []movein.Left{{Line: 9, Column: 1, From: "outputs", Reason: strings.Repeat("not taken over, for a reason that is long ", 3)}},
			},
		}, true
	case bytes.Contains(r.Document, []byte("drops-all")) && !r.Confirm:
		return api.ApplyResult{Problems: []api.Mistake{{File: r.Name, Line: 2, Column: 5, Path: "connector contoso", Message: "the log filters drops-all would drop everything"}}}, true
	}
	return api.ApplyResult{}, false
}

var _ api.LogFilters = (*Fake)(nil)
