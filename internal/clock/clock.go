// Package clock is the time that the rest of Sluice lives in.
//
// Production uses Real. Test builds of the binary use Scaled, which runs faster than the wall clock by a factor, so
// that an hourly sweep, a back-off of minutes or an expiry of days happens in seconds. Code that schedules work or
// compares times takes a Clock; code that only measures a duration for a metric may use time.Now.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and waits. Implementations are safe for concurrent use.
type Clock interface {
	// Now is the current time, in UTC.
	Now() time.Time
	// Sleep waits for d of this clock's time or until ctx ends, and returns ctx's error in that case.
	Sleep(ctx context.Context, d time.Duration) error
	// After is like time.After. The channel is never closed; its timer is freed when unreachable.
	After(d time.Duration) <-chan time.Time
}

// Real is the wall clock.
type Real struct{}

// Now implements Clock.
func (Real) Now() time.Time { return time.Now().UTC() }

// Sleep implements Clock.
func (Real) Sleep(ctx context.Context, d time.Duration) error { return sleep(ctx, d) }

// After implements Clock.
func (Real) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Scaled starts at the wall clock's time and runs Factor times as fast.
type Scaled struct {
	Factor float64   // > 0
	Start  time.Time // wall time at which both clocks agree
}

// NewScaled returns a clock that runs factor times as fast as the wall clock from now on.
func NewScaled(factor float64) Scaled { return Scaled{Factor: factor, Start: time.Now()} }

// Now implements Clock.
func (c Scaled) Now() time.Time {
	return c.Start.Add(time.Duration(float64(time.Since(c.Start)) * c.Factor)).UTC()
}

// Sleep implements Clock.
func (c Scaled) Sleep(ctx context.Context, d time.Duration) error { return sleep(ctx, c.real(d)) }

// After implements Clock.
func (c Scaled) After(d time.Duration) <-chan time.Time { return time.After(c.real(d)) }

func (c Scaled) real(d time.Duration) time.Duration { return time.Duration(float64(d) / c.Factor) }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
