package health

import (
	"math"
	"time"
)

// Hour is how many records landed out of the units that were created within an hour.
type Hour struct {
	Start   time.Time // a whole hour
	Records int64
}

const (
	hoursOfWeek = 7 * 24
	// learnWeeks is how far back the model looks, minWeeks how much it needs.
	learnWeeks, minWeeks = 8, 3
	// appearsLate is how late content may appear that belongs to an hour (spec/management-activity-api.md section 6.2).
	appearsLate = time.Hour
	// joinHours is the longest pause, in hours, within a working day; dayHours is what a working day is shorter than.
	joinHours, dayHours = 4, 16
	// longestSilence bounds the walk through a silence. Whatever is unusual shows within it.
	longestSilence = 28 * 24 * time.Hour
)

// Model knows in which hours of the week a feed has data; see the package comment. It is immutable.
type Model struct {
	weeks  float64 // of history
	weight [hoursOfWeek]float32
	day    [hoursOfWeek]int16 // number of the working day that the hour belongs to, from 1; 0: none
	expect int                // hours that expect data
}

// slot is the hour of the week, counted from the Unix epoch.
func slot(t time.Time) int {
	s := int(t.Unix()/3600) % hoursOfWeek
	return (s + hoursOfWeek) % hoursOfWeek
}

// Learn makes a model of the hours before until. Hours that are missing had no records; the history begins with the
// first hour that had some. The slice is not kept.
func Learn(hours []Hour, until time.Time) *Model {
	until = until.Truncate(time.Hour)
	oldest := until.Add(-learnWeeks * hoursOfWeek * time.Hour)
	var busy [learnWeeks * hoursOfWeek]bool // by hours after oldest; an hour may come in parts
	begin := until
	for _, h := range hours {
		at := h.Start.Truncate(time.Hour)
		if h.Records <= 0 || at.Before(oldest) || !at.Before(until) {
			continue
		}
		busy[at.Sub(oldest)/time.Hour] = true
		if at.Before(begin) {
			begin = at
		}
	}
	m := &Model{weeks: until.Sub(begin).Hours() / hoursOfWeek}
	if m.weeks < minWeeks {
		return m
	}
	var weeks, had [hoursOfWeek]int
	for t := begin; t.Before(until); t = t.Add(time.Hour) {
		s := slot(t)
		weeks[s]++
		if busy[t.Sub(oldest)/time.Hour] {
			had[s]++
		}
	}
	m.weigh(weeks, had)
	m.findDays()
	return m
}

func (m *Model) weigh(weeks, had [hoursOfWeek]int) {
	var own [hoursOfWeek]float64
	for s := range own {
		if 2*had[s] > weeks[s] { // the median week had data
			own[s] = -math.Log10((float64(weeks[s]-had[s]) + 0.5) / (float64(weeks[s]) + 1))
		}
	}
	for s := range own {
		before, after := own[(s+hoursOfWeek-1)%hoursOfWeek], own[(s+1)%hoursOfWeek]
		if w := min(before, own[s], after); w > 0 {
			m.weight[s] = float32(w)
			m.expect++
		}
	}
}

// findDays numbers the working days: runs of expected hours, shorter than dayHours and parted by joinHours or more.
func (m *Model) findDays() {
	pause := m.afterPause()
	if pause < 0 {
		return // no pause anywhere: busy around the clock
	}
	number, first, last := int16(0), -1, -1
	flush := func() {
		if first >= 0 && last-first+1 < dayHours {
			number++
			for i := first; i <= last; i++ {
				m.day[i%hoursOfWeek] = number
			}
		}
		first = -1
	}
	for i := pause; i < pause+hoursOfWeek; i++ {
		if m.weight[i%hoursOfWeek] == 0 {
			continue
		}
		if first >= 0 && i-last > joinHours {
			flush()
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	flush()
}

// afterPause is the end of a pause of joinHours, where counting can begin; -1 when there is none.
func (m *Model) afterPause() int {
	quiet := 0
	for i := range 2 * hoursOfWeek {
		if m.weight[i%hoursOfWeek] > 0 {
			quiet = 0
		} else if quiet++; quiet == joinHours {
			return (i + 1) % hoursOfWeek
		}
	}
	return -1
}

// Weeks is the length of the history.
func (m *Model) Weeks() float64 { return m.weeks }

// Ready reports whether there is enough history to say anything.
func (m *Model) Ready() bool { return m.weeks >= minWeeks }

// Expects returns how many hours of the week expect data.
func (m *Model) Expects() int { return m.expect }

// limits of a sensitivity: the sum at which silence is unusual, and how many working days in a row may be off.
func (s Sensitivity) limits() (sum float64, daysOff int) {
	switch s {
	case High:
		return 3, 0
	case Low:
		return 9, 3
	default:
		return 6, 2
	}
}

// Unusual reports whether no data after since is unusual by now, and how many hours in between expected some.
func (m *Model) Unusual(since, now time.Time, s Sensitivity) (unusual bool, missed int) {
	if m.expect == 0 {
		return false, 0
	}
	limit, daysOff := s.limits()
	most := math.Inf(1) // that one working day counts for
	if daysOff > 0 {
		most = limit / (float64(daysOff) + 0.5)
	}
	end := now.Add(-appearsLate).Truncate(time.Hour)
	sum, today, day, last := 0.0, 0.0, int16(0), time.Time{}
	if oldest := end.Add(-longestSilence); since.Before(oldest) {
		since = oldest
	}
	for t := since.Truncate(time.Hour).Add(time.Hour); t.Before(end); t = t.Add(time.Hour) {
		i := slot(t)
		if m.weight[i] == 0 {
			continue
		}
		missed++
		w := float64(m.weight[i])
		if d := m.day[i]; d > 0 {
			if d != day || t.Sub(last) > joinHours*time.Hour {
				day, today = d, 0
			}
			w = min(w, most-today)
			today += w
		}
		last = t
		sum += w
	}
	return sum >= limit, missed
}
