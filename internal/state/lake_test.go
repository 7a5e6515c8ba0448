package state_test

import (
	"errors"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func absent(c state.Claim, settled int64) state.Claim {
	c.Lake, c.SettledBatch = state.Absent, settled
	return c
}

func present(c state.Claim, content int, settled int64) state.Claim {
	c.Lake, c.SettledBatch, c.LakeContent = state.Present, settled, claimOf(0, content).Content
	return c
}

func claimIn(tb testing.TB, s *state.Store, term state.Term, list ...state.Claim) (number int64, results []state.ClaimResult) {
	tb.Helper()
	step(tb, s, term, func(st *state.Step) (err error) {
		if number, err = st.OpenBatch(); err == nil {
			results, err = st.Claim(number, list)
		}
		return err
	})
	return number, results
}

// Each row of the contract of asked claims: who holds the id, what the lake says, what is answered.
func TestClaimAskingTheLake(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		settled, _ := begin(t, s, term, []int{1, 2, 3, 4})
		confirm(t, s, term, settled, 1)
		settle(t, s, term, 1)
		published, _ := begin(t, s, term, []int{11, 12})
		confirm(t, s, term, published, 2)
		later, _ := begin(t, s, term, []int{21})
		confirm(t, s, term, later, 3)
		open, _ := begin(t, s, term, []int{31, 32})
		gone, _ := begin(t, s, term, []int{41, 42})
		void(t, s, term, gone)

		b, results := claimIn(t, s, term,
			absent(claimOf(1, 1), settled), // settled and not there: moves
			absent(claimOf(2, 5), settled), // with other content alike
			present(claimOf(3, 1), 1, settled),
			present(claimOf(4, 5), 9, settled), // the index knows the content
			absent(claimOf(11, 1), published),
			absent(claimOf(12, 1), settled), // the lake did not have that batch yet
			absent(claimOf(21, 1), published),
			absent(claimOf(31, 1), open), // cannot be in the lake, whatever the caller believes
			absent(claimOf(41, 1), settled),
			present(claimOf(42, 1), 1, settled),
			absent(claimOf(51, 1), settled),
			present(claimOf(52, 1), 1, settled),
			present(claimOf(53, 1), 2, settled),
			claimOf(54, 1),
			claimOf(52, 7),
			absent(claimOf(1, 1), settled),
		)
		wantResults(t, results, claimed, claimed, duplicate, variant, claimed, duplicate, duplicate, duplicate, claimed, duplicate,
			claimed, duplicate, variant, claimed, variant, duplicate)

		// What the batch took is free when it becomes void; what the lake has stays.
		void(t, s, term, b)
		_, results = claimIn(t, s, term, claimOf(1, 2), claimOf(2, 1), claimOf(3, 1), claimOf(11, 1), claimOf(41, 1), claimOf(42, 1),
			claimOf(51, 1), claimOf(52, 1), claimOf(53, 2), claimOf(53, 1), claimOf(54, 1))
		wantResults(t, results, claimed, claimed, duplicate, claimed, claimed, duplicate,
			claimed, duplicate, duplicate, variant, claimed)
	})
}

// Of the claims of one id in one call, one that asked helps those that did not; the latest answer counts.
func TestClaimsOfOneIDShareTheAnswer(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		b1, _ := begin(t, s, term, []int{1, 2})
		confirm(t, s, term, b1, 1)
		settle(t, s, term, 1)
		_, results := claimIn(t, s, term, claimOf(1, 1), absent(claimOf(1, 1), b1), present(claimOf(2, 1), 1, b1-1), absent(claimOf(2, 3), b1))
		wantResults(t, results, claimed, duplicate, claimed, variant)
	})
}

// TestContentThatDidNotAskTakesNoID: another unit with the same id asked, in the same call. It takes the id that the lake lost; the
// content of the one that did not ask the lake may have as a variant.
func TestContentThatDidNotAskTakesNoID(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		b, _ := begin(t, s, term, []int{1})
		confirm(t, s, term, b, 1)
		settle(t, s, term, 1)
		_, results := claimIn(t, s, term, claimOf(1, 2), absent(claimOf(1, 1), b), claimOf(1, 3), claimOf(1, 1))
		wantResults(t, results, variant, claimed, variant, duplicate)
	})
}

func TestIDFloor(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		floor := func(want uint32) {
			t.Helper()
			if got, err := s.IDFloor(ctx); err != nil || got != want {
				t.Errorf("floor %d, %v; want %d", got, err, want)
			}
		}
		count := func(want int) {
			t.Helper()
			var got int
			if err := s.DB().QueryRowContext(ctx, "SELECT count(*) FROM ids").Scan(&got); err != nil || got != want {
				t.Errorf("%d ids, %v; want %d", got, err, want)
			}
		}
		prune := func(second int64, chunk int, want int64) {
			t.Helper()
			if n, err := s.Prune(ctx, term, time.Unix(second, 999_999_999), chunk); err != nil || n != want {
				t.Errorf("%d ids are pruned, %v; want %d", n, err, want)
			}
		}
		floor(0)
		old, _ := begin(t, s, term, []int{0, 1, 2, 99, 100, 101, 250})
		step(t, s, term, func(st *state.Step) error {
			timeless := claimOf(7, 1)
			timeless.Second = 0
			_, err := st.Claim(old, []state.Claim{timeless})
			return err
		})
		prune(claimSecond+1, 2, 0) // all open
		count(8)
		floor(claimSecond + 1)
		confirm(t, s, term, old, 1)
		prune(claimSecond+1, 2, 0)
		settle(t, s, term, 1)
		prune(claimSecond, 2, 4) // the floor does not sink
		count(4)
		floor(claimSecond + 1)

		b, _ := claimIn(t, s, term)
		err := s.Step(ctx, term, func(st *state.Step) error {
			_, err := st.Claim(b, []state.Claim{claimOf(100, 1), claimOf(300, 1), claimOf(50, 1)})
			return err
		})
		wantKind(t, err, fault.Unavailable)
		if !errors.Is(err, state.ErrAskLake) {
			t.Errorf("%v does not hold ErrAskLake", err)
		}
		timeless := claimOf(7, 1)
		timeless.Second = 0
		_, results := claimIn(t, s, term, timeless, claimOf(100, 1), present(claimOf(1, 1), 1, old), absent(claimOf(2, 1), old))
		wantResults(t, results, duplicate, duplicate, duplicate, claimed)
		// Ids entered below the floor go with the next pruning, those of open batches later.
		prune(0, 0, 1)
		count(5)
		prune(1<<40, 0, 3)
		floor(1<<32 - 1)
		count(2)
	})
}

func TestHeal(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3, 4)
		count := func(i int, sum uint64) state.UnitCount {
			return state.UnitCount{Unit: ids[i], Bytes: 10, Records: 2, Duplicates: 1, Filtered: 1, IDSum: sum, Complete: true}
		}
		b1, _ := begin(t, s, term, []int{1, 2}, count(0, 12))
		confirm(t, s, term, b1, 1)
		b2, _ := begin(t, s, term, []int{3, 4}, count(1, 34))
		confirm(t, s, term, b2, 2)
		b3, _ := begin(t, s, term, []int{5, 6}, count(2, 56)) // open
		if err := s.FailUnits(ctx, term, []state.UnitFailure{{ID: ids[3], State: state.Lost, Kind: fault.Gone, Text: "gone"}}); err != nil {
			t.Fatal(err)
		}
		step(t, s, term, func(st *state.Step) error {
			if err := st.Settle(state.Position{Stream: "s1", Seq: 1}); err != nil {
				return err
			}
			return st.Heal([]state.HealUnit{
				{ID: ids[0], Records: 1, IDSum: 1}, {ID: ids[1]}, {ID: ids[2], Malformed: 1, IDSum: 7}, {ID: ids[3]},
			})
		})
		for i, want := range []state.LedgerUnit{
			{Records: 1, IDSum: 1},
			{Records: 2, Duplicates: 1, Filtered: 1, Bytes: 10, IDSum: 34}, // batch 2 is not settled
			{Records: 2, Duplicates: 1, Filtered: 1, Bytes: 10, Malformed: 1, IDSum: 56 ^ 7},
			{},
		} {
			u := unit(t, s, ids[i])
			if u.State != state.Listed || u.Attempt != 0 || !u.AskLake || u.ErrorKind != "" || u.Records != want.Records || u.IDSum != want.IDSum ||
				u.Duplicates != want.Duplicates || u.Filtered != want.Filtered || u.Malformed != want.Malformed || u.Bytes != want.Bytes {
				t.Errorf("unit %d: %+v", i+1, u)
			}
		}
		if got := total(t, s, "c1"); got.Pending != 4 || got.Landed != 0 || got.Lost != 0 || got.Records != 5 || got.Malformed != 1 || got.Bytes != 20 {
			t.Errorf("total %+v", got)
		}
		if list := due(t, s, "c1"); len(list) != 4 {
			t.Errorf("%d units are due, want all: %+v", len(list), list)
		}
		// A fetch that was going on when the unit was healed did not ask: it does not let the unit land.
		confirm(t, s, term, b3, 3)
		b4, _ := begin(t, s, term, []int{7}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		confirm(t, s, term, b4, 4)
		if u := unit(t, s, ids[0]); u.State != state.Listed || !u.AskLake {
			t.Errorf("unit 1 after a fetch that did not ask: %+v", u)
		}
		b5, results := claimIn(t, s, term, absent(claimOf(2, 1), b1), present(claimOf(1, 1), 1, b1))
		wantResults(t, results, claimed, duplicate)
		step(t, s, term, func(st *state.Step) error {
			return st.Count(b5, []state.UnitCount{{Unit: ids[0], Records: 1, IDSum: 13, Duplicates: 1, Complete: true, AskedLake: true}})
		})
		confirm(t, s, term, b5, 5)
		if u := unit(t, s, ids[0]); u.State != state.Landed || u.AskLake || u.Records != 3 || u.IDSum != 12 {
			t.Errorf("unit 1 after it was healed: %+v", u)
		}
		wantKind(t, s.Step(ctx, term, func(st *state.Step) error { return st.Heal([]state.HealUnit{{ID: record.UnitID{9}}}) }), fault.NotFound)
	})
}

func TestHealOfRetryingAndImported(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		retrying, imported := add(t, s, term, "c1", 1)[0], add(t, s, term, "import:1", 1)[0]
		later := time.Now().Add(time.Hour).Truncate(time.Second)
		if err := s.FailUnits(t.Context(), term, []state.UnitFailure{{ID: retrying, State: state.Retrying, NextTry: later, Text: "503"}}); err != nil {
			t.Fatal(err)
		}
		b, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: imported, Records: 1, Complete: true})
		confirm(t, s, term, b, 1)
		step(t, s, term, func(st *state.Step) error { return st.Heal([]state.HealUnit{{ID: retrying}, {ID: imported}}) })
		if u := unit(t, s, retrying); u.State != state.Retrying || u.Attempt != 1 || !u.NextTry.Equal(later) || u.ErrorText != "503" || !u.AskLake {
			t.Errorf("retrying unit: %+v", u)
		}
		if u := unit(t, s, imported); u.State != state.Dropped || !u.AskLake {
			t.Errorf("imported unit: %+v", u)
		}
	})
}

// TestAnswerOfTheLakeThatIsTooOld: the lake was asked for an id before it got it, and the index has forgotten it since.
func TestAnswerOfTheLakeThatIsTooOld(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		first, _ := begin(t, s, term, []int{1})
		second, _ := begin(t, s, term, []int{2})
		confirm(t, s, term, first, 1)
		confirm(t, s, term, second, 2)
		settle(t, s, term, 2)
		if n, err := s.Prune(t.Context(), term, time.Unix(claimSecond+1000, 0), 0); err != nil || n != 2 {
			t.Fatalf("%d ids are pruned, %v; want 2", n, err)
		}
		err := s.Step(t.Context(), term, func(st *state.Step) error {
			number, err := st.OpenBatch()
			if err == nil {
				_, err = st.Claim(number, []state.Claim{absent(claimOf(2, 1), first)})
			}
			return err
		})
		if !errors.Is(err, state.ErrAskLake) {
			t.Errorf("got %v, want ErrAskLake", err)
		}
		young := claimOf(3, 1)
		young.Second = claimSecond + 1001
		_, results := claimIn(t, s, term, absent(claimOf(2, 1), second), absent(young, first))
		wantResults(t, results, claimed, claimed)
	})
}
