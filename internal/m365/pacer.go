package m365

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// The numbers of pacing. Microsoft's quota for the Management Activity API is 2,000 requests a minute and tenant as a
// baseline (spec/management-activity-api.md section 9).
const (
	DefaultPerMinute = 1200 // requests a minute and tenant to begin with
	MaxPerMinute     = 2000 // up to which the rate grows by itself

	minPerMinute  = 60               // below which it never falls
	growEvery     = time.Minute      // without throttling, for one step up
	cutGuard      = 10 * time.Second // answers to requests already under way count as one cut
	maxPauseWait  = 5 * time.Second  // a longer pause is reported instead of waited for
	maxBurst      = 100
	burstFraction = 20 // the burst is a twentieth of a minute's requests
)

// Pacers holds one Pacer per Microsoft tenant, so that all connectors of a tenant share its quota and a noisy tenant
// does not slow the others. It is safe for concurrent use.
type Pacers struct {
	clock clock.Clock

	mu    sync.Mutex
	byKey map[string]*Pacer
}

// NewPacers returns an empty set that lives by clk's time.
func NewPacers(clk clock.Clock) *Pacers {
	return &Pacers{clock: clk, byKey: map[string]*Pacer{}}
}

// For returns the pacer of a directory id, compared without letter case, and sets its rate. Of several connectors of
// one tenant the one made last decides the rate. A driver whose API has a quota of its own adds a suffix to the id.
//
// perMinute 0 means no limit. From DefaultPerMinute on the rate may grow to MaxPerMinute; an operator who chose less
// wants less, so a smaller value is its own ceiling.
func (p *Pacers) For(directoryID string, perMinute int) *Pacer {
	key := strings.ToLower(directoryID)
	p.mu.Lock()
	defer p.mu.Unlock()
	pacer := p.byKey[key]
	if pacer == nil {
		pacer = &Pacer{clock: p.clock, lim: rate.NewLimiter(rate.Inf, 1)}
		p.byKey[key] = pacer
	}
	pacer.set(perMinute)
	return pacer
}

// Pacer spaces the requests of one Microsoft tenant: a token bucket whose rate rises by small steps while it is used to
// the full without throttling, and is halved when the service throttles. It is safe for concurrent use.
type Pacer struct {
	clock clock.Clock

	mu         sync.Mutex
	lim        *rate.Limiter
	configured int       // as last asked for; 0 means no limit
	known      bool      // configured has been set
	perMinute  float64   // rate now
	ceiling    float64   // up to which it grows
	limited    bool      // somebody had to wait since the last change
	changed    time.Time // last change of the rate
	cut        time.Time // last halving
	pausedAt   time.Time // beginning of the pause
	paused     time.Time // end of the pause
}

func (p *Pacer) set(perMinute int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known && p.configured == perMinute {
		return // keep what was learned
	}
	now := p.clock.Now()
	p.known, p.configured = true, perMinute
	p.perMinute, p.ceiling = float64(perMinute), float64(perMinute)
	if perMinute >= DefaultPerMinute {
		p.ceiling = max(p.ceiling, MaxPerMinute)
	}
	p.changed, p.limited = now, false
	p.apply(now)
}

// apply hands the rate to the bucket. p.mu is held.
func (p *Pacer) apply(now time.Time) {
	if p.configured <= 0 {
		p.lim.SetLimitAt(now, rate.Inf)
		return
	}
	p.lim.SetLimitAt(now, rate.Limit(p.perMinute/60))
	p.lim.SetBurstAt(now, min(maxBurst, max(1, int(p.perMinute/burstFraction))))
}

// Wait blocks until one request may be sent or ctx ends. When the tenant is paused for more than a few seconds it does
// not block but returns fault.Throttled with the remaining wait.
func (p *Pacer) Wait(ctx context.Context) error {
	for {
		pause, delay, reserved := p.reserve()
		if pause > maxPauseWait {
			return fault.New(fault.Throttled, "", "waiting because the service asked this tenant to slow down").
				WithRetryAfter(pause)
		}
		if pause <= 0 && delay <= 0 {
			return ctx.Err()
		}
		if err := p.clock.Sleep(ctx, max(pause, delay)); err != nil {
			if reserved != nil {
				reserved.CancelAt(p.clock.Now())
			}
			return err
		}
		if pause <= 0 && p.PausedUntil().IsZero() {
			return nil
		}
	}
}

// reserve takes a place in the queue, unless the tenant is paused.
func (p *Pacer) reserve() (pause, delay time.Duration, r *rate.Reservation) {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if pause = p.pause(now); pause > 0 {
		return pause, 0, nil
	}
	p.grow(now)
	r = p.lim.ReserveN(now, 1)
	if delay = r.DelayFrom(now); delay > 0 {
		p.limited = true
	}
	return 0, delay, r
}

// grow raises the rate by one step for a minute in which it was used to the full. p.mu is held.
func (p *Pacer) grow(now time.Time) {
	if p.configured <= 0 || within(now, p.changed, p.changed.Add(growEvery)) {
		return
	}
	p.changed = now
	if !p.limited || p.perMinute >= p.ceiling {
		return
	}
	p.limited = false
	p.perMinute = min(p.ceiling, p.perMinute+float64(p.configured)/burstFraction)
	p.apply(now)
}

// Penalize says that the service throttled this tenant. The rate is halved (once per burst of such answers), and the
// tenant pauses for d, or not at all when d is 0. A pause is only ever extended. The Client calls it with the wait that
// the answer named; the collector calls it with a default when the answer named none.
func (p *Pacer) Penalize(d time.Duration) {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if d > max(p.pause(now), 0) {
		p.pausedAt, p.paused = now, now.Add(d)
	}
	if p.configured <= 0 || within(now, p.cut, p.cut.Add(cutGuard)) {
		return
	}
	floor := min(float64(p.configured), minPerMinute)
	p.perMinute = max(floor, p.perMinute/2)
	p.cut, p.changed, p.limited = now, now, false
	p.apply(now)
}

// PausedUntil is the end of the present pause, and the zero time when there is none.
func (p *Pacer) PausedUntil() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause(p.clock.Now()) <= 0 {
		return time.Time{}
	}
	return p.paused
}

// pause is what is left of the pause. It begins anew when the clock was set back. p.mu is held.
func (p *Pacer) pause(now time.Time) time.Duration {
	if now.Before(p.pausedAt) {
		p.pausedAt, p.paused = now, now.Add(p.paused.Sub(p.pausedAt))
	}
	return p.paused.Sub(now)
}

// PerMinute is the present rate in requests a minute, 0 when there is no limit.
func (p *Pacer) PerMinute() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.configured <= 0 {
		return 0
	}
	return p.perMinute
}
