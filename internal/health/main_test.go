package health

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is a Wednesday.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// hand is a clock that a test moves.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) advance(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
}

func (h *hand) Sleep(context.Context, time.Duration) error { return nil }

func (h *hand) After(time.Duration) <-chan time.Time { return nil }

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
	return v, ok, t.err
}

func (t *table) PutValue(_ context.Context, key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.rows[key] = value
	}
	return t.err
}

func (t *table) Values(_ context.Context, prefix string) (map[string][]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := maps.Clone(t.rows)
	maps.DeleteFunc(rows, func(k string, _ []byte) bool { return !strings.HasPrefix(k, prefix) })
	return rows, t.err
}

func (t *table) DeleteValue(_ context.Context, key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, key)
	return t.err
}

func (t *table) fail(err error) {
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
}

// healthy is the input of a feed that has nothing to complain of.
func healthy(connector, contentType string) Input {
	return Input{
		Feed:    Feed{ConnectorID: "id-" + connector, Connector: connector, Tenant: "Contoso", Type: "office365", ContentType: contentType},
		Running: true, Listed: true, NextRun: noon.Add(5 * time.Minute), Created: noon.Add(-30 * 24 * time.Hour),
		Landed: 100, LastData: noon.Add(-10 * time.Minute), Verified: Verified{At: noon.Add(-time.Hour), Whole: true, CoveragePercent: 100},
	}
}
