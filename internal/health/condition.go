package health

import (
	"time"
)

// State is what an operator should know first about a feed. The values are shown and are part of the API.
type State string

// The states.
const (
	Starting  State = "starting"
	Waiting   State = "waiting for first data"
	OK        State = "ok"
	Degraded  State = "degraded"
	Attention State = "needs attention"
	Gap       State = "data gap"
	Paused    State = "paused"
)

// rank orders the states by how much they press; see the package comment.
func (s State) rank() int {
	switch s {
	case Paused:
		return 6
	case Attention:
		return 5
	case Degraded:
		return 4
	case Starting:
		return 3
	case Gap:
		return 2
	case Waiting:
		return 1
	default:
		return 0
	}
}

// Status is the verdict of a condition.
type Status string

// The verdicts, from nothing known to worst.
const (
	Unknown Status = "unknown" // cannot be judged now
	Good    Status = "ok"
	Info    Status = "info" // worth knowing, nothing to do
	Warning Status = "warning"
	Error   Status = "error"
)

// Bad reports whether the verdict is one that somebody should hear of.
func (s Status) Bad() bool { return s == Warning || s == Error }

// Rank orders verdicts: the worse, the higher.
func (s Status) Rank() int {
	switch s {
	case Good:
		return 1
	case Info:
		return 2
	case Warning:
		return 3
	case Error:
		return 4
	default:
		return 0
	}
}

// Type names a condition. The values are stable: they are in the API, in notifications and on metrics.
type Type string

// The conditions, in the order in which they are shown.
const (
	Running      Type = "running"      // the connector is set up and not paused
	Storage      Type = "storage"      // what was collected can be written
	Listing      Type = "listing"      // the service answers what there is
	Fetching     Type = "fetching"     // content can be read
	ErrorRate    Type = "error_rate"   // not too many units fail
	FirstData    Type = "first_data"   // content ever arrived
	Activity     Type = "activity"     // data comes as the feed's history lets expect
	Completeness Type = "completeness" // nothing was lost
	Verification Type = "verification" // the daily verification found everything in the lake
	Credential   Type = "credential"   // the secret or certificate does not end soon
)

// Types lists the conditions, in the order in which they are shown.
func Types() []Type {
	return []Type{Running, Storage, Listing, Fetching, ErrorRate, FirstData, Activity, Completeness, Verification, Credential}
}

// Title is the type in words for people.
func (t Type) Title() string {
	switch t {
	case Running:
		return "Running"
	case Storage:
		return "Storage"
	case Listing:
		return "Listing content"
	case Fetching:
		return "Reading content"
	case ErrorRate:
		return "Error rate"
	case FirstData:
		return "First data"
	case Activity:
		return "Activity"
	case Completeness:
		return "Completeness"
	case Verification:
		return "Daily verification"
	case Credential:
		return "Credential"
	default:
		return string(t)
	}
}

// Reason says in one word of a closed list why a condition is as it is. Failures carry the fault.Kind as reason
// ("auth", "unavailable"); the others are below.
type Reason string

// The reasons beside the kinds of failures.
const (
	ReasonOK         Reason = "ok"
	ReasonPaused     Reason = "paused"
	ReasonStarting   Reason = "starting"
	ReasonDeleted    Reason = "deleted"    // the feed does not exist any more
	ReasonHidden     Reason = "hidden"     // another condition is bad and must be cured first
	ReasonNotYet     Reason = "not_yet"    // nothing is known so far
	ReasonRetrying   Reason = "retrying"   // a failure, too few in a row to matter
	ReasonDown       Reason = "down"       // ten failures in a row
	ReasonTested     Reason = "tested"     // a connection test passed
	ReasonTooMany    Reason = "too_many"   // failed units above the limit
	ReasonWaiting    Reason = "waiting"    // no content so far
	ReasonLearning   Reason = "learning"   // not enough history
	ReasonQuiet      Reason = "quiet"      // no hour of the week expects data
	ReasonSilent     Reason = "silent"     // no data although the history lets expect some
	ReasonThreshold  Reason = "threshold"  // no data for longer than configured
	ReasonOff        Reason = "off"        // not watched, as configured
	ReasonLost       Reason = "lost"       // units that can no longer be read
	ReasonGap        Reason = "gap"        // intervals of which nobody can say that all was collected
	ReasonIncomplete Reason = "incomplete" // the verification found something missing
	ReasonSurplus    Reason = "surplus"    // the verification found more than there should be
	ReasonOverdue    Reason = "overdue"    // there should have been a verification
	ReasonEndsSoon   Reason = "ends_soon"  // of a credential
	ReasonEnded      Reason = "ended"      // of a credential
	ReasonBacklog    Reason = "backlog"    // units wait to be read, so there is data
)

// Feed names what conditions are about: a content type of a connector. Conditions of the whole connector leave
// ContentType empty, those of the server leave everything empty.
type Feed struct {
	ConnectorID string `json:"connector_id,omitempty"`
	Connector   string `json:"connector,omitempty"`
	Tenant      string `json:"tenant_name,omitempty"`
	Type        string `json:"type,omitempty"`
	ContentType string `json:"content_type,omitempty"`
}

// Key identifies the feed: names of connectors may change hands, their ids do not.
func (f Feed) Key() string { return f.ConnectorID + "/" + f.ContentType }

// Scope is the feed with what a condition of the type is not about left out.
func (t Type) Scope(f Feed) Feed {
	switch t {
	case Storage:
		return Feed{}
	case Running, Credential:
		f.ContentType = ""
	default: // about a feed
	}
	return f
}

// Condition is the answer to one question about a feed.
type Condition struct {
	Type    Type      `json:"type"`
	Status  Status    `json:"status"`
	Reason  Reason    `json:"reason"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
	Since   time.Time `json:"since,omitzero"`  // of this status
	Count   int64     `json:"count,omitempty"` // of what was lost, where that is counted
	State   State     `json:"state,omitempty"` // what it makes of the feed; empty: nothing
}

// Report is a feed as it is at a moment: the state and all conditions in the order of Types.
type Report struct {
	Feed       Feed        `json:"feed"`
	State      State       `json:"state"`
	Conditions []Condition `json:"conditions"`
}

// Condition returns the condition of a type, Unknown when the report has none.
func (r Report) Condition(t Type) Condition {
	for _, c := range r.Conditions {
		if c.Type == t {
			return c
		}
	}
	return Condition{Type: t, Status: Unknown, Reason: ReasonNotYet}
}

// Leading returns the condition that made the state, and false when the state is OK.
func (r Report) Leading() (Condition, bool) {
	for _, c := range r.Conditions {
		if c.State == r.State && c.State != "" {
			return c, true
		}
	}
	return Condition{}, false
}

// Change is a transition on the record. One from bad to Unknown means that the feed is not watched any more; the reason
// says why.
type Change struct {
	At        time.Time `json:"at"`
	Feed      Feed      `json:"feed"`
	From      Status    `json:"from"`
	Condition Condition `json:"condition"` // as it is from now on
}

// Key identifies what changed: the condition's type and what it is about.
func (c Change) Key() string { return c.Feed.Key() + "/" + string(c.Condition.Type) }
