package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/state"
)

// verifyKey begins the names of the values that hold the latest report of a connector.
const verifyKey = "verify:"

// Verify implements api.Verifier.
func (s *service) Verify(ctx context.Context, r api.VerifyRequest) iter.Seq2[api.VerifyFrame, error] {
	return func(yield func(api.VerifyFrame, error) bool) {
		if now := s.clock.Now(); r.Since.After(now) {
			yield(api.VerifyFrame{}, fault.Newf(fault.Config, "verify", "since (%s) lies in the future", r.Since.UTC().Format(time.RFC3339)))
			return
		}
		targets, err := s.verifyTargets(ctx, r.Connector)
		if err != nil {
			yield(api.VerifyFrame{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		report := newReport(r, s.clock.Now())
		open := true
		for _, c := range targets {
			one, err := s.verifyOne(ctx, c, r, false, func(p api.VerifyProgress) {
				if open = open && yield(api.VerifyFrame{Progress: &p}, nil); !open {
					cancel()
				}
			})
			if !open {
				return
			}
			if err != nil && (len(targets) == 1 || ctx.Err() != nil) {
				yield(api.VerifyFrame{}, err)
				return
			}
			mergeReport(&report, one, c.Name, err)
		}
		finishReport(&report, s.clock.Now())
		yield(api.VerifyFrame{Report: &report}, nil)
	}
}

// verifyTargets are the connectors that a request means.
func (s *service) verifyTargets(ctx context.Context, name string) ([]state.Connector, error) {
	if name != "" {
		c, err := s.connector(ctx, api.Connectors, name)
		return []state.Connector{c}, err
	}
	all, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c state.Connector) bool { return c.Paused })
	slices.SortFunc(all, func(a, b state.Connector) int { return cmp.Compare(a.Name, b.Name) })
	if len(all) == 0 {
		return nil, fault.New(fault.NotFound, "verify", "there is no connector to verify").WithHint("add one with sluice apply, or resume one")
	}
	return all, nil
}

// verifyProgressEvery bounds how often progress is sent.
const verifyProgressEvery = 200 * time.Millisecond

// verifyOne verifies one connector. A report of all that Microsoft lists is kept: status and schedule go by it.
func (s *service) verifyOne(ctx context.Context, c state.Connector, r api.VerifyRequest, scheduled bool, progress func(api.VerifyProgress)) (api.VerifyReport, error) {
	if !s.verifying.begin(c.ID) {
		return api.VerifyReport{}, fault.Newf(fault.Conflict, "verify", "connector %s is being verified already", c.Name).WithHint("wait for that run to end")
	}
	defer s.verifying.end(c.ID)
	report := newReport(r, s.clock.Now())
	report.Connector, report.Scheduled = c.Name, scheduled
	cfg, err := s.build(ctx, c)
	if err != nil {
		return report, err
	}
	if r.Repair {
		if report.Repair, err = s.forgetMissingFiles(ctx, &report); err != nil {
			return report, err
		}
	}
	var last time.Time
	found, err := s.manager.Verify(ctx, cfg.RunnerConfig, collect.VerifyRequest{
		Since: r.Since, Until: r.Until, Repair: report.Repair,
		Progress: func(p collect.VerifyProgress) {
			if now := time.Now(); p.Done == p.Total || now.Sub(last) >= verifyProgressEvery {
				last = now
				progress(api.VerifyProgress{Phase: verifyPhase(p.Phase), Connector: c.Name, ContentType: p.ContentType, Done: p.Done, Total: p.Total})
			}
		},
	})
	if err != nil {
		return report, s.blameFiles(ctx, err)
	}
	report.Since, report.Until = found.Since.UTC(), found.Until.UTC()
	for _, f := range found.Feeds {
		addFeed(&report, c, f)
	}
	if report.Repaired > 0 {
		if runner, err := s.manager.Runner(c.ID); err == nil {
			runner.Wake()
		} else {
			report.Notes = append(report.Notes, "connector "+c.Name+" is paused: what was queued is fetched when it is resumed")
		}
	}
	finishReport(&report, s.clock.Now())
	if !found.All { // what a part of the time says must not stand for the whole
		return report, nil
	}
	kept, err := s.reports(ctx)
	if err != nil || forgets(kept[c.ID], found.Feeds) {
		return report, err
	}
	return report, s.keepReport(ctx, c, report)
}

// forgets reports whether a kept report says something of a content type of which there is no verdict now. What it says, that
// units are missing perhaps, holds until there is another one.
func forgets(kept api.VerifyReport, found []collect.FeedReport) bool {
	return slices.ContainsFunc(found, func(f collect.FeedReport) bool {
		return f.Err != nil && slices.ContainsFunc(kept.Feeds, func(v api.VerifyFeed) bool { return v.ContentType == f.ContentType })
	})
}

// blameFiles says so when the lake could not be counted because data files are damaged; else it returns err.
func (s *service) blameFiles(ctx context.Context, err error) error {
	check, checkErr := s.lake.Check(ctx, lake.CheckOptions{})
	damaged := slices.DeleteFunc(check.Bad, func(f lake.BadFile) bool { return f.Problem == lake.Missing })
	if checkErr != nil || len(damaged) == 0 {
		return err
	}
	return fault.Newf(fault.KindOf(err), "verify", "the lake cannot be counted: %d data files are damaged", len(damaged)).WithCause(err).
		WithHint("run `sluice lake repair`, then `sluice verify --repair` to fetch again what Microsoft still serves")
}

// forgetMissingFiles takes data files that are not on the disk any more out of the tables: what was in them is missing, and
// must be found so. It reports whether that can be repaired: what was taken out of a table is deleted if it ever comes back,
// so that nobody but a person says of whole folders that they are gone for good.
func (s *service) forgetMissingFiles(ctx context.Context, report *api.VerifyReport) (repair bool, err error) {
	check, err := s.lake.Check(ctx, lake.CheckOptions{})
	if err != nil {
		return false, err
	}
	missing := slices.DeleteFunc(check.Bad, func(f lake.BadFile) bool { return f.Problem != lake.Missing })
	if len(missing) == 0 {
		return true, nil
	}
	if report.Scheduled && away(missing, check.Files) {
		s.log.Error("data files of the lake are not on the disk, whole folders of them: nothing is repaired before they are back or given up",
			"files", len(missing), "of", check.Files, "one", missing[0].Path, "hint", awayHint)
		report.Notes = append(report.Notes, fmt.Sprintf("data files of the lake that are not on the disk: %d of %d; nothing was repaired; %s", len(missing), check.Files, awayHint))
		report.Omitted++
		return false, nil
	}
	done, err := s.lake.Forget(ctx, missing)
	if err != nil {
		return false, err
	}
	s.log.Warn("data files of the lake are missing; they were taken out of the tables", "files", done.Files, "rows", done.Rows)
	report.Notes = append(report.Notes, fmt.Sprintf("data files of the lake that are not on the disk any more: %d, with %d rows", done.Files, done.Rows))
	return true, nil
}

const awayHint = "bring them back (is everything mounted below the data folder?), or run sluice verify --repair to give them up and fetch again what Microsoft still serves"

// away reports whether missing files look as if they came back some day: one has lost its whole folder, or most of all files
// are missing.
func away(missing []lake.BadFile, all int) bool {
	const few = 4
	if len(missing) > few && 2*len(missing) > all {
		return true
	}
	return slices.ContainsFunc(missing, func(f lake.BadFile) bool {
		_, err := os.Stat(filepath.Dir(f.Path))
		return err != nil
	})
}

func newReport(r api.VerifyRequest, now time.Time) api.VerifyReport {
	return api.VerifyReport{
		ID: uuid.NewString(), Connector: r.Connector, Started: now.UTC(), Since: r.Since.UTC(), Until: r.Until.UTC(), Repair: r.Repair,
	}
}

func verifyPhase(p collect.VerifyPhase) api.VerifyPhase {
	switch p {
	case collect.Surveying:
		return api.VerifyListing
	case collect.Counting:
		return api.VerifyCounting
	case collect.Comparing:
		return api.VerifyComparing
	case collect.Repairing:
	}
	return api.VerifyRepairing
}

func counts(t collect.Tally) api.VerifyCounts { return api.VerifyCounts(t) }

// addFeed adds the result of one content type, or why there is none.
func addFeed(report *api.VerifyReport, c state.Connector, f collect.FeedReport) {
	if f.Err != nil {
		report.Notes = append(report.Notes, c.Name+" "+f.ContentType+" could not be verified: "+explained(f.Err))
		report.Omitted++
		return
	}
	feed := api.VerifyFeed{Connector: c.Name, TenantName: c.TenantName, ContentType: f.ContentType, VerifyCounts: counts(f.Tally)}
	feed.CoveragePercent = feed.Coverage()
	for hour, t := range f.Hours {
		h := api.VerifyHour{Hour: hour, VerifyCounts: counts(*t)}
		h.CoveragePercent = h.Coverage()
		feed.Hours = append(feed.Hours, h)
	}
	slices.SortFunc(feed.Hours, func(a, b api.VerifyHour) int { return a.Hour.Compare(b.Hour) })
	for _, g := range f.Gaps {
		feed.Gaps = append(feed.Gaps, gapView(g))
	}
	for _, p := range f.Findings {
		report.Problems = append(report.Problems, api.VerifyProblem{
			Connector: c.Name, ContentType: f.ContentType, ContentID: p.ContentID, Unit: p.ID.String(), Created: p.Created.UTC(),
			State: verifyState(p.Verdict), Reason: p.Reason, Expected: max(p.Expected, 0), Found: p.Found, Repairable: p.Repairable,
		})
	}
	report.Repaired += f.Repaired
	for _, n := range f.Notes {
		report.Notes = append(report.Notes, c.Name+" "+f.ContentType+": "+n)
	}
	report.Feeds = append(report.Feeds, feed)
}

func verifyState(v collect.Verdict) api.VerifyState {
	switch v {
	case collect.LostForGood:
		return api.UnitGone
	case collect.Surplus:
		return api.UnitSurplus
	case collect.Fine, collect.Waits, collect.Missing:
	}
	return api.UnitMissing
}

// mergeReport adds the report of one connector, or why there is none, to a report over all.
func mergeReport(report *api.VerifyReport, one api.VerifyReport, name string, err error) {
	if err != nil {
		report.Notes = append(report.Notes, "connector "+name+" could not be verified: "+explained(err))
		report.Omitted++
		return
	}
	if report.Since.IsZero() || one.Since.Before(report.Since) {
		report.Since = one.Since
	}
	if one.Until.After(report.Until) {
		report.Until = one.Until
	}
	report.Feeds = append(report.Feeds, one.Feeds...)
	report.Problems = append(report.Problems, one.Problems...)
	report.Omitted += one.Omitted
	report.Repaired += one.Repaired
	report.Notes = append(report.Notes, one.Notes...)
}

// explained is what happened and what to do about it.
func explained(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return err.Error() + "; " + hint
	}
	return err.Error()
}

// finishReport adds up, orders and bounds.
func finishReport(report *api.VerifyReport, now time.Time) {
	report.Finished = now.UTC()
	if report.Until.IsZero() { // nothing could be looked at
		report.Until = report.Finished
	}
	report.Totals = api.VerifyCounts{}
	gaps := 0
	for _, f := range report.Feeds {
		report.Totals.Add(f.VerifyCounts)
		gaps += len(f.Gaps)
	}
	report.CoveragePercent = report.Totals.Coverage()
	rank := map[api.VerifyState]int{api.UnitGone: 0, api.UnitMissing: 1, api.UnitSurplus: 2}
	slices.SortStableFunc(report.Problems, func(a, b api.VerifyProblem) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), a.Created.Compare(b.Created))
	})
	report.Complete = report.Totals.Whole() && report.Totals.Surplus == 0 && report.Totals.SurplusRecords == 0 && gaps == 0 &&
		len(report.Problems) == 0 && report.Omitted == 0
	if extra := len(report.Problems) - api.MaxVerifyProblems; extra > 0 {
		report.Problems = report.Problems[:api.MaxVerifyProblems]
		report.Omitted += int64(extra)
	}
}

func gapView(g state.Gap) api.Gap {
	return api.Gap{From: g.From.UTC(), To: g.To.UTC(), Reason: g.Reason, Noticed: g.NoticedAt.UTC()}
}

func (s *service) keepReport(ctx context.Context, c state.Connector, report api.VerifyReport) error {
	text, err := json.Marshal(report)
	if err == nil {
		err = s.state.PutValue(ctx, verifyKey+c.ID, text)
	}
	if err == nil {
		s.monitoring.keepVerified(c.ID, report)
	}
	return fault.Wrap("", "keep the report", err)
}

// LastVerify implements api.Verifier.
func (s *service) LastVerify(ctx context.Context) ([]api.VerifyReport, error) {
	byID, err := s.reports(ctx)
	if err != nil {
		return nil, err
	}
	var out []api.VerifyReport
	for _, report := range byID {
		out = append(out, report)
	}
	slices.SortFunc(out, func(a, b api.VerifyReport) int { return cmp.Compare(a.Connector, b.Connector) })
	return out, nil
}

// reports returns the latest report per connector id, of connectors that exist.
func (s *service) reports(ctx context.Context) (map[string]api.VerifyReport, error) {
	stored, err := s.state.Values(ctx, verifyKey)
	if err != nil {
		return nil, err
	}
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]api.VerifyReport{}
	for _, c := range connectors {
		var report api.VerifyReport
		if text, ok := stored[verifyKey+c.ID]; ok && json.Unmarshal(text, &report) == nil {
			out[c.ID] = report
		}
	}
	return out, nil
}
