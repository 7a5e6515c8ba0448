package state_test

import (
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

// model is the state database as one would write it without a database.
type model struct {
	ids     map[int]modelID
	batches map[int64]*modelBatch
	units   map[record.UnitID]*modelUnit
}

type modelID struct {
	content int
	batch   int64
}

type modelBatch struct {
	status string // open, published, void
	units  map[record.UnitID]*state.UnitCount
	waits  map[int64]bool // for each unit of the batch
}

type modelUnit struct {
	connector string
	n         int
	state     state.UnitState
	complete  bool
	attempt   int
	sum       state.UnitCount
	waits     map[int64]bool
}

func (m *model) claim(batch int64, id, content int) state.ClaimResult {
	held, ok := m.ids[id]
	if !ok || m.batches[held.batch].status == "void" {
		m.ids[id] = modelID{content, batch}
		return claimed
	}
	if held.content != content {
		return variant
	}
	if held.batch != batch && m.batches[held.batch].status == "open" {
		m.batches[batch].waits[held.batch] = true
	}
	return duplicate
}

func addCounts(to *state.UnitCount, c state.UnitCount, sign int64) {
	to.Bytes += sign * c.Bytes
	to.Records += sign * c.Records
	to.Duplicates += sign * c.Duplicates
	to.Filtered += sign * c.Filtered
	to.Malformed += sign * c.Malformed
}

func (m *model) count(batch int64, c state.UnitCount) {
	b, u := m.batches[batch], m.units[c.Unit]
	if b.units[c.Unit] == nil {
		b.units[c.Unit] = &state.UnitCount{}
	}
	addCounts(b.units[c.Unit], c, 1)
	addCounts(&u.sum, c, 1)
	u.complete = u.complete || c.Complete
	u.waits[batch] = true
	for w := range b.waits {
		u.waits[w] = true
	}
}

func (m *model) settle(batch int64, status string) {
	b := m.batches[batch]
	b.status = status
	for id, u := range m.units {
		if !u.waits[batch] {
			continue
		}
		delete(u.waits, batch)
		switch {
		case status == "void":
			if c := b.units[id]; c != nil {
				addCounts(&u.sum, *c, -1)
			}
			u.state, u.complete = state.Listed, false
			if strings.HasPrefix(u.connector, "import:") {
				u.state = state.Dropped
			}
		case u.complete && len(u.waits) == 0:
			u.state = state.Landed
		}
	}
}

// TestModel runs random operations on the database and on the model and compares everything after each.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			contract(t, func(t *testing.T, s *state.Store) {
				r := &modelRun{
					T: t, s: s, rnd: rand.New(rand.NewPCG(seed, 7)), term: acquire(t, s),
					m: &model{ids: map[int]modelID{}, batches: map[int64]*modelBatch{}, units: map[record.UnitID]*modelUnit{}},
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
}

func (r *modelRun) operation() {
	open := []int64{}
	for n, b := range r.m.batches {
		if b.status == "open" {
			open = append(open, n)
		}
	}
	slices.Sort(open)
	switch n := r.rnd.IntN(20); {
	case n < 3 || len(r.m.units) == 0:
		r.list()
	case n < 11 || len(open) == 0:
		r.batch()
	case n < 15:
		r.settle(open[r.rnd.IntN(len(open))], "published")
	case n < 17:
		r.settle(open[r.rnd.IntN(len(open))], "void")
	case n < 18:
		r.fail()
	case n < 19:
		r.requeue()
	default:
		r.term = acquire(r.T, r.s)
	}
	r.compare()
}

func (r *modelRun) list() {
	connector := []string{"c1", "c2", "import:1"}[r.rnd.IntN(3)]
	n := r.rnd.IntN(60)
	id := add(r.T, r.s, r.term, connector, n)[0]
	if r.m.units[id] == nil {
		r.m.units[id] = &modelUnit{connector: connector, n: n, state: state.Listed, waits: map[int64]bool{}}
	}
}

func (r *modelRun) unit() record.UnitID {
	ids := slices.SortedFunc(maps.Keys(r.m.units), func(a, b record.UnitID) int { return strings.Compare(a.String(), b.String()) })
	return ids[r.rnd.IntN(len(ids))]
}

func (r *modelRun) batch() {
	step(r.T, r.s, r.term, func(st *state.Step) error {
		b, err := st.OpenBatch()
		if err != nil {
			return err
		}
		if r.m.batches[b] != nil {
			r.Errorf("batch number %d was given before", b)
		}
		r.m.batches[b] = &modelBatch{status: "open", units: map[record.UnitID]*state.UnitCount{}, waits: map[int64]bool{}}
		for range 1 + r.rnd.IntN(3) {
			list := make([]state.Claim, r.rnd.IntN(30))
			want := make([]state.ClaimResult, len(list))
			for i := range list {
				id, content := r.rnd.IntN(400), r.rnd.IntN(10)/9
				list[i], want[i] = claimOf(id, content), r.m.claim(b, id, content)
			}
			got, err := st.Claim(b, list)
			if err != nil {
				return err
			}
			wantResults(r.T, got, want...)
			var counts []state.UnitCount
			for _, result := range got {
				c := state.UnitCount{Unit: r.unit(), Bytes: 10, Filtered: int64(r.rnd.IntN(2)), Malformed: int64(r.rnd.IntN(2))}
				if result == duplicate {
					c.Duplicates = 1
				} else {
					c.Records = 1
				}
				c.Complete = r.rnd.IntN(6) == 0
				counts = append(counts, c)
			}
			if err := st.Count(b, counts); err != nil {
				return err
			}
			for _, c := range counts {
				r.m.count(b, c)
			}
		}
		// Units counted before the batch lost a record wait too: the database goes by the whole step.
		for id := range r.m.batches[b].units {
			maps.Copy(r.m.units[id].waits, r.m.batches[b].waits)
		}
		return nil
	})
}

func (r *modelRun) settle(batch int64, status string) {
	step(r.T, r.s, r.term, func(st *state.Step) error {
		if status == "void" {
			return st.Void(batch)
		}
		r.seq++
		return st.Confirm(batch, state.Position{Stream: "s1", Seq: r.seq})
	})
	r.m.settle(batch, status)
}

func (r *modelRun) fail() {
	id := r.unit()
	f := state.UnitFailure{ID: id, State: []state.UnitState{state.Retrying, state.Lost}[r.rnd.IntN(2)], NextTry: day.Add(time.Hour)}
	if err := r.s.FailUnits(r.Context(), r.term, []state.UnitFailure{f}); err != nil {
		r.Error(err)
	}
	u := r.m.units[id]
	u.state, u.complete = f.State, false
	u.attempt++
}

func (r *modelRun) requeue() {
	id := r.unit()
	u := r.m.units[id]
	if _, err := r.s.Requeue(r.Context(), r.term, u.connector, &id); err != nil {
		r.Error(err)
	}
	if u.state != state.Listed && (!u.complete || u.state == state.Landed) {
		u.state, u.complete = state.Retrying, false
	}
}

func (r *modelRun) compare() {
	sums := map[string]state.Total{}
	for _, connector := range []string{"c1", "c2", "import:1"} {
		units, err := r.s.Units(r.Context(), state.UnitFilter{ConnectorID: connector})
		if err != nil {
			r.Error(err)
		}
		sum := state.Total{}
		for _, u := range units {
			m := r.m.units[u.ID]
			got := state.UnitCount{Bytes: u.Bytes, Records: u.Records, Duplicates: u.Duplicates, Filtered: u.Filtered, Malformed: u.Malformed}
			if m == nil || u.State != m.state || u.Attempt != m.attempt || got != m.sum {
				r.Errorf("unit %s: got %+v, want %+v", u.ID, u, m)
			}
			addTotal(&sum, u)
		}
		sums[connector] = sum
	}
	totals, err := r.s.Totals(r.Context())
	if err != nil {
		r.Error(err)
	}
	for _, got := range totals {
		want := sums[got.ConnectorID]
		want.ConnectorID, want.ContentType, want.Newest, want.LastLanded = got.ConnectorID, got.ContentType, got.Newest, got.LastLanded
		if got != want {
			r.Errorf("total %+v, want the sum over the units %+v", got, want)
		}
	}
	r.compareDue()
}

func addTotal(sum *state.Total, u state.LedgerUnit) {
	sum.Listed++
	switch u.State {
	case state.Listed, state.Retrying:
		sum.Pending++
		if sum.OldestOpen.IsZero() || u.Created.Before(sum.OldestOpen) {
			sum.OldestOpen = u.Created
		}
	case state.Landed:
		sum.Landed++
	case state.Lost:
		sum.Lost++
	case state.Dropped:
	}
	sum.Bytes += u.Bytes
	sum.Records += u.Records
	sum.Duplicates += u.Duplicates
	sum.Filtered += u.Filtered
	sum.Malformed += u.Malformed
}

// compareDue checks that no unit that still needs fetching is forgotten, and none other is fetched.
func (r *modelRun) compareDue() {
	due, err := r.s.DueUnits(r.Context(), "c1", feedType, time.Now().AddDate(50, 0, 0), 1000)
	if err != nil {
		r.Error(err)
	}
	got := map[record.UnitID]bool{}
	for _, u := range due {
		got[u.ID] = true
	}
	for id, u := range r.m.units {
		want := u.connector == "c1" && !u.complete && (u.state == state.Listed || u.state == state.Retrying)
		if got[id] != want {
			r.Errorf("unit %+v: due %t, want %t", u, got[id], want)
		}
	}
}
