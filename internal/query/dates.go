package query

import (
	"strconv"
	"strings"
	"time"
)

// interval is the time that a date text stands for: a day for a day, a millisecond for an instant. to is exclusive.
type interval struct{ from, to time.Time }

// dateLayouts are the partial forms of ISO 8601, longest first, with the length of what each one names.
var dateLayouts = []struct {
	layout string
	end    func(time.Time) time.Time
}{
	{"2006-01-02T15:04:05.999999999Z07:00", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02T15:04:05.999999999Z0700", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02T15:04:05.999999999", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02T15:04Z07:00", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15", func(t time.Time) time.Time { return t.Add(time.Hour) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
}

// parseDate reads a date, a partial date, 13 digits of epoch milliseconds, now, and date math on now or on
// date|| (spec/query-languages.md section 2.2).
func parseDate(text string, now time.Time) (interval, bool) {
	if rest, ok := strings.CutPrefix(text, "now"); ok {
		now = now.UTC().Truncate(time.Millisecond)
		return dateMathOn(interval{now, now.Add(time.Millisecond)}, rest)
	}
	base, math, _ := strings.Cut(text, "||")
	if iv, ok := parseMillis(base); ok {
		return dateMathOn(iv, math)
	}
	if len(base) > 10 && (base[10] == ' ' || base[10] == 't') {
		base = base[:10] + "T" + base[11:]
	}
	base = strings.TrimSuffix(base, "z") + strings.Repeat("Z", len(base)-len(strings.TrimSuffix(base, "z")))
	for _, l := range dateLayouts {
		t, err := time.Parse(l.layout, base)
		if err != nil || t.Year() < 1 || t.Year() > 9998 {
			continue
		}
		t = t.UTC()
		iv := interval{t, l.end(t)}
		if t.Nanosecond() != 0 {
			t = t.Truncate(time.Millisecond)
			iv = interval{t, t.Add(time.Millisecond)}
		}
		return dateMathOn(iv, math)
	}
	return interval{}, false
}

func parseMillis(text string) (interval, bool) {
	if len(text) != 13 {
		return interval{}, false
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 {
		return interval{}, false
	}
	t := time.UnixMilli(ms).UTC()
	return interval{t, t.Add(time.Millisecond)}, true
}

// dateMathOn applies +1d, -15m and /d, from left to right.
func dateMathOn(iv interval, math string) (interval, bool) {
	for math != "" {
		sign := math[0]
		math = math[1:]
		digits := len(math) - len(strings.TrimLeft(math, "0123456789"))
		if len(math) == digits || (sign == '/') != (digits == 0) {
			return iv, false
		}
		unit := math[digits]
		if sign == '/' {
			floor, ok := floorTo(iv.from, unit)
			if !ok {
				return iv, false
			}
			end, _ := shift(floor, 1, unit)
			iv = interval{floor, end}
			math = math[1:]
			continue
		}
		n, err := strconv.Atoi(math[:digits])
		if err != nil || n > 1_000_000_000 || (sign != '+' && sign != '-') {
			return iv, false
		}
		if sign == '-' {
			n = -n
		}
		from, ok := shift(iv.from, n, unit)
		if !ok || from.Year() < 1 || from.Year() > 9998 {
			return iv, false
		}
		to, _ := shift(iv.to, n, unit)
		iv = interval{from, to}
		math = math[digits+1:]
	}
	return iv, true
}

func shift(t time.Time, n int, unit byte) (time.Time, bool) {
	switch unit {
	case 'y':
		return t.AddDate(n, 0, 0), true
	case 'M':
		return t.AddDate(0, n, 0), true
	case 'w':
		return t.AddDate(0, 0, 7*n), true
	case 'd':
		return t.AddDate(0, 0, n), true
	case 'h', 'H':
		return shiftBy(t, n, time.Hour)
	case 'm':
		return shiftBy(t, n, time.Minute)
	case 's':
		return shiftBy(t, n, time.Second)
	}
	return t, false
}

// shiftBy refuses what a Duration cannot hold.
func shiftBy(t time.Time, n int, unit time.Duration) (time.Time, bool) {
	if limit := int(1<<63-1) / int(unit); n > limit || n < -limit {
		return t, false
	}
	return t.Add(time.Duration(n) * unit), true
}

func floorTo(t time.Time, unit byte) (time.Time, bool) {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch unit {
	case 'y':
		return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC), true
	case 'M':
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC), true
	case 'w': // weeks begin on Monday
		return day.AddDate(0, 0, -int(t.Weekday()+6)%7), true
	case 'd':
		return day, true
	case 'h', 'H':
		return t.Truncate(time.Hour), true
	case 'm':
		return t.Truncate(time.Minute), true
	case 's':
		return t.Truncate(time.Second), true
	}
	return t, false
}

// dateRange turns the bounds of a range into [from, to): a lower bound rounds down and an upper inclusive bound up,
// an exclusive one the other way. Open ends stay zero. bad is the bound that is not a date.
func dateRange(v value, now time.Time) (iv interval, bad *bound) {
	if !v.lo.open {
		b, ok := parseDate(v.lo.text, now)
		if !ok {
			return iv, &v.lo
		}
		if iv.from = b.from; !v.lo.inclusive {
			iv.from = b.to
		}
	}
	if !v.hi.open {
		b, ok := parseDate(v.hi.text, now)
		if !ok {
			return iv, &v.hi
		}
		if iv.to = b.from; v.hi.inclusive {
			iv.to = b.to
		}
	}
	return iv, nil
}
