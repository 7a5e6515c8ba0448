package filter_test

import (
	"testing"

	"sluice/internal/filter"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
)

// BenchmarkDecide is the cost per record, members given as collecting has them.
func BenchmarkDecide(b *testing.B) {
	q := func(text string) *filter.Set { return filter.NewSet(named(b, "f", filter.Exclude, text)) }
	c := func(conditions ...filter.Condition) *filter.Set {
		return filter.NewSet(mustCompile(b, filter.Spec{Conditions: conditions}, filter.Options{}))
	}
	for _, bench := range []struct {
		name string
		set  *filter.Set
	}{
		{"none", nil},
		{"equals", c(cond("Operation", filter.Equals, "MailItemsAccessed"))},
		{"two conditions", c(cond("Workload", filter.Equals, "Exchange"), cond("Operation", filter.In, "MailItemsAccessed", "Create", "Update"))},
		{"path", c(cond("Parameters.ForwardTo", filter.EndsWith, "@z.com"))},
		{"core field", c(cond("user.email", filter.Equals, "nobody@x.com"))},
		{"query", q("Workload:Exchange AND Operation:(MailItemsAccessed OR Create)")},
		{"query with a core field", q("srcip:10.0.0.0/8")},
		{"query for a word", q("nothinghere")},
	} {
		b.Run(bench.name, func(b *testing.B) {
			v := filter.NewView(normalizer(b))
			var envs []*normalize.Envelope
			var all [][]rawjson.Member
			for _, id := range order {
				envs, all = append(envs, envelope(id)), append(all, members(b, records[id]))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				k := i % len(order)
				v.Reset(envs[k], []byte(records[order[k]]), all[k])
				bench.set.Decide(v)
				i++
			}
		})
	}
}
