package health

import (
	"fmt"
	"math"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/option"
)

const (
	// degradedAfter is how many failures in a row an operator need not see, downAfter from how many on the far side
	// counts as down (spec/http-behaviour.md section 3).
	degradedAfter, downAfter = 3, 10
	// firstDataNormal is how long a new subscription may take to its first content (spec/management-activity-api.md
	// section 4).
	firstDataNormal = 12 * time.Hour
	// expiryUrgent is how long before its end a credential is no longer a warning.
	expiryUrgent = 7 * 24 * time.Hour
	// verifyOverdue is the age of a verification that should have been followed by another one, and verifyCatchUp how long
	// a feed must have run for that: after a start, or a pause, a verification that is due comes within hours, connector
	// after connector, and one that failed is tried again a few times.
	verifyOverdue, verifyCatchUp = 48 * time.Hour, 12 * time.Hour
)

// Evidence is what only memory can tell about a feed; a Monitor has it.
type Evidence struct {
	PassedAt     time.Time // when a connection test last passed
	RunningSince time.Time // since when this process runs the feed without a break; zero: for long
	Errors       Errors
	Model        *Model // nil: not learnt yet
}

// Evaluate computes all conditions of a feed and its state. It has no memory: Since is left zero.
func Evaluate(now time.Time, in Input, ev Evidence) Report {
	in.Limits = in.Limits.withDefaults()
	e := evaluation{now: now, in: in, ev: ev}
	r := Report{Feed: in.Feed, State: OK, Conditions: make([]Condition, 0, len(Types()))}
	for _, t := range Types() {
		c := e.condition(t)
		c.Type = t
		r.Conditions = append(r.Conditions, c)
		if c.State.rank() > r.State.rank() {
			r.State = c.State
		}
	}
	return r
}

// evaluation is one call of Evaluate. Conditions that others depend on leave a mark here.
type evaluation struct {
	now time.Time
	in  Input
	ev  Evidence

	stopped bool // not running, for whatever reason
	silent  bool // nothing can arrive
}

func (e *evaluation) condition(t Type) Condition {
	if e.in.Paused && t != Running {
		return Condition{Status: Unknown, Reason: ReasonPaused, Message: "not watched while the connector is paused"}
	}
	switch t {
	case Running:
		return e.running()
	case Storage:
		return e.storage()
	case Completeness:
		return e.completeness()
	case Verification:
		return e.verification()
	case Credential:
		return e.credential()
	default: // what only a running feed can tell
	}
	if e.stopped {
		return Condition{Status: Unknown, Reason: ReasonHidden, Message: "not known before the connector runs"}
	}
	switch t {
	case Listing:
		return e.listing()
	case Fetching:
		return e.trouble("reading content", e.in.Fetching)
	case ErrorRate:
		return e.errorRate()
	case FirstData:
		return e.firstData()
	default:
		return e.activity()
	}
}

func (e *evaluation) running() Condition {
	err := e.in.Start.Err
	switch {
	case e.in.Elsewhere != "":
		return Condition{
			Status: Info, Reason: ReasonPaused, State: Paused,
			Message: "servers of the node group " + e.in.Elsewhere + " run this connector, not this one", Hint: "run_on of the connector and node_group of the server decide",
		}
	case e.in.Paused:
		return Condition{Status: Info, Reason: ReasonPaused, State: Paused, Message: "paused; Microsoft keeps the content for some days", Hint: "resume the connector to go on"}
	case e.in.Running:
		return Condition{Status: Good, Reason: ReasonOK, Message: "running"}
	case err != nil && !e.tested(e.in.Start.At):
		e.stopped = true
		return Condition{
			Status: Error, Reason: Reason(fault.KindOf(err)), State: Attention,
			Message: "the connector could not be started: " + err.Error(), Hint: hint(err, "correct the setting that the message names; it starts by itself"),
		}
	default:
		e.stopped = true
		return Condition{Status: Unknown, Reason: ReasonStarting, State: Starting, Message: "starting"}
	}
}

// tested reports whether a connection test passed after something was noted.
func (e *evaluation) tested(at time.Time) bool { return !at.IsZero() && !at.After(e.ev.PassedAt) }

func (e *evaluation) storage() Condition {
	err := e.in.Storage.Err
	if err == nil {
		return Condition{Status: Good, Reason: ReasonOK, Message: "what is collected can be written"}
	}
	e.silent = true
	return Condition{
		Status: Error, Reason: Reason(fault.KindOf(err)), State: Degraded,
		Message: "what is collected cannot be written: " + err.Error() + ". Collecting waits and goes on by itself",
		Hint:    hint(err, "look at the free space and the log of the server"),
	}
}

func (e *evaluation) listing() Condition {
	c := e.trouble("listing content", e.in.Listing)
	if c.Status == Good && !e.in.Listed {
		c = Condition{Status: Unknown, Reason: ReasonStarting, State: Starting, Message: "the first listing is not done yet"}
	}
	e.silent = e.silent || c.Status != Good
	return c
}

// trouble judges a row of failures.
func (e *evaluation) trouble(what string, t Trouble) Condition {
	kind := fault.KindOf(t.Err)
	switch {
	case t.Err == nil || kind == fault.Canceled:
		return Condition{Status: Good, Reason: ReasonOK, Message: what + " works"}
	case e.tested(t.At):
		return Condition{Status: Good, Reason: ReasonTested, Message: "a connection test passed; the next attempt" + e.next() + " will tell"}
	}
	c := Condition{Reason: Reason(kind), Message: what + " fails: " + t.Err.Error(), Hint: fault.HintOf(t.Err)}
	switch kind {
	case fault.Config, fault.Auth, fault.Permission:
		c.Status, c.State = Error, Attention
		c.Message += ". It is tried again slowly" + e.next()
		c.Hint = hint(t.Err, "correct it, then run the test of the connector")
		return c
	default: // heals by itself, or not
	}
	switch {
	case t.Failures < degradedAfter:
		c.Status, c.Reason, c.Hint = Good, ReasonRetrying, ""
	case t.Failures < downAfter:
		c.Status, c.State = Warning, Degraded
	default:
		c.Status, c.State = Error, Degraded
		if kind == fault.Unavailable {
			c.Reason = ReasonDown
		}
	}
	c.Message += fmt.Sprintf(" (%s in a row). It is tried again%s", count(int64(t.Failures), "failure"), e.next())
	if c.Status.Bad() && c.Hint == "" {
		c.Hint = kindHint(kind)
	}
	return c
}

// next says when the next attempt is, where that is known.
func (e *evaluation) next() string {
	if !e.in.NextRun.After(e.now) {
		return ""
	}
	return " at " + e.in.NextRun.UTC().Format("15:04 UTC")
}

func kindHint(kind fault.Kind) string {
	switch kind {
	case fault.Throttled:
		return "nothing to do while it is rare; if it lasts, look for other programs that collect from the same tenant"
	case fault.Unavailable:
		return "Microsoft or the path to it does not answer: look at the service health, the proxy and the firewall"
	case fault.Internal:
		return "this is a mistake of Sluice: please report it with the log"
	default:
		return "run the test of the connector"
	}
}

func (e *evaluation) errorRate() Condition {
	x := e.ev.Errors
	if x.Failed <= x.Limit {
		return Condition{Status: Good, Reason: ReasonOK, Message: "few or no units fail"}
	}
	over := option.FormatDuration(x.Over.Round(time.Second))
	c := Condition{
		Status: Warning, Reason: ReasonTooMany, State: Degraded,
		Message: fmt.Sprintf("%s failed within %s, more than %d. They are tried again by themselves", count(x.Failed, "unit"), over, x.Limit),
		Hint:    "read the log for what fails; raise monitor_error_units if that is normal here",
	}
	if err := e.in.Fetching.Err; err != nil {
		c.Message += ". The last failure: " + err.Error()
		c.Hint = hint(err, c.Hint)
	}
	return c
}

func (e *evaluation) firstData() Condition {
	switch {
	case e.in.Landed > 0:
		return Condition{Status: Good, Reason: ReasonOK, Message: "content arrives"}
	case !e.in.Listed:
		return Condition{Status: Unknown, Reason: ReasonNotYet, Message: "the first listing is not done yet"}
	}
	c := Condition{Status: Info, Reason: ReasonWaiting, State: Waiting}
	if age := e.now.Sub(e.in.Created); e.in.Created.IsZero() || age <= firstDataNormal {
		c.Message = "no content so far; after a subscription is started up to 12 hours are normal"
		c.Hint = "nothing to do"
	} else {
		c.Message = "no content for " + ago(age) + " since the connector was made; some content types are never used in a tenant"
		c.Hint = "if the tenant should have this content, check that auditing is on and that the licence includes it"
	}
	return c
}

func (e *evaluation) activity() Condition {
	in, m := e.in, e.ev.Model
	switch {
	case in.LastData.IsZero():
		return Condition{Status: Unknown, Reason: ReasonNotYet, Message: "before the first data nothing is missed"}
	case e.silent:
		return Condition{Status: Unknown, Reason: ReasonHidden, Message: "not judged while nothing can arrive"}
	case in.Pending > 0:
		return Condition{Status: Good, Reason: ReasonBacklog, Message: "there is content that waits to be read"}
	}
	quiet := e.now.Sub(in.LastData)
	c := Condition{
		Status: Warning, State: Degraded,
		Hint: "check in the tenant that auditing is on and that the licence includes this content; if the silence is right, lower monitor_inactivity",
	}
	if in.Limits.SilenceAfter > 0 && quiet >= in.Limits.SilenceAfter {
		c.Reason = ReasonThreshold
		c.Message = fmt.Sprintf("no data for %s, longer than the limit of %s", ago(quiet), option.FormatDuration(in.Limits.SilenceAfter))
		return c
	}
	switch {
	case in.Limits.Sensitivity == Off:
		return Condition{Status: Good, Reason: ReasonOff, Message: "not compared with the history, as configured"}
	case m == nil || !m.Ready():
		return Condition{Status: Good, Reason: ReasonLearning, Message: fmt.Sprintf("the usual activity is being learnt, which takes %d weeks", minWeeks)}
	case m.Expects() == 0:
		return Condition{Status: Good, Reason: ReasonQuiet, Message: "data is rare here; silence is normal"}
	}
	unusual, missed := m.Unusual(in.LastData, e.now, in.Limits.Sensitivity)
	if !unusual {
		return Condition{Status: Good, Reason: ReasonOK, Message: "data comes as usual"}
	}
	c.Reason = ReasonSilent
	c.Message = fmt.Sprintf("no data for %s, although in the last %.0f weeks there was data in %s of the week like these", ago(quiet), m.Weeks(), count(int64(missed), "hour"))
	return c
}

func (e *evaluation) completeness() Condition {
	var what []string
	c := Condition{Status: Warning, State: Gap, Count: e.in.Lost + int64(e.in.Gaps)}
	if e.in.Gaps > 0 {
		c.Reason = ReasonGap
		text := count(int64(e.in.Gaps), "interval") + " of which nobody can say that all was collected"
		if e.in.GapReason != "" {
			text += " (" + e.in.GapReason + ")"
		}
		what = append(what, text)
	}
	if e.in.Lost > 0 {
		c.Reason = ReasonLost
		what = append(what, count(e.in.Lost, "unit")+" that Microsoft no longer serves")
	}
	if c.Count == 0 {
		return Condition{Status: Good, Reason: ReasonOK, Message: "nothing was lost"}
	}
	c.Message = "data is missing: " + strings.Join(what, "; ")
	c.Hint = "the verification of the connector lists what and when; what was exported elsewhere can be imported"
	return c
}

func (e *evaluation) verification() Condition {
	v := e.in.Verified
	switch {
	case v.At.IsZero():
		return Condition{Status: Unknown, Reason: ReasonNotYet, Message: "not verified yet; the first daily verification runs within a day"}
	case !v.Whole:
		c := Condition{
			Status: Warning, Reason: ReasonIncomplete, State: Gap,
			Message: fmt.Sprintf("the verification of %s found %s missing and %d lost (%s %% are there). ",
				v.At.UTC().Format(time.RFC3339), count(v.Missing, "unit"), v.Lost, percent(v.CoveragePercent)),
			Hint: "wait for the next verification or run one now; what is lost Microsoft no longer serves",
		}
		if v.Queued {
			c.Message += "What is missing was queued to be read again"
		} else {
			c.Message += "The next verification that runs by itself queues what is missing"
			c.Hint = "sluice verify --repair queues it now; what is lost Microsoft no longer serves"
		}
		return c
	case v.Surplus > 0:
		return Condition{
			Status: Warning, Reason: ReasonSurplus,
			Message: fmt.Sprintf("the verification of %s found %s of which the lake has more than it should",
				v.At.UTC().Format(time.RFC3339), count(v.Surplus, "unit")),
			Hint: "the verification of the connector lists which; nothing is missing, and this is a mistake of Sluice: please report it",
		}
	case e.now.Sub(v.At) <= verifyOverdue || e.stopped:
	case e.now.Sub(e.ev.RunningSince) <= verifyCatchUp:
		return Condition{
			Status: Good, Reason: ReasonOK, Message: "verified " + v.At.UTC().Format(time.RFC3339) + ": everything was there. " +
				"The next verification is due since the connector was off; it runs by itself within hours",
		}
	default:
		return Condition{
			Status: Warning, Reason: ReasonOverdue, Message: "the latest verification is " + ago(e.now.Sub(v.At)) + " old, although one runs every day",
			Hint: "read the log for why the daily verification fails",
		}
	}
	c := Condition{Status: Good, Reason: ReasonOK, Message: "verified " + v.At.UTC().Format(time.RFC3339) + ": everything is there"}
	if v.Note != "" {
		c.Message += "; " + v.Note
	}
	return c
}

// percent never rounds up to 100 what is less.
func percent(p float64) string {
	return fmt.Sprintf("%.2f", math.Floor(p*100+1e-9)/100)
}

func (e *evaluation) credential() Condition {
	if e.in.Expires.IsZero() {
		return Condition{Status: Unknown, Reason: ReasonNotYet, Message: "when the credential ends cannot be seen from here"}
	}
	what := e.in.ExpiryWhat
	if what == "" {
		what = "the credential"
	}
	left := e.in.Expires.Sub(e.now)
	date := e.in.Expires.UTC().Format("2006-01-02 15:04 UTC")
	c := Condition{Hint: "make a new one in the app registration, give it to the connector and run its test; the old one works until its end"}
	switch {
	case left <= 0:
		c.Status, c.Reason, c.State = Error, ReasonEnded, Attention
		c.Message = what + " ended on " + date
		c.Hint = "make a new one in the app registration, give it to the connector and run its test"
	case left <= expiryUrgent:
		c.Status, c.Reason, c.State = Error, ReasonEndsSoon, Attention
		c.Message = what + " ends in " + ago(left) + ", on " + date
	case left <= e.in.Limits.ExpiryWarning:
		c.Status, c.Reason = Warning, ReasonEndsSoon
		c.Message = what + " ends in " + ago(left) + ", on " + date
	default:
		return Condition{Status: Good, Reason: ReasonOK, Message: what + " is valid until " + date}
	}
	return c
}

func hint(err error, fallback string) string {
	if h := fault.HintOf(err); h != "" {
		return h
	}
	return fallback
}

// count writes a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// ago writes an age as coarse as people speak of it.
func ago(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return count(int64(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return count(int64(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return count(int64(d/time.Minute), "minute")
	default:
		return "a minute"
	}
}
