package collect

import (
	"math/rand/v2"
	"time"

	"sluice/internal/fault"
)

// policy is how failures of one kind are waited out.
type policy struct {
	first, limit time.Duration
	fullJitter   bool // wait a random part of the step instead of the step and a little more
}

// policyFor follows spec/management-activity-api.md section 9 and spec/http-behaviour.md section 3.
func policyFor(k fault.Kind) policy {
	switch k {
	case fault.Throttled:
		return policy{first: 5 * time.Second, limit: 5 * time.Minute}
	case fault.Config, fault.Auth, fault.Permission, fault.NotFound:
		return policy{first: time.Minute, limit: 15 * time.Minute}
	case fault.Full:
		return policy{first: 5 * time.Second, limit: time.Minute}
	case fault.Gone, fault.Unavailable, fault.Malformed, fault.Conflict, fault.Canceled, fault.Internal:
	}
	return policy{first: 2 * time.Second, limit: 5 * time.Minute, fullJitter: true}
}

// Backoff is how long to wait before try number attempt+1 (attempt counts the failures so far, from 1). A wait that
// the far side asked for is obeyed, whatever its length, and never shortened.
func Backoff(err error, attempt int) time.Duration {
	if d := fault.RetryAfterOf(err); d > 0 {
		return d + jitter(d/10)
	}
	p := policyFor(fault.KindOf(err))
	step := p.first << min(max(attempt-1, 0), 20)
	if step > p.limit || step <= 0 {
		step = p.limit
	}
	if p.fullJitter {
		return step/4 + jitter(step*3/4)
	}
	return step + jitter(step/10)
}

// jitter is a random duration below limit. It spreads load; nothing depends on it being hard to guess.
func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit) //nolint:gosec // not a secret
}
