package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"sluice/internal/health"
)

// Version is the version of the JSON of Message.
const Version = 1

// EventKind says what an event is about.
type EventKind string

// The kinds of events.
const (
	Problem  EventKind = "problem"  // something turned bad, or worse
	Reminder EventKind = "reminder" // it still is
	Resolved EventKind = "resolved" // it is over
	Closed   EventKind = "closed"   // it is not watched any more: paused or deleted
	Trial    EventKind = "test"     // somebody tests the target
)

func eventKinds() []EventKind { return []EventKind{Problem, Reminder, Resolved, Closed, Trial} }

// Event is one thing that a message tells.
type Event struct {
	Kind EventKind `json:"kind"`
	Key  string    `json:"key"` // the same for a problem, its reminders and its end
	health.Feed
	Condition health.Type   `json:"condition"`
	Status    health.Status `json:"status"` // ok, warning, error; unknown when closed
	Reason    health.Reason `json:"reason"`
	Message   string        `json:"message"`
	Hint      string        `json:"hint,omitempty"`
	Count     int64         `json:"count,omitempty"`
	Since     time.Time     `json:"since"`           // when the problem began
	Ended     time.Time     `json:"ended,omitzero"`  // when it ended
	At        time.Time     `json:"at"`              // when the event happened
	State     health.State  `json:"state,omitempty"` // what the condition makes of the feed
}

// Message is what a target delivers.
type Message struct {
	Version   int               `json:"version"`
	ID        string            `json:"id"` // UUID, the same for every attempt
	Server    string            `json:"server"`
	Created   time.Time         `json:"created"`
	Title     string            `json:"title"` // one line
	Text      string            `json:"text"`  // for people, plain text
	Counts    map[EventKind]int `json:"counts"`
	Events    []Event           `json:"events"`                // problems first, worst first; at most 200
	Omitted   int               `json:"omitted"`               // events beyond those listed
	Abandoned int64             `json:"undelivered,omitempty"` // earlier messages that could not be delivered
}

const (
	// maxEvents bounds a message, textLines the lines of one cause in its text.
	maxEvents, textLines = 200, 10
)

// newMessage makes a message of events. It keeps the slice.
func newMessage(id, server string, now time.Time, events []Event, abandoned int64) Message {
	order := eventKinds()
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
			-cmp.Compare(a.Status.Rank(), b.Status.Rank()),
			strings.Compare(string(a.Condition), string(b.Condition)), strings.Compare(string(a.Reason), string(b.Reason)),
			strings.Compare(a.Connector, b.Connector), strings.Compare(a.Key, b.Key),
		)
	})
	m := Message{Version: Version, ID: id, Server: server, Created: now.UTC(), Counts: map[EventKind]int{}, Abandoned: abandoned}
	for _, e := range events {
		m.Counts[e.Kind]++
	}
	causes := group(events)
	m.Title, m.Text = title(causes), text(m, causes)
	m.Omitted = max(0, len(events)-maxEvents)
	m.Events = events[:len(events)-m.Omitted]
	return m
}

// cause is what events have in common that are told together.
type cause struct {
	Kind      EventKind
	Condition health.Type
	Reason    health.Reason
}

func (e *Event) cause() cause { return cause{e.Kind, e.Condition, e.Reason} }

// group splits sorted events by cause.
func group(events []Event) (groups [][]Event) {
	for start := 0; start < len(events); {
		end := start + 1
		for end < len(events) && events[end].cause() == events[start].cause() {
			end++
		}
		groups = append(groups, events[start:end])
		start = end
	}
	return groups
}

// title is one line: the first cause, and how many others there are.
func title(causes [][]Event) string {
	first := causes[0]
	e := first[0]
	line := string(e.Kind) + ": "
	if e.Kind == Trial {
		return line + e.Message
	}
	line += fmt.Sprintf("%s (%s)", e.Condition.Title(), e.Reason)
	if e.Kind == Resolved {
		line = string(e.Kind) + ": " + e.Condition.Title()
	}
	if len(first) == 1 {
		line += ", " + e.subject()
	} else {
		line += fmt.Sprintf(", %d connectors or content types", len(first))
	}
	if n := len(causes) - 1; n == 1 {
		line += ", and 1 more cause"
	} else if n > 1 {
		line += fmt.Sprintf(", and %d more causes", n)
	}
	return clean(line)
}

// subject names what the event is about.
func (e *Event) subject() string {
	if e.Connector == "" {
		return "the server"
	}
	s := e.Connector
	if e.Tenant != "" {
		s += " (" + e.Tenant + ")"
	}
	if e.ContentType != "" {
		s += " " + e.ContentType
	}
	return s
}

func headline(k EventKind) string {
	switch k {
	case Problem:
		return "Problem"
	case Reminder:
		return "Still there"
	case Resolved:
		return "Resolved"
	case Closed:
		return "Not watched any more"
	default:
		return "Test"
	}
}

// text tells cause by cause what happened, to whom and what to do.
func text(m Message, causes [][]Event) string {
	var b strings.Builder
	for _, events := range causes {
		e := events[0]
		if e.Kind == Trial {
			fmt.Fprintf(&b, "%s\n\n", clean(e.Message))
			continue
		}
		fmt.Fprintf(&b, "%s: %s, %s (%d)\n", headline(e.Kind), e.Condition.Title(), e.Reason, len(events))
		for i, e := range events {
			if i == textLines {
				fmt.Fprintf(&b, "  and %d more\n", len(events)-i)
				break
			}
			fmt.Fprintf(&b, "  %s: %s\n", clean(e.subject()), clean(e.Message))
			fmt.Fprintf(&b, "    since %s", stamp(e.Since))
			if !e.Ended.IsZero() {
				fmt.Fprintf(&b, " until %s", stamp(e.Ended))
			}
			b.WriteByte('\n')
		}
		if e.Hint != "" {
			fmt.Fprintf(&b, "  What to do: %s\n", clean(e.Hint))
		}
		b.WriteByte('\n')
	}
	if m.Abandoned > 0 {
		fmt.Fprintf(&b, "Earlier messages that could not be delivered: %d\n\n", m.Abandoned)
	}
	if m.Server != "" {
		fmt.Fprintf(&b, "Sluice on %s, %s\n", clean(m.Server), stamp(m.Created))
	} else {
		fmt.Fprintf(&b, "Sluice, %s\n", stamp(m.Created))
	}
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// clean makes one line of a text that may come from the far side.
func clean(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }), " ")
}

// begun is the event of a change to the worse, ended that of its end.
func begun(c health.Change) Event {
	return Event{
		Kind: Problem, Key: c.Key(), Feed: c.Feed, Condition: c.Condition.Type, Status: c.Condition.Status, Reason: c.Condition.Reason,
		Message: c.Condition.Message, Hint: c.Condition.Hint, Count: c.Condition.Count, Since: c.Condition.Since.UTC(), At: c.At.UTC(), State: c.Condition.State,
	}
}

func ended(problem Event, c health.Condition, at time.Time) Event {
	e := problem
	e.Kind, e.Status, e.Reason, e.Message, e.Hint, e.State, e.Count = Resolved, c.Status, c.Reason, c.Message, "", c.State, c.Count
	if c.Status == health.Unknown {
		e.Kind = Closed
	}
	e.Ended, e.At = c.Since.UTC(), at.UTC()
	return e
}
