package m365sim

import (
	"context"
	"sync"
	"time"

	"sluice/internal/clock"
)

// HandClock is a clock for tests, beside StartTest: it stands still until Advance moves it. Sleep advances it and returns
// at once; what After returns never fires. It is safe for concurrent use.
type HandClock struct {
	mu  sync.Mutex
	now time.Time
}

var _ clock.Clock = (*HandClock)(nil)

// NewHandClock returns a clock that shows now.
func NewHandClock(now time.Time) *HandClock { return &HandClock{now: now.UTC()} }

// Advance moves the clock.
func (c *HandClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Now implements clock.Clock.
func (c *HandClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep implements clock.Clock.
func (c *HandClock) Sleep(ctx context.Context, d time.Duration) error {
	c.Advance(d)
	return ctx.Err()
}

// After implements clock.Clock.
func (c *HandClock) After(time.Duration) <-chan time.Time { return make(chan time.Time) }
