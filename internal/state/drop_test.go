package state_test

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func dropped(id record.UnitID, created time.Time, rows int64, sum uint64) state.DroppedUnit {
	return state.DroppedUnit{ID: id, ConnectorID: "c1", ContentType: feedType, Created: created, Rows: rows, IDSum: sum}
}

// TestDropped: what retention removes is counted once, in the unit or in the hour that it was folded into, and moves with
// the unit.
func TestDropped(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 70)
		for i, id := range ids {
			b, _ := begin(t, s, term, []int{i}, state.UnitCount{Unit: id, Records: 3, IDSum: 1 << i, Complete: true})
			confirm(t, s, term, b, uint64(i+1))
		}
		settle(t, s, term, 2) // the batch of the third unit is not settled: it is not folded
		if n, err := s.Fold(ctx, term, time.Now().AddDate(1, 0, 0), 0); err != nil || n != 2 {
			t.Fatalf("folded %d, %v", n, err)
		}
		before := total(t, s, "c1")
		first, second := state.DropMark{Before: day, Seq: 3}, state.DropMark{Before: day.Add(time.Hour), Seq: 3}
		unknown, stranger := add(t, s, term, "c2", 9)[0], dropped(unitOf(99).ID("c9"), day, 5, 5)
		stranger.ConnectorID = "c9"
		step(t, s, term, func(st *state.Step) error {
			return st.Dropped(state.DropMark{}, first, []state.DroppedUnit{
				dropped(ids[0], unitOf(1).Created, 1, 8), dropped(ids[1], unitOf(2).Created, 2, 16), dropped(ids[2], unitOf(70).Created, 1, 32), stranger,
			})
		})
		step(t, s, term, func(st *state.Step) error {
			return st.Dropped(first, second, []state.DroppedUnit{dropped(ids[2], unitOf(70).Created, 1, 64)})
		})
		if mark, err := s.DropMark(ctx); err != nil || mark != second {
			t.Errorf("mark %+v, %v; want %+v", mark, err, second)
		}
		if u := unit(t, s, ids[2]); u.DroppedRecords != 2 || u.DroppedSum != 32|64 || u.Records != 3 {
			t.Errorf("%+v", u)
		}
		if u := unit(t, s, unknown); u.DroppedRecords != 0 {
			t.Errorf("a unit of which nothing was dropped: %+v", u)
		}
		hours := func() []state.Hour {
			list, err := s.Hours(ctx, "c1", feedType, day, day.Add(2*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		want := []state.Hour{{Start: day, Units: 2, Records: 6, IDSum: 3, DroppedRecords: 3, DroppedSum: 8 | 16}}
		if got := hours(); !slices.Equal(got, want) {
			t.Errorf("hours %+v, want %+v", got, want)
		}
		if got := total(t, s, "c1"); got != before {
			t.Errorf("total %+v, want %+v: it counts what ever landed", got, before)
		}
		settle(t, s, term, 3)
		if n, err := s.Fold(ctx, term, time.Now().AddDate(1, 0, 0), 0); err != nil || n != 1 {
			t.Fatalf("folded %d, %v", n, err)
		}
		want = append(want, state.Hour{Start: day.Add(time.Hour), Units: 1, Records: 3, IDSum: 4, DroppedRecords: 2, DroppedSum: 32 | 64})
		if got := hours(); !slices.Equal(got, want) {
			t.Errorf("hours %+v, want %+v", got, want)
		}
	})
}

// TestDroppedRefuses: who counted under another mark, or wants to go back, changes nothing.
func TestDroppedRefuses(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		mark := state.DropMark{Before: day, Seq: 7}
		step(t, s, term, func(st *state.Step) error { return st.Dropped(state.DropMark{}, mark, nil) })
		for _, tt := range []struct {
			name     string
			from, to state.DropMark
			kind     fault.Kind
		}{
			{"counted twice", state.DropMark{}, mark, fault.Conflict},
			{"another time", state.DropMark{Before: day.Add(-time.Second), Seq: 7}, mark, fault.Conflict},
			{"back in time", mark, state.DropMark{Before: day.Add(-time.Second), Seq: 9}, fault.Internal},
			{"back in the journal", mark, state.DropMark{Before: day.Add(time.Hour), Seq: 6}, fault.Internal},
		} {
			err := s.Step(ctx, term, func(st *state.Step) error {
				return st.Dropped(tt.from, tt.to, []state.DroppedUnit{dropped(id, day, 1, 1)})
			})
			if !fault.Is(err, tt.kind) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.kind)
			}
		}
		if got, err := s.DropMark(ctx); err != nil || got != mark {
			t.Errorf("mark %+v, %v; want %+v", got, err, mark)
		}
		if u := unit(t, s, id); u.DroppedRecords != 0 {
			t.Errorf("%+v", u)
		}
	})
}

// TestHealForgetsWhatWasDropped: it may land again.
func TestHealForgetsWhatWasDropped(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		b, _ := begin(t, s, term, []int{1, 2, 3}, state.UnitCount{Unit: id, Records: 3, IDSum: 7, Complete: true})
		confirm(t, s, term, b, 1)
		settle(t, s, term, 1)
		step(t, s, term, func(st *state.Step) error {
			return st.Dropped(state.DropMark{}, state.DropMark{Before: day, Seq: 1}, []state.DroppedUnit{dropped(id, day, 1, 1)})
		})
		step(t, s, term, func(st *state.Step) error { return st.Heal([]state.HealUnit{{ID: id, Records: 1, IDSum: 2}}) })
		if u := unit(t, s, id); u.State != state.Listed || u.Records != 1 || u.IDSum != 2 || u.DroppedRecords != 0 || u.DroppedSum != 0 {
			t.Errorf("%+v", u)
		}
	})
}
