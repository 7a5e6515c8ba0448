package search

import (
	"slices"
	"time"
)

// steps cuts the files of the plan into groups of days, newest first, that are searched one after the other. With a
// limit the groups grow (1, 1, 2, 4, 8 ... days), because most such queries are answered by the newest days; without,
// every day is a group. A file that holds several days makes one group of everything.
func (p *plan) steps(limited bool) []map[string][]string {
	var days []time.Time
	for _, t := range p.tables {
		for _, f := range t.Files {
			if f.Day.IsZero() {
				return []map[string][]string{p.filesOf(nil)}
			}
			days = append(days, f.Day)
		}
	}
	slices.SortFunc(days, func(a, b time.Time) int { return b.Compare(a) })
	days = slices.CompactFunc(days, time.Time.Equal)
	if len(days) == 0 {
		return []map[string][]string{p.filesOf(nil)}
	}
	var out []map[string][]string
	size := 1
	for i := 0; len(days) > 0; i++ {
		n := min(size, len(days))
		out = append(out, p.filesOf(days[:n]))
		days = days[n:]
		if limited && i > 0 {
			size *= 2
		}
	}
	return out
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
