package state_test

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

const importID = "import:office365:Contoso"

// TestErasure: what the ledger has of a tenant goes, what it has of others stays, and the generation rises.
func TestErasure(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		connectors := map[string]string{"c1": "Contoso", "c2": "Contoso", "c3": "Fabrikam"}
		for id, tenant := range connectors {
			if _, err := s.CreateConnector(ctx, state.Connector{ID: id, Name: "connector " + id, TenantName: tenant, DirectoryID: "d-" + id}, "test"); err != nil {
				t.Fatal(err)
			}
		}
		land := func(connector string, first, seq int) {
			for i, id := range add(t, s, term, connector, first, first+1, first+100) {
				b, _ := begin(t, s, term, []int{10*seq + i}, state.UnitCount{Unit: id, Records: 1, Complete: true})
				confirm(t, s, term, b, uint64(10*seq+i))
			}
		}
		land("c1", 1, 1)
		land("c2", 1, 2)
		land("c3", 1, 3)
		land(importID, 1, 4)
		settle(t, s, term, 35)
		if _, err := s.Fold(ctx, term, time.Now().AddDate(1, 0, 0), 0); err != nil {
			t.Fatal(err)
		}
		step(t, s, term, func(st *state.Step) error {
			return st.AddGap(state.Gap{ConnectorID: "c1", ContentType: feedType, From: day, To: day.Add(time.Hour), Reason: "outage", NoticedAt: day})
		})
		if err := s.PutImportJob(ctx, state.ImportJob{ID: "j1", TenantName: "Contoso"}); err != nil {
			t.Fatal(err)
		}
		if err := s.PutImportJob(ctx, state.ImportJob{ID: "j2", TenantName: "Fabrikam"}); err != nil {
			t.Fatal(err)
		}
		before := total(t, s, "c3")

		erase := func() (state.Erasure, error) {
			return s.BeginErasure(ctx, term, "Contoso", []string{importID})
		}
		_, err := erase()
		wantKind(t, err, fault.Conflict, "connector c1, connector c2")
		for _, id := range []string{"c1", "c2"} {
			if err := s.DeleteConnector(ctx, "connector "+id, "test"); err != nil {
				t.Fatal(err)
			}
		}
		_, err = erase()
		wantKind(t, err, fault.Unavailable, "does not have all records")
		if got := total(t, s, importID); got.Landed != 3 {
			t.Errorf("an erasure that was refused changed %+v", got)
		}
		settle(t, s, term, 50)
		first, err := erase()
		want := state.Erasure{TenantName: "Contoso", Generation: 1, Seq: 42, At: first.At, Pending: true}
		if err != nil || first != want || first.At.IsZero() {
			t.Fatalf("%+v, %v; want %+v", first, err, want)
		}
		for _, id := range []string{"c1", "c2", importID} {
			if got := total(t, s, id); got.Listed+got.Landed+got.Records != 0 {
				t.Errorf("%s: %+v is left", id, got)
			}
			for _, n := range []int{1, 2, 101} {
				_, err := s.Unit(ctx, unitOf(n).ID(id))
				wantKind(t, err, fault.NotFound)
			}
			if hours, err := s.Hours(ctx, id, feedType, day, day.Add(24*time.Hour)); err != nil || len(hours) != 0 {
				t.Errorf("%s: hours %+v, %v are left", id, hours, err)
			}
		}
		if gaps, err := s.Gaps(ctx, ""); err != nil || len(gaps) != 0 {
			t.Errorf("gaps %+v, %v are left", gaps, err)
		}
		if jobs, err := s.ImportJobs(ctx, 10); err != nil || len(jobs) != 1 || jobs[0].ID != "j2" {
			t.Errorf("import jobs %+v, %v", jobs, err)
		}
		if got := total(t, s, "c3"); got != before {
			t.Errorf("another tenant: %+v, want %+v", got, before)
		}
		if hours, err := s.Hours(ctx, "c3", feedType, day, day.Add(24*time.Hour)); err != nil || len(hours) == 0 {
			t.Errorf("another tenant: hours %+v, %v", hours, err)
		}
		if err := s.BindDirectory(ctx, "d-c1", "Fabrikam"); err != nil {
			t.Errorf("the directory of an erased tenant: %v", err)
		}

		land(importID, 1, 6) // once more, into the same feed
		if got := total(t, s, importID); got.Landed != 3 || got.Records != 3 {
			t.Errorf("imported again: %+v", got)
		}
		settle(t, s, term, 70)
		again, err := erase()
		if err != nil || again.Generation != 2 {
			t.Fatalf("%+v, %v", again, err)
		}
		if err := s.EndErasure(ctx, term, first); err != nil { // the first one, too late
			t.Fatal(err)
		}
		if got, err := s.Erasures(ctx); err != nil || !slices.Equal(got, []state.Erasure{again}) {
			t.Errorf("%+v, %v; want %+v", got, err, again)
		}
		if err := s.EndErasure(ctx, term, again); err != nil {
			t.Fatal(err)
		}
		again.Pending = false
		if got, err := s.Erasures(ctx); err != nil || !slices.Equal(got, []state.Erasure{again}) {
			t.Errorf("%+v, %v; want %+v", got, err, again)
		}
		if changed, err := s.Recount(ctx, term); err != nil || len(changed) != 0 {
			t.Errorf("totals that were wrong: %+v, %v", changed, err)
		}
	})
}

// TestErasureInChunks: a ledger that is larger than a transaction may be.
func TestErasureInChunks(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		numbers := make([]int, 4500)
		for i := range numbers {
			numbers[i] = i
		}
		add(t, s, term, importID, numbers...)
		add(t, s, term, "c9", 1, 2, 3)
		if _, err := s.BeginErasure(t.Context(), term, "Contoso", []string{importID}); err != nil {
			t.Fatal(err)
		}
		if left := due(t, s, importID); len(left) != 0 {
			t.Errorf("%d units are left", len(left))
		}
		if left := due(t, s, "c9"); len(left) != 3 {
			t.Errorf("%d units of another tenant are left, want 3", len(left))
		}
	})
}
