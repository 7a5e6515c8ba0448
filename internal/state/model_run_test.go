package state_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

// TestModel runs random operations on the database and on the model and compares everything after each.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			contract(t, func(t *testing.T, s *state.Store) {
				r := &modelRun{
					T: t, s: s, rnd: rand.New(rand.NewPCG(seed, 7)), term: acquire(t, s),
					m: &model{
						ids: map[int]modelID{}, batches: map[int64]*modelBatch{}, units: map[record.UnitID]*modelUnit{},
						folded: map[string]*modelFolded{},
					},
				}
				for i := range 250 {
					if r.operation(); t.Failed() {
						t.Fatalf("seed %d, operation %d", seed, i)
					}
				}
			})
		})
	}
}

type modelRun struct {
	*testing.T
	s    *state.Store
	rnd  *rand.Rand
	term state.Term
	m    *model
	seq  uint64
	last int64 // batch number
}

// with returns the batches that have one of the states, in order.
func (r *modelRun) with(states ...string) []int64 {
	var numbers []int64
	for n, b := range r.m.batches {
		if slices.Contains(states, b.status) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

func (r *modelRun) operation() {
	if r.rnd.IntN(12) == 0 || len(r.m.units) == 0 {
		r.list()
	}
	open, live := r.with("open"), r.with("open", "published")
	switch n := r.rnd.IntN(30); {
	case n < 3:
		r.list()
	case n < 12 || len(live) == 0:
		r.batch()
	case n < 17 && len(open) > 0:
		r.confirm(open[r.rnd.IntN(len(open))])
	case n < 19:
		r.void(live[r.rnd.IntN(len(live))])
	case n < 21:
		r.settle()
	case n < 22:
		r.fail()
	case n < 23:
		r.retry()
	case n < 25:
		r.heal()
	case n < 26:
		r.look()
	case n < 27:
		r.adopt()
	case n < 28 && r.rnd.IntN(4) == 0:
		r.fold()
	case n < 29 && r.rnd.IntN(4) == 0:
		r.prune()
	default:
		r.term = acquire(r.T, r.s)
		if wrong, err := r.s.Recount(r.Context(), r.term); err != nil || len(wrong) > 0 {
			r.Errorf("recount found %+v, %v", wrong, err)
		}
	}
	r.compare()
}

func (r *modelRun) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

var modelConnectors = []string{"c1", "c2", "import:1"}

func (r *modelRun) list() {
	connector := modelConnectors[r.rnd.IntN(3)]
	n := r.rnd.IntN(60)
	id := add(r.T, r.s, r.term, connector, n)[0]
	if r.m.units[id] == nil {
		r.m.units[id] = &modelUnit{connector: connector, n: n, state: state.Listed, holds: map[int64]state.UnitCount{}}
	}
}

func (r *modelRun) unit() record.UnitID {
	ids := slices.SortedFunc(maps.Keys(r.m.units), func(a, b record.UnitID) int { return strings.Compare(a.String(), b.String()) })
	return ids[r.rnd.IntN(len(ids))]
}

// newBatch enters a batch into the model.
func (r *modelRun) newBatch(number int64, b modelBatch) {
	if number <= r.last {
		r.Errorf("batch number %d after %d", number, r.last)
	}
	r.last = number
	b.units, b.waits = map[record.UnitID]bool{}, map[int64]bool{}
	r.m.batches[number] = &b
}

func (r *modelRun) batch() {
	step(r.T, r.s, r.term, func(st *state.Step) error {
		b, err := st.OpenBatch()
		if err != nil {
			return err
		}
		r.newBatch(b, modelBatch{status: "open"})
		return r.fill(st, b, true)
	})
}

func (r *modelRun) adopt() {
	number := r.last + 1 + int64(r.rnd.IntN(3))
	r.seq++
	step(r.T, r.s, r.term, func(st *state.Step) error {
		if err := st.Adopt(number, "other", state.Position{Stream: "s1", Seq: r.seq}); err != nil {
			return err
		}
		r.newBatch(number, modelBatch{status: "published", seq: r.seq})
		return r.fill(st, number, false)
	})
}

// fill claims and counts.
func (r *modelRun) fill(st *state.Step, b int64, mayComplete bool) error {
	for range 1 + r.rnd.IntN(3) {
		list := r.claims()
		got, err := st.Claim(b, list)
		if err != nil {
			return err
		}
		wantResults(r.T, got, r.m.claim(b, list)...)
		var counts []state.UnitCount
		for _, result := range got {
			c := state.UnitCount{Unit: r.unit(), Bytes: 10, Filtered: int64(r.rnd.IntN(2))}
			switch {
			case result == duplicate:
				c.Duplicates = 1
			case r.rnd.IntN(5) == 0:
				c.Malformed, c.IDSum = 1, r.rnd.Uint64()
			default:
				c.Records, c.IDSum = 1, r.rnd.Uint64()
			}
			c.Complete, c.AskedLake = mayComplete && r.rnd.IntN(6) == 0, r.rnd.IntN(2) == 0
			counts = append(counts, c)
		}
		if err := st.Count(b, counts); err != nil {
			return err
		}
		for _, c := range counts {
			r.m.count(b, c)
		}
	}
	r.m.endStep(b)
	return nil
}

// claims makes random claims, of which those below the floor say what the lake answered.
func (r *modelRun) claims() []state.Claim {
	asking := r.rnd.IntN(3) == 0
	list := make([]state.Claim, r.rnd.IntN(30))
	for i := range list {
		c := claimOf(r.rnd.IntN(400), 1+r.rnd.IntN(10)/9)
		if int(c.Second) < r.m.floor || asking && r.rnd.IntN(3) > 0 {
			c.Lake, c.SettledBatch = state.Absent, r.last-int64(r.rnd.IntN(20))
			if int(c.Second) < r.m.floor {
				c.SettledBatch = max(c.SettledBatch, r.m.pruned)
			}
			if r.rnd.IntN(2) == 0 {
				c.Lake, c.LakeContent = state.Present, claimOf(0, 1+r.rnd.IntN(10)/9).Content
			}
		}
		list[i] = c
	}
	return list
}

func (r *modelRun) confirm(batch int64) {
	r.seq++
	confirm(r.T, r.s, r.term, batch, r.seq)
	r.m.confirm(batch, r.seq)
}

func (r *modelRun) void(batch int64) {
	void(r.T, r.s, r.term, batch)
	r.m.void(batch)
}

func (r *modelRun) settle() {
	seq := r.seq - min(r.seq, uint64(r.rnd.IntN(4)))
	settle(r.T, r.s, r.term, seq)
	r.m.settle(seq)
}

func (r *modelRun) fail() {
	id := r.unit()
	f := state.UnitFailure{ID: id, State: []state.UnitState{state.Retrying, state.Lost}[r.rnd.IntN(2)], NextTry: day.Add(time.Hour)}
	r.must(r.s.FailUnits(r.Context(), r.term, []state.UnitFailure{f}))
	if u := r.m.units[id]; !u.complete {
		u.state = f.State
		u.attempt++
	}
}

func (r *modelRun) retry() {
	connector, lostToo := modelConnectors[r.rnd.IntN(3)], r.rnd.IntN(2) == 0
	var ids []record.UnitID
	if r.rnd.IntN(2) == 0 {
		ids = []record.UnitID{r.unit(), r.unit()}
	}
	got, err := r.s.Retry(r.Context(), r.term, connector, "", ids, lostToo)
	r.must(err)
	var want int64
	for id, u := range r.m.units {
		if u.connector != connector || ids != nil && !slices.Contains(ids, id) {
			continue
		}
		switch {
		case u.state == state.Retrying && !u.complete:
			want++
		case u.state == state.Lost && lostToo:
			want++
			u.state, u.complete = state.Retrying, false
		}
	}
	if got != want {
		r.Errorf("%d units are retried, want %d", got, want)
	}
}

func (r *modelRun) heal() {
	list := []state.HealUnit{{ID: r.unit(), Records: 3, Malformed: 1, IDSum: r.rnd.Uint64()}, {ID: r.unit(), IDSum: r.rnd.Uint64()}}
	step(r.T, r.s, r.term, func(st *state.Step) error { return st.Heal(list) })
	if list[0].ID != list[1].ID { // the last one counts
		r.m.heal(list[0])
	}
	r.m.heal(list[1])
}

func (r *modelRun) look() {
	id, again := r.unit(), r.rnd.IntN(2)
	u := r.m.units[id]
	step(r.T, r.s, r.term, func(st *state.Step) error {
		if u.look == 0 {
			return st.Look([]record.UnitID{id}, day)
		}
		return st.Looked(id, map[int]time.Time{0: {}, 1: day}[again])
	})
	if u.look == 0 {
		u.look = 1
	} else {
		u.look = again
		u.looks++
	}
}

func (r *modelRun) fold() {
	got, err := r.s.Fold(r.Context(), r.term, time.Now().AddDate(1, 0, 0), 3)
	r.must(err)
	if want := r.m.fold(); got != want {
		r.Errorf("%d units are folded, want %d", got, want)
	}
}

func (r *modelRun) prune() {
	floor := claimSecond + r.rnd.IntN(3)
	got, err := r.s.Prune(r.Context(), r.term, time.Unix(int64(floor), 0), 1+r.rnd.IntN(40))
	r.must(err)
	if want := r.m.prune(floor); got != want {
		r.Errorf("%d ids are pruned, want %d", got, want)
	}
	err = r.s.Step(r.Context(), r.term, func(st *state.Step) error {
		b, err := st.OpenBatch()
		if err == nil {
			_, err = st.Claim(b, claims(0))
		}
		if err == nil {
			err = errors.New("undo")
		}
		return err
	})
	if errors.Is(err, state.ErrAskLake) != (r.m.floor > claimSecond) {
		r.Errorf("a claim below the floor %d: %v", r.m.floor, err)
	}
	if got, err := r.s.IDFloor(r.Context()); err != nil || int(got) != r.m.floor {
		r.Errorf("floor %d, %v; want %d", got, err, r.m.floor)
	}
	if r.s.Dialect() == state.Postgres {
		r.last++ // a sequence does not go back
	}
}
