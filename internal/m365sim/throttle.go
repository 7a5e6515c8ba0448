package m365sim

import (
	"sync"
	"time"
)

// throttle counts requests over a rolling minute, per tenant and publisher. Requests that are refused count too, so
// hammering prolongs the block. The zero publisher is a bucket of its own.
type throttle struct {
	limit   int // per minute; 0: none
	mu      sync.Mutex
	windows map[[2]string][]time.Time // guarded by mu; oldest first
}

// admit counts a request and reports whether it may pass.
func (t *throttle) admit(tenant, publisher string, now time.Time) bool {
	if t.limit == 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{tenant, publisher}
	window := t.windows[key]
	from := now.Add(-time.Minute)
	for len(window) > 0 && !window[0].After(from) {
		window = window[1:]
	}
	passed := len(window) < t.limit
	if len(window) >= 2*t.limit { // enough to know; memory stays bounded
		window = window[1:]
	}
	t.windows[key] = append(window, now)
	return passed
}
