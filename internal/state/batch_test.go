package state_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func TestUnitLandsWithItsBatches(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		newest := day.Add(time.Hour)
		b1, _ := begin(t, s, term, []int{1, 2}, state.UnitCount{Unit: id, Bytes: 100, Records: 2, Newest: newest})
		b2, _ := begin(t, s, term, []int{3}, state.UnitCount{Unit: id, Bytes: 50, Records: 1, Filtered: 4, Malformed: 2, Complete: true})
		if due, err := s.DueUnits(t.Context(), "c1", feedType, day, 10); err != nil || len(due) != 0 {
			t.Fatalf("a unit whose body waits in batches is due: %v, %v", due, err)
		}
		confirm(t, s, term, b2, 7)
		if u := unit(t, s, id); u.State != state.Listed {
			t.Fatalf("state %s while batch %d is open", u.State, b1)
		}
		confirm(t, s, term, b1, 6)
		u := unit(t, s, id)
		if u.State != state.Landed || u.LandedAt.IsZero() || u.Bytes != 150 || u.Records != 3 || u.Filtered != 4 || u.Malformed != 2 {
			t.Fatalf("unit %+v", u)
		}
		got := total(t, s, "c1")
		if u.Seq != 7 {
			t.Errorf("the unit's place is %d, want that of the last batch, 7", u.Seq)
		}
		want := state.Total{
			ConnectorID: "c1", ContentType: feedType, Listed: 1, Landed: 1, Records: 3, Filtered: 4, Malformed: 2,
			Bytes: 150, Newest: newest, LastLanded: got.LastLanded,
		}
		if got != want || got.LastLanded.IsZero() {
			t.Fatalf("total %+v, want %+v", got, want)
		}
		pos, err := s.LastConfirmed(t.Context(), subject)
		if err != nil || pos != (state.Position{Stream: "s1", Seq: 7}) {
			t.Fatalf("position %+v, %v: within a stream it only grows", pos, err)
		}
	})
}

// Rule 4: a unit waits for the open batches to which it lost records, and is fetched again when one becomes void.
func TestUnitWaitsForBatchThatHoldsItsRecord(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3)
		b1, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		b2, results := begin(t, s, term, []int{1, 2}, state.UnitCount{Unit: ids[1], Records: 1, Duplicates: 1, Complete: true})
		wantResults(t, results, duplicate, claimed)
		b3, _ := begin(t, s, term, []int{2}, state.UnitCount{Unit: ids[2], Duplicates: 1, Complete: true})
		confirm(t, s, term, b2, 2)
		confirm(t, s, term, b3, 0)
		if u := unit(t, s, ids[1]); u.State != state.Listed {
			t.Fatalf("unit 2 is %s, but its record is in the open batch %d", u.State, b1)
		}
		if u := unit(t, s, ids[2]); u.State != state.Landed {
			t.Fatalf("unit 3 is %s, but all it needs is published", u.State)
		}
		void(t, s, term, b1)
		for i, id := range ids[:2] {
			if u := unit(t, s, id); u.State != state.Listed || u.Attempt != 0 {
				t.Errorf("unit %d is %s, want listed", i+1, u.State)
			}
		}
		due, err := s.DueUnits(t.Context(), "c1", feedType, day, 10)
		if err != nil || len(due) != 2 {
			t.Fatalf("due %v, %v: want units 1 and 2", due, err)
		}
		if u := unit(t, s, ids[0]); u.Records != 0 {
			t.Errorf("unit 1 still counts %d records of the void batch", u.Records)
		}
		b4, results := begin(t, s, term, []int{1, 2}, state.UnitCount{Unit: ids[1], Records: 1, Duplicates: 1, Complete: true})
		wantResults(t, results, claimed, duplicate)
		confirm(t, s, term, b4, 3)
		if u := unit(t, s, ids[1]); u.State != state.Landed || u.Records != 2 || u.Duplicates != 2 {
			t.Errorf("unit 2 %+v", u)
		}
	})
}

// A later part of the body, confirmed after an earlier part became void, must not let the unit land.
func TestVoidOfEarlierPartKeepsUnitOpen(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		b1, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: id, Records: 1})
		b2, _ := begin(t, s, term, []int{2}, state.UnitCount{Unit: id, Records: 1, Complete: true})
		step(t, s, term, func(st *state.Step) error {
			if err := st.Void(b1); err != nil {
				return err
			}
			return st.Confirm(b2, state.Position{Stream: "s1", Seq: 1})
		})
		if u := unit(t, s, id); u.State != state.Listed || u.Records != 1 {
			t.Fatalf("unit %+v, want listed with one record", u)
		}
	})
}

// The orders in which one step can claim from, and settle, another batch.
func TestSettleInTheStepThatClaims(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		ids := add(t, s, term, "c1", 1, 2, 3)
		b1, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		step(t, s, term, func(st *state.Step) error {
			b2, err := st.OpenBatch()
			if err != nil {
				return err
			}
			if _, err := st.Claim(b2, claims(1)); err != nil {
				return err
			}
			if err := st.Confirm(b1, state.Position{Stream: "s1", Seq: 1}); err != nil {
				return err
			}
			if err := st.Count(b2, []state.UnitCount{{Unit: ids[1], Duplicates: 1, Complete: true}}); err != nil {
				return err
			}
			return st.Confirm(b2, state.Position{})
		})
		if u := unit(t, s, ids[1]); u.State != state.Landed {
			t.Errorf("unit 2 is %s", u.State)
		}
		b3, _ := begin(t, s, term, []int{3}, state.UnitCount{Unit: ids[0], Records: 1, Complete: true})
		err := s.Step(t.Context(), term, func(st *state.Step) error {
			b4, err := st.OpenBatch()
			if err != nil {
				return err
			}
			if _, err := st.Claim(b4, claims(3)); err != nil {
				return err
			}
			if err := st.Void(b3); err != nil {
				return err
			}
			return st.Count(b4, []state.UnitCount{{Unit: ids[2], Duplicates: 1, Complete: true}})
		})
		wantKind(t, err, fault.Conflict, "became void")
		// What became void in this step is free in this step.
		step(t, s, term, func(st *state.Step) error {
			for i, want := range []state.ClaimResult{duplicate, claimed} {
				b, err := st.OpenBatch()
				if err != nil {
					return err
				}
				results, err := st.Claim(b, claims(3))
				if err != nil {
					return err
				}
				wantResults(t, results, want)
				if i == 0 {
					if err := st.Void(b3); err != nil {
						return err
					}
				}
				if err := st.Confirm(b, state.Position{}); err != nil {
					return err
				}
			}
			return nil
		})
		// Three batches of one step; the last one loses a record to the one before, which opened after the first had
		// looked at what is open.
		step(t, s, term, func(st *state.Step) error {
			var last int64
			for _, ids := range [][]int{{5, 1}, {6}, {6}} {
				var err error
				if last, err = st.OpenBatch(); err != nil {
					return err
				}
				if _, err := st.Claim(last, claims(ids...)); err != nil {
					return err
				}
			}
			if err := st.Count(last, []state.UnitCount{{Unit: ids[2], Duplicates: 1, Complete: true}}); err != nil {
				return err
			}
			return st.Confirm(last, state.Position{})
		})
		if u := unit(t, s, ids[2]); u.State != state.Listed {
			t.Errorf("unit 3 is %s, but its record is in an open batch", u.State)
		}
	})
}

func TestSettleTwice(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		b1, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: id, Records: 1, Complete: true})
		b2, _ := begin(t, s, term, []int{2}, state.UnitCount{Unit: id, Records: 1})
		confirm(t, s, term, b1, 5)
		confirm(t, s, term, b1, 5)
		void(t, s, term, b2)
		void(t, s, term, b2)
		if got := total(t, s, "c1"); got.Landed != 0 || got.Records != 1 || got.Pending != 1 {
			t.Errorf("total %+v", got)
		}
		p := func(seq uint64) state.Position { return state.Position{Stream: "s1", Seq: seq} }
		for name, fn := range map[string]func(*state.Step) error{
			"confirm a void batch":     func(st *state.Step) error { return st.Confirm(b2, p(6)) },
			"confirm an unknown batch": func(st *state.Step) error { return st.Confirm(77, p(6)) },
			"confirm it elsewhere":     func(st *state.Step) error { return st.Confirm(b1, p(6)) },
			"void a settled batch": func(st *state.Step) error {
				if err := st.Settle(p(5)); err != nil {
					return err
				}
				return st.Void(b1)
			},
			"void an unknown batch": func(st *state.Step) error { return st.Void(77) },
		} {
			if err := s.Step(t.Context(), term, fn); !fault.Is(err, fault.Conflict) {
				t.Errorf("%s: got %v, want a conflict", name, err)
			}
		}
	})
}

func TestNumbersAndOpenBatches(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			dsn := dsn(t)
			var last int64
			for range 3 {
				s, err := state.Open(t.Context(), dsn, state.Options{})
				if err != nil {
					t.Fatal(err)
				}
				term := acquire(t, s)
				for range 3 {
					b, _ := begin(t, s, term, nil)
					if b <= last {
						t.Fatalf("number %d after %d", b, last)
					}
					last = b
					open, err := s.OpenBatches(t.Context())
					if err != nil || len(open) != 1 || open[0] != (state.OpenBatch{Number: b, Epoch: term.Epoch}) {
						t.Fatalf("open batches %v, %v", open, err)
					}
					confirm(t, s, term, b, 0)
				}
				var rows int
				if err := s.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM batches").Scan(&rows); err != nil || rows != 0 {
					t.Fatalf("%d rows of published batches, %v", rows, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestVoidOfImport(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		const job = "import:42"
		var id record.UnitID
		var b int64
		put := func(st *state.Step) (err error) {
			u := unitOf(1)
			id = u.ID(job)
			if _, err = st.AddUnits(job, []record.Unit{u}); err != nil {
				return err
			}
			if b, err = st.OpenBatch(); err != nil {
				return err
			}
			if _, err = st.Claim(b, claims(1)); err != nil {
				return err
			}
			return st.Count(b, []state.UnitCount{{Unit: id, Records: 1, Complete: true}})
		}
		step(t, s, term, put)
		void(t, s, term, b)
		if u := unit(t, s, id); u.State != state.Dropped || u.Records != 0 {
			t.Fatalf("unit %+v, want interrupted", u)
		}
		if got := total(t, s, job); got.Pending != 0 || got.Listed != 1 {
			t.Errorf("total %+v", got)
		}
		step(t, s, term, put) // the file is imported again
		confirm(t, s, term, b, 1)
		if u := unit(t, s, id); u.State != state.Landed || u.Records != 1 {
			t.Fatalf("unit %+v, want landed", u)
		}
		if got := total(t, s, job); got.Landed != 1 || got.Pending != 0 || got.Listed != 1 {
			t.Errorf("total %+v", got)
		}
	})
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		id := add(t, s, term, "c1", 1)[0]
		b1, _ := begin(t, s, term, []int{1}, state.UnitCount{Unit: id, Records: 1, Complete: true})
		confirm(t, s, term, b1, 1)
		pos := state.Position{Stream: "s1", Seq: 9}
		wantKind(t, s.Step(t.Context(), term, func(st *state.Step) error { return st.Adopt(b1, "old", pos) }), fault.Conflict)
		wantKind(t, s.Step(t.Context(), term, func(st *state.Step) error { return st.Adopt(50, "old", state.Position{}) }), fault.Internal)
		wantKind(t, s.Step(t.Context(), term, func(st *state.Step) error {
			return st.Adopt(50, "old", state.Position{Stream: "s1", Seq: 1})
		}), fault.Conflict)
		adopt := func(count state.UnitCount) error {
			return s.Step(t.Context(), term, func(st *state.Step) error {
				if err := st.Adopt(50, "old", pos); err != nil {
					return err
				}
				results, err := st.Claim(50, claims(1, 2))
				if err != nil {
					return err
				}
				wantResults(t, results, duplicate, claimed)
				return st.Count(50, []state.UnitCount{count})
			})
		}
		wantKind(t, adopt(state.UnitCount{Unit: id, Records: 1, Complete: true}), fault.Internal)
		if err := adopt(state.UnitCount{Unit: id, Records: 1}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.LastConfirmed(t.Context(), subject); err != nil || got != pos {
			t.Errorf("last confirmed %+v, %v; want %+v", got, err, pos)
		}
		want := []state.PublishedBatch{
			{Number: b1, Epoch: term.Epoch, Position: state.Position{Stream: "s1", Seq: 1}}, {Number: 50, Epoch: "old", Position: pos},
		}
		if got := published(t, s); !slices.Equal(got, want) {
			t.Errorf("published %+v, want %+v", got, want)
		}
		if next, _ := begin(t, s, term, nil); next <= 50 {
			t.Errorf("number %d after 50 was adopted", next)
		}
		wantKind(t, s.Step(t.Context(), term, func(st *state.Step) error { _, err := st.Claim(50, claims(3)); return err }), fault.Conflict)
		void(t, s, term, 50)
		if u := unit(t, s, id); u.State != state.Listed || u.Records != 1 {
			t.Errorf("unit of the adopted batch that became void: %+v", u)
		}
		_, results := begin(t, s, term, []int{1, 2})
		wantResults(t, results, duplicate, claimed)
	})
}

func TestCountOfUnknownUnit(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		err := s.Step(context.Background(), acquire(t, s), func(st *state.Step) error {
			b, err := st.OpenBatch()
			if err != nil {
				return err
			}
			return st.Count(b, []state.UnitCount{{Unit: record.UnitID{1}}})
		})
		wantKind(t, err, fault.NotFound)
	})
}
