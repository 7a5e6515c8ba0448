package state_test

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func TestSettle(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3)
		var numbers []int64
		for i, id := range ids {
			b, _ := begin(t, s, term, []int{i}, state.UnitCount{Unit: id, Records: 1, Complete: true})
			confirm(t, s, term, b, uint64(10+i))
			numbers = append(numbers, b)
		}
		left := func(want ...int64) {
			t.Helper()
			var got []int64
			for _, b := range published(t, s) {
				got = append(got, b.Number)
			}
			if !slices.Equal(got, want) {
				t.Errorf("published %v, want %v", got, want)
			}
		}
		if pos, err := s.LastSettled(ctx, subject); err != nil || pos != (state.Position{}) {
			t.Errorf("last settled %+v, %v; want none", pos, err)
		}
		settle(t, s, term, 9)
		left(numbers...)
		step(t, s, term, func(st *state.Step) error { return st.Settle(state.Position{Stream: "other", Seq: 100}) })
		left(numbers...)
		settle(t, s, term, 11)
		left(numbers[2])
		settle(t, s, term, 3)
		if pos, err := s.LastSettled(ctx, subject); err != nil || pos != (state.Position{Stream: "s1", Seq: 11}) {
			t.Errorf("last settled %+v, %v; want s1/11", pos, err)
		}
		if pos, err := s.LastConfirmed(ctx, subject); err != nil || pos.Seq != 12 {
			t.Errorf("last confirmed %+v, %v; want 12", pos, err)
		}
		wantKind(t, s.Step(ctx, term, func(st *state.Step) error { return st.Void(numbers[1]) }), fault.Conflict)
		void(t, s, term, numbers[2])
		for i, want := range []state.UnitState{state.Landed, state.Landed, state.Listed} {
			if u := unit(t, s, ids[i]); u.State != want {
				t.Errorf("unit %d is %s, want %s", i+1, u.State, want)
			}
		}
		var rows int
		if err := s.DB().QueryRowContext(ctx, "SELECT count(*) FROM batch_units").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows of batch_units are left, %v", rows, err)
		}
	})
}

// Another subject's batches are not settled by this one's position.
func TestSettleOfOneSubject(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		other, err := s.AcquireTerm(t.Context(), "other", "test", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := begin(t, s, other, []int{1})
		confirm(t, s, other, b, 1)
		settle(t, s, term, 5)
		if got := published(t, s); len(got) != 1 || got[0].Number != b {
			t.Errorf("published %+v, want batch %d", got, b)
		}
	})
}

// A unit that lost a record to a published batch lands at once, and is fetched again if that batch turns out to be lost.
func TestVoidOfPublishedBatchReopensThoseWhoLostRecordsToIt(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3)
		b1, _ := begin(t, s, term, []int{1, 2}, state.UnitCount{Unit: ids[0], Records: 2, IDSum: 6, Bytes: 9, Complete: true})
		confirm(t, s, term, b1, 1)
		b2, results := begin(t, s, term, []int{2, 3}, state.UnitCount{Unit: ids[1], Records: 1, IDSum: 5, Duplicates: 1, Complete: true})
		wantResults(t, results, duplicate, claimed)
		confirm(t, s, term, b2, 2)
		// All of the third are duplicates: nothing is published for it.
		b3, _ := begin(t, s, term, []int{1, 3}, state.UnitCount{Unit: ids[2], Duplicates: 2, Complete: true})
		confirm(t, s, term, b3, 0)
		if got := total(t, s, "c1"); got.Landed != 3 || got.Records != 3 {
			t.Fatalf("total %+v, want three landed units", got)
		}
		void(t, s, term, b1)
		for i, want := range []state.LedgerUnit{{}, {Records: 1, IDSum: 5, Duplicates: 1}, {Duplicates: 2}} {
			u := unit(t, s, ids[i])
			if u.State != state.Listed || u.Records != want.Records || u.IDSum != want.IDSum || u.Duplicates != want.Duplicates || u.Bytes != 0 || !u.AskLake {
				t.Errorf("unit %d after its batch became void: %+v", i+1, u)
			}
		}
		if got := total(t, s, "c1"); got.Landed != 0 || got.Pending != 3 || got.Records != 1 || got.Duplicates != 3 {
			t.Errorf("total %+v", got)
		}
		if got := published(t, s); len(got) != 1 || got[0].Number != b2 {
			t.Errorf("published %+v, want %d", got, b2)
		}
		b4, results := begin(t, s, term, []int{1, 2, 3}, state.UnitCount{Unit: ids[0], Records: 2, Complete: true, AskedLake: true})
		wantResults(t, results, claimed, claimed, duplicate)
		confirm(t, s, term, b4, 3)
		if u := unit(t, s, ids[0]); u.State != state.Landed || u.Records != 2 {
			t.Errorf("unit 1 %+v", u)
		}
	})
}

// A variant of an id that an open batch holds, and then the very content that it holds: the second one is a duplicate
// that has to wait.
func TestDuplicateBehindVariantWaits(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1)
		b1, _ := begin(t, s, term, []int{1})
		var b2 int64
		step(t, s, term, func(st *state.Step) (err error) {
			if b2, err = st.OpenBatch(); err != nil {
				return err
			}
			results, err := st.Claim(b2, []state.Claim{claimOf(1, 7), claimOf(1, 1)})
			if err != nil {
				return err
			}
			wantResults(t, results, variant, duplicate)
			return st.Count(b2, []state.UnitCount{{Unit: ids[0], Records: 1, Duplicates: 1, Complete: true}})
		})
		confirm(t, s, term, b2, 2)
		if u := unit(t, s, ids[0]); u.State != state.Listed {
			t.Fatalf("unit is %s, but its record is in the open batch %d", u.State, b1)
		}
		confirm(t, s, term, b1, 1)
		if u := unit(t, s, ids[0]); u.State != state.Landed {
			t.Fatalf("unit is %s, want landed", u.State)
		}
	})
}

// A step looks up only the batches that hold its ids: those of many, some of them void.
func TestManyVoidBatches(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ids := make([]int, 60)
		step(t, s, term, func(st *state.Step) error {
			for i := range ids {
				ids[i] = i
				b, err := st.OpenBatch()
				if err != nil {
					return err
				}
				if _, err := st.Claim(b, claims(i)); err != nil {
					return err
				}
				if i%3 == 0 {
					err = st.Void(b)
				} else {
					err = st.Confirm(b, state.Position{Stream: "s1", Seq: uint64(i + 1)})
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		settle(t, s, term, 30)
		_, results := begin(t, s, term, ids)
		for i, got := range results {
			want := duplicate
			if i%3 == 0 {
				want = claimed
			}
			if got != want {
				t.Errorf("record %d: %v, want %v", i, got, want)
			}
		}
	})
}

// A second look counts into a landed unit, which stays landed unless the new batch is lost.
func TestSecondLook(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3)
		for i, id := range ids[:2] {
			b, _ := begin(t, s, term, []int{i}, state.UnitCount{Unit: id, Records: 1, IDSum: 1, Complete: true})
			step(t, s, term, func(st *state.Step) error {
				if err := st.Confirm(b, state.Position{Stream: "s1", Seq: uint64(i + 1)}); err != nil {
					return err
				}
				return st.Look([]record.UnitID{id}, day.AddDate(0, 0, -i))
			})
		}
		step(t, s, term, func(st *state.Step) error { return st.Look(ids[2:], day) })
		want := func(keys ...string) {
			t.Helper()
			list, err := s.DueLooks(ctx, "c1", feedType, day, 10)
			var got []string
			for _, u := range list {
				got = append(got, u.Key)
			}
			if err != nil || !slices.Equal(got, keys) {
				t.Errorf("looks due %q, %v; want %q", got, err, keys)
			}
		}
		want("unit-2", "unit-1")
		landedAt := unit(t, s, ids[0]).LandedAt
		b, results := begin(t, s, term, []int{0, 9}, state.UnitCount{Unit: ids[0], Records: 1, IDSum: 2, Duplicates: 1, Complete: true})
		wantResults(t, results, duplicate, claimed)
		if u := unit(t, s, ids[0]); u.State != state.Landed || u.Records != 2 || u.IDSum != 3 {
			t.Errorf("unit during the look: %+v", u)
		}
		if list := due(t, s, "c1"); len(list) != 1 {
			t.Errorf("due %+v, want unit 3 alone", list)
		}
		step(t, s, term, func(st *state.Step) error {
			if err := st.Confirm(b, state.Position{Stream: "s1", Seq: 3}); err != nil {
				return err
			}
			if err := st.Looked(ids[0], day.AddDate(0, 0, 1)); err != nil {
				return err
			}
			return st.Looked(ids[1], time.Time{})
		})
		want()
		u := unit(t, s, ids[0])
		if u.State != state.Landed || u.Looks != 1 || !u.LookAt.Equal(day.AddDate(0, 0, 1)) || !u.LandedAt.Equal(landedAt) || u.Seq != 3 {
			t.Errorf("unit after the look: %+v", u)
		}
		if got := total(t, s, "c1"); got.Landed != 2 || got.Records != 3 {
			t.Errorf("total %+v", got)
		}
		void(t, s, term, b)
		if u := unit(t, s, ids[0]); u.State != state.Listed || u.Records != 1 || u.IDSum != 1 {
			t.Errorf("unit after the look's batch became void: %+v", u)
		}
		unknown := record.UnitID{9}
		wantKind(t, s.Step(ctx, term, func(st *state.Step) error { return st.Looked(unknown, day) }), fault.NotFound)
		wantKind(t, s.Step(ctx, term, func(st *state.Step) error { return st.Look([]record.UnitID{unknown}, day) }), fault.NotFound)
	})
}
