package notify

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/health"
)

const (
	// outboxMost is how many messages wait for a target, giveUp how long one does.
	outboxMost = 100
	giveUp     = 24 * time.Hour
	// The back-off of deliveries. What a person has to correct is tried more slowly from the start.
	retryFirst, retrySlow, retryMost = 10 * time.Second, 5 * time.Minute, 15 * time.Minute
	// saveAgain is the wait after the store failed.
	saveAgain = time.Minute
)

// stream is one target with its memory. It knows the time only from its callers.
type stream struct {
	Route
	server string
	newID  func() string

	mu      sync.Mutex
	kept    kept
	pending map[string]Event    // by Event.Key; not told yet
	causes  map[cause]time.Time // when a message last named the cause
	dirty   bool                // kept differs from the store
	saveAt  time.Time           // not before
	tryAt   time.Time           // the next delivery, not before
	status  TargetStatus        // what is not computed
	wake    chan struct{}       // something to do
}

// kept is what the store has of a target.
type kept struct {
	Told      map[string]told `json:"told"` // open problems that the target knows of
	Outbox    []Message       `json:"outbox"`
	Dropped   int64           `json:"dropped"`   // messages given up, ever
	Abandoned int64           `json:"abandoned"` // of them, not mentioned in a message yet
}

type told struct {
	Event Event     `json:"event"`
	At    time.Time `json:"at"` // when it was last told
}

func newStream(r Route, server string, newID func() string) *stream {
	return &stream{
		Route: r, server: server, newID: newID, kept: kept{Told: map[string]told{}},
		pending: map[string]Event{}, causes: map[cause]time.Time{}, wake: make(chan struct{}, 1),
	}
}

// restore takes what the store has.
func (s *stream) restore(value []byte) error {
	var k kept
	if err := json.Unmarshal(value, &k); err != nil {
		return err
	}
	if k.Told == nil {
		k.Told = map[string]told{}
	}
	s.kept = k
	return nil
}

// take brings changes in.
func (s *stream) take(changes []health.Change) {
	s.mu.Lock()
	for _, c := range changes {
		if s.concerns(c) {
			s.raise(begun(c))
		} else {
			s.end(c.Key(), c.Condition, c.At)
		}
	}
	s.mu.Unlock()
	s.signal()
}

// reconcile compares with everything that is bad now.
func (s *stream) reconcile(open []health.Change, now time.Time) {
	s.mu.Lock()
	there := map[string]bool{}
	for _, c := range open {
		if s.concerns(c) {
			there[c.Key()] = true
			s.raise(begun(c))
		}
	}
	over := health.Condition{Status: health.Good, Reason: health.ReasonOK, Message: "it is over", Since: now}
	for key := range s.kept.Told {
		if p := s.pending[key]; !there[key] && p.Kind != Resolved && p.Kind != Closed {
			s.end(key, over, now)
		}
	}
	for key, e := range s.pending {
		if e.Kind == Problem && !there[key] {
			delete(s.pending, key)
		}
	}
	s.mu.Unlock()
	s.signal()
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// concerns reports whether the target wants to hear of a problem.
func (s *stream) concerns(c health.Change) bool {
	return c.Condition.Status.Bad() && c.Condition.Status.Rank() >= s.Policy.MinSeverity.Rank() &&
		(len(s.Policy.Tenants) == 0 || slices.Contains(s.Policy.Tenants, c.Feed.Tenant))
}

// raise takes in that something is bad.
func (s *stream) raise(e Event) {
	was, known := s.kept.Told[e.Key]
	p, waiting := s.pending[e.Key]
	waiting = waiting && p.Kind == Problem
	if known {
		e.Since = was.Event.Since
		if e.Status.Rank() <= was.Event.Status.Rank() && (was.Event.Count == 0 || e.Count < 2*was.Event.Count) {
			// Not worse than what is known: only what a reminder will say changes, and that it was over is not told.
			delete(s.pending, e.Key)
			e.Count = was.Event.Count
			s.kept.Told[e.Key] = told{e, was.At}
			s.dirty = true
			return
		}
	}
	if waiting {
		e.At, e.Since = p.At, p.Since
	}
	s.pending[e.Key] = e
}

// end takes in that something is over.
func (s *stream) end(key string, c health.Condition, at time.Time) {
	delete(s.pending, key)
	was, known := s.kept.Told[key]
	switch {
	case !known:
	case s.Policy.Resolved:
		s.pending[key] = ended(was.Event, c, at)
	default:
		delete(s.kept.Told, key)
		s.dirty = true
	}
}

// flushAt is when the next message leaves; false: nothing is to be told.
func (s *stream) flushAt() (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	for _, e := range s.pending {
		due := e.At.Add(s.Policy.Wait)
		if last, named := s.causes[e.cause()]; named && last.Add(s.Policy.Interval).After(due) {
			due = last.Add(s.Policy.Interval)
		}
		sooner(due)
	}
	if s.Policy.Repeat > 0 {
		for _, t := range s.kept.Told {
			sooner(t.At.Add(s.Policy.Repeat))
		}
	}
	return at, ok
}

// flush moves what is to be told into the outbox, if it is time.
func (s *stream) flush(now time.Time) {
	if at, ok := s.flushAt(); !ok || at.After(now) {
		return
	}
	var events []Event
	for key, t := range s.kept.Told {
		_, changed := s.pending[key]
		// Reminders that are nearly due go along, so that they stay together.
		if s.Policy.Repeat > 0 && !changed && now.Sub(t.At) >= s.Policy.Repeat-s.Policy.Repeat/10 {
			t.At = now
			s.kept.Told[key] = t
			e := t.Event
			e.Kind, e.At = Reminder, now.UTC()
			events = append(events, e)
		}
	}
	for key, e := range s.pending {
		events = append(events, e)
		if e.Kind == Problem {
			s.kept.Told[key] = told{e, now}
		} else {
			delete(s.kept.Told, key)
		}
	}
	clear(s.pending)
	for c, at := range s.causes {
		if now.Sub(at) >= s.Policy.Interval {
			delete(s.causes, c)
		}
	}
	for _, e := range events {
		s.causes[e.cause()] = now
	}
	s.kept.Outbox = append(s.kept.Outbox, newMessage(s.newID(), s.server, now, events, s.kept.Abandoned))
	s.kept.Abandoned = 0
	s.dirty = true
}

// expire gives up what is too old or too much and returns how many messages that were.
func (s *stream) expire(now time.Time) (gone int) {
	for gone < len(s.kept.Outbox) && (len(s.kept.Outbox)-gone > outboxMost || now.Sub(s.kept.Outbox[gone].Created) >= giveUp) {
		gone++
	}
	if gone > 0 {
		s.kept.Outbox = slices.Clone(s.kept.Outbox[gone:])
		s.kept.Dropped += int64(gone)
		s.kept.Abandoned += int64(gone)
		s.dirty = true
	}
	return gone
}

// head is the message to deliver now.
func (s *stream) head(now time.Time) (Message, bool) {
	if len(s.kept.Outbox) == 0 || s.tryAt.After(now) {
		return Message{}, false
	}
	return s.kept.Outbox[0], true
}

// delivered notes how a delivery ended.
func (s *stream) delivered(id string, err error, now time.Time) {
	if err == nil {
		s.status.Failures, s.status.Error, s.status.Delivered = 0, nil, now
		s.status.Sent++
		s.tryAt = time.Time{}
		s.kept.Outbox = slices.DeleteFunc(s.kept.Outbox, func(m Message) bool { return m.ID == id })
		s.dirty = true
		return
	}
	s.status.Failures++
	s.status.Failed++
	s.status.Error = err
	s.tryAt = now.Add(max(retryAfter(err, s.status.Failures), fault.RetryAfterOf(err)))
}

// retryAfter is the wait after a row of failures.
func retryAfter(err error, failures int) time.Duration {
	wait := retryFirst
	switch fault.KindOf(err) {
	case fault.Config, fault.Auth, fault.Permission, fault.NotFound:
		wait = retrySlow
	default: // may heal by itself
	}
	for range min(failures-1, 20) {
		wait = min(2*wait, retryMost)
	}
	return wait
}

// next is when there is something to do again; false: only when something happens.
func (s *stream) next(now time.Time) (at time.Time, ok bool) {
	at, ok = s.flushAt()
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if len(s.kept.Outbox) > 0 {
		sooner(s.tryAt)
		sooner(s.kept.Outbox[0].Created.Add(giveUp))
	}
	if s.dirty {
		sooner(s.saveAt)
	}
	if ok && at.Before(now) {
		at = now
	}
	return at, ok
}
