package blackbox

import (
	"encoding/json"
	"strings"
	"testing"

	"sluice/internal/api"
	"sluice/internal/m365sim"
)

// filtered counts the records of a connector over its content types.
func (p *place) filtered(name string) (counts api.Counts) {
	p.t.Helper()
	for _, s := range p.status() {
		if s.Name == name {
			counts.Records += s.Records
			counts.Duplicates += s.Duplicates
			counts.Filtered += s.Filtered
			counts.Malformed += s.Malformed
		}
	}
	return counts
}

// TestLogFilters: what a filter drops is counted and does not land, another connector of the tenant gets it, a trial says
// the same as the collector, and filters that drop everything need a confirmation.
func TestLogFilters(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 11, Tenants: []m365sim.Tenant{tenant(400)}})
	p := newPlace(t)
	p.start()
	const filter = "filters:\n  - name: no-exchange\n    conditions:\n      - {field: Workload, operator: equals, value: exchange}\n"
	p.run("apply", "-f", write(t, p.root, "f.yaml", strings.Replace(filter, "equals", "equal", 1))).wants(t, 1, `f.yaml:4:37`, `did you mean "equals"?`)
	p.must("apply", "-f", write(t, p.root, "f.yaml", filter+p.document(sim, map[string]string{"log_filters": "[no-exchange]"})))
	p.works()
	sim.Freeze()
	p.must("collect", connector, "--since", "25h", "--wait")
	truth, err := sim.Truth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := int64(truth.Totals.Records)
	first := p.filtered(connector)
	if sum := first.Records + first.Duplicates + first.Filtered + first.Malformed; sum != served || first.Filtered == 0 || first.Records == 0 {
		t.Errorf("%+v are %d records, %d were served", first, sum, served)
	}
	if n := len(lines(p.must("search", "Workload:Exchange", "--since", "all", "--fields", "_id", "-o", "ndjson"))); n != 0 {
		t.Errorf("%d records landed that should have been dropped", n)
	}
	p.run("get", "filters").wants(t, 0, "no-exchange", "exclude", connector)
	p.run("delete", "no-exchange", "--yes").wants(t, 1, "the connector "+connector+" uses it")
	round := write(t, p.root, "round.yaml", p.must("get", "filters", "-o", "yaml"))
	p.run("apply", "-f", round).wants(t, 0, "unchanged")

	var report api.FilterReport
	all := write(t, p.root, "all.yaml", "filters:\n  - name: all\n    conditions: [{field: Operation, operator: exists}]\n")
	got := p.run("filter", "test", "-f", all, "--connector", connector, "--since", "48h", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != 3 || !report.DropsEverything || report.Seen != first.Records || report.Dropped != report.Seen {
		t.Errorf("exit code %d, %+v, %v: want all %d records\n%s", got.code, report, err, first.Records, got.errors)
	}
	everything := write(t, p.root, "everything.yaml", "filters:\n  - name: all\n    conditions: [{field: Operation, operator: exists}]\n"+
		p.document(sim, map[string]string{"log_filters": "[no-exchange, all]"}))
	p.run("apply", "-f", everything).wants(t, 1, "would drop everything that connector "+connector, "--confirm")
	p.run("apply", "-f", everything, "--dry-run").wants(t, 0, "warning", "would drop everything")
	p.run("get", "filters", "all").wants(t, 1, `no filter is named "all"`)
	p.run("apply", "-f", everything, "--confirm").wants(t, 0, "log_filters")

	// Another connector of the tenant gets what the first one dropped.
	p.apply(sim, map[string]string{"name": "second"})
	p.must("collect", "second", "--since", "25h", "--wait")
	second := p.filtered("second")
	if second.Filtered != 0 || second.Records+second.Duplicates+second.Malformed != served || second.Records == 0 {
		t.Errorf("%+v, %d were served", second, served)
	}
	if n := len(p.records("all")); n != truth.Totals.Distinct {
		t.Errorf("%d records in the lake, the truth is %d", n, truth.Totals.Distinct)
	}
	got = p.run("filter", "test", "no-exchange", "--since", "48h", "-o", "json")
	report = api.FilterReport{}
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != 0 || report.Seen != int64(truth.Totals.Distinct) || report.Dropped != second.Records {
		t.Errorf("exit code %d, %+v, %v: want %d of %d", got.code, report, err, second.Records, truth.Totals.Distinct)
	}
}
