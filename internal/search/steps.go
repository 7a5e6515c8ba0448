package search

import (
	"maps"
	"slices"
	"time"
)

// steps cuts the files of the plan into groups of days, newest first, that are searched one after the other. With a
// limit the groups grow (1, 1, 2, 4, 8 ... days), because most such queries are answered by the newest days; without,
// a group has as many days as fill a page. A file that holds several days makes one group of everything.
func (p *plan) steps(limited bool, page int) []map[string][]string {
	records := map[time.Time]int64{}
	for _, t := range p.tables {
		for _, f := range t.Files {
			if f.Day.IsZero() {
				return []map[string][]string{p.filesOf(nil)}
			}
			records[f.Day.UTC()] += f.Records
		}
	}
	if len(records) == 0 {
		return []map[string][]string{p.filesOf(nil)}
	}
	days := slices.SortedFunc(maps.Keys(records), func(a, b time.Time) int { return b.Compare(a) })
	var out []map[string][]string
	size := 1
	for i := 0; len(days) > 0; i++ {
		n := min(size, len(days))
		if !limited {
			n = fitting(days, records, int64(page))
		}
		out = append(out, p.filesOf(days[:n]))
		days = days[n:]
		if limited && i > 0 {
			size *= 2
		}
	}
	return out
}

// fitting is how many of the days have no more records together than a page, at least one.
func fitting(days []time.Time, records map[time.Time]int64, page int64) int {
	sum := int64(0)
	for i, day := range days {
		if sum += records[day]; sum > page && i > 0 {
			return i
		}
	}
	return len(days)
}

// filesOf returns the files of some days by table; nil means of all days.
func (p *plan) filesOf(days []time.Time) map[string][]string {
	out := make(map[string][]string, len(p.tables))
	for _, t := range p.tables {
		files := []string{}
		for _, f := range t.Files {
			if days == nil || slices.ContainsFunc(days, f.Day.Equal) {
				files = append(files, f.Path)
			}
		}
		out[t.Name] = files
	}
	return out
}
