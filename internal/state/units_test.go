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
		want := changed // the newest listing knows best where an open unit is
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

// TestFailLeavesWhatIsComplete: somebody else has read the unit to its end meanwhile, as the runner of the settings before.
func TestFailLeavesWhatIsComplete(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2)
		landed, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		confirm(t, s, term, landed, 1)
		open, _ := begin(t, s, term, []int{2}, state.UnitCount{Unit: ids[1], Records: 1, Complete: true})
		if err := s.FailUnits(t.Context(), term, []state.UnitFailure{{ID: ids[0], State: state.Lost}, {ID: ids[1], State: state.Lost}}); err != nil {
			t.Fatal(err)
		}
		if got := total(t, s, "c1"); got.Landed != 1 || got.Pending != 1 || got.Lost != 0 {
			t.Errorf("total %+v", got)
		}
		confirm(t, s, term, open, 2)
		for _, id := range ids {
			if u := unit(t, s, id); u.State != state.Landed || u.Attempt != 0 {
				t.Errorf("unit %+v, want landed without a failure", u)
			}
		}
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3, 4, 5)
		add(t, s, term, "c2", 1)
		far := time.Now().AddDate(10, 0, 0)
		fail := func() {
			t.Helper()
			if err := s.FailUnits(ctx, term, []state.UnitFailure{
				{ID: ids[0], State: state.Retrying, NextTry: far},
				{ID: ids[1], State: state.Retrying, NextTry: far},
				{ID: ids[2], State: state.Lost},
				{ID: ids[3], State: state.Lost},
			}); err != nil {
				t.Fatal(err)
			}
		}
		for i, tt := range []struct {
			name              string
			connector, feed   string
			ids               []record.UnitID
			lostToo           bool
			changed, due, was int64
		}{
			{"all retrying", "c1", "", nil, false, 2, 3, 2},
			{"all retrying and lost", "c1", feedType, nil, true, 4, 5, 0},
			{"another content type", "c1", "DLP.All", nil, true, 0, 1, 2},
			{"another connector", "c2", "", nil, true, 0, 1, 2},
			{"one retrying", "c1", "", ids[:1], false, 1, 2, 2},
			{"one of each", "c1", feedType, []record.UnitID{ids[0], ids[2], ids[4]}, true, 2, 3, 1},
			{"lost ones without asking", "c1", "", ids[2:4], false, 0, 1, 2},
			{"ids of another connector", "c2", "", ids[:4], true, 0, 1, 2},
			{"ids of another content type", "c1", "DLP.All", ids[:4], true, 0, 1, 2},
		} {
			fail()
			n, err := s.Retry(ctx, term, tt.connector, tt.feed, tt.ids, tt.lostToo)
			if err != nil || n != tt.changed {
				t.Errorf("%s: %d changed, %v; want %d", tt.name, n, err, tt.changed)
			}
			if got := int64(len(due(t, s, "c1"))); got != tt.due {
				t.Errorf("%s: %d due, want %d", tt.name, got, tt.due)
			}
			if got := total(t, s, "c1"); got.Lost != tt.was || got.Pending != 5-tt.was {
				t.Errorf("%s: total %+v", tt.name, got)
			}
			if u := unit(t, s, ids[0]); u.Attempt != i+1 {
				t.Errorf("%s: attempt %d, want %d", tt.name, u.Attempt, i+1)
			}
		}
		_, err := s.Retry(ctx, term, "c1", "", []record.UnitID{{9}}, true)
		wantKind(t, err, fault.NotFound)
		// A unit that only waits for its batch lands with it.
		fail()
		b, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		if n, err := s.Retry(ctx, term, "c1", "", ids[:1], true); err != nil || n != 0 {
			t.Errorf("%d changed, %v; want none", n, err)
		}
		confirm(t, s, term, b, 1)
		if u := unit(t, s, ids[0]); u.State != state.Landed {
			t.Errorf("unit is %s, want landed", u.State)
		}
	})
}

func TestOrdersAndPages(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 5, 3, 1, 4, 2, 6)
		add(t, s, term, "c2", 1, 2, 3)
		if err := s.FailUnits(ctx, term, []state.UnitFailure{{ID: ids[5], State: state.Retrying}, {ID: ids[0], State: state.Lost}}); err != nil {
			t.Fatal(err)
		}
		want := func(what string, list []state.LedgerUnit, err error, keys ...string) {
			t.Helper()
			var got []string
			for _, u := range list {
				got = append(got, u.Key)
			}
			if err != nil || !slices.Equal(got, keys) {
				t.Errorf("%s: %q, %v; want %q", what, got, err, keys)
			}
		}
		list, err := s.NewestDue(ctx, "c1", feedType, 2)
		want("newest due", list, err, "unit-4", "unit-3")
		list, err = s.NewestDue(ctx, "nobody", feedType, 2)
		want("newest due of nobody", list, err)
		from, to := unitOf(2).Created, unitOf(6).Created
		list, err = s.UnitsBetween(ctx, "c1", feedType, from, to, state.UnitCursor{}, 3)
		want("first page", list, err, "unit-2", "unit-3", "unit-4")
		list, err = s.UnitsBetween(ctx, "c1", feedType, from, to, list[2].Cursor(), 3)
		want("second page", list, err, "unit-5")
		list, err = s.UnitsBetween(ctx, "c1", feedType, time.Time{}, time.Time{}, state.UnitCursor{}, 10)
		want("all", list, err, "unit-1", "unit-2", "unit-3", "unit-4", "unit-5", "unit-6")
		list, err = s.Units(ctx, state.UnitFilter{ConnectorID: "c1", From: from, To: to, Limit: 2})
		want("filter", list, err, "unit-2", "unit-3")
		list, err = s.Units(ctx, state.UnitFilter{ConnectorID: "c1", From: from, To: to, After: list[1].Cursor()})
		want("filter, second page", list, err, "unit-4", "unit-5")
		// Units created at the same time are told apart by their ids.
		same := make([]record.Unit, 7)
		for i := range same {
			same[i] = unitOf(100)
			same[i].Key = "same " + string(rune('a'+i))
		}
		if _, err := s.AddUnits(ctx, term, "c1", same); err != nil {
			t.Fatal(err)
		}
		seen, cursor := map[string]bool{}, state.UnitCursor{}
		for {
			list, err = s.UnitsBetween(ctx, "c1", feedType, unitOf(100).Created, time.Time{}, cursor, 2)
			if err != nil || len(list) == 0 {
				break
			}
			for _, u := range list {
				seen[u.Key] = true
			}
			cursor = list[len(list)-1].Cursor()
		}
		if err != nil || len(seen) != len(same) {
			t.Errorf("pages show %d units, %v; want %d", len(seen), err, len(same))
		}
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

func TestFindUnits(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3, 4, 5, 6, 7, 8)
		add(t, s, term, "c2", 1)
		for prefix, want := range map[string]int{
			"": 8, ids[0].String(): 1, ids[0].String()[:9]: 1, ids[0].String() + "0": 0, "xyz": 0,
		} {
			if list, err := s.UnitsByPrefix(ctx, "c1", prefix, 100); err != nil || len(list) != want {
				t.Errorf("units with the prefix %q: %d, %v; want %d", prefix, len(list), err, want)
			}
		}
		if list, err := s.UnitsByPrefix(ctx, "c1", "", 3); err != nil || len(list) != 3 {
			t.Errorf("%d units, %v; want the limit of 3", len(list), err)
		}
		b1, _ := begin(t, s, term, nil, state.UnitCount{Unit: ids[0], Records: 5, Malformed: 1, Duplicates: 3})
		confirm(t, s, term, b1, 1)
		b2, _ := begin(t, s, term, nil, state.UnitCount{Unit: ids[1], Records: 7})
		confirm(t, s, term, b2, 2)
		begin(t, s, term, nil, state.UnitCount{Unit: ids[2], Records: 9}) // open
		for after, want := range map[uint64]int64{0: 13, 1: 7, 2: 0} {
			if n, err := s.UnsettledRecords(ctx, state.Position{Stream: "s1", Seq: after}); err != nil || n != want {
				t.Errorf("%d records behind %d, %v; want %d", n, after, err, want)
			}
		}
	})
}
