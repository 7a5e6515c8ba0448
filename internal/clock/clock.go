// Package clock is the time that the rest of Sluice lives in.
//
// Production uses Real. Test builds of the binary use Scaled, which runs faster than the wall clock by a factor, so
// that an hourly sweep, a back-off of minutes or an expiry of days happens in seconds. Code that schedules work or
// compares times takes a Clock; code that only measures a duration for a metric may use time.Now.
//
// A Scaled clock is a straight line through the wall clock: two numbers, written FACTOR@UNIXNANO. Processes that are given the same
// text share one time. Ahead moves the line, so a process that is stopped and started again can find itself days
// later.
package clock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
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

// ParseScaled reads FACTOR@UNIXNANO, as String writes it: the factor (above 0, at most a million) and the wall time at which both
// clocks agree.
func ParseScaled(text string) (Scaled, error) {
	left, right, ok := strings.Cut(text, "@")
	factor, err := strconv.ParseFloat(left, 64)
	nanos, errNanos := strconv.ParseInt(right, 10, 64)
	if !ok || err != nil || errNanos != nil || !(factor > 0 && factor <= 1e6) {
		return Scaled{}, fmt.Errorf("%q is not FACTOR@UNIXNANO, such as 60@1764547200000000000", text)
	}
	return Scaled{Factor: factor, Start: time.Unix(0, nanos)}, nil
}

// String writes what ParseScaled reads.
func (c Scaled) String() string {
	return strconv.FormatFloat(c.Factor, 'g', -1, 64) + "@" + strconv.FormatInt(c.Start.UnixNano(), 10)
}

// Ahead returns a clock with the same factor, which must be above 1, whose time is later by d. It is exact to about factor nanoseconds.
func (c Scaled) Ahead(d time.Duration) Scaled {
	return Scaled{Factor: c.Factor, Start: c.Start.Add(-time.Duration(float64(d) / (c.Factor - 1)))}
}

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
