package state_test

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

func TestFold(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		// Minutes after noon: three in the first hour, one in the second, and some that stay for a reason each.
		ids := add(t, s, term, "c1", 1, 2, 3, 70, 4, 5, 6, 100)
		for i, id := range ids[:6] {
			b, _ := begin(t, s, term, []int{i}, state.UnitCount{
				Unit: id, Bytes: 10, Records: 1, Duplicates: 2, Filtered: 3, Malformed: 4, IDSum: 1 << i, Complete: true,
			})
			if i == 4 {
				step(t, s, term, func(st *state.Step) error { return st.Look(ids[4:5], day) })
			}
			confirm(t, s, term, b, uint64(i+1))
		}
		settle(t, s, term, 5) // the batch of the sixth unit is not settled
		before := total(t, s, "c1")
		mark, _, err := s.Mark(ctx, "c1", feedType)
		if err != nil {
			t.Fatal(err)
		}
		fold := func(before time.Time, want int64) {
			t.Helper()
			if n, err := s.Fold(ctx, term, before, 2); err != nil || n != want {
				t.Errorf("folded %d, %v; want %d", n, err, want)
			}
		}
		fold(day.AddDate(0, 0, 1), 0) // all of them landed later
		fold(time.Now().AddDate(1, 0, 0), 4)
		hours, err := s.Hours(ctx, "c1", feedType, day, day.Add(2*time.Hour))
		want := []state.Hour{
			{Start: day, Units: 3, Records: 3, Duplicates: 6, Filtered: 9, Malformed: 12, Bytes: 30, IDSum: 7},
			{Start: day.Add(time.Hour), Units: 1, Records: 1, Duplicates: 2, Filtered: 3, Malformed: 4, Bytes: 10, IDSum: 8},
		}
		if err != nil || !slices.Equal(hours, want) {
			t.Errorf("hours %+v, %v; want %+v", hours, err, want)
		}
		if got := total(t, s, "c1"); got != before {
			t.Errorf("total %+v, want %+v", got, before)
		}
		if got, _, err := s.Mark(ctx, "c1", feedType); err != nil || !got.Equal(mark) {
			t.Errorf("mark %s, %v; want %s", got, err, mark)
		}
		_, err = s.Unit(ctx, ids[0])
		wantKind(t, err, fault.NotFound)
		// Later ones are added to the hour.
		settle(t, s, term, 6)
		step(t, s, term, func(st *state.Step) error { return st.Looked(ids[4], time.Time{}) })
		fold(time.Now().AddDate(1, 0, 0), 2)
		hours, err = s.Hours(ctx, "c1", feedType, day.Add(30*time.Minute), day.Add(time.Hour))
		if err != nil || len(hours) != 1 || hours[0].Units != 5 || hours[0].IDSum != 7|16|32 {
			t.Errorf("hours %+v, %v", hours, err)
		}
		if hours, err = s.Hours(ctx, "c1", "DLP.All", day, day.Add(time.Hour)); err != nil || len(hours) != 0 {
			t.Errorf("hours of another feed %+v, %v", hours, err)
		}
		if got := total(t, s, "c1"); got != before {
			t.Errorf("total %+v, want %+v", got, before)
		}
	})
}

func TestRecount(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		for _, connector := range []string{"c1", "c2", "c3"} {
			ids := add(t, s, term, connector, 1, 2, 3, 4)
			b, _ := begin(t, s, term, nil, state.UnitCount{Unit: ids[0], Records: 5, Complete: true}, state.UnitCount{Unit: ids[1], Bytes: 7, Malformed: 1, Complete: true})
			confirm(t, s, term, b, 1)
			settle(t, s, term, 1)
			if err := s.FailUnits(ctx, term, []state.UnitFailure{{ID: ids[2], State: state.Lost}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Fold(ctx, term, time.Now().AddDate(1, 0, 0), 0); err != nil {
			t.Fatal(err)
		}
		right := map[string]state.Total{"c1": total(t, s, "c1"), "c2": total(t, s, "c2"), "c3": total(t, s, "c3")}
		if changed, err := s.Recount(ctx, term); err != nil || len(changed) > 0 {
			t.Errorf("recount found %+v, %v", changed, err)
		}
		for _, statement := range []string{
			"UPDATE feeds SET records = records + 3, pending = 9 WHERE connector_id = 'c1'",
			"DELETE FROM units WHERE state = 3 AND feed = (SELECT id FROM feeds WHERE connector_id = 'c2')",
		} {
			if _, err := s.DB().ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		less := right["c2"]
		less.Listed--
		less.Lost--
		changed, err := s.Recount(ctx, term)
		if err != nil || !slices.Equal(changed, []state.Total{right["c1"], less}) {
			t.Errorf("recount found %+v, %v; want %+v and %+v", changed, err, right["c1"], less)
		}
		for connector, want := range map[string]state.Total{"c1": right["c1"], "c2": less, "c3": right["c3"]} {
			if got := total(t, s, connector); got != want {
				t.Errorf("total %+v, want %+v", got, want)
			}
		}
	})
}

func TestGaps(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		gap := func(connector, reason string, from, to, noticed int) state.Gap {
			at := func(minute int) time.Time { return day.Add(time.Duration(minute) * time.Minute) }
			return state.Gap{
				ConnectorID: connector, ContentType: feedType, Reason: reason, From: at(from), To: at(to), NoticedAt: at(noticed),
			}
		}
		for _, g := range []state.Gap{
			gap("c1", "expired", 10, 20, 5), gap("c1", "expired", 40, 50, 6), gap("c1", "expired", 60, 70, 7),
			gap("c1", "other", 15, 45, 8), gap("c2", "expired", 15, 45, 9),
			gap("c1", "expired", 20, 30, 3), // touches the first
			gap("c1", "expired", 45, 65, 9), // joins two
			gap("c1", "expired", 42, 43, 9), // is inside
		} {
			step(t, s, term, func(st *state.Step) error { return st.AddGap(g) })
		}
		want := []state.Gap{
			gap("c1", "expired", 10, 30, 3), gap("c1", "other", 15, 45, 8), gap("c1", "expired", 40, 70, 6), gap("c2", "expired", 15, 45, 9),
		}
		if got, err := s.Gaps(ctx, ""); err != nil || !slices.Equal(got, want) {
			t.Errorf("gaps %+v, %v; want %+v", got, err, want)
		}
		if got, err := s.Gaps(ctx, "c2"); err != nil || !slices.Equal(got, want[3:]) {
			t.Errorf("gaps of c2 %+v, %v", got, err)
		}
		wantKind(t, s.Step(ctx, term, func(st *state.Step) error { return st.AddGap(gap("c1", "x", 5, 5, 5)) }), fault.Internal)
	})
}

func TestFeedMarks(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		first := state.FeedMarks{ListedUntil: day, SweptDay: day.Add(time.Hour), SweptAll: day.Add(2 * time.Hour), LooksGrew: true}
		for _, want := range []state.FeedMarks{{}, first, {ListedUntil: day.Add(time.Minute)}} {
			if err := s.SetFeedMarks(ctx, term, "c1", feedType, want); err != nil {
				t.Fatal(err)
			}
			if got, err := s.FeedMarks(ctx, "c1", feedType); err != nil || got != want {
				t.Errorf("marks %+v, %v; want %+v", got, err, want)
			}
		}
		if got, err := s.FeedMarks(ctx, "c1", "DLP.All"); err != nil || got != (state.FeedMarks{}) {
			t.Errorf("marks of another feed: %+v, %v", got, err)
		}
		if totals, err := s.Totals(ctx); err != nil || len(totals) != 0 {
			t.Errorf("marks alone make totals: %+v, %v", totals, err)
		}
	})
}

func TestValuesByPrefix(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		for _, key := range []string{"job/1", "job/2", "job%", "jobs", "größe/1", "größe/2", "other"} {
			if err := s.PutValue(ctx, key, []byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := s.DeleteValue(ctx, "job/2"); err != nil {
				t.Fatal(err)
			}
		}
		for prefix, want := range map[string][]string{
			"job/": {"job/1"}, "job%": {"job%"}, "größe/": {"größe/1", "größe/2"}, "none": nil,
			"": {"größe/1", "größe/2", "job%", "job/1", "jobs", "other"},
		} {
			got, err := s.Values(ctx, prefix)
			if err != nil || !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
				t.Errorf("values of %q: %q, %v; want %q", prefix, got, err, want)
			}
			for key, value := range got {
				if !bytes.Equal(value, []byte(key)) {
					t.Errorf("%s has the value %q", key, value)
				}
			}
		}
	})
}

// What was given up goes on with the next call.
func TestPruneAndFoldGoOn(t *testing.T) {
	t.Parallel()
	now := &fixed{now: day.AddDate(0, 0, 2)}
	s := open(t, filepath.Join(t.TempDir(), "state.db"), state.Options{Clock: now})
	term := acquire(t, s)
	ids := add(t, s, term, "c1", 1, 2, 3)
	var counts []state.UnitCount
	for _, id := range ids {
		counts = append(counts, state.UnitCount{Unit: id, Records: 1, Complete: true})
	}
	b, _ := begin(t, s, term, []int{1, 2, 3}, counts...)
	confirm(t, s, term, b, 1)
	settle(t, s, term, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first, err := s.Prune(ctx, term, time.Unix(claimSecond+9, 0), 1) // gives up at once or after a chunk
	wantKind(t, err, fault.Canceled)
	if n, err := s.Prune(t.Context(), term, time.Unix(claimSecond+9, 0), 1); err != nil || first+n != 3 {
		t.Errorf("pruned %d and %d, %v; want 3", first, n, err)
	}
	if n, err := s.Fold(ctx, term, day.AddDate(0, 0, 3), 1); !fault.Is(err, fault.Canceled) || n != 0 {
		t.Errorf("folded %d, %v", n, err)
	}
	if n, err := s.Fold(t.Context(), term, day.AddDate(0, 0, 1), 1); err != nil || n != 0 {
		t.Errorf("folded %d units that landed later, %v", n, err)
	}
	if n, err := s.Fold(t.Context(), term, day.AddDate(0, 0, 3), 1); err != nil || n != 3 {
		t.Errorf("folded %d, %v", n, err)
	}
}
