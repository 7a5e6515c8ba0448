package health

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/option"
)

func TestEvaluate(t *testing.T) {
	t.Parallel()
	auth := fault.New(fault.Auth, "get a token", "AADSTS7000222: the client secret has expired").WithHint("make a new secret")
	away := fault.New(fault.Unavailable, "list content", "503")
	full := fault.New(fault.Full, "write", "the disk is full")
	at := noon.Add(-time.Minute)
	tests := []struct {
		name    string
		change  func(*Input)
		ev      Evidence
		state   State
		about   Type
		status  Status
		reason  Reason
		message string
		hint    string
	}{
		{name: "nothing to complain of", state: OK, about: Listing, status: Good, reason: ReasonOK},
		{name: "paused wins over everything", change: func(in *Input) { in.Paused, in.Listing = true, Trouble{5, auth, at} }, state: Paused, about: Running, status: Info, reason: ReasonPaused},
		{name: "what is paused is not judged", change: func(in *Input) { in.Paused, in.Listing = true, Trouble{5, auth, at} }, state: Paused, about: Listing, status: Unknown, reason: ReasonPaused},
		{name: "starting", change: func(in *Input) { in.Running, in.Listed = false, false }, state: Starting, about: Running, status: Unknown, reason: ReasonStarting},
		{name: "could not start", change: func(in *Input) {
			in.Running, in.Start.Err = false, fault.New(fault.Config, "resolve secret", "environment variable X is not set")
		}, state: Attention, about: Running, status: Error, reason: "config", message: "environment variable X is not set"},
		{name: "the first listing", change: func(in *Input) { in.Listed = false }, state: Starting, about: Listing, status: Unknown, reason: ReasonStarting},
		{name: "one failure is nobody's business", change: func(in *Input) { in.Listing = Trouble{2, away, at} }, state: OK, about: Listing, status: Good, reason: ReasonRetrying},
		{name: "three are", change: func(in *Input) { in.Listing = Trouble{3, away, at} }, state: Degraded, about: Listing, status: Warning, reason: "unavailable", message: "3 failures in a row). It is tried again at 12:05 UTC"},
		{name: "ten are down", change: func(in *Input) { in.Fetching = Trouble{10, away, at} }, state: Degraded, about: Fetching, status: Error, reason: ReasonDown},
		{name: "throttled", change: func(in *Input) { in.Fetching = Trouble{12, fault.New(fault.Throttled, "read", "429"), at} }, state: Degraded, about: Fetching, status: Error, reason: "throttled", hint: "other programs"},
		{name: "a wrong secret at once", change: func(in *Input) { in.Listing = Trouble{1, auth, at} }, state: Attention, about: Listing, status: Error, reason: "auth", message: "AADSTS7000222", hint: "make a new secret"},
		{name: "attention is above degraded", change: func(in *Input) { in.Listing, in.Fetching = Trouble{5, away, at}, Trouble{1, auth, at} }, state: Attention, about: Fetching, status: Error, reason: "auth"},
		{
			name: "a test passed since", change: func(in *Input) { in.Listing = Trouble{9, auth, at} }, ev: Evidence{PassedAt: noon},
			state: OK, about: Listing, status: Good, reason: ReasonTested,
		},
		{
			name: "a test passed before", change: func(in *Input) { in.Listing = Trouble{9, auth, at} }, ev: Evidence{PassedAt: at.Add(-time.Second)},
			state: Attention, about: Listing, status: Error, reason: "auth",
		},
		{name: "the end of the process is no trouble", change: func(in *Input) { in.Listing = Trouble{9, fault.New(fault.Canceled, "list", "stopped"), at} }, state: OK, about: Listing, status: Good, reason: ReasonOK},
		{name: "no room", change: func(in *Input) { in.Storage.Err = full }, state: Degraded, about: Storage, status: Error, reason: "full", message: "the disk is full. Collecting waits"},
		{name: "no room hides silence", change: func(in *Input) {
			in.Storage.Err, in.Limits.SilenceAfter, in.LastData = full, time.Hour, noon.Add(-48*time.Hour)
		}, state: Degraded, about: Activity, status: Unknown, reason: ReasonHidden},
		{name: "waiting", change: func(in *Input) { in.Landed, in.LastData, in.Created = 0, time.Time{}, noon.Add(-time.Hour) }, state: Waiting, about: FirstData, status: Info, reason: ReasonWaiting, message: "up to 12 hours are normal"},
		{name: "waiting for days", change: func(in *Input) { in.Landed, in.LastData = 0, time.Time{} }, state: Waiting, about: FirstData, status: Info, reason: ReasonWaiting, message: "no content for 30 days", hint: "auditing"},
		{name: "lost", change: func(in *Input) { in.Lost = 2 }, state: Gap, about: Completeness, status: Warning, reason: ReasonLost, message: "2 units that Microsoft no longer serves"},
		{name: "gap", change: func(in *Input) { in.Gaps, in.GapReason = 1, "the server was off for 9 days" }, state: Gap, about: Completeness, status: Warning, reason: ReasonGap, message: "1 interval of which nobody can say that all was collected (the server was off for 9 days)"},
		{
			name: "incomplete", change: func(in *Input) {
				in.Verified = Verified{At: noon, Missing: 3, Lost: 1, CoveragePercent: 99.9999, Queued: true}
			}, state: Gap, about: Verification, status: Warning, reason: ReasonIncomplete,
			message: "3 units missing and 1 lost (99.99 % are there). What is missing was queued",
		},
		{name: "incomplete, nothing is queued", change: func(in *Input) {
			in.Verified = Verified{At: noon, Missing: 3, CoveragePercent: 99}
		}, state: Gap, about: Verification, status: Warning, reason: ReasonIncomplete, message: "The next verification that runs by itself queues"},
		{name: "more than there should be", change: func(in *Input) {
			in.Verified = Verified{At: noon, Whole: true, Surplus: 2, CoveragePercent: 100}
		}, state: OK, about: Verification, status: Warning, reason: ReasonSurplus, message: "2 units of which the lake has more than it should"},
		{name: "a gap is told before waiting", change: func(in *Input) { in.Landed, in.Lost = 0, 1 }, state: Gap, about: FirstData, status: Info, reason: ReasonWaiting},
		{name: "not verified for long", change: func(in *Input) { in.Verified.At = noon.Add(-72 * time.Hour) }, state: OK, about: Verification, status: Warning, reason: ReasonOverdue, message: "3 days old"},
		{
			name: "not verified while it was off", change: func(in *Input) { in.Verified.At = noon.Add(-72 * time.Hour) },
			ev:    Evidence{RunningSince: noon.Add(-2 * time.Hour)},
			state: OK, about: Verification, status: Good, reason: ReasonOK, message: "everything was there. The next verification is due",
		},
		{
			name: "what is missing is told at once", change: func(in *Input) { in.Verified = Verified{At: noon.Add(-72 * time.Hour), Missing: 1} },
			ev:    Evidence{RunningSince: noon},
			state: Gap, about: Verification, status: Warning, reason: ReasonIncomplete,
		},
		{name: "not verified yet", change: func(in *Input) { in.Verified = Verified{} }, state: OK, about: Verification, status: Unknown, reason: ReasonNotYet},
		{name: "ends in 29 days", change: func(in *Input) {
			in.Expires, in.ExpiryWhat = noon.Add(29*24*time.Hour+time.Minute), "the certificate 3F2A"
		}, state: OK, about: Credential, status: Warning, reason: ReasonEndsSoon, message: "the certificate 3F2A ends in 29 days, on 2026-04-02 12:01 UTC"},
		{name: "ends in 31 days", change: func(in *Input) { in.Expires = noon.Add(31 * 24 * time.Hour) }, state: OK, about: Credential, status: Good, reason: ReasonOK},
		{name: "ends in 3 days", change: func(in *Input) { in.Expires = noon.Add(3 * 24 * time.Hour) }, state: Attention, about: Credential, status: Error, reason: ReasonEndsSoon},
		{name: "ended", change: func(in *Input) { in.Expires = noon.Add(-time.Hour) }, state: Attention, about: Credential, status: Error, reason: ReasonEnded, message: "ended on 2026-03-04 11:00 UTC"},
		{name: "30 failures are not more than 30", ev: Evidence{Errors: Errors{30, 30, 5 * time.Minute}}, state: OK, about: ErrorRate, status: Good, reason: ReasonOK},
		{
			name: "31 are", change: func(in *Input) { in.Fetching.Err = away }, ev: Evidence{Errors: Errors{31, 30, 5 * time.Minute}},
			state: Degraded, about: ErrorRate, status: Warning, reason: ReasonTooMany, message: "31 units failed within 5m, more than 30",
		},
		{name: "fixed threshold", change: func(in *Input) { in.LastData, in.Limits.SilenceAfter = noon.Add(-25*time.Hour), 24*time.Hour }, state: Degraded, about: Activity, status: Warning, reason: ReasonThreshold, message: "no data for 25 hours, longer than the limit of 24h"},
		{name: "a backlog is no silence", change: func(in *Input) {
			in.Pending, in.LastData, in.Limits.SilenceAfter = 1, noon.Add(-25*time.Hour), 24*time.Hour
		}, state: OK, about: Activity, status: Good, reason: ReasonBacklog},
		{name: "nothing learnt", state: OK, about: Activity, status: Good, reason: ReasonLearning},
		{name: "off", change: func(in *Input) { in.Limits.Sensitivity = Off }, state: OK, about: Activity, status: Good, reason: ReasonOff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := healthy("a", "Audit.General")
			if tt.change != nil {
				tt.change(&in)
			}
			r := Evaluate(noon, in, tt.ev)
			c := r.Condition(tt.about)
			if r.State != tt.state || c.Status != tt.status || c.Reason != tt.reason {
				t.Errorf("state %q, %s is %s because %s; want %q, %s because %s", r.State, c.Type, c.Status, c.Reason, tt.state, tt.status, tt.reason)
			}
			if !strings.Contains(c.Message, tt.message) || !strings.Contains(c.Hint, tt.hint) {
				t.Errorf("message %q, hint %q; want %q and %q in them", c.Message, c.Hint, tt.message, tt.hint)
			}
			checkReport(t, r)
		})
	}
}

// checkReport holds for every report.
func checkReport(t *testing.T, r Report) {
	t.Helper()
	if len(r.Conditions) != len(Types()) {
		t.Fatalf("%d conditions, want %d", len(r.Conditions), len(Types()))
	}
	for i, c := range r.Conditions {
		if c.Type != Types()[i] || c.Status == "" || c.Reason == "" || c.Message == "" {
			t.Errorf("condition %d is not complete: %+v", i, c)
		}
		if c.Status.Bad() && c.Hint == "" {
			t.Errorf("%s is bad and nobody is told what to do: %s", c.Type, c.Message)
		}
	}
	if lead, ok := r.Leading(); ok != (r.State != OK) || ok && lead.State != r.State {
		t.Errorf("state %q is led by %+v", r.State, lead)
	}
}

func TestEveryKindOfFailureIsExplained(t *testing.T) {
	t.Parallel()
	for _, kind := range fault.Kinds() {
		for _, failures := range []int{1, 3, 10} {
			in := healthy("a", "x")
			in.Listing = Trouble{failures, fault.New(kind, "list", "text"), noon}
			in.Storage.Err, in.Start.Err = errors.New("plain"), fault.New(kind, "start", "text")
			checkReport(t, Evaluate(noon, in, Evidence{}))
			in.Running = false
			checkReport(t, Evaluate(noon, in, Evidence{}))
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	if err := option.CheckDeclarations(Options()); err != nil {
		t.Fatal(err)
	}
	if got, want := LimitsFrom(option.NewValues(Options(), nil)), (Limits{}).withDefaults(); got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	given := map[string]any{
		"monitor_error_units": int64(5), "monitor_error_window": time.Hour, "monitor_inactivity": "off",
		"monitor_inactivity_after": 24 * time.Hour, "monitor_expiry": 48 * time.Hour,
	}
	want := Limits{5, time.Hour, Off, 24 * time.Hour, 48 * time.Hour}
	if got := LimitsFrom(option.NewValues(Options(), given)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
