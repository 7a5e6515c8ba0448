package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/internal/m365sim"
)

// Report says how a run of a plan ended.
type Report struct {
	Seed       uint64               `json:"seed"`
	Plan       string               `json:"plan"` // in a few words
	Verdict    string               `json:"verdict"`
	Violations []Violation          `json:"violations,omitempty"`
	Notes      []string             `json:"notes,omitempty"`
	Records    int                  `json:"records"` // distinct, that must be in the lake
	May        int                  `json:"may"`     // more that may be there: of blobs that expired or were said to be gone
	InLake     int                  `json:"in_lake"`
	Blobs      int                  `json:"blobs"`
	Lost       int64                `json:"lost_units"` // as the program says
	Requests   int                  `json:"requests"`
	Faults     map[m365sim.Kind]int `json:"faults,omitempty"`
	Events     map[string]int       `json:"events,omitempty"` // what happened to the process
	Wall       float64              `json:"wall_seconds"`
	Virtual    string               `json:"virtual"`
	Folder     string               `json:"folder,omitempty"` // where plan, log and data of a failure are
	Smallest   string               `json:"smallest_plan,omitempty"`
	Again      string               `json:"again,omitempty"` // command that runs the smallest plan
}

// The verdicts.
const (
	passed = "passed"
	failed = "failed"
	broken = "broken" // the harness could not do its work
)

// Violation is one law that did not hold.
type Violation struct {
	Law  string `json:"law"`
	Text string `json:"text"`
}

// The laws.
const (
	lawLost        = "lost"        // a record that must be in the lake is not
	lawTwice       = "twice"       // a record is in the lake twice
	lawUnexplained = "unexplained" // the lake has what the service never had, or other bytes of it
	lawCounts      = "counts"      // the status does not add up, or not to what was served
	lawSilent      = "silent"      // content is missing and the status does not say that it is lost
	lawStuck       = "stuck"       // units are still pending long after every fault ended
	lawProcess     = "process"     // the program ended by itself, did not stop, or panicked
)

// maxShown bounds the violations of one law in a report.
const maxShown = 5

// violate adds a violation. Of each law a few are kept.
func (r *Report) violate(law, format string, args ...any) {
	n := 0
	for _, v := range r.Violations {
		if v.Law == law {
			n++
		}
	}
	r.Verdict = failed
	if n < maxShown {
		r.Violations = append(r.Violations, Violation{law, fmt.Sprintf(format, args...)})
	}
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Report) happened(what string) {
	if r.Events == nil {
		r.Events = map[string]int{}
	}
	r.Events[what]++
}

// laws are the laws that were violated.
func (r *Report) laws() []string {
	var laws []string
	for _, v := range r.Violations {
		laws = append(laws, v.Law)
	}
	slices.Sort(laws)
	return slices.Compact(laws)
}

// line is the report on one line.
func (r *Report) line() string {
	return fmt.Sprintf("seed %-6d %-7s %6.1fs  %5d records, %3d may, %4d blobs, %5d requests, faults %s, events %s", r.Seed, r.Verdict, r.Wall,
		r.Records, r.May, r.Blobs, r.Requests, counted(r.Faults), counted(r.Events))
}

func counted[K ~string](m map[K]int) string {
	if len(m) == 0 {
		return "none"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s:%d", k, m[k]))
	}
	return strings.Join(parts, " ")
}

// details lists what a person has to know of a failure.
func (r *Report) details() string {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  %s: %s\n", v.Law, v.Text)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	if r.Folder != "" {
		fmt.Fprintf(&b, "  plan, log and data: %s\n", r.Folder)
	}
	return b.String()
}
