package option

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// errDuration is the answer to every text that is not a duration.
var errDuration = errors.New("not a duration")

// ParseDuration reads a Go duration that may begin with years (365 days), weeks or days: 90s, 1h30m, 7d, 1d12h, 20y.
// A bare number is a number of minutes.
func ParseDuration(text string) (time.Duration, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return times(n, time.Minute)
	}
	var total time.Duration
	for _, unit := range []struct {
		letter string
		size   time.Duration
	}{{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		rest, ok := strings.CutPrefix(text[digits:], unit.letter)
		if digits == 0 || !ok {
			continue
		}
		n, err := strconv.ParseInt(text[:digits], 10, 64)
		if err != nil {
			return 0, errDuration
		}
		part, err := times(n, unit.size)
		if err != nil || total > math.MaxInt64-part {
			return 0, errDuration
		}
		total += part
		if text = rest; text == "" {
			return total, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d > 0 && total > math.MaxInt64-d || total > 0 && d < 0 {
		return 0, errDuration
	}
	return total + d, nil
}

// times multiplies without overflowing.
func times(n int64, unit time.Duration) (time.Duration, error) {
	if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
		return 0, errDuration
	}
	return time.Duration(n) * unit, nil
}

// FormatDuration writes d so that ParseDuration reads it back, without empty units: 5m, 36h, 365d.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
