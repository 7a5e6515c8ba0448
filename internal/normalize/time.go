package normalize

import (
	"strconv"
	"strings"
)

// ParseTime reads the spellings of time that Microsoft's records use and returns Unix milliseconds, cut, not rounded:
//
//	2021-05-18T21:13:33                  CreationTime: no zone, and UTC (spec/management-activity-api.md section 12)
//	2021-05-18 21:13:33.1234567Z         a space for the T, any number of digits, a zone
//	2021-06-15T09:59:00+02:00
//	/Date(1768903814907)/                the verbose JSON of the Reporting Web Service (spec/message-trace.md A.4)
//
// Anything else, and any time that does not exist, is not ok.
func ParseTime(s string) (ms int64, ok bool) {
	if rest, found := strings.CutPrefix(s, "/Date("); found {
		rest, found = strings.CutSuffix(rest, ")/")
		ms, err := strconv.ParseInt(rest, 10, 64)
		return ms, found && err == nil
	}
	if len(s) < len("2006-01-02T15:04:05") || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' && s[10] != 't' ||
		s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year := number(s[0:4])
	month, day := number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	if min(year, month, day, hour, minute, second) < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	ms = (daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+second)) * 1000
	milli, rest, ok := fraction(s[19:])
	if !ok {
		return 0, false
	}
	offset, ok := zone(rest)
	return ms + milli - offset, ok
}

// number reads decimal digits; -1 means that something else is there.
func number(s string) int {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

// fraction reads an optional fraction of a second.
func fraction(s string) (ms int64, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	i, unit := 1, int64(100)
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		ms += int64(s[i]-'0') * unit
		unit /= 10
	}
	return ms, s[i:], i > 1
}

// zone reads an optional zone and returns its offset from UTC in milliseconds.
func zone(s string) (ms int64, ok bool) {
	switch {
	case s == "" || s == "Z" || s == "z":
		return 0, true
	case len(s) != len("+02:00") || s[3] != ':' || s[0] != '+' && s[0] != '-':
		return 0, false
	}
	hour, minute := number(s[1:3]), number(s[4:6])
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return 0, false
	}
	ms = int64(hour*60+minute) * 60_000
	if s[0] == '-' {
		ms = -ms
	}
	return ms, true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts days of the Gregorian calendar, with years that begin in March so that the leap day is last.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = -1
	}
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return int64(era)*146097 + int64(dayOfEra) - 719468
}
