package m365

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is where a value stops being a wait and becomes garbage. Anything below is obeyed.
const maxRetryAfter = 365 * 24 * time.Hour

// RetryAfter reads the wait that an answer asked for: whole or decimal seconds, or an HTTP date, which counts from the
// answer's own Date header so that clock skew does not matter. Of several values the largest counts. Absent,
// negative and unreadable values give 0 (spec/http-behaviour.md section 3). now stands in for a missing Date header.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	var longest time.Duration
	for _, line := range h.Values("Retry-After") {
		line = strings.TrimSpace(line)
		if at, err := http.ParseTime(line); err == nil {
			if d := at.Sub(now); d <= maxRetryAfter {
				longest = max(longest, d)
			}
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			longest = max(longest, parseSeconds(strings.TrimSpace(part)))
		}
	}
	return longest
}

// parseSeconds reads digits with an optional decimal part, rounded up to the millisecond; 0 when it is anything else.
func parseSeconds(s string) time.Duration {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '.' {
			return 0
		}
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || seconds > maxRetryAfter.Seconds() {
		return 0
	}
	// The small subtraction keeps 2.128 from becoming 2129 ms through binary fractions.
	return time.Duration(math.Ceil(seconds*1000-1e-6)) * time.Millisecond
}
