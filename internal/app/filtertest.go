package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/filter"
	"sluice/internal/normalize"
	"sluice/internal/record"
	"sluice/internal/search"
	"sluice/internal/state"
)

// sampler yields records of the lake, the newest first. A sample is valid until the next one.
type sampler func(ctx context.Context, q sampleQuery) iter.Seq2[filter.Sample, error]

// sampleQuery chooses the samples: those since a time, of one connector unless connectorID is empty, at most limit.
type sampleQuery struct {
	connectorID string
	since       time.Time
	limit       int
}

// sampleFields are the columns that Sluice knows of a record besides its bytes, in the order in which sampleOf reads them.
var sampleFields = []string{
	"_id", "connector.id", "connector.name", "connector.type", "tenant_name", "organization.id", "content.type", "content.id",
	"content.created", "receive_time",
}

// lakeSamples is the sampler that reads the lake.
func (s *service) lakeSamples(ctx context.Context, q sampleQuery) iter.Seq2[filter.Sample, error] {
	return func(yield func(filter.Sample, error) bool) {
		request := search.Request{Query: "*", Since: q.since, Limit: q.limit, Fields: sampleFields, Raw: true}
		if q.connectorID != "" {
			request.Query = `connector.id:"` + q.connectorID + `"`
		}
		result, err := s.searcher.Search(ctx, request)
		if err != nil {
			yield(filter.Sample{}, err)
			return
		}
		defer func() { _ = result.Close() }()
		for row, err := range result.Rows() {
			var sample filter.Sample
			if err == nil {
				sample, err = sampleOf(row)
			}
			if !yield(sample, err) || err != nil {
				return
			}
		}
	}
}

func sampleOf(row search.Row) (filter.Sample, error) {
	raw, err := row.Raw()
	if err != nil {
		return filter.Sample{}, err
	}
	text := func(i int) string {
		t, _ := row.Values[i].(string)
		return t
	}
	millis := func(i int) int64 {
		n, _ := row.Values[i].(int64)
		return n
	}
	return filter.Sample{Raw: raw, Env: &normalize.Envelope{
		ID: text(0), Connector: &record.Connector{ID: text(1), Name: text(2), Type: text(3), TenantName: text(4), DirectoryID: text(5)},
		ContentType: text(6), ContentID: text(7), Created: millis(8), Received: millis(9), Index: normalize.IndexFor(text(3), text(6)),
	}}, nil
}

// TestFilters implements api.LogFilters.
func (s *service) TestFilters(ctx context.Context, r api.FilterTest) (api.FilterReport, error) {
	report := api.FilterReport{Connector: r.Connector, Since: r.Since.UTC()}
	q := sampleQuery{since: r.Since, limit: min(max(r.Limit, 1), api.MaxFilterTest)}
	var connector state.Connector
	if r.Connector != "" {
		var err error
		if connector, err = s.state.Connector(ctx, r.Connector); err != nil {
			return report, err
		}
		q.connectorID = connector.ID
	}
	set, err := s.triedFilters(ctx, r, connector)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		report.Problems = mistakes(problems)
		return report, nil
	}
	if err != nil {
		return report, err
	}
	looked := 0
	found, err := filter.Test(ctx, set, filter.NewView(s.normalizer), func(yield func(filter.Sample, error) bool) {
		for sample, err := range s.samples(ctx, q) {
			looked++
			if !yield(sample, err) {
				return
			}
		}
	})
	if err != nil {
		return report, fault.Wrap("", "try filters", err)
	}
	report.More = looked == q.limit
	reportOf(&report, set, found)
	return report, nil
}

// reportOf adds what a trial found. Of an example only what identifies the record is told.
func reportOf(report *api.FilterReport, set *filter.Set, found filter.Report) {
	report.Seen, report.Dropped, report.Undecided, report.DropsEverything = found.Seen, found.Dropped, found.Undecided, found.DropsEverything()
	told := map[filter.Notice]bool{}
	remark := func(n filter.Notice) {
		if !told[n] {
			told[n] = true
			report.Notices = append(report.Notices, api.FilterRemark{Filter: n.Filter, Text: n.Text})
		}
	}
	for _, f := range set.Filters() {
		report.Filters = append(report.Filters, f.Name())
		report.ByFilter = append(report.ByFilter, api.FilterDropped{Filter: f.Name(), Records: found.ByFilter[f.Name()]})
		for _, text := range f.Notices() {
			remark(filter.Notice{Filter: f.Name(), Text: text})
		}
	}
	for _, n := range found.Notices {
		remark(n)
	}
	for _, e := range found.Examples {
		report.Examples = append(report.Examples, api.FilterExample{Filter: e.Filter, ID: e.ID, Timestamp: e.Timestamp, Operation: e.Action})
	}
	for _, u := range found.UnknownFields {
		report.UnknownFields = append(report.UnknownFields, api.FilterField{Filter: u.Filter, Path: u.Path, Field: u.Field, Suggest: u.Suggest})
	}
}

// triedFilters compiles what is to be tried: the filters or the document of the request, else those of the connector. The
// error is config.Problems for mistakes in what was given.
func (s *service) triedFilters(ctx context.Context, r api.FilterTest, connector state.Connector) (*filter.Set, error) {
	switch own := s.logFilters(connector); {
	case len(r.Document) > 0:
		doc, err := config.ParseApply(cmp.Or(r.Name, "document"), r.Document, s.properties)
		if err != nil {
			return nil, err
		}
		if len(doc.Filters) == 0 {
			return nil, fault.New(fault.Config, "", "the document has no filters")
		}
		list, err := s.compileAll(doc.Filters)
		return filter.NewSet(list...), err
	case len(r.Filters) > 0:
		return s.chosenFilters(ctx, r.Filters)
	case len(own) > 0:
		return s.filterSet(ctx, own)
	case r.Connector != "":
		return nil, fault.Newf(fault.Config, "", "connector %s uses no filters", r.Connector).WithHint("name the filters to try")
	}
	return nil, fault.New(fault.Config, "", "there is nothing to try").WithHint("name filters, or a connector that uses some")
}

func (s *service) chosenFilters(ctx context.Context, choices []api.FilterChoice) (*filter.Set, error) {
	var list []*filter.Filter
	for i, choice := range choices {
		if choice.Spec == nil {
			stored, err := s.filterSet(ctx, []string{choice.Name})
			if err != nil {
				return nil, err
			}
			list = append(list, stored.Filters()...)
			continue
		}
		given, err := s.parseChoice(i, choice.Spec)
		if err != nil {
			return nil, err
		}
		compiled, err := s.compileAll(given)
		if err != nil {
			return nil, err
		}
		list = append(list, compiled...)
	}
	return filter.NewSet(list...), nil
}

// compileAll compiles filters that were given; the error is config.Problems.
func (s *service) compileAll(given []config.Filter) ([]*filter.Filter, error) {
	list := make([]*filter.Filter, 0, len(given))
	for _, f := range given {
		compiled, err := s.compileFilter(f.Spec, false)
		if err != nil {
			return nil, compileProblems(f, err)
		}
		list = append(list, compiled)
	}
	return list, nil
}

// parseChoice reads filter number i of a request.
func (s *service) parseChoice(i int, spec api.Object) ([]config.Filter, error) {
	text, err := json.Marshal(map[string][]api.Object{"filters": {spec}})
	if err != nil {
		return nil, fault.New(fault.Config, "", "filters: "+err.Error())
	}
	doc, err := config.ParseApply("filters", text, s.properties)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for k := range problems { // places in a text that nobody has seen
			problems[k].Position = config.Position{File: "filters"}
			problems[k].Path = strings.Replace(problems[k].Path, "filters[0]", fmt.Sprintf("filters[%d]", i), 1)
		}
		return nil, problems
	}
	if err != nil {
		return nil, err
	}
	return doc.Filters, nil
}

// The bounds of the look for filters that drop everything, see dropEverything.
const (
	safetySince = 24 * time.Hour
	safetyLimit = 10_000
	safetyFirst = 200 // asked for first: nearly always one of them is kept
	safetyFor   = time.Minute
)

// filteredUse is a connector whose filters apply changes.
type filteredUse struct {
	stored  state.Connector
	filters []string
	at      config.Problem // where to tell what is wrong, without a text
}

// affected lists the connectors that exist and of which apply changes what is dropped.
func (s *service) affected(stored []state.Connector, changes []change, f filterChanges) []filteredUse {
	var uses []filteredUse
	for _, c := range stored {
		use := filteredUse{stored: c, filters: s.logFilters(c)}
		differs := false
		for _, change := range changes {
			if change.name() != c.Name {
				continue
			}
			if change.action == api.Deleted {
				use.filters = nil
				break
			}
			wanted := change.entry.LogFilters()
			differs = !slices.Equal(wanted, use.filters)
			use.filters, use.at = wanted, config.Problem{Position: change.entry.Pos, Path: "connector " + c.Name}
		}
		for _, name := range use.filters {
			changed, ok := f.find(name)
			if !ok || !changed.matters() {
				continue
			}
			differs = true
			if use.at.Path == "" {
				use.at = config.Problem{Position: changed.entry.Pos, Path: "filter " + name}
			}
		}
		if differs && len(use.filters) > 0 {
			uses = append(uses, use)
		}
	}
	return uses
}

// dropEverything reports the connectors whose filters would drop all that they collected lately. It looks at a bounded
// number of records for a bounded time. Without records there is nothing to report.
func (s *service) dropEverything(ctx context.Context, uses []filteredUse, f filterChanges) (config.Problems, error) {
	limited, cancel := context.WithTimeout(ctx, safetyFor)
	defer cancel()
	var problems config.Problems
	for _, use := range uses {
		n, all := 0, false
		set, err := s.futureSet(ctx, use.filters, f)
		if err == nil {
			n, all, err = s.allDropped(limited, set, use.stored.ID)
		}
		p := use.at
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			p.Text = fmt.Sprintf("what the log filters %s would drop of connector %s could not be looked up (%v); with --confirm they are applied all the same",
				strings.Join(use.filters, ", "), use.stored.Name, err)
		case all:
			p.Text = fmt.Sprintf("the log filters %s would drop everything that connector %s collected in the last 24 hours (%d records were looked at); see `sluice filter test`, and apply with --confirm if that is meant",
				strings.Join(use.filters, ", "), use.stored.Name, n)
		default:
			continue
		}
		problems = append(problems, p)
	}
	return problems, nil
}

// futureSet is the set of filters as it will be.
func (s *service) futureSet(ctx context.Context, names []string, f filterChanges) (*filter.Set, error) {
	var list []*filter.Filter
	for _, name := range names {
		if changed, ok := f.find(name); ok && changed.compiled != nil {
			list = append(list, changed.compiled)
			continue
		}
		stored, err := s.filterSet(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		list = append(list, stored.Filters()...)
	}
	return filter.NewSet(list...), nil
}

// allDropped reports whether a connector has records of late and filters drop all of them. It stops at the first one that
// is kept.
func (s *service) allDropped(ctx context.Context, set *filter.Set, connectorID string) (looked int, all bool, err error) {
	view := filter.NewView(s.normalizer)
	since := s.clock.Now().Add(-safetySince)
	for _, limit := range []int{safetyFirst, safetyLimit} {
		looked = 0
		for sample, err := range s.samples(ctx, sampleQuery{connectorID: connectorID, since: since, limit: limit}) {
			if err != nil {
				return looked, false, err
			}
			looked++
			view.Reset(sample.Env, sample.Raw, nil)
			if keep, _ := set.Decide(view); keep {
				return looked, false, nil
			}
		}
		if looked < limit {
			break
		}
	}
	return looked, looked > 0, nil
}
