package health

import "time"

const (
	// settle is how long a condition must be good before the record says so; it doubles with every other time that it
	// turned bad within flapWindow, up to settleMost. Times that the record does not show count too.
	settle, settleMost = 2 * time.Minute, 30 * time.Minute
	flapWindow         = time.Hour
)

// settles tells the conditions that come and go by themselves. The others change when somebody acts.
func (t Type) settles() bool {
	switch t {
	case Storage, Listing, Fetching, ErrorRate, Activity:
		return true
	default:
		return false
	}
}

// entry is a condition on the record.
type entry struct {
	feed   Feed
	shown  Condition
	logged bool        // the store has a change of it
	better time.Time   // since when it has been better than shown; zero: it is not
	raises []time.Time // when it turned bad or worse, within flapWindow
}

// observe takes the condition as it is now and reports whether the record changes.
func (e *entry) observe(now time.Time, c Condition) bool {
	was := e.shown
	switch {
	case c.Status == Unknown:
		e.better = time.Time{}
		if c.Reason != ReasonPaused || !was.Status.Bad() {
			return false
		}
		c.Since = now
	case c.Status.Bad() && c.Status.Rank() > was.Status.Rank():
		e.raise(now)
		c.Since = now
	case c.Status == was.Status:
		if !e.better.IsZero() { // it was better for a while
			e.raise(now)
		}
		e.better = time.Time{}
		c.Since = was.Since
		told := c.Status.Bad() && (c.Reason != was.Reason || c.Count >= 2*was.Count && c.Count > 0)
		if !told && was.Count > 0 {
			c.Count = was.Count // what was told: the next change is at twice as many
		}
		e.shown = c
		return told
	case was.Status.Bad() && c.Type.settles():
		if e.better.IsZero() {
			e.better = now
		}
		if now.Sub(e.better) < e.settleTime(now) {
			return false
		}
		c.Since = e.better
	default:
		c.Since = now
	}
	e.better, e.shown = time.Time{}, c
	return was.Status != Unknown || c.Status != Good // that a new feed is fine is no news
}

func (e *entry) raise(now time.Time) {
	old := 0
	for old < len(e.raises) && now.Sub(e.raises[old]) >= flapWindow {
		old++
	}
	e.raises = append(e.raises[old:], now)
}

func (e *entry) settleTime(now time.Time) time.Duration {
	d := settle
	first := true
	for _, at := range e.raises {
		if now.Sub(at) >= flapWindow {
			continue
		}
		if !first {
			d = min(2*d, settleMost)
		}
		first = false
	}
	return d
}
