package state_test

import (
	"slices"
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

// compare compares the whole database with the model.
func (r *modelRun) compare() {
	sums := map[string]state.Total{}
	for _, connector := range modelConnectors {
		units, err := r.s.Units(r.Context(), state.UnitFilter{ConnectorID: connector})
		r.must(err)
		sum := state.Total{}
		want := 0
		for _, u := range r.m.units {
			if u.connector == connector {
				want++
			}
		}
		if len(units) != want {
			r.Errorf("%s has %d units, want %d", connector, len(units), want)
		}
		for _, u := range units {
			r.compareUnit(u)
			addTotal(&sum, u)
		}
		r.addFolded(&sum, connector)
		sums[connector] = sum
	}
	totals, err := r.s.Totals(r.Context())
	r.must(err)
	for _, got := range totals {
		want := sums[got.ConnectorID]
		want.ConnectorID, want.ContentType, want.Newest, want.LastLanded = got.ConnectorID, got.ContentType, got.Newest, got.LastLanded
		if got != want {
			r.Errorf("total %+v, want the sum over the units %+v", got, want)
		}
	}
	r.compareDue()
	r.compareBatches()
	var ids int
	r.must(r.s.DB().QueryRowContext(r.Context(), "SELECT count(*) FROM ids").Scan(&ids))
	if ids != len(r.m.ids) {
		r.Errorf("%d ids, want %d", ids, len(r.m.ids))
	}
}

func (r *modelRun) compareUnit(u state.LedgerUnit) {
	m := r.m.units[u.ID]
	got := state.UnitCount{
		Bytes: u.Bytes, Records: u.Records, Duplicates: u.Duplicates, Filtered: u.Filtered, Malformed: u.Malformed, IDSum: u.IDSum,
	}
	if m == nil || u.State != m.state || u.Attempt != m.attempt || got != m.sum || u.AskLake != m.ask ||
		u.Looks != m.looks || u.LookAt.IsZero() != (m.look == 0) {
		r.Errorf("unit %s: got %+v, want %v", u.ID, u, m)
	}
}

func addTotal(sum *state.Total, u state.LedgerUnit) {
	sum.Listed++
	switch u.State {
	case state.Listed, state.Retrying:
		sum.Pending++
		if u.State == state.Retrying {
			sum.Retrying++
		}
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

// addFolded adds the folded units of a connector, after comparing them with the model.
func (r *modelRun) addFolded(sum *state.Total, connector string) {
	hours, err := r.s.Hours(r.Context(), connector, feedType, time.Time{}, time.Now().AddDate(50, 0, 0))
	r.must(err)
	got := modelFolded{}
	for _, h := range hours {
		got.units += h.Units
		addCounts(&got.sum, state.UnitCount{
			Bytes: h.Bytes, Records: h.Records, Duplicates: h.Duplicates, Filtered: h.Filtered, Malformed: h.Malformed, IDSum: h.IDSum,
		}, 1)
	}
	if want := r.m.folded[connector]; want != nil && got != *want || want == nil && got != (modelFolded{}) {
		r.Errorf("folded %+v, want %+v", got, want)
	}
	sum.Listed += got.units
	sum.Landed += got.units
	sum.Bytes += got.sum.Bytes
	sum.Records += got.sum.Records
	sum.Duplicates += got.sum.Duplicates
	sum.Filtered += got.sum.Filtered
	sum.Malformed += got.sum.Malformed
}

// compareDue checks that no unit that still needs fetching is forgotten, and none other is fetched.
func (r *modelRun) compareDue() {
	later := time.Now().AddDate(50, 0, 0)
	due, err := r.s.DueUnits(r.Context(), "c1", feedType, later, 1000)
	r.must(err)
	looks, err := r.s.DueLooks(r.Context(), "c1", feedType, later, 1000)
	r.must(err)
	newest, err := r.s.NewestDue(r.Context(), "c1", feedType, 1000)
	r.must(err)
	for id, u := range r.m.units {
		open := u.connector == "c1" && !u.complete && (u.state == state.Listed || u.state == state.Retrying)
		r.compareListed("due", id, u, due, open)
		r.compareListed("newest due", id, u, newest, open && u.state == state.Listed)
		r.compareListed("due for a look", id, u, looks, u.connector == "c1" && u.state == state.Landed && u.look != 0)
	}
}

func (r *modelRun) compareListed(what string, id record.UnitID, u *modelUnit, list []state.LedgerUnit, want bool) {
	if got := slices.ContainsFunc(list, func(l state.LedgerUnit) bool { return l.ID == id }); got != want {
		r.Errorf("unit %v: %s %t, want %t", u, what, got, want)
	}
}

func (r *modelRun) compareBatches() {
	open, err := r.s.OpenBatches(r.Context())
	r.must(err)
	var numbers []int64
	for _, b := range open {
		numbers = append(numbers, b.Number)
	}
	if want := r.with("open"); !slices.Equal(numbers, want) {
		r.Errorf("open batches %v, want %v", numbers, want)
	}
	numbers = nil
	for _, b := range published(r.T, r.s) {
		numbers = append(numbers, b.Number)
		if b.Position.Seq != r.m.batches[b.Number].seq {
			r.Errorf("batch %+v, want %+v", b, r.m.batches[b.Number])
		}
	}
	if want := r.with("published"); !slices.Equal(numbers, want) {
		r.Errorf("published batches %v, want %v", numbers, want)
	}
}
