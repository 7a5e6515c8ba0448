package filter_test

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/filter"
)

// FuzzQuery: whatever query a filter has and whatever record it meets, it is refused or it decides. No query that
// package query compiles is unknown to the evaluation.
func FuzzQuery(f *testing.F) {
	for i, text := range queries {
		f.Add(text, records[order[i%len(order)]])
	}
	n := normalizer(f)
	f.Fuzz(func(t *testing.T, text, raw string) {
		flt, err := filter.Compile(filter.Spec{Name: "f", Query: text}, filter.Options{Now: func() time.Time { return now }})
		if err != nil {
			if !fault.Is(err, fault.Config) {
				t.Errorf("%q: error of kind %s", text, fault.KindOf(err))
			}
			return
		}
		v := filter.NewView(n)
		report, err := filter.Test(t.Context(), filter.NewSet(flt), v, func(yield func(filter.Sample, error) bool) {
			yield(filter.Sample{Env: envelope("x"), Raw: []byte(raw)}, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, notice := range report.Notices {
			if strings.Contains(notice.Text, "read condition") {
				t.Errorf("%q: %s", text, notice.Text)
			}
		}
	})
}

// FuzzCondition: whatever a condition says, it is refused or it decides, and its negation decides the other way.
func FuzzCondition(f *testing.F) {
	for _, o := range filter.Operators() {
		f.Add("Operation", string(o.Name), o.Example, records["rule"])
	}
	f.Add("Parameters.ForwardTo", "equals", "1e3", `{"Parameters":[{"Name":"ForwardTo","Value":1000}]}`)
	f.Add("user_target.id", "in", "x", `{"a\u0062":1}`)
	n := normalizer(f)
	negation := map[filter.Operator]filter.Operator{filter.Equals: filter.NotEquals, filter.In: filter.NotIn, filter.Exists: filter.NotExists}
	f.Fuzz(func(t *testing.T, field, operator, value, raw string) {
		c := cond(field, filter.Operator(operator), value)
		if operator == string(filter.Exists) || operator == string(filter.NotExists) {
			c.Values = nil
		}
		flt, err := filter.Compile(filter.Spec{Name: "f", Conditions: []filter.Condition{c}}, filter.Options{})
		if err != nil {
			return
		}
		v := filter.NewView(n)
		v.Reset(envelope("x"), []byte(raw), nil)
		keep, _ := filter.NewSet(flt).Decide(v)
		opposite, ok := negation[c.Operator]
		if !ok || !strings.HasPrefix(strings.TrimSpace(raw), "{") {
			return
		}
		c.Operator = opposite
		other := mustCompile(t, filter.Spec{Conditions: []filter.Condition{c}}, filter.Options{})
		v.Reset(envelope("x"), []byte(raw), nil)
		if kept, _ := filter.NewSet(other).Decide(v); kept == keep && len(members2(raw)) > 0 {
			t.Errorf("%+v and its negation agree about %q", c, raw)
		}
	})
}
