package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
)

// LogFilters tells what log filters do, and what they would do. They are created and deleted like any entry.
type LogFilters interface {
	// LogFilters lists the filters by name, with the connectors that use them and what they dropped so far.
	LogFilters(ctx context.Context) ([]FilterInfo, error)
	// TestFilters tries filters on records of the lake. A filter or connector that does not exist is fault.NotFound;
	// mistakes in a filter that was given are Problems of the report.
	TestFilters(ctx context.Context, r FilterTest) (FilterReport, error)
	// FilterHistory returns who changed a filter, oldest first, also of one that was deleted. A name that was never used
	// is fault.NotFound.
	FilterHistory(ctx context.Context, name string) ([]Change, error)
}

// FilterInfo is a log filter and what it did.
type FilterInfo struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Mode        string       `json:"mode" enum:"exclude,include"`
	Owner       string       `json:"owner,omitempty" doc:"File that owns the filter; it is read-only elsewhere"`
	Connectors  []string     `json:"connectors" nullable:"false" doc:"Connectors that use it"`
	Dropped     int64        `json:"dropped" doc:"Records that it dropped so far; one that is fetched twice counts twice"`
	Drops       []FilterDrop `json:"drops" nullable:"false" doc:"The same by connector and content type"`
	Created     time.Time    `json:"created"`
	Updated     time.Time    `json:"updated"`
}

// FilterDrop counts what a filter dropped of one content type.
type FilterDrop struct {
	Connector   string `json:"connector" doc:"Name; its id when the connector does not exist any more"`
	ContentType string `json:"content_type"`
	Records     int64  `json:"records"`
}

// The bounds of a trial of filters.
const (
	FilterTestSince = "24h"  // how far back it looks when nobody says how far
	FilterTestLimit = 10_000 // records that it looks at, the newest first
	MaxFilterTest   = 100_000
)

// FilterQuery is a FilterTest as it is asked for. Without filters and document the filters of the connector are tried.
type FilterQuery struct {
	Filters   []json.RawMessage `json:"filters,omitempty" maxItems:"100" doc:"Names of filters, or filters as apply takes them, in the order in which a connector would have them"`
	Document  string            `json:"document,omitempty" doc:"YAML or JSON with filters, as apply takes it, instead of filters"`
	Name      string            `json:"name,omitempty" doc:"Of the document, for messages"`
	Connector string            `json:"connector,omitempty" doc:"Only records of this connector"`
	Since     string            `json:"since,omitempty" doc:"Records from then on: an age, RFC 3339 or a date; default 24h"`
	Limit     int               `json:"limit,omitempty" minimum:"0" maximum:"100000" doc:"Look at so many records, the newest first; default 10000"`
}

// FilterTest is a trial of filters on records of the lake. Of Filters and Document at most one is given.
type FilterTest struct {
	Filters   []FilterChoice
	Document  []byte
	Name      string // of the document
	Connector string // "" for the records of all
	Since     time.Time
	Limit     int
}

// FilterChoice is a stored filter by its name, or a filter as apply takes it.
type FilterChoice struct {
	Name string
	Spec Object
}

// FilterReport says what filters would do with records that are in the lake.
type FilterReport struct {
	Filters         []string        `json:"filters" nullable:"false" doc:"What was tried, in its order"`
	Connector       string          `json:"connector,omitempty"`
	Since           time.Time       `json:"since"`
	Seen            int64           `json:"seen" doc:"Records that were looked at"`
	More            bool            `json:"more" doc:"There are older records since then that were not looked at"`
	Dropped         int64           `json:"dropped"`
	Undecided       int64           `json:"undecided" doc:"Kept because a query means nothing for the record"`
	ByFilter        []FilterDropped `json:"by_filter" nullable:"false"`
	DropsEverything bool            `json:"drops_everything" doc:"Records were seen and none would be kept"`
	Examples        []FilterExample `json:"examples" nullable:"false" doc:"Some records that would be dropped"`
	UnknownFields   []FilterField   `json:"unknown_fields" nullable:"false" doc:"Fields of conditions that no record had"`
	Notices         []FilterRemark  `json:"notices" nullable:"false"`
	Problems        []Mistake       `json:"-"`
}

// FilterDropped counts the records that one filter would drop.
type FilterDropped struct {
	Filter  string `json:"filter"`
	Records int64  `json:"records"`
}

// FilterExample is a record that would be dropped. It has just what is needed to find the record.
type FilterExample struct {
	Filter    string    `json:"filter"`
	ID        string    `json:"_id"`
	Timestamp time.Time `json:"timestamp"`
	Operation string    `json:"operation,omitempty"`
}

// FilterField is a field of a condition that no record had.
type FilterField struct {
	Filter  string `json:"filter"`
	Path    string `json:"path" doc:"conditions[0].field"`
	Field   string `json:"field"`
	Suggest string `json:"suggest,omitempty" doc:"A field with a similar name that records had"`
}

// FilterRemark is what is odd about a filter and does not hinder it.
type FilterRemark struct {
	Filter string `json:"filter"`
	Text   string `json:"text"`
}

// listed makes missing lists empty ones.
func (r FilterReport) listed() FilterReport {
	r.Filters, r.ByFilter, r.Examples = listed(r.Filters), listed(r.ByFilter), listed(r.Examples)
	r.UnknownFields, r.Notices = listed(r.UnknownFields), listed(r.Notices)
	return r
}

type filterTestInput struct{ Body FilterQuery }

func (s *server) filterRoutes(api huma.API) {
	handle(s, api, operation("list-filters", http.MethodGet, "/filters", "Entries", "List log filters with the connectors that use them and what they dropped"),
		func(ctx context.Context, _ *struct{}) ([]FilterInfo, error) {
			all, err := s.service.LogFilters(ctx)
			for i := range all {
				all[i].Connectors, all[i].Drops = listed(all[i].Connectors), listed(all[i].Drops)
			}
			return listed(all), err
		})
	handle(s, api, operation("test-filters", http.MethodPost, "/filters/test", "Entries", "Try log filters on records of the lake; nothing is changed"), s.testFilters)
	handle(s, api, operation("get-filter-history", http.MethodGet, "/filters/{name}/history", "Entries", "Who changed a log filter, oldest first; also of a deleted one"),
		func(ctx context.Context, in *historyInput) ([]Change, error) {
			all, err := s.service.FilterHistory(ctx, in.Name)
			return listed(all), err
		})
}

func (s *server) testFilters(ctx context.Context, in *filterTestInput) (FilterReport, error) {
	q := in.Body
	since, _, err := s.parseRange(q.Since, "", FilterTestSince)
	if err != nil {
		return FilterReport{}, err
	}
	r := FilterTest{Document: []byte(q.Document), Name: q.Name, Connector: q.Connector, Since: since, Limit: q.Limit}
	if r.Limit == 0 {
		r.Limit = FilterTestLimit
	}
	if len(q.Filters) > 0 && q.Document != "" {
		return FilterReport{}, fault.New(fault.Config, "", "give either filters or a document, not both")
	}
	for _, f := range q.Filters {
		choice := FilterChoice{Spec: Object(f)}
		if bytes.HasPrefix(bytes.TrimSpace(f), []byte(`"`)) {
			choice.Spec = nil
			if err := json.Unmarshal(f, &choice.Name); err != nil {
				return FilterReport{}, fault.New(fault.Config, "", "filters: "+err.Error())
			}
		}
		r.Filters = append(r.Filters, choice)
	}
	report, err := s.service.TestFilters(ctx, r)
	if err != nil {
		return FilterReport{}, err
	}
	if err := refusedDocument(report.Problems); err != nil {
		return FilterReport{}, err
	}
	return report.listed(), nil
}
