package state_test

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func TestLedger(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		many := make([]record.Unit, 100)
		for i := range many {
			many[i] = unitOf(100 - i)
		}
		many = append(many, unitOf(7))
		n, err := s.AddUnits(ctx, term, "c1", many)
		if err != nil || n != 100 {
			t.Fatalf("added %d, %v; want 100", n, err)
		}
		changed := unitOf(7)
		changed.URI = "https://elsewhere"
		n, err = s.AddUnits(ctx, term, "c1", []record.Unit{changed, unitOf(101)})
		if err != nil || n != 1 {
			t.Fatalf("added %d, %v; want 1", n, err)
		}
		want := unitOf(7)
		u := unit(t, s, want.ID("c1"))
		if u.Unit != want || u.ConnectorID != "c1" || u.State != state.Listed || u.ListedAt.IsZero() {
			t.Errorf("unit %+v, want %+v", u, want)
		}
		_, err = s.Unit(ctx, record.UnitID{})
		wantKind(t, err, fault.NotFound)
		due, err := s.DueUnits(ctx, "c1", feedType, day, 3)
		if err != nil || len(due) != 3 || due[0].Key != "unit-1" || due[2].Key != "unit-3" {
			t.Errorf("due %+v, %v", due, err)
		}
		if got := total(t, s, "c1"); got.Listed != 101 || got.Pending != 101 || !got.OldestOpen.Equal(unitOf(1).Created) {
			t.Errorf("total %+v", got)
		}
		list, err := s.Units(ctx, state.UnitFilter{ContentType: feedType, States: []state.UnitState{state.Listed, state.Lost}, Limit: 2})
		if err != nil || len(list) != 2 || list[1].Key != "unit-2" {
			t.Errorf("units %+v, %v", list, err)
		}
		if list, err = s.Units(ctx, state.UnitFilter{States: []state.UnitState{state.Landed}}); err != nil || len(list) != 0 {
			t.Errorf("landed units %+v, %v", list, err)
		}
		ids := make([]record.UnitID, 0, 300)
		for i := range 300 {
			ids = append(ids, unitOf(i).ID("c1"))
		}
		if list, err = s.UnitsByID(ctx, ids); err != nil || len(list) != 101 {
			t.Errorf("%d units by id, %v; want 101", len(list), err)
		}
	})
}

func TestUnitTextIsMadeStorable(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		u := unitOf(1)
		u.ContentID = "a\x00b\xff"
		if _, err := s.AddUnits(t.Context(), term, "c1", []record.Unit{u}); err != nil {
			t.Fatal(err)
		}
		id := u.ID("c1")
		if err := s.FailUnits(t.Context(), term, []state.UnitFailure{{ID: id, State: state.Retrying, Text: "x\x00y"}}); err != nil {
			t.Fatal(err)
		}
		if got := unit(t, s, id); got.ContentID != "a\ufffdb\ufffd" || got.ErrorText != "x\ufffdy" {
			t.Errorf("stored %q and %q", got.ContentID, got.ErrorText)
		}
	})
}

func TestFailAndRetry(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3)
		if at, ok, err := s.NextDue(ctx, "c1", feedType); err != nil || !ok || time.Since(at).Abs() > time.Hour {
			t.Errorf("next due %s, %t, %v; want now", at, ok, err)
		}
		later := day.Add(time.Hour)
		failures := []state.UnitFailure{
			{ID: ids[0], State: state.Retrying, NextTry: later.Add(time.Minute), Kind: fault.Throttled, Text: "429"},
			{ID: ids[1], State: state.Retrying, NextTry: later, Kind: fault.Unavailable, Text: "503"},
			{ID: ids[2], State: state.Lost, NextTry: later, Kind: fault.Gone, Text: "expired"},
		}
		if err := s.FailUnits(ctx, term, failures); err != nil {
			t.Fatal(err)
		}
		u := unit(t, s, ids[0])
		if u.State != state.Retrying || u.Attempt != 1 || !u.NextTry.Equal(later.Add(time.Minute)) || u.ErrorKind != fault.Throttled || u.ErrorText != "429" {
			t.Errorf("unit %+v", u)
		}
		if u := unit(t, s, ids[2]); u.State != state.Lost || !u.NextTry.IsZero() {
			t.Errorf("unit %+v", u)
		}
		if got := total(t, s, "c1"); got.Pending != 2 || got.Lost != 1 || got.Listed != 3 {
			t.Errorf("total %+v", got)
		}
		if at, ok, err := s.NextDue(ctx, "c1", feedType); err != nil || !ok || !at.Equal(later) {
			t.Errorf("next due %s, %t, %v; want %s", at, ok, err, later)
		}
		for _, tt := range []struct {
			at   time.Time
			want []record.UnitID
		}{
			{later.Add(-time.Microsecond), nil},
			{later, ids[1:2]},
			{later.Add(time.Hour), ids[:2]},
		} {
			due, err := s.DueUnits(ctx, "c1", feedType, tt.at, 10)
			var got []record.UnitID
			for _, u := range due {
				got = append(got, u.ID)
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("due at %s: %v, %v; want %v", tt.at, got, err, tt.want)
			}
		}
		newestDone, oldestOpen, err := s.Mark(ctx, "c1", feedType)
		if err != nil || !newestDone.Equal(unitOf(3).Created) || !oldestOpen.Equal(unitOf(1).Created) {
			t.Errorf("mark %s, %s, %v", newestDone, oldestOpen, err)
		}
		wantKind(t, s.FailUnits(ctx, term, []state.UnitFailure{{ID: record.UnitID{9}, State: state.Lost}}), fault.NotFound)
		wantKind(t, s.FailUnits(ctx, term, []state.UnitFailure{{ID: ids[0], State: state.Landed}}), fault.Internal)
	})
}

func TestRequeue(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3, 4)
		far := time.Now().AddDate(10, 0, 0)
		if err := s.FailUnits(ctx, term, []state.UnitFailure{
			{ID: ids[0], State: state.Retrying, NextTry: far}, {ID: ids[1], State: state.Retrying, NextTry: far}, {ID: ids[2], State: state.Lost},
		}); err != nil {
			t.Fatal(err)
		}
		requeue := func(unit *record.UnitID, want int) {
			t.Helper()
			if n, err := s.Requeue(ctx, term, "c1", unit); err != nil || n != want {
				t.Errorf("queued %d, %v; want %d", n, err, want)
			}
		}
		if n, err := s.Requeue(ctx, term, "c2", nil); err != nil || n != 0 {
			t.Errorf("queued %d, %v of another connector", n, err)
		}
		requeue(nil, 2)
		due, err := s.DueUnits(ctx, "c1", feedType, time.Now(), 10)
		if err != nil || len(due) != 3 {
			t.Errorf("due %+v, %v; want units 1, 2 and 4", due, err)
		}
		requeue(&ids[2], 1)
		requeue(&ids[3], 1)
		if got := total(t, s, "c1"); got.Lost != 0 || got.Pending != 4 {
			t.Errorf("total %+v", got)
		}
		// A unit that only waits for its batch lands with it; one that landed is fetched again when asked for.
		b, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		requeue(&ids[0], 0)
		confirm(t, s, term, b, 1)
		if u := unit(t, s, ids[0]); u.State != state.Landed {
			t.Errorf("unit is %s, want landed", u.State)
		}
		requeue(&ids[0], 1)
		if u := unit(t, s, ids[0]); u.State != state.Retrying {
			t.Errorf("unit is %s, want retrying", u.State)
		}
		_, err = s.Requeue(ctx, term, "c2", &ids[0])
		wantKind(t, err, fault.NotFound)
	})
}

func TestEmptyFeed(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		if due, err := s.DueUnits(ctx, "c1", feedType, day, 5); err != nil || due != nil {
			t.Errorf("due %v, %v", due, err)
		}
		if _, ok, err := s.NextDue(ctx, "c1", feedType); err != nil || ok {
			t.Errorf("next due %t, %v", ok, err)
		}
		if a, b, err := s.Mark(ctx, "c1", feedType); err != nil || !a.IsZero() || !b.IsZero() {
			t.Errorf("mark %s, %s, %v", a, b, err)
		}
		if pos, err := s.LastConfirmed(ctx, subject); err != nil || pos != (state.Position{}) {
			t.Errorf("position %v, %v", pos, err)
		}
	})
}
