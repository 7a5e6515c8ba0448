package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/state"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// viewOf is a running content type with what the runner and the ledger know of it.
func viewOf(feed collect.FeedStatus, total state.Total) feedView {
	return feedView{
		connector: state.Connector{ID: "1", Name: "contoso", TenantName: "Contoso", Type: "office365"}, total: total, feed: feed, running: true,
		input: health.Input{
			Feed: health.Feed{ConnectorID: "1", Connector: "contoso", ContentType: "Audit.General"}, Running: true, Listed: feed.Listed, NextRun: feed.NextRun,
			Listing: health.Trouble(feed.Listing), Fetching: health.Trouble(feed.Fetching), Failed: feed.Failed,
			Landed: total.Landed, Pending: total.Pending, Lost: total.Lost, Created: noon.Add(-time.Hour),
		},
	}
}

// TestStatusStates holds the words of the status to what scripts of operators look for, and last_error to what hinders.
func TestStatusStates(t *testing.T) {
	refused := fault.New(fault.Auth, "sign in", "refused").WithHint("make a new secret")
	away := fault.New(fault.Unavailable, "list", "away")
	landed := state.Total{Landed: 1}
	for _, tt := range []struct {
		name  string
		feed  collect.FeedStatus
		total state.Total
		state string
		kind  string // of last_error, "" for none
	}{
		{"nothing yet", collect.FeedStatus{}, state.Total{}, "starting", ""},
		{"data of an earlier run", collect.FeedStatus{}, landed, "starting", ""},
		{"listed, nothing there", collect.FeedStatus{Listed: true}, state.Total{}, "waiting for first data", ""},
		{"listed, not landed", collect.FeedStatus{Listed: true}, state.Total{Listed: 3, Pending: 3}, "waiting for first data", ""},
		{"healthy", collect.FeedStatus{Listed: true}, landed, "ok", ""},
		{"one failure", collect.FeedStatus{Listed: true, Fetching: collect.Trouble{Failures: 1, Err: away}}, landed, "ok", "unavailable"},
		{"one failure at the start", collect.FeedStatus{Listing: collect.Trouble{Failures: 1, Err: away}}, state.Total{}, "starting", "unavailable"},
		{"two failures", collect.FeedStatus{Listed: true, Fetching: collect.Trouble{Failures: 2, Err: away}}, landed, "ok", "unavailable"},
		{"failures in a row", collect.FeedStatus{Listed: true, Fetching: collect.Trouble{Failures: 3, Err: away}}, landed, "degraded", "unavailable"},
		{"many failures in a row", collect.FeedStatus{Listed: true, Listing: collect.Trouble{Failures: 30, Err: away}}, landed, "degraded", "unavailable"},
		{"failures since the start", collect.FeedStatus{Fetching: collect.Trouble{Failures: 3, Err: away}}, state.Total{}, "degraded", "unavailable"},
		{"an error without a kind", collect.FeedStatus{Listed: true, Fetching: collect.Trouble{Failures: 3, Err: errors.New("x")}}, landed, "degraded", "internal"},
		{"credential refused", collect.FeedStatus{Listed: true, Fetching: collect.Trouble{Failures: 1, Err: refused}}, landed, "needs attention", "auth"},
		{"right missing", collect.FeedStatus{Fetching: collect.Trouble{Failures: 1, Err: fault.New(fault.Permission, "list", "missing")}}, state.Total{}, "needs attention", "permission"},
		{"wrong option", collect.FeedStatus{Fetching: collect.Trouble{Failures: 1, Err: fault.New(fault.Config, "list", "wrong")}}, state.Total{}, "needs attention", "config"},
		{"content lost", collect.FeedStatus{Listed: true}, state.Total{Landed: 5, Lost: 1}, "data gap", ""},
		{"everything lost", collect.FeedStatus{Listed: true}, state.Total{Lost: 1}, "data gap", ""},
		{"lost, and refused now", collect.FeedStatus{Listed: true, Fetching: collect.Trouble{Failures: 1, Err: refused}}, state.Total{Lost: 1}, "needs attention", "auth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := viewOf(tt.feed, tt.total)
			got := statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon)
			if got.State != tt.state {
				t.Errorf("state %q, want %q", got.State, tt.state)
			}
			switch {
			case (got.LastError == nil) != (tt.kind == ""):
				t.Errorf("last error %+v, want kind %q", got.LastError, tt.kind)
			case got.LastError != nil && got.LastError.Kind != tt.kind:
				t.Errorf("last error of kind %q, want %q", got.LastError.Kind, tt.kind)
			}
			if len(got.Conditions) != len(health.Types()) || got.Gaps == nil {
				t.Errorf("%d conditions, gaps %v", len(got.Conditions), got.Gaps)
			}
		})
	}
}

func TestStatusOfFailures(t *testing.T) {
	err := fault.New(fault.Auth, "sign in", "AADSTS7000222: the client secret has expired").WithHint("make a new one")
	v := viewOf(collect.FeedStatus{Listed: true, NextRun: noon.Add(time.Minute), Listing: collect.Trouble{Failures: 1, Err: err, At: noon.Add(-time.Minute)}}, state.Total{Landed: 1})
	got := statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon)
	if !strings.Contains(got.LastError.Message, "AADSTS7000222: the client secret has expired") || got.LastError.Hint != "make a new one" || got.NextRun == nil {
		t.Errorf("got %+v", got.LastError)
	}
	// A connection test that passed after it takes it back until the next attempt.
	got = statusOf(v, health.Evaluate(noon, v.input, health.Evidence{PassedAt: noon}), noon)
	if got.State != "ok" || got.LastError != nil {
		t.Errorf("after a passed test: %q, %+v", got.State, got.LastError)
	}
	v.input.Paused = true
	got = statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon)
	if got.State != "paused" || got.LastError != nil || got.NextRun != nil {
		t.Errorf("paused: %+v", got)
	}
	v = viewOf(collect.FeedStatus{}, state.Total{})
	v.running, v.input.Running = false, false
	v.input.Start = health.Trouble{Failures: 1, Err: fault.New(fault.Config, "resolve secret", "X is not set")}
	if got = statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon); got.State != "needs attention" || got.LastError.Kind != "config" {
		t.Errorf("not started: %q, %+v", got.State, got.LastError)
	}
	v = viewOf(collect.FeedStatus{Listed: true}, state.Total{Landed: 1})
	v.input.Storage = health.Trouble{Err: fault.New(fault.Full, "write", "3 MiB are free")}
	if got = statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon); got.State != "degraded" || got.LastError.Kind != "full" {
		t.Errorf("full: %q, %+v", got.State, got.LastError)
	}
}

// TestStatusProof: gaps and verifications are shown and make a data gap of what was well.
func TestStatusProof(t *testing.T) {
	v := viewOf(collect.FeedStatus{Listed: true}, state.Total{Landed: 9, OldestOpen: noon.Add(-time.Minute), LastLanded: noon})
	report := api.VerifyReport{Finished: noon, Notes: []string{"contoso Audit.General: hours before Monday are folded"}, Feeds: []api.VerifyFeed{
		{Connector: "contoso", ContentType: "Audit.General", CoveragePercent: 90, VerifyCounts: api.VerifyCounts{Landed: 9, Missing: 1}},
		{Connector: "contoso", ContentType: "DLP.All", CoveragePercent: 100, VerifyCounts: api.VerifyCounts{Landed: 9}},
	}}
	verified := verifiedOf(report)
	v.input.Verified = verified["Audit.General"]
	if v.input.Verified.Whole || v.input.Verified.Note != "hours before Monday are folded" || !verified["DLP.All"].Whole {
		t.Errorf("verified: %+v", verified)
	}
	got := statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon)
	if got.State != "data gap" || got.CoveragePercent == nil || *got.CoveragePercent != 90 || !got.VerifiedAt.Equal(noon) || got.LastError != nil {
		t.Errorf("got %+v", got)
	}
	if got.BacklogSeconds != 60 || !got.LastSuccess.Equal(noon) {
		t.Errorf("backlog %d, last success %v", got.BacklogSeconds, got.LastSuccess)
	}
	v.input.Verified = verified["DLP.All"]
	if got = statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon); got.State != "ok" {
		t.Errorf("whole: %q", got.State)
	}
	v.gaps = []state.Gap{
		{From: noon.Add(-2 * time.Hour), To: noon, Reason: "second", NoticedAt: noon},
		{From: noon.Add(-9 * time.Hour), To: noon.Add(-8 * time.Hour), Reason: "first", NoticedAt: noon.Add(-time.Hour)},
	}
	v.input.Gaps, v.input.GapReason = len(v.gaps), newestReason(v.gaps)
	if got = statusOf(v, health.Evaluate(noon, v.input, health.Evidence{}), noon); got.State != "data gap" || len(got.Gaps) != 2 || v.input.GapReason != "second" {
		t.Errorf("gaps: %q, %+v, %q", got.State, got.Gaps, v.input.GapReason)
	}
}

func TestStateSince(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	well := health.Report{State: health.OK, Conditions: []health.Condition{
		{Type: health.Running, Status: health.Good, Since: at(1)},
		{Type: health.Listing, Status: health.Good, Since: at(2)},
		{Type: health.Activity, Status: health.Unknown, Since: at(9)},
		{Type: health.Verification, Status: health.Good, Since: at(5)},
	}}
	if got := stateSince(well); !got.Equal(at(2)) {
		t.Errorf("ok since %v", got)
	}
	bad := health.Report{State: health.Degraded, Conditions: []health.Condition{
		{Type: health.Running, Status: health.Good, Since: at(1)}, {Type: health.Fetching, Status: health.Warning, State: health.Degraded, Since: at(7)},
	}}
	if got := stateSince(bad); !got.Equal(at(7)) {
		t.Errorf("degraded since %v", got)
	}
	if got := stateSince(health.Report{State: health.OK}); !got.IsZero() {
		t.Errorf("since %v without any evidence", got)
	}
}

func TestShownConditions(t *testing.T) {
	report := func(contentType string, storage, listing health.Status) health.Report {
		return health.Report{Feed: health.Feed{ConnectorID: "1", Connector: "contoso", ContentType: contentType}, Conditions: []health.Condition{
			{Type: health.Storage, Status: storage}, {Type: health.Running, Status: health.Good}, {Type: health.Listing, Status: listing}, {Type: health.Activity, Status: health.Unknown},
		}}
	}
	reports := []health.Report{report("a", health.Good, health.Good), report("b", health.Error, health.Warning)}
	seen := map[string]health.Status{}
	for _, c := range shownConditions(reports, 100) {
		seen[c.connector+"/"+c.contentType+"/"+string(c.Type)] = c.Status
	}
	want := map[string]health.Status{
		"//storage": health.Error, "contoso//running": health.Good, "contoso/a/listing": health.Good, "contoso/b/listing": health.Warning,
	}
	if len(seen) != len(want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	for k, v := range want {
		if seen[k] != v {
			t.Errorf("%s: %q, want %q", k, seen[k], v)
		}
	}
	if few := shownConditions(reports, 3); len(few) != 2 || few[0].Status != health.Error || few[1].Status != health.Warning {
		t.Errorf("beyond the limit: %+v", few)
	}
}
