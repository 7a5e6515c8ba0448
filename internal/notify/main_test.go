package notify

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/secret"
	"sluice/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// table is Values in memory.
type table struct {
	mu   sync.Mutex
	rows map[string][]byte
	err  error
}

func newTable() *table { return &table{rows: map[string][]byte{}} }

func (t *table) Value(_ context.Context, key string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rows[key]
	return v, ok, nil
}

func (t *table) PutValue(_ context.Context, key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.rows[key] = value
	}
	return t.err
}

func (t *table) fail(err error) {
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
}

func (t *table) copied() *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &table{rows: maps.Clone(t.rows)}
}

// ear is a target that remembers.
type ear struct {
	name  string
	mu    sync.Mutex
	err   error
	heard []Message
	tries int
}

func (e *ear) Name() string { return e.name }

func (e *ear) Deliver(_ context.Context, m Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tries++
	if e.err == nil {
		e.heard = append(e.heard, m)
	}
	return e.err
}

func (e *ear) Test(context.Context) iter.Seq[source.Check] {
	return func(yield func(source.Check) bool) { yield(source.Check{Name: "ear", Status: source.Passed}) }
}

func (e *ear) fail(err error) {
	e.mu.Lock()
	e.err = err
	e.mu.Unlock()
}

// take returns what was heard since the last call as text, one line per event.
func (e *ear) take() (lines []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, m := range e.heard {
		for _, ev := range m.Events {
			lines = append(lines, fmt.Sprintf("%d %s %s %s %s", i+1, ev.Kind, ev.Connector, ev.Condition, ev.Status))
		}
	}
	e.heard = nil
	return lines
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("heard:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// bad and good are changes that happen now, inside of a bubble of synctest.
func bad(connector string, status health.Status) health.Change {
	now := clock.Real{}.Now()
	return health.Change{
		At: now, From: health.Good,
		Feed: health.Feed{ConnectorID: "id-" + connector, Connector: connector, Tenant: "T-" + connector, Type: "office365", ContentType: "Audit.General"},
		Condition: health.Condition{
			Type: health.Listing, Status: status, Reason: health.Reason(fault.Unavailable), Message: "listing content fails: 503", Hint: "wait", Since: now, State: health.Degraded,
		},
	}
}

func good(connector string) health.Change {
	c := bad(connector, health.Good)
	c.From, c.Condition.Reason, c.Condition.Message, c.Condition.Hint, c.Condition.State = health.Warning, health.ReasonOK, "listing content works", "", ""
	return c
}

func paused(connector string) health.Change {
	c := good(connector)
	c.Condition.Status, c.Condition.Reason, c.Condition.Message = health.Unknown, health.ReasonPaused, "not watched while the connector is paused"
	return c
}

// run starts a notifier inside of a bubble. stop ends it and waits.
func run(t *testing.T, values *table, routes ...Route) (n *Notifier, stop func()) {
	t.Helper()
	n, err := New(t.Context(), Settings{Routes: routes, Store: NewValueStore(values), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Server: "sluice-1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func environment(secrets map[string]string) Environment {
	return Environment{
		Clock: clock.Real{}, Server: "sluice-1",
		Resolve: func(ref string) (secret.Secret, error) {
			name := strings.TrimSuffix(strings.TrimPrefix(ref, "${env:"), "}")
			if name == ref {
				return secret.New(ref), nil
			}
			value, ok := secrets[name]
			if !ok {
				return secret.Secret{}, fault.New(fault.Config, "resolve secret", "environment variable "+name+" is not set")
			}
			return secret.New(value), nil
		},
	}
}
