package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/state"
)

// States of a content type, as the status shows them.
const (
	stateStarting  = "starting"
	stateWaiting   = "waiting for first data"
	stateOK        = "ok"
	stateDegraded  = "degraded"
	stateAttention = "needs attention"
	stateGap       = "data gap"
	statePaused    = "paused"
)

// Status implements api.Reporter.
func (s *service) Status(ctx context.Context) ([]api.Status, error) {
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	totals, err := s.state.Totals(ctx)
	if err != nil {
		return nil, err
	}
	type key struct{ id, contentType string }
	byKey := map[key]state.Total{}
	for _, t := range totals {
		byKey[key{t.ConnectorID, t.ContentType}] = t
	}
	reports, err := s.reports(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(connectors, func(a, b state.Connector) int { return strings.Compare(a.Name, b.Name) })
	var out []api.Status
	for _, c := range connectors {
		var feeds map[string]collect.FeedStatus
		if r, err := s.manager.Runner(c.ID); err == nil {
			feeds = r.Status()
		}
		gaps, err := s.state.Gaps(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		contentTypes, enabled := s.contentTypes(c)
		for _, ct := range contentTypes {
			st := s.statusOf(c, ct, enabled, byKey[key{c.ID, ct}], feeds)
			proofOf(&st, reports[c.ID], gaps)
			out = append(out, st)
		}
	}
	return out, nil
}

// proofOf adds what is known of the completeness of a content type.
func proofOf(st *api.Status, report api.VerifyReport, gaps []state.Gap) {
	st.Gaps = []api.Gap{}
	for _, g := range gaps {
		if g.ContentType == st.ContentType {
			st.Gaps = append(st.Gaps, gapView(g))
		}
	}
	missing := false
	for _, f := range report.Feeds {
		if f.ContentType == st.ContentType {
			coverage := f.CoveragePercent
			st.CoveragePercent, st.VerifiedAt = &coverage, timeOrNil(report.Finished)
			missing = !f.Whole()
		}
	}
	if st.State == stateOK && (missing || len(st.Gaps) > 0) {
		st.State = stateGap
	}
}

func (s *service) contentTypes(c state.Connector) (types []string, enabled bool) {
	parsed, err := config.FromSpec(c.Spec, s.properties)
	if err == nil && len(parsed.ContentTypes) > 0 {
		return parsed.ContentTypes, parsed.Enabled
	}
	if d, err := driverFor(c.Type); err == nil {
		return d.properties.ContentTypes, parsed.Enabled
	}
	return nil, false
}

func (s *service) statusOf(c state.Connector, contentType string, enabled bool, t state.Total, feeds map[string]collect.FeedStatus) api.Status {
	st := api.Status{
		Name: c.Name, TenantName: c.TenantName, Type: c.Type, ContentType: contentType,
		Listed: t.Listed, Landed: t.Landed, Pending: t.Pending, Lost: t.Lost, Retrying: t.Retrying,
		Records: t.Records, Duplicates: t.Duplicates, Filtered: t.Filtered, Malformed: t.Malformed,
		NewestEvent: timeOrNil(t.Newest),
	}
	if !t.OldestOpen.IsZero() {
		st.BacklogSeconds = max(int64(s.clock.Now().Sub(t.OldestOpen)/time.Second), 0)
	}
	feed, running := feeds[contentType]
	success := feed.LastSuccess
	if t.LastLanded.After(success) {
		success = t.LastLanded
	}
	st.LastSuccess = timeOrNil(success)
	trouble := feed.Listing
	if trouble.Err == nil {
		trouble = feed.Fetching
	}
	err := trouble.Err
	switch {
	case c.Paused || !enabled:
		st.State = statePaused
		return st
	case !running:
		st.State = stateStarting
		if err = s.failures.get(c.ID); err != nil {
			st.State = stateAttention
		}
	default:
		st.NextRun = timeOrNil(feed.NextRun)
		st.State = feedState(feed, t)
	}
	if err == nil {
		if err = s.publisher.Problem(); err != nil {
			st.State = stateDegraded
		}
	}
	if err != nil {
		st.LastError = failure(err)
	}
	return st
}

// degradedAfter is how many failures in a row an operator need not see (spec/http-behaviour.md section 3).
const degradedAfter = 3

func feedState(f collect.FeedStatus, t state.Total) string {
	for _, trouble := range []collect.Trouble{f.Listing, f.Fetching} {
		switch fault.KindOf(trouble.Err) {
		case fault.Config, fault.Auth, fault.Permission:
			return stateAttention
		default:
			if trouble.Failures >= degradedAfter {
				return stateDegraded
			}
		}
	}
	switch {
	case !f.Listed:
		return stateStarting
	case t.Lost > 0:
		return stateGap
	case t.Landed == 0:
		return stateWaiting
	}
	return stateOK
}

func failure(err error) *api.Failure {
	if err == nil {
		return nil
	}
	return &api.Failure{Kind: string(fault.KindOf(err)), Message: err.Error(), Hint: fault.HintOf(err)}
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
