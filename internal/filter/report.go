package filter

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"sluice/internal/normalize"
	"sluice/internal/rawjson"
)

// Sample is a record to try filters on.
type Sample struct {
	Env *normalize.Envelope
	Raw []byte
}

// Report is what a dry run found. The zero Report saw nothing.
type Report struct {
	Seen      int64            `json:"seen"`
	Dropped   int64            `json:"dropped"`
	Undecided int64            `json:"undecided"` // kept because a query means nothing for the record
	Malformed int64            `json:"malformed"` // no JSON object, so not filtered; not in Seen
	ByFilter  map[string]int64 `json:"by_filter"` // dropped records by the filter that Decide names; every filter is there
	Examples  []Example        `json:"examples,omitempty"`
	// UnknownFields are fields of conditions that no record had.
	UnknownFields []UnknownField `json:"unknown_fields,omitempty"`
	// Notices are what query said about every record: an unknown field, a value that is no number.
	Notices []Notice `json:"notices,omitempty"`
}

// DropsEverything reports whether records were seen and none would be left: ask before such a filter is used.
func (r Report) DropsEverything() bool { return r.Seen > 0 && r.Dropped == r.Seen }

// Share is the dropped part of the seen records, from 0 to 1.
func (r Report) Share() float64 {
	if r.Seen == 0 {
		return 0
	}
	return float64(r.Dropped) / float64(r.Seen)
}

// Example is a record that would be dropped.
type Example struct {
	Filter    string    `json:"filter"`
	ID        string    `json:"id,omitempty"`
	Timestamp time.Time `json:"timestamp"`
	MsgClass  string    `json:"msg_class,omitempty"`
	Action    string    `json:"action,omitempty"`
	User      string    `json:"user,omitempty"`
}

// UnknownField is a field of a condition that no record had.
type UnknownField struct {
	Filter  string `json:"filter"`
	Path    string `json:"path"` // conditions[0].field
	Field   string `json:"field"`
	Suggest string `json:"suggest,omitempty"` // the nearest field that records had
}

// Notice is what query said about the query of a filter.
type Notice struct {
	Filter string `json:"filter"`
	Text   string `json:"text"`
}

// Bounds of a report.
const (
	examplesPerFilter = 5
	maxSeenFields     = 5000
)

// Test runs the filters over sample records and reports what they would do. View v is used for all of them. It ends
// with the first error of the samples or of ctx, and returns what was found until then.
func Test(ctx context.Context, set *Set, v *View, samples iter.Seq2[Sample, error]) (Report, error) {
	t := newTester(set)
	for sample, err := range samples {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return t.finish(), err
		}
		v.Reset(sample.Env, sample.Raw, nil)
		t.look(v)
	}
	return t.finish(), nil
}

// tester gathers a Report.
type tester struct {
	set     *Set
	report  Report
	absent  map[int][]bool           // filter -> condition -> no record had the field
	notices map[int]map[string]int64 // filter -> records of which query said so
	failed  map[int]map[string]int64 // filter -> records for which its query could not be decided, by the reason
	fields  map[string]struct{}      // names that records had
	shown   map[string]int           // examples by filter
}

func newTester(set *Set) *tester {
	t := &tester{
		set: set, report: Report{ByFilter: map[string]int64{}}, absent: map[int][]bool{}, notices: map[int]map[string]int64{},
		failed: map[int]map[string]int64{}, fields: map[string]struct{}{}, shown: map[string]int{},
	}
	for i, f := range set.Filters() {
		t.report.ByFilter[f.Name()] = 0
		t.notices[i], t.failed[i] = map[string]int64{}, map[string]int64{}
		t.absent[i] = slices.Repeat([]bool{true}, len(f.conditions))
	}
	return t
}

func (t *tester) look(v *View) {
	if !v.object() {
		t.report.Malformed++
		return
	}
	t.report.Seen++
	for i, f := range t.set.Filters() {
		for k := range f.conditions {
			t.absent[i][k] = t.absent[i][k] && !f.conditions[k].present(v)
		}
		t.listen(i, f, v)
	}
	for _, m := range v.members {
		if len(t.fields) < maxSeenFields {
			name, _ := rawjson.Unquote(m.Key)
			t.fields[name] = struct{}{}
		}
	}
	keep, by := t.set.Decide(v)
	if keep {
		if slices.ContainsFunc(t.set.Filters(), func(f *Filter) bool { return f.match(v) == undecided }) {
			t.report.Undecided++
		}
		return
	}
	t.report.Dropped++
	t.report.ByFilter[by]++
	if t.shown[by] < examplesPerFilter {
		t.shown[by]++
		t.report.Examples = append(t.report.Examples, example(v, by))
	}
}

// listen counts what package query says about the query of filter number i for this record.
func (t *tester) listen(i int, f *Filter, v *View) {
	if f.query == nil {
		return
	}
	p := f.query.program(v)
	if p.err != nil {
		t.failed[i][explain(p.err)]++
		return
	}
	for _, n := range p.notices {
		t.notices[i]["query: "+n.String()]++
	}
}

func example(v *View, by string) Example {
	row := v.row()
	e := Example{
		Filter: by, ID: v.env.ID, MsgClass: row.Text(normalize.MsgClassName),
		Action: row.Text(normalize.EventAction), User: row.Text(normalize.SrcIPUsername),
	}
	if ms, ok := row.Long(normalize.Timestamp); ok {
		e.Timestamp = time.UnixMilli(ms).UTC()
	}
	return e
}

func (t *tester) finish() Report {
	if t.report.Seen == 0 {
		return t.report
	}
	names := slices.Sorted(maps.Keys(t.fields))
	for _, c := range normalize.Columns {
		names = append(names, c.Name)
	}
	for i, f := range t.set.Filters() {
		for k, absent := range t.absent[i] {
			if absent {
				field := f.spec.Conditions[k].Field
				path := Mistake{Path: at(KeyConditions, k, KeyField)}.where()
				t.report.UnknownFields = append(t.report.UnknownFields, UnknownField{f.Name(), path, field, suggestion(field, names)})
			}
		}
		t.addNotices(i, f.Name())
	}
	return t.report
}

// addNotices reports what was said of every record, and every reason for which a query could not be decided.
func (t *tester) addNotices(i int, filter string) {
	for _, text := range slices.Sorted(maps.Keys(t.notices[i])) {
		if t.notices[i][text] == t.report.Seen {
			t.report.Notices = append(t.report.Notices, Notice{filter, text})
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(t.failed[i])) {
		text := fmt.Sprintf("query: means nothing for %d of %d records, which are kept: %s", t.failed[i][reason], t.report.Seen, reason)
		t.report.Notices = append(t.report.Notices, Notice{filter, text})
	}
}

// suggestion is the nearest name, unless it is the name itself: a core field that is known and was never set.
func suggestion(field string, names []string) string {
	if slices.Contains(names, field) {
		return ""
	}
	return nearest(field, names)
}
