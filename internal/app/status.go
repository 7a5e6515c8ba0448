package app

import (
	"context"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/health"
)

// Status implements api.Reporter.
func (s *service) Status(ctx context.Context) ([]api.Status, error) {
	views, err := s.views(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]api.Status, 0, len(views))
	for _, v := range views {
		out = append(out, statusOf(v, s.monitoring.monitor.Report(v.input), s.clock.Now()))
	}
	return out, nil
}

func statusOf(v feedView, r health.Report, now time.Time) api.Status {
	t := v.total
	st := api.Status{
		Name: v.connector.Name, TenantName: v.connector.TenantName, Type: v.connector.Type, ContentType: v.input.Feed.ContentType,
		State: string(r.State), StateSince: timeOrNil(stateSince(r)), LastError: hindrance(v, r), Conditions: conditions(r),
		Listed: t.Listed, Landed: t.Landed, Pending: t.Pending, Lost: t.Lost, Retrying: t.Retrying,
		Records: t.Records, Duplicates: t.Duplicates, Filtered: t.Filtered, Malformed: t.Malformed,
		NewestEvent: timeOrNil(t.Newest), Gaps: []api.Gap{},
	}
	if !t.OldestOpen.IsZero() {
		st.BacklogSeconds = max(int64(now.Sub(t.OldestOpen)/time.Second), 0)
	}
	success := v.feed.LastSuccess
	if t.LastLanded.After(success) {
		success = t.LastLanded
	}
	st.LastSuccess = timeOrNil(success)
	if v.running && !v.input.Paused {
		st.NextRun = timeOrNil(v.feed.NextRun)
	}
	for _, g := range v.gaps {
		st.Gaps = append(st.Gaps, gapView(g))
	}
	if verified := v.input.Verified; !verified.At.IsZero() {
		coverage := verified.CoveragePercent
		st.CoveragePercent, st.VerifiedAt = &coverage, timeOrNil(verified.At)
	}
	return st
}

// stateSince is since when a feed is in its state; zero when that is not known. All is well since the last of the
// conditions became good.
func stateSince(r health.Report) time.Time {
	if c, ok := r.Leading(); ok {
		return c.Since
	}
	var since time.Time
	for _, c := range r.Conditions {
		switch c.Type {
		case health.Verification, health.Credential: // make no state while they are good or only warn
		default:
			if c.Status == health.Good && c.Since.After(since) {
				since = c.Since
			}
		}
	}
	return since
}

// hindrance is what hinders the work now: what made the state, else a failure that is too young to make one. What was
// lost earlier hinders nothing.
func hindrance(v feedView, r health.Report) *api.Failure {
	if v.input.Paused {
		return nil
	}
	if c, ok := r.Leading(); ok && c.Status.Bad() && r.State != health.Gap {
		return &api.Failure{Kind: failureKind(c), Message: c.Message, Hint: c.Hint}
	}
	if err := v.input.Listing.Err; err != nil && r.Condition(health.Listing).Reason != health.ReasonTested {
		return failure(err)
	}
	if err := v.input.Fetching.Err; err != nil && r.Condition(health.Fetching).Reason != health.ReasonTested {
		return failure(err)
	}
	return nil
}

// failureKind is the kind of the failure behind a condition, or the reason where there was none.
func failureKind(c health.Condition) string {
	if c.Reason == health.ReasonDown {
		return string(fault.Unavailable)
	}
	return string(c.Reason)
}

func conditions(r health.Report) []api.Condition {
	out := make([]api.Condition, 0, len(r.Conditions))
	for _, c := range r.Conditions {
		out = append(out, conditionView(c))
	}
	return out
}

func conditionView(c health.Condition) api.Condition {
	return api.Condition{
		Type: string(c.Type), Status: string(c.Status), Reason: string(c.Reason), Message: c.Message, Hint: c.Hint, Since: timeOrNil(c.Since),
	}
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
