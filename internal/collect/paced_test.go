package collect

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"sluice/internal/record"
)

// pacedSource is a source of a tenant whose requests wait for their turn, which does not come.
type pacedSource struct {
	*fakeSource
	waiting chan struct{} // closed when the first waits
	once    sync.Once
}

type turn struct{}

func (s *pacedSource) Pace(ctx context.Context) (context.Context, error) {
	s.once.Do(func() { close(s.waiting) })
	<-ctx.Done()
	return context.WithValue(ctx, turn{}, true), ctx.Err()
}

func (s *pacedSource) Fetch(ctx context.Context, u record.Unit) iter.Seq2[record.Item, error] {
	if ctx.Value(turn{}) == nil { // as a client does
		if _, err := s.Pace(ctx); err != nil {
			return func(yield func(record.Item, error) bool) { yield(record.Item{}, err) }
		}
	}
	return s.fakeSource.Fetch(ctx, u)
}

// TestAPacedTenantDoesNotHoldUpOthers: units of a tenant with a small quota wait for their turn without the memory that all
// tenants share.
func TestAPacedTenantDoesNotHoldUpOthers(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	slow := &pacedSource{fakeSource: newFakeSource(), waiting: make(chan struct{})}
	cfg := connectorConfig(slow, general)
	cfg.Parallel = int(r.publisher.budget/reserveStep) + 1
	for i := range cfg.Parallel {
		slow.add(general, fmt.Sprint(i), time.Now().Add(-time.Hour), rec("s", ""))
	}
	r.manager.Start(cfg)
	<-slow.waiting
	if !r.publisher.tryReserve(r.publisher.budget) {
		t.Fatal("who waits for a turn has taken memory")
	}
	r.publisher.release(r.publisher.budget)
	other := connectorConfig(newFakeSource(), general)
	other.Connector.ID, other.Connector.Name = "c2", "fabrikam"
	other.Source.(*fakeSource).add(general, "u", time.Now().Add(-time.Hour), rec("o", ""))
	r.manager.Start(other)
	h.waitFor("the unit of the other tenant", func() bool { return h.totalOf("c2", general).Landed == 1 })
}
