package health

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// tenant says how many records an hour brings on average.
type tenant func(t time.Time) float64

func office(perHour float64) tenant {
	return func(t time.Time) float64 {
		if wd := t.Weekday(); wd == time.Saturday || wd == time.Sunday || t.Hour() < 8 || t.Hour() >= 18 {
			return 0
		}
		return perHour
	}
}

func aroundTheClock(perHour float64) tenant {
	return func(t time.Time) float64 {
		if t.Hour() < 6 {
			return perHour / 4
		}
		return perHour
	}
}

// without is a tenant that is silent from a time on.
func (f tenant) without(from, to time.Time) tenant {
	return func(t time.Time) float64 {
		if !t.Before(from) && t.Before(to) {
			return 0
		}
		return f(t)
	}
}

func (f tenant) shifted(from time.Time, d time.Duration) tenant {
	return func(t time.Time) float64 {
		if t.Before(from) {
			return f(t)
		}
		return f(t.Add(d))
	}
}

// poisson draws how many records there are.
func poisson(r *rand.Rand, mean float64) int64 {
	n, limit := int64(0), math.Exp(-mean)
	for p := r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

var firstMonday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// alarms lives through weeks of a tenant hour by hour, learns every day as the monitor does, and returns the hours in
// which silence was unusual.
func alarms(weeks int, f tenant, s Sensitivity, seed uint64) (at []time.Time) {
	r := rand.New(rand.NewPCG(seed, 1))
	var hours []Hour
	var last time.Time
	var m *Model
	for h := range weeks * hoursOfWeek {
		start := firstMonday.Add(time.Duration(h) * time.Hour)
		if n := poisson(r, f(start)); n > 0 {
			hours = append(hours, Hour{start, n})
			last = start.Add(30 * time.Minute)
		}
		now := start.Add(time.Hour)
		if last.IsZero() {
			continue
		}
		if m == nil || h%24 == 3 {
			m = Learn(hours[max(0, len(hours)-learnWeeks*hoursOfWeek):], last.Truncate(time.Hour).Add(time.Hour))
		}
		if unusual, _ := m.Unusual(last, now, s); unusual {
			at = append(at, now)
		}
	}
	return at
}

func TestNoAlarmWithoutReason(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return firstMonday.AddDate(0, 0, n) }
	tests := map[string]tenant{
		"around the clock":      aroundTheClock(200),
		"busy, thin at night":   aroundTheClock(8),
		"office":                office(50),
		"office with a holiday": office(50).without(day(7*12), day(7*12+1)),
		"two holidays in a row": office(50).without(day(7*12+3), day(7*12+5)),
		"Friday and Monday off": office(50).without(day(7*12+4), day(7*13+1)),
		"holiday early on":      office(50).without(day(9), day(10)),
		"summer time":           office(50).shifted(day(7*11+6), time.Hour),
		"winter time":           office(50).shifted(day(7*11+6), -time.Hour),
		"tiny office":           office(0.3),
		"small office":          office(1.5),
		"three records a week":  func(time.Time) float64 { return 3.0 / hoursOfWeek },
		"one burst each Monday": func(t time.Time) float64 {
			return map[bool]float64{true: 500}[t.Weekday() == time.Monday && t.Hour() == 9]
		},
		"a batch every 6 hours":  func(t time.Time) float64 { return map[bool]float64{true: 100}[t.Hour()%6 == 0] },
		"nothing after one week": aroundTheClock(50).without(day(7), day(1000)),
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				for _, s := range []Sensitivity{Medium, Low} {
					if at := alarms(20, f, s, seed); len(at) > 0 {
						t.Errorf("%s, seed %d: %d false alarms, the first on %s", s, seed, len(at), at[0].Format("Mon 2006-01-02 15:04"))
					}
				}
			}
		})
	}
}

func TestAlarmWhenDataStops(t *testing.T) {
	t.Parallel()
	stop := firstMonday.AddDate(0, 0, 7*12+2).Add(11 * time.Hour) // a Wednesday, 11:00
	week := 7 * 24 * time.Hour
	tests := []struct {
		name         string
		f            tenant
		sensitivity  Sensitivity
		soon, within time.Duration
	}{
		{"around the clock", aroundTheClock(200), High, 3 * time.Hour, 6 * time.Hour},
		{"around the clock", aroundTheClock(200), Medium, 5 * time.Hour, 9 * time.Hour},
		{"around the clock", aroundTheClock(200), Low, 8 * time.Hour, 12 * time.Hour},
		{"office, at once", office(50), High, 3 * time.Hour, 7 * time.Hour},
		{"office, the third working day", office(50), Medium, 24 * time.Hour, 72 * time.Hour},
		{"office, after the weekend", office(50), Low, 48 * time.Hour, week},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+string(tt.sensitivity), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				at := alarms(16, tt.f.without(stop, stop.Add(1000*week)), tt.sensitivity, seed)
				if len(at) == 0 {
					t.Fatal("never noticed")
				}
				if after := at[0].Sub(stop); after < tt.soon || after > tt.within {
					t.Errorf("seed %d: noticed after %v, want between %v and %v", seed, after, tt.soon, tt.within)
				}
				if end := firstMonday.Add(16 * week); !at[len(at)-1].Equal(end) {
					t.Errorf("seed %d: forgotten on %v although the silence lasts", seed, at[len(at)-1])
				}
			}
		})
	}
}

func TestLearning(t *testing.T) {
	t.Parallel()
	hours := func(weeks int) (list []Hour) {
		for h := range weeks * hoursOfWeek {
			list = append(list, Hour{firstMonday.Add(time.Duration(h) * time.Hour), 1})
		}
		return list
	}
	end := func(weeks int) time.Time { return firstMonday.Add(time.Duration(weeks) * hoursOfWeek * time.Hour) }
	if m := Learn(hours(2), end(2)); m.Ready() || m.Expects() != 0 {
		t.Errorf("two weeks are enough: %v weeks, %d hours", m.Weeks(), m.Expects())
	}
	if m := Learn(hours(3), end(3)); !m.Ready() || m.Expects() != hoursOfWeek {
		t.Errorf("three weeks are not enough: %v weeks, %d hours", m.Weeks(), m.Expects())
	}
	if m := Learn(hours(20), end(20)); m.Weeks() != learnWeeks {
		t.Errorf("%v weeks, want the last %d", m.Weeks(), learnWeeks)
	}
	if m := Learn(nil, end(3)); m.Ready() || m.Weeks() != 0 {
		t.Error("nothing is history")
	}
	// Parts of an hour, hours out of order, hours without records and hours after the end change nothing.
	messy := append(hours(4), Hour{end(5), 7}, Hour{firstMonday, 2}, Hour{firstMonday.Add(90 * time.Minute), 0})
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(messy), func(i, j int) { messy[i], messy[j] = messy[j], messy[i] })
	if got, want := *Learn(messy, end(4)), *Learn(hours(4), end(4)); got != want {
		t.Errorf("%v weeks and %d hours, want %v and %d", got.weeks, got.expect, want.weeks, want.expect)
	}
}
