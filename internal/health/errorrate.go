package health

import "time"

// window counts failed units over a sliding time, from samples of a counter that only rises and begins again at zero
// when the process starts. What happened between two samples is taken to have happened at the later one.
type window struct {
	known bool
	last  int64 // value of the counter at the last sample
	steps []step
}

type step struct {
	at time.Time
	n  int64
}

// add takes a sample. The first one after the start counts in full: the counter began when the process did.
func (w *window) add(at time.Time, counter int64, keep time.Duration) {
	n := counter - w.last
	if n < 0 {
		n = counter
	}
	w.last, w.known = counter, true
	if n > 0 {
		w.steps = append(w.steps, step{at, n})
	}
	old := 0
	for old < len(w.steps) && !w.steps[old].at.After(at.Add(-keep)) {
		old++
	}
	w.steps = w.steps[old:]
}

// reset forgets the failures so far, those since the last sample included.
func (w *window) reset(counter int64) { *w = window{known: true, last: counter} }

// sum is the number of failures in the time before at.
func (w *window) sum(at time.Time, length time.Duration) (n int64) {
	for _, s := range w.steps {
		if s.at.After(at.Add(-length)) {
			n += s.n
		}
	}
	return n
}

// Errors is the count of failed units that the error rate is judged by.
type Errors struct {
	Failed int64
	Limit  int64         // more than that are too many
	Over   time.Duration // the time that was counted over
}

// errors counts what the window holds. After a test that passed at the given time the limit is the part of the
// configured one that belongs to the time since then, a minute at least: who fails as much as before is found out soon.
func (w *window) errors(now, passed time.Time, l Limits) Errors {
	e := Errors{Failed: w.sum(now, l.ErrorWindow), Limit: l.ErrorUnits, Over: l.ErrorWindow}
	if since := now.Sub(passed); !passed.IsZero() && since < l.ErrorWindow {
		e.Over = min(max(since, time.Minute), l.ErrorWindow)
		e.Limit = int64(float64(l.ErrorUnits) * float64(e.Over) / float64(l.ErrorWindow))
	}
	return e
}
