package api

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a point in time as users write it: an age (15m, 24h, 7d, 2w, 20y, also 1h30m), RFC 3339, a date
// (2006-01-02, midnight UTC), a date and time without zone (UTC), "now", or "all", which is the zero time.
func ParseTime(text string, now time.Time) (time.Time, error) {
	s := strings.TrimSpace(text)
	switch strings.ToLower(s) {
	case "all":
		return time.Time{}, nil
	case "now":
		return now.UTC(), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	age, ok := parseAge(s)
	if !ok {
		return time.Time{}, fmt.Errorf("%q is not a time: use an age (15m, 24h, 7d, 20y), RFC 3339, a date (2026-01-31) or all", text)
	}
	return now.UTC().Add(-age), nil
}

const day = 24 * time.Hour

// parseAge reads a sum of numbers with units, largest reach 290 years. It takes no sign.
func parseAge(s string) (time.Duration, bool) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': day, 'w': 7 * day, 'y': 365 * day}
	var total time.Duration
	for s != "" {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n == 0 || n == len(s) {
			return 0, false
		}
		unit, ok := units[s[n]]
		value, err := strconv.ParseInt(s[:n], 10, 64)
		if !ok || err != nil || value > (math.MaxInt64-int64(total))/int64(unit) {
			return 0, false
		}
		total += time.Duration(value) * unit
		s = s[n+1:]
	}
	return total, total > 0
}
