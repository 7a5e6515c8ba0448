package collect

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/filter"
	"sluice/internal/record"
	"sluice/internal/state"
)

// filters compiles filters for a connector.
func filters(t *testing.T, specs ...filter.Spec) *filter.Set {
	t.Helper()
	var list []*filter.Filter
	for _, s := range specs {
		f, err := filter.Compile(s, filter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return filter.NewSet(list...)
}

// dropping is a filter on the member Kind of the records that kindRec makes.
func dropping(name, kind string) filter.Spec {
	return filter.Spec{Name: name, Conditions: []filter.Condition{{Field: "Kind", Operator: filter.Equals, Values: []string{kind}}}}
}

func kindRec(id, kind string) string { return rec(id, fmt.Sprintf(`,"Kind":%q`, kind)) }

// TestFilteredRecordsAreNotClaimed: what a connector drops is not known to Sluice afterwards, so that another connector
// of the tenant gets it (rule 7 of the collection path).
func TestFilteredRecordsAreNotClaimed(t *testing.T) {
	h := newHarness(t)
	registry := prometheus.NewRegistry()
	h.metrics = NewMetrics(registry)
	r := h.start()
	src := newFakeSource()
	now := time.Now()
	src.add(general, "one", now.Add(-time.Hour), kindRec("a", "keep"), kindRec("b", "noise"), kindRec("c", "chatter"), kindRec("d", "noise"), `"no object"`)
	src.add(general, "two", now.Add(-time.Minute), kindRec("b", "noise"), kindRec("a", "keep"), kindRec("e", "keep"))
	src.add(general, "three", now.Add(-2*time.Minute), kindRec("f", "noise")) // nothing of it is kept
	with := connectorConfig(src, general)
	with.Filters = filters(t, dropping("noise", "noise"), dropping("chatter", "chatter"))
	r.manager.Start(with)
	h.waitLanded(general, 3)
	first := h.total(general)
	checkSum(t, first, 9)
	if first.Filtered != 5 || first.Records != 2 || first.Duplicates != 1 || first.Malformed != 1 {
		t.Errorf("with the filters: %+v", first)
	}
	if n := h.once(); n != 3 {
		t.Errorf("%d records in the journal, want 3", n)
	}
	h.wantFilterCounts("c1", map[string]int64{"noise": 4, "chatter": 1})
	r.manager.Stop("c1")

	without := connectorConfig(src, general)
	without.Connector.ID, without.Connector.Name = "c2", "contoso-all"
	r.manager.Start(without)
	h.waitFor("the other connector", func() bool { return h.totalOf("c2", general).Landed == 3 })
	second := h.totalOf("c2", general)
	checkSum(t, second, 9)
	// Records that the first connector kept are duplicates; the malformed item has an id per connector.
	if second.Filtered != 0 || second.Records != 4 || second.Duplicates != 4 || second.Malformed != 1 {
		t.Errorf("without filters: %+v", second)
	}
	if n := h.once(); n != 8 {
		t.Errorf("%d records in the journal, want 8", n)
	}
	h.wantFilterCounts("c2", nil)
	r.stop()
	want := `# HELP sluice_filtered_records_total Records that log filters dropped, by filter.
# TYPE sluice_filtered_records_total counter
sluice_filtered_records_total{connector="contoso",content_type="Audit.General",filter="chatter"} 1
sluice_filtered_records_total{connector="contoso",content_type="Audit.General",filter="noise"} 4
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "sluice_filtered_records_total"); err != nil {
		t.Error(err)
	}
}

// wantFilterCounts compares what the state database counts per filter.
func (h *harness) wantFilterCounts(connectorID string, want map[string]int64) {
	h.t.Helper()
	all, err := h.state.FilterCounts(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	got := map[string]int64{}
	for _, c := range all {
		if c.ConnectorID == connectorID && c.ContentType == general {
			got[c.Filter] = c.Records
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) && len(got)+len(want) > 0 {
		h.t.Errorf("filters of %s dropped %v, want %v", connectorID, got, want)
	}
}

// TestFiltersSeeCoreFields: the tenant, the content type and what a search calls srcip are known to a filter.
func TestFiltersSeeCoreFields(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	src := newFakeSource()
	src.add(general, "one", time.Now().Add(-time.Hour),
		rec("a", `,"ClientIP":"10.1.2.3"`), rec("b", `,"ClientIP":"192.0.2.1"`), rec("c", `,"ClientIP":"10.9.9.9:443"`))
	cfg := connectorConfig(src, general)
	cfg.Filters = filters(t, filter.Spec{Name: "inside", Conditions: []filter.Condition{
		{Field: "srcip", Operator: filter.CIDR, Values: []string{"10.0.0.0/8"}},
		{Field: "tenant_name", Operator: filter.Equals, Values: []string{"Contoso"}},
		{Field: "content.type", Operator: filter.Equals, Values: []string{general}},
		{Field: "connector.name", Operator: filter.Equals, Values: []string{"contoso"}},
		{Field: "content.id", Operator: filter.Equals, Values: []string{"one"}},
	}})
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	total := h.total(general)
	checkSum(t, total, 3)
	if total.Filtered != 2 || total.Records != 1 {
		t.Errorf("%+v", total)
	}
}

// TestIncludeFilterKeepsMalformedItems: quarantine is not the business of filters.
func TestIncludeFilterKeepsMalformedItems(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	src := newFakeSource()
	src.add(general, "one", time.Now().Add(-time.Hour), kindRec("a", "keep"), kindRec("b", "other"), `[1]`, rec("", ""))
	only := dropping("only", "keep")
	only.Mode = filter.Include
	cfg := connectorConfig(src, general)
	cfg.Filters = filters(t, only)
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	total := h.total(general)
	checkSum(t, total, 4)
	malformed := 0
	for _, rec := range h.records() {
		if rec.Index == record.Quarantine {
			malformed++
		}
	}
	if total.Filtered == 0 || int64(malformed) != total.Malformed || malformed == 0 {
		t.Errorf("%+v, %d in quarantine", total, malformed)
	}
}

// TestLargeUnitsAreFilteredInParts: a body that is handed over in parts counts what was dropped from each.
func TestLargeUnitsAreFilteredInParts(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	src := newFakeSource()
	var bodies []string
	filler := strings.Repeat("x", 60<<10)
	for i := range 150 {
		kind := "keep"
		if i%3 == 0 {
			kind = "noise"
		}
		bodies = append(bodies, rec(fmt.Sprint("r", i), fmt.Sprintf(`,"Kind":%q,"Filler":%q`, kind, filler)))
	}
	src.add(general, "one", time.Now().Add(-time.Hour), bodies...)
	cfg := connectorConfig(src, general)
	cfg.Filters = filters(t, dropping("noise", "noise"))
	r.manager.Start(cfg)
	h.waitLanded(general, 1)
	total := h.total(general)
	checkSum(t, total, 150)
	if total.Filtered != 50 || total.Records != 100 {
		t.Errorf("%+v", total)
	}
	if whole := int64(len(strings.Join(bodies, ""))); total.Bytes != whole {
		t.Errorf("%d bytes fetched according to the ledger, want %d", total.Bytes, whole)
	}
	h.wantFilterCounts("c1", map[string]int64{"noise": 50})
}

func TestReleased(t *testing.T) {
	for _, tt := range []struct {
		name      string
		before    int64 // filtered, over all looks
		looks     int
		now, want int64
	}{
		{"no filter", 0, 0, 0, 0},
		{"the same filter", 10, 0, 10, 0},
		{"the same filter, third look", 20, 1, 10, 0},
		{"removed", 10, 0, 0, 10},
		{"removed, third look", 20, 1, 0, 10},
		{"added", 0, 0, 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := released(&state.LedgerUnit{Filtered: tt.before, Looks: tt.looks}, tt.now); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
