package health

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/clock"
)

const (
	// learnEvery is the age at which a model is made anew, learnAgain the wait after the history could not be read, and
	// learnAtOnce how many are made in one tick.
	learnEvery, learnAgain = 24 * time.Hour, time.Hour
	learnAtOnce            = 50
	// keepUnsaved bounds the changes that wait for a store that fails; the oldest go first.
	keepUnsaved = 10_000
)

// History gives the records of a feed by hour of creation of the units they came in. Hours without records may be
// missing, hours may come in parts and in any order.
type History interface {
	Landed(ctx context.Context, f Feed, from, to time.Time) ([]Hour, error)
}

// Settings are what a Monitor needs. All but History are required; without it inactivity is only judged by
// Limits.SilenceAfter.
type Settings struct {
	Clock   clock.Clock
	Store   Store
	History History
	Log     *slog.Logger
}

// Monitor has the memory that conditions need and keeps the record of their transitions. It starts no goroutine. All
// methods may be called concurrently.
type Monitor struct {
	s Settings

	ticking sync.Mutex // one tick at a time

	mu      sync.Mutex
	feeds   map[string]*memory // by Feed.Key
	entries map[entryKey]*entry
	unsaved []Change
}

type entryKey struct {
	feed string
	t    Type
}

// memory is what is remembered of a feed.
type memory struct {
	errors  window
	running time.Time // since when it runs without a break, as far as this process knows; zero: it does not
	passed  time.Time
	model   *Model
	learned time.Time // when to count learnEvery from
}

// New makes a monitor. Call Load before the first Tick.
func New(s Settings) *Monitor {
	return &Monitor{s: s, feeds: map[string]*memory{}, entries: map[entryKey]*entry{}}
}

// Load reads the record, so that what was bad before a restart is not news after it. With an error it took in what
// could be read; the monitor can be used all the same.
func (m *Monitor) Load(ctx context.Context) error {
	changes, err := m.s.Store.Load(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		m.entries[entryKey{c.Feed.Key(), c.Condition.Type}] = &entry{feed: c.Feed, shown: c.Condition, logged: true}
	}
	return err
}

// Tick takes the inputs of all feeds that exist and returns the transitions, worst first. A feed that is missing counts
// as deleted, so do not call Tick when the inputs could not be gathered. The error is the store's: the transitions are
// valid all the same and are stored with the next tick.
func (m *Monitor) Tick(ctx context.Context, inputs []Input) ([]Change, error) {
	m.ticking.Lock()
	defer m.ticking.Unlock()
	m.learn(ctx, inputs)
	return m.save(ctx, m.observe(m.s.Clock.Now(), inputs))
}

func (m *Monitor) observe(now time.Time, inputs []Input) []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	type scoped struct {
		feed Feed
		Condition
	}
	raw := map[entryKey]scoped{}
	there := map[string]bool{}
	for _, in := range inputs {
		there[in.Feed.Key()] = true
		mem := m.memory(in.Feed)
		mem.errors.add(now, in.Failed, in.Limits.withDefaults().ErrorWindow)
		mem.runs(now, in)
		for _, c := range m.evaluate(now, in).Conditions {
			feed := c.Type.Scope(in.Feed)
			k := entryKey{feed.Key(), c.Type}
			if have, ok := raw[k]; !ok || c.Status.Rank() > have.Status.Rank() {
				raw[k] = scoped{feed, c}
			}
		}
	}
	var changes []Change
	for k, r := range raw {
		e := m.entries[k]
		if e == nil {
			e = &entry{shown: Condition{Type: k.t, Status: Unknown}}
			m.entries[k] = e
		}
		e.feed = r.feed
		from := e.shown.Status
		if e.observe(now, r.Condition) {
			e.logged = true
			changes = append(changes, Change{At: now, Feed: e.feed, From: from, Condition: e.shown})
		}
	}
	for k, e := range m.entries {
		if _, ok := raw[k]; ok {
			continue
		}
		delete(m.entries, k)
		if e.logged {
			gone := Condition{Type: k.t, Status: Unknown, Reason: ReasonDeleted, Message: "is not collected any more", Since: now}
			changes = append(changes, Change{At: now, Feed: e.feed, From: e.shown.Status, Condition: gone})
		}
	}
	for key := range m.feeds {
		if !there[key] {
			delete(m.feeds, key)
		}
	}
	return changes
}

// memory returns what is remembered of a feed. m.mu is held.
func (m *Monitor) memory(f Feed) *memory {
	mem := m.feeds[f.Key()]
	if mem == nil {
		mem = &memory{}
		m.feeds[f.Key()] = mem
	}
	return mem
}

// runs notes whether a feed runs.
func (mem *memory) runs(now time.Time, in Input) {
	switch {
	case in.Paused || !in.Running:
		mem.running = time.Time{}
	case mem.running.IsZero():
		mem.running = now
	}
}

// evaluate is Evaluate with what is remembered. m.mu is held.
func (m *Monitor) evaluate(now time.Time, in Input) Report {
	mem := m.feeds[in.Feed.Key()]
	if mem == nil {
		mem = &memory{}
	}
	limits := in.Limits.withDefaults()
	since := mem.running
	if since.IsZero() {
		since = now
	}
	return Evaluate(now, in, Evidence{
		PassedAt: mem.passed, RunningSince: since, Errors: mem.errors.errors(now, mem.passed, limits), Model: mem.model,
	})
}

// save stores changes together with those that could not be stored before.
func (m *Monitor) save(ctx context.Context, changes []Change) ([]Change, error) {
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(-cmp.Compare(a.Condition.Status.Rank(), b.Condition.Status.Rank()), strings.Compare(a.Key(), b.Key()))
	})
	m.mu.Lock()
	unsaved := slices.Concat(m.unsaved, changes)
	m.unsaved = nil
	m.mu.Unlock()
	if len(unsaved) == 0 {
		return changes, nil
	}
	err := m.s.Store.Append(ctx, unsaved)
	if err != nil {
		m.mu.Lock()
		m.unsaved = slices.Concat(unsaved, m.unsaved)
		m.unsaved = m.unsaved[max(0, len(m.unsaved)-keepUnsaved):]
		m.mu.Unlock()
	}
	return changes, err
}

// Report is the feed as it is now: what a person sees who asks. Since of a condition comes from the record and is zero
// where that has no such status yet.
func (m *Monitor) Report(in Input) Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.evaluate(m.s.Clock.Now(), in)
	for i, c := range r.Conditions {
		if e := m.entries[entryKey{c.Type.Scope(in.Feed).Key(), c.Type}]; e != nil {
			switch {
			case e.shown.Status == c.Status:
				r.Conditions[i].Since = e.shown.Since
			case c.Status == Good:
				r.Conditions[i].Since = e.better
			}
		}
	}
	return r
}

// Open lists what is bad on the record, as the changes that made it so. Notifications are compared with it at start.
func (m *Monitor) Open() []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	var open []Change
	for _, e := range m.entries {
		if e.shown.Status.Bad() {
			open = append(open, Change{At: e.shown.Since, Feed: e.feed, From: Good, Condition: e.shown})
		}
	}
	slices.SortFunc(open, func(a, b Change) int { return strings.Compare(a.Key(), b.Key()) })
	return open
}

// History lists changes of a feed, newest first, at most limit. An empty content type stands for the whole connector, an
// empty Feed for the server.
func (m *Monitor) History(ctx context.Context, f Feed, limit int) ([]Change, error) {
	return m.s.Store.List(ctx, f, limit)
}

// Passed says that a connection test of a connector passed, of all its content types when none are named. What was noted
// before no longer counts; see the package comment. It returns the transitions like Tick.
func (m *Monitor) Passed(ctx context.Context, connectorID string, contentTypes ...string) ([]Change, error) {
	m.ticking.Lock()
	defer m.ticking.Unlock()
	return m.save(ctx, m.passed(m.s.Clock.Now(), connectorID, contentTypes))
}

func (m *Monitor) passed(now time.Time, connectorID string, contentTypes []string) []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	concerns := func(key string) bool {
		id, contentType, _ := strings.Cut(key, "/")
		return id == connectorID && (len(contentTypes) == 0 || contentType == "" || slices.Contains(contentTypes, contentType))
	}
	for key, mem := range m.feeds {
		if concerns(key) {
			mem.passed = now
			mem.errors.reset(mem.errors.last)
		}
	}
	var changes []Change
	for k, e := range m.entries {
		if !concerns(k.feed) || !e.shown.Status.Bad() {
			continue
		}
		switch k.t {
		case Running, Listing, Fetching, ErrorRate:
			from := e.shown.Status
			e.better = time.Time{}
			e.shown = Condition{Type: k.t, Status: Good, Reason: ReasonTested, Message: "a connection test passed; the next attempt will tell", Since: now}
			changes = append(changes, Change{At: now, Feed: e.feed, From: from, Condition: e.shown})
		default: // a test proves nothing about them
		}
	}
	return changes
}

// learn makes models for feeds that have none or an old one.
func (m *Monitor) learn(ctx context.Context, inputs []Input) {
	if m.s.History == nil {
		return
	}
	now := m.s.Clock.Now()
	left := learnAtOnce
	for _, in := range inputs {
		if left == 0 || ctx.Err() != nil {
			return
		}
		if in.Paused || in.LastData.IsZero() || in.Limits.Sensitivity == Off || !m.outdated(now, in.Feed) {
			continue
		}
		left--
		// The silence at the end is what the model is asked about, so it learns nothing from it.
		until := in.LastData.Truncate(time.Hour).Add(time.Hour)
		hours, err := m.s.History.Landed(ctx, in.Feed, until.Add(-learnWeeks*hoursOfWeek*time.Hour), until)
		m.mu.Lock()
		mem := m.memory(in.Feed)
		if mem.learned = now; err == nil {
			mem.model = Learn(hours, until)
		} else {
			mem.learned = now.Add(learnAgain - learnEvery)
		}
		m.mu.Unlock()
		if err != nil {
			m.s.Log.Warn("learning the usual activity failed", "connector", in.Feed.Connector, "content_type", in.Feed.ContentType, "error", err.Error())
		}
	}
}

func (m *Monitor) outdated(now time.Time, f Feed) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	mem := m.feeds[f.Key()]
	return mem == nil || mem.learned.IsZero() || now.Sub(mem.learned) >= learnEvery
}
