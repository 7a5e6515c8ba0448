package state_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/state"
)

const (
	claimed   = state.Claimed
	duplicate = state.Duplicate
	variant   = state.Variant
)

func wantResults(tb testing.TB, got []state.ClaimResult, want ...state.ClaimResult) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Fatalf("got %v, want %v", got, want)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		step(t, s, term, func(st *state.Step) error {
			b, err := st.OpenBatch()
			if err != nil {
				return err
			}
			results, err := st.Claim(b, []state.Claim{claimOf(3, 1), claimOf(1, 1), claimOf(3, 2), claimOf(2, 1), claimOf(3, 1)})
			if err != nil {
				return err
			}
			wantResults(t, results, claimed, claimed, variant, claimed, duplicate)
			// A second call for the same batch sees what the first one claimed.
			results, err = st.Claim(b, []state.Claim{claimOf(2, 1), claimOf(4, 1), claimOf(1, 7), claimOf(4, 2)})
			if err != nil {
				return err
			}
			wantResults(t, results, duplicate, claimed, variant, variant)
			results, err = st.Claim(b, nil)
			wantResults(t, results)
			return err
		})
		// The batch goes on in another step.
		step(t, s, term, func(st *state.Step) error {
			results, err := st.Claim(1, []state.Claim{claimOf(4, 1), claimOf(5, 1), claimOf(2, 3)})
			if err != nil {
				return err
			}
			wantResults(t, results, duplicate, claimed, variant)
			results, err = st.Claim(1, []state.Claim{claimOf(6, 1), claimOf(5, 1)})
			wantResults(t, results, claimed, duplicate)
			return err
		})
		_, results := begin(t, s, term, []int{1, 2, 3, 4, 5, 6, 7})
		wantResults(t, results, duplicate, duplicate, duplicate, duplicate, duplicate, duplicate, claimed)
	})
}

// Chunks, the switch to looking first and back, and repeats across chunks give what a map gives.
func TestClaimLarge(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		rnd := rand.New(rand.NewPCG(1, 2))
		model := map[int]int{}
		for round := range 12 {
			span := []int{100_000, 3_000, 2_000_000}[round%3]
			step(t, s, term, func(st *state.Step) error {
				b, err := st.OpenBatch()
				if err != nil {
					return err
				}
				for range 2 {
					list, want := make([]state.Claim, 2_600), make([]state.ClaimResult, 2_600)
					for i := range list {
						id, content := rnd.IntN(span), rnd.IntN(20)/19
						list[i] = claimOf(id, content)
						held, ok := model[id]
						switch {
						case !ok:
							model[id] = content
						case held == content:
							want[i] = duplicate
						default:
							want[i] = variant
						}
					}
					got, err := st.Claim(b, list)
					if err != nil {
						return err
					}
					wantResults(t, got, want...)
				}
				return nil
			})
		}
	})
}

func TestClaimOfVoidBatch(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		b1, _ := begin(t, s, term, []int{1, 2, 3})
		void(t, s, term, b1)
		step(t, s, term, func(st *state.Step) error {
			b2, err := st.OpenBatch()
			if err != nil {
				return err
			}
			results, err := st.Claim(b2, []state.Claim{claimOf(1, 1), claimOf(2, 9), claimOf(4, 1), claimOf(2, 1), claimOf(1, 1)})
			wantResults(t, results, claimed, claimed, claimed, variant, duplicate)
			return err
		})
		// Moved rows belong to the new batch, with the new content; the rest of the void batch is still free.
		step(t, s, term, func(st *state.Step) error {
			b3, err := st.OpenBatch()
			if err != nil {
				return err
			}
			results, err := st.Claim(b3, []state.Claim{claimOf(1, 1), claimOf(2, 1), claimOf(2, 9), claimOf(3, 1)})
			wantResults(t, results, duplicate, variant, duplicate, claimed)
			return err
		})
	})
}

func TestClaimNeedsOpenBatchOfThisTerm(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		published, _ := begin(t, s, term, []int{1})
		confirm(t, s, term, published, 1)
		voided, _ := begin(t, s, term, []int{2})
		void(t, s, term, voided)
		foreign, _ := begin(t, s, term, []int{3})
		term = acquire(t, s)
		for name, batch := range map[string]int64{"published": published, "void": voided, "earlier term": foreign, "unknown": 99} {
			err := s.Step(t.Context(), term, func(st *state.Step) error {
				_, err := st.Claim(batch, claims(9))
				return err
			})
			if !fault.Is(err, fault.Conflict) {
				t.Errorf("claim for a batch that is %s: got %v, want a conflict", name, err)
			}
		}
	})
}

func TestStepIsAtomic(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		boom := errors.New("boom")
		var outside *state.Step
		err := s.Step(t.Context(), term, func(st *state.Step) error {
			outside = st
			b, err := st.OpenBatch()
			if err != nil {
				return err
			}
			if _, err := st.Claim(b, claims(1, 2)); err != nil {
				return err
			}
			if err := st.Count(b, []state.UnitCount{{Unit: id, Records: 2, Complete: true}}); err != nil {
				return err
			}
			if _, err := st.AddUnits("c2", nil); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatalf("got %v, want boom", err)
		}
		if _, err := outside.OpenBatch(); err == nil {
			t.Error("a step that has ended could be used")
		}
		if u := unit(t, s, id); u.Records != 0 {
			t.Errorf("records = %d after a step that failed", u.Records)
		}
		if open, err := s.OpenBatches(t.Context()); err != nil || len(open) != 0 {
			t.Errorf("open batches = %v, %v", open, err)
		}
		_, results := begin(t, s, term, []int{1, 2})
		wantResults(t, results, claimed, claimed)
	})
}
