package apitest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
)

// hour is the hour of the units that the reports are about.
var hour = Now.Truncate(time.Hour).Add(-2 * time.Hour)

// Verify implements api.Verifier. Contoso is complete; "broken" has one unit of each kind of problem until it was
// verified with Repair, which heals what can be healed; "late" fails after the first progress.
func (f *Fake) Verify(_ context.Context, r api.VerifyRequest) iter.Seq2[api.VerifyFrame, error] {
	return func(yield func(api.VerifyFrame, error) bool) {
		f.mu.Lock()
		f.Verified = append(f.Verified, r)
		names, err := f.connectors(r.Connector)
		f.mu.Unlock()
		if err != nil {
			yield(api.VerifyFrame{}, err)
			return
		}
		for _, phase := range []api.VerifyPhase{api.VerifyListing, api.VerifyCounting, api.VerifyComparing} {
			progress := api.VerifyProgress{Phase: phase, Connector: r.Connector, Done: 1, Total: 2}
			if !yield(api.VerifyFrame{Progress: &progress}, nil) {
				return
			}
			if r.Connector == "late" {
				yield(api.VerifyFrame{}, fault.New(fault.Throttled, "list Audit.General", "too many requests").WithHint("try again later"))
				return
			}
		}
		f.mu.Lock()
		report := f.report(names, r)
		f.mu.Unlock()
		yield(api.VerifyFrame{Report: &report}, nil)
	}
}

// connectors returns the connector of that name, or all. The caller holds mu.
func (f *Fake) connectors(name string) ([]string, error) {
	if name == "late" {
		return []string{name}, nil
	}
	if name != "" {
		_, err := f.find(api.Connectors, name)
		return []string{name}, err
	}
	var names []string
	for _, e := range f.entries {
		if e.Kind == api.Connectors {
			names = append(names, e.Name)
		}
	}
	return names, nil
}

// report makes the report and keeps one for each connector. The caller holds mu.
func (f *Fake) report(names []string, r api.VerifyRequest) api.VerifyReport {
	until := r.Until
	if until.IsZero() {
		until = Now
	}
	all := api.VerifyReport{
		ID: fmt.Sprintf("verify-%d", len(f.Verified)), Connector: r.Connector, Started: Now.Add(-time.Minute), Finished: Now, Since: r.Since, Until: until,
	}
	for _, name := range names {
		one := all
		one.Connector = name
		one.Feeds, one.Problems, one.Repaired = f.judge(name, r.Repair)
		total(&one)
		f.reports = slices.DeleteFunc(f.reports, func(old api.VerifyReport) bool { return old.Connector == name })
		f.reports = append(f.reports, one)
		all.Feeds, all.Problems, all.Repaired = append(all.Feeds, one.Feeds...), append(all.Problems, one.Problems...), all.Repaired+one.Repaired
	}
	slices.SortFunc(f.reports, func(a, b api.VerifyReport) int { return strings.Compare(a.Connector, b.Connector) })
	if len(names) > 1 && !f.healed {
		all.Notes = []string{"connector asleep is paused and was left out"}
	}
	total(&all)
	return all
}

// total sums the feeds up.
func total(r *api.VerifyReport) {
	for i := range r.Feeds {
		r.Feeds[i].CoveragePercent = r.Feeds[i].Coverage()
		r.Totals.Add(r.Feeds[i].VerifyCounts)
	}
	r.CoveragePercent, r.Complete = r.Totals.Coverage(), len(r.Problems) == 0
}

// judge invents the result for a connector. The caller holds mu.
func (f *Fake) judge(name string, repair bool) ([]api.VerifyFeed, []api.VerifyProblem, int64) {
	feed := api.VerifyFeed{Connector: name, TenantName: "Contoso", ContentType: "Audit.Exchange"}
	if name != "broken" {
		feed.VerifyCounts = api.VerifyCounts{Listed: 12, Landed: 11, Waiting: 1, Records: 3400}
		feed.Hours = []api.VerifyHour{{Hour: hour, VerifyCounts: feed.VerifyCounts, CoveragePercent: 100}}
		return []api.VerifyFeed{feed}, nil, 0
	}
	feed.ContentType = "Audit.General"
	problem := func(n int, state api.VerifyState, reason string, expected, found int64, repairable bool) api.VerifyProblem {
		return api.VerifyProblem{
			Connector: name, ContentType: feed.ContentType, ContentID: fmt.Sprintf("20260304%d$audit_general", n), Unit: UnitID(n),
			Created: hour, State: state, Reason: reason, Expected: expected, Found: found, Repairable: repairable,
		}
	}
	lost := problem(1, api.UnitGone, "Microsoft answered 404 (AF20051): the content has expired", 0, 0, false)
	missing := problem(2, api.UnitMissing, "40 of 100 records are not in the lake", 100, 60, true)
	surplus := problem(3, api.UnitSurplus, "2 records are in the lake twice", 100, 102, false)
	feed.VerifyCounts = api.VerifyCounts{Listed: 1_000_000, Landed: 999_998, Missing: 1, Lost: 1, Surplus: 1, Records: 3_000_000, MissingRecords: 40, SurplusRecords: 2}
	feed.Gaps = []api.Gap{gap()}
	var repaired int64
	problems := []api.VerifyProblem{lost, missing, surplus}
	switch {
	case f.healed:
		feed.VerifyCounts = api.VerifyCounts{Listed: 1_000_000, Landed: 1_000_000, Records: 3_000_040}
		feed.Gaps, problems = nil, nil
	case repair:
		repaired, f.healed = 1, true
	}
	feed.Hours = []api.VerifyHour{{Hour: hour, VerifyCounts: feed.VerifyCounts, CoveragePercent: feed.Coverage()}}
	return []api.VerifyFeed{feed}, problems, repaired
}

// gap is what "broken" can no longer get.
func gap() api.Gap {
	return api.Gap{From: hour, To: hour.Add(time.Hour), Reason: "content expired before it could be fetched", Noticed: Now.Add(-time.Hour)}
}

// LastVerify implements api.Verifier.
func (f *Fake) LastVerify(context.Context) ([]api.VerifyReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reports), nil
}
