package collect

import (
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

// tenantHarness has a connector of Contoso that collected two units with three records and a malformed item, and an import of
// Fabrikam. The connector was deleted again.
func tenantHarness(t *testing.T) (*harness, *fakeSource, *running) {
	t.Helper()
	h, src := newHarness(t), newFakeSource()
	if _, err := h.state.CreateConnector(t.Context(), state.Connector{ID: "c1", Name: "contoso", TenantName: "Contoso", DirectoryID: directory}, "test"); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	src.add(general, "1", now.Add(-2*time.Hour), rec("a", ""), rec("b", ""))
	src.add(general, "2", now.Add(-time.Hour), rec("b", ""), rec("c", ""), "no record")
	r := h.start()
	importOf(t, r, "Fabrikam", rec("x", ""))
	r.manager.Start(connectorConfig(src, general))
	h.waitLanded(general, 2)
	if _, err := r.publisher.BeginErasure(t.Context(), "Contoso"); !fault.Is(err, fault.Conflict) {
		t.Fatalf("erasing a tenant that is collected: %v", err)
	}
	r.manager.Remove(t.Context(), "c1")
	if err := h.state.DeleteConnector(t.Context(), "contoso", "test"); err != nil {
		t.Fatal(err)
	}
	return h, src, r
}

func importOf(t *testing.T, r *running, tenantName string, lines ...string) FileResult {
	t.Helper()
	got, err := r.manager.Import(t.Context(), ImportConnector("office365", tenantName, ""), t.Name()+time.Now().String(), "a.ndjson", itemsOf(lines...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (h *harness) erase(r *running) state.Erasure {
	h.t.Helper()
	erasure, err := r.publisher.BeginErasure(h.t.Context(), "Contoso")
	if err != nil {
		h.t.Fatal(err)
	}
	return erasure
}

// recollect makes a new connector of Contoso and waits until it has everything.
func (h *harness) recollect(r *running, src *fakeSource) {
	h.t.Helper()
	cfg := connectorConfig(src, general)
	cfg.Connector.ID = "c2"
	r.manager.Start(cfg)
	h.waitFor("what is collected anew", func() bool { return h.totalOf("c2", general).Landed == 2 })
	if total := h.totalOf("c2", general); total.Records != 3 || total.Duplicates != 1 || total.Malformed != 1 {
		h.t.Errorf("collected anew: %+v, want 3 records, a duplicate and a malformed item", total)
	}
}

// holds fails unless the lake holds what the two tenants have, each once.
func (h *harness) holds() {
	h.t.Helper()
	ids := h.lake.ids(h.t.Context())
	for id, n := range ids {
		if n != 1 {
			h.t.Errorf("%s is in the lake %d times", id, n)
		}
	}
	if len(ids) != 5 {
		h.t.Errorf("%d records in the lake, want 5: %v", len(ids), ids)
	}
}

// TestErasedDataLandAgain: after the data of a tenant were erased, everything can be collected and imported again, whether the
// rows are gone from the lake by then or not, and whether the index of ids knows the events or the lake is asked.
func TestErasedDataLandAgain(t *testing.T) {
	for name, finishFirst := range map[string]bool{"rows gone": true, "rows still there": false} {
		for index, pruned := range map[string]bool{"index": false, "lake asked": true} {
			t.Run(name+", "+index, func(t *testing.T) {
				h, src, r := tenantHarness(t)
				h.erase(r)
				if total := h.total(general); total.Listed != 0 {
					t.Errorf("the ledger still has %+v", total)
				}
				if pruned {
					if _, err := h.state.Prune(t.Context(), r.publisher.term, time.Now(), 0); err != nil {
						t.Fatal(err)
					}
				}
				finish := func() {
					if n, err := r.publisher.FinishErasures(t.Context()); err != nil || n != 4 {
						t.Errorf("%d records were erased, %v; want 4", n, err)
					}
				}
				if finishFirst {
					finish()
				}
				h.recollect(r, src)
				if !finishFirst {
					finish()
				}
				h.holds()
				again := importOf(t, r, "Contoso", rec("a", ""), rec("c", ""))
				if again.Duplicates != 2 {
					t.Errorf("imported what was collected anew: %+v, want duplicates", again.Counts)
				}
				if other := importOf(t, r, "Fabrikam", rec("x", "")); other.Duplicates != 1 {
					t.Errorf("imported what another tenant has: %+v, want a duplicate", other.Counts)
				}
				h.holds()
			})
		}
	}
}

// TestErasedDataLandAgainAfterARestart: the generation and the rows that are still to be erased are known to the next process,
// also where it has to read ids from the journal.
func TestErasedDataLandAgainAfterARestart(t *testing.T) {
	h, src, r := tenantHarness(t)
	h.erase(r)
	restore := h.copyState()
	h.recollect(r, src)
	r.stop()
	restore()
	r = h.start()
	if !r.publisher.Restored() {
		t.Error("nothing was read from the journal")
	}
	if again := importOf(t, r, "Contoso", rec("a", ""), rec("b", ""), rec("c", "")); again.Duplicates != 3 {
		t.Errorf("imported what was collected anew: %+v, want duplicates", again.Counts)
	}
	if n, err := r.publisher.FinishErasures(t.Context()); err != nil || n != 4 {
		t.Errorf("%d records were erased, %v; want 4", n, err)
	}
	h.holds()
	if n, err := r.publisher.FinishErasures(t.Context()); err != nil || n != 0 {
		t.Errorf("a second time: %d records, %v", n, err)
	}
}

// TestErasedTwice: what an older journal's copies of rows say never counts for a tenant that was erased since.
func TestErasedTwice(t *testing.T) {
	h, _, r := tenantHarness(t)
	first := h.erase(r)
	if got := importOf(t, r, "Contoso", rec("a", "")); got.Records != 1 {
		t.Errorf("imported again: %+v", got.Counts)
	}
	second := h.erase(r)
	if second.Generation != first.Generation+1 || second.Seq <= first.Seq {
		t.Errorf("%+v after %+v", second, first)
	}
	if got := importOf(t, r, "Contoso", rec("a", "")); got.Records != 1 {
		t.Errorf("imported a third time: %+v", got.Counts)
	}
	if n, err := r.publisher.FinishErasures(t.Context()); err != nil || n != 5 {
		t.Errorf("%d records were erased, %v; want 5", n, err)
	}
}

// TestFragmentsOfErasedDataAreRefused: what was read before an erasure and arrives behind it does not land under claims that
// nobody finds any more.
func TestFragmentsOfErasedDataAreRefused(t *testing.T) {
	h, src, r := tenantHarness(t)
	late := wholeFragment(src.units[0], "a", "b")
	h.erase(r)
	done := make(chan error, 1)
	late.done = func(_ Counts, err error) { done <- err }
	if err := r.publisher.submit(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	var err error
	h.waitFor("the refusal", func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("%v, want fault.Conflict", err)
	}
	h.recollect(r, src)
}
