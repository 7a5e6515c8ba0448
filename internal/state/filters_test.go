package state_test

import (
	"context"
	"slices"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/state"
)

func TestFilterEntries(t *testing.T) {
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		created, err := s.PutFilter(ctx, state.Filter{Name: "noise", Spec: []byte(`{"a":1}`), Owner: "f.yaml"}, "f.yaml", "ignored")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateConnector(ctx, state.Connector{Name: "noise", TenantName: "T", Type: "x"}, "apply"); err != nil {
			t.Fatalf("a connector with the name of a filter: %v", err)
		}
		if _, err := s.PutFilter(ctx, state.Filter{Name: "Also", Spec: []byte(`{}`)}, "apply", ""); err != nil {
			t.Fatal(err)
		}
		changed, err := s.PutFilter(ctx, state.Filter{Name: "noise", Spec: []byte(`{"a":2}`)}, "apply", "conditions")
		if err != nil {
			t.Fatal(err)
		}
		if !changed.Created.Equal(created.Created) || changed.Updated.Before(created.Updated) {
			t.Errorf("created %v then %v, updated %v then %v", created.Created, changed.Created, created.Updated, changed.Updated)
		}
		list, err := s.Filters(ctx)
		if err != nil || len(list) != 2 || list[0].Name != "Also" || string(list[1].Spec) != `{"a":2}` || list[1].Owner != "" || !list[1].Created.Equal(created.Created) {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := s.DeleteFilter(ctx, "noise", "api"); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.DeleteFilter(ctx, "noise", "api"), fault.NotFound, "noise")
		history, err := s.FilterHistory(ctx, "noise")
		if err != nil {
			t.Fatal(err)
		}
		var what []string
		for _, c := range history {
			what = append(what, c.Actor+" "+c.What+" "+c.Detail)
		}
		if want := []string{"f.yaml created ", "apply updated conditions", "api deleted "}; !slices.Equal(what, want) {
			t.Errorf("history %q, want %q", what, want)
		}
		if of, err := s.History(ctx, "noise"); err != nil || len(of) != 1 {
			t.Errorf("the connector of that name has the history %+v, %v", of, err)
		}
	})
}

func TestTenantNames(t *testing.T) {
	contract(t, func(t *testing.T, s *state.Store) {
		if err := s.BindDirectory(t.Context(), "AAAA", "Contoso"); err != nil {
			t.Fatal(err)
		}
		names, err := s.TenantNames(t.Context())
		if err != nil || len(names) != 1 || names["aaaa"] != "Contoso" {
			t.Errorf("%v, %v", names, err)
		}
	})
}

// countFiltered begins a batch that dropped records of two units by filter.
func countFiltered(t *testing.T, s *state.Store, term state.Term, counts ...state.FilterCount) int64 {
	t.Helper()
	ids := add(t, s, term, "c1", 1, 2)
	n, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: ids[0], Records: 1, Filtered: 3}, state.UnitCount{Unit: ids[1], Filtered: 2})
	step(t, s, term, func(st *state.Step) error { return st.CountFiltered(n, counts) })
	return n
}

func filterCounts(t *testing.T, s *state.Store) map[string]int64 {
	t.Helper()
	list, err := s.FilterCounts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, c := range list {
		counts[c.ConnectorID+" "+c.ContentType+" "+c.Filter] = c.Records
	}
	return counts
}

func wantFiltered(t *testing.T, s *state.Store, a, b int64) {
	t.Helper()
	got := filterCounts(t, s)
	if got["c1 "+feedType+" a"] != a || got["c1 "+feedType+" b"] != b {
		t.Errorf("filters dropped %v, want a %d, b %d", got, a, b)
	}
	if sum := total(t, s, "c1").Filtered; sum != a+b {
		t.Errorf("the total says %d filtered, the filters %d", sum, a+b)
	}
}

func TestFilterCountsAreTakenBack(t *testing.T) {
	of := func(filter string, n int64) state.FilterCount {
		return state.FilterCount{ConnectorID: "c1", ContentType: feedType, Filter: filter, Records: n}
	}
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		first := countFiltered(t, s, term, of("a", 1), of("b", 2), of("a", 2))
		wantFiltered(t, s, 3, 2)
		confirm(t, s, term, first, 1)
		second := countFiltered(t, s, term, of("a", 5))
		wantFiltered(t, s, 8, 2)
		void(t, s, term, second)
		wantFiltered(t, s, 3, 2)
		void(t, s, term, first) // published, but lost by the journal
		wantFiltered(t, s, 0, 0)
	})
}

func TestFilterCountsStayWhenSettled(t *testing.T) {
	of := state.FilterCount{ConnectorID: "c1", ContentType: feedType, Filter: "a", Records: 5}
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		confirm(t, s, term, countFiltered(t, s, term, of), 1)
		settle(t, s, term, 1)
		wantFiltered(t, s, 5, 0)
		// A batch without records is never published and leaves nothing behind but its counts.
		empty := countFiltered(t, s, term, of)
		step(t, s, term, func(st *state.Step) error { return st.Confirm(empty, state.Position{}) })
		wantFiltered(t, s, 10, 0)
		var rows int
		if err := s.DB().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM batch_filters`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows of settled batches, %v", rows, err)
		}
		wantKind(t, s.Step(t.Context(), term, func(st *state.Step) error { return st.CountFiltered(empty, []state.FilterCount{of}) }), fault.Conflict)
	})
}
