package state_test

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/state"
)

func TestLanded(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		term := acquire(t, s)
		if last, err := s.LastData(ctx); err != nil || len(last) != 0 {
			t.Errorf("last data of nothing: %+v, %v", last, err)
		}
		// Minutes after noon. The unit at 190 is empty, the one at 200 has not landed, the one at 125 was all filtered.
		ids := add(t, s, term, "c1", 1, 2, 70, 125, 190, 200)
		for i, c := range []state.UnitCount{{Records: 5, Duplicates: 1}, {Records: 7}, {Records: 2, Malformed: 1}, {Filtered: 3}, {}} {
			c.Unit, c.Complete = ids[i], true
			b, _ := begin(t, s, term, []int{i}, c)
			confirm(t, s, term, b, uint64(i+1))
		}
		hours := func(from, to time.Time) []state.LandedHour {
			t.Helper()
			list, err := s.LandedHours(ctx, "c1", feedType, from, to)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		last := func() []state.FeedTime {
			t.Helper()
			list, err := s.LastData(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		want := []state.LandedHour{
			{Start: day, Units: 2, Records: 12, Fetched: 13},
			{Start: day.Add(time.Hour), Units: 1, Records: 2, Fetched: 3},
			{Start: day.Add(2 * time.Hour), Units: 1, Fetched: 3},
			{Start: day.Add(3 * time.Hour), Units: 1},
		}
		newest := []state.FeedTime{{ConnectorID: "c1", ContentType: feedType, At: day.Add(125 * time.Minute)}}
		check := func(when string) {
			t.Helper()
			if got := hours(day, day.Add(24*time.Hour)); !slices.Equal(got, want) {
				t.Errorf("%s: hours %+v, want %+v", when, got, want)
			}
			if got := hours(day.Add(90*time.Minute), day.Add(121*time.Minute)); !slices.Equal(got, want[1:3]) {
				t.Errorf("%s: overlapping hours %+v, want %+v", when, got, want[1:3])
			}
			if got := hours(day.Add(time.Hour), day.Add(2*time.Hour)); !slices.Equal(got, want[1:2]) {
				t.Errorf("%s: an hour %+v, want %+v", when, got, want[1:2])
			}
			if got := last(); !slices.Equal(got, newest) {
				t.Errorf("%s: last data %+v, want %+v", when, got, newest)
			}
		}
		check("before folding")
		settle(t, s, term, 1) // one of the two units of the first hour can be folded
		if n, err := s.Fold(ctx, term, time.Now().AddDate(1, 0, 0), 0); err != nil || n != 1 {
			t.Fatalf("folded %d, %v", n, err)
		}
		check("half folded")
		settle(t, s, term, 5)
		if n, err := s.Fold(ctx, term, time.Now().AddDate(1, 0, 0), 0); err != nil || n != 4 {
			t.Fatalf("folded %d, %v", n, err)
		}
		check("folded")
		if got, err := s.LandedHours(ctx, "c1", "DLP.All", day, day.Add(time.Hour)); err != nil || len(got) != 0 {
			t.Errorf("another feed: %+v, %v", got, err)
		}
	})
}
