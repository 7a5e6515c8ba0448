package sourcetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/record"
)

// content makes n units of a few records each, of different sizes, and returns all records.
func content(n int) (units [][]string, all []string) {
	for u := range n {
		var records []string
		for r := range 1 + u%4 {
			records = append(records, fmt.Sprintf(`{"Id":"%d-%d", "Text":"é \"]},{[\\","n":%d.0,"Fill":%q}`, u, r, r, strings.Repeat("x", 700*(u%5))))
		}
		units = append(units, records)
		all = append(all, records...)
	}
	return units, all
}

func everything(s *subject) {
	units, want := content(30)
	s.server.Serve(units, 4)
	listed, err := s.list(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	seen := map[string]bool{}
	var got []string
	for _, u := range listed {
		if u.Key == "" || seen[u.Key] {
			s.Errorf("key %q is empty or not unique", u.Key)
		}
		seen[u.Key] = true
		if u.ContentType == "" || u.Created.IsZero() || u.Created.Location() != time.UTC {
			s.Errorf("unit %q lacks a type or a creation time in UTC: %+v", u.Key, u)
		}
		items, err := s.fetch(s.Context(), u)
		if err != nil {
			s.Fatal(err)
		}
		for i, it := range items {
			if it.Malformed != "" {
				s.Errorf("a good record is called malformed: %s", it.Malformed)
			}
			if i > 0 && it.Offset <= items[i-1].Offset {
				s.Errorf("offsets do not rise: %d after %d", it.Offset, items[i-1].Offset)
			}
			got = append(got, string(it.Raw))
		}
	}
	s.same(got, want)
}

func nothing(s *subject) {
	s.server.Serve(nil, 4)
	got, err := s.all(asListed)
	if err != nil || len(got) > 0 {
		s.Errorf("got %d records and %v from an empty service", len(got), err)
	}
}

// damagedRecords serves a record that is no JSON between two good ones. It may come as a malformed item, or fail the
// unit, but it must not pass as good, and what is yielded must be whole.
func damagedRecords(s *subject) {
	const first, bad, last = `{"Id":"a"}`, `{"Id":tru}`, `{"Id":"c"}`
	s.server.Serve([][]string{{first, bad, last}}, 4)
	units, err := s.list(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	var good, malformed int
	for _, u := range units {
		items, err := s.fetch(s.Context(), u)
		if err != nil {
			s.Fatalf("one damaged record fails the unit: %v", err)
		}
		for _, it := range items {
			switch {
			case it.Malformed != "":
				malformed++
			case string(it.Raw) == first || string(it.Raw) == last:
				good++
			default:
				s.Errorf("%q passes as good", it.Raw)
			}
		}
	}
	if good != 2 || malformed != 1 {
		s.Errorf("%d good and %d malformed records, want 2 and 1", good, malformed)
	}
}

func anyOrder(s *subject) {
	units, want := content(12)
	s.server.Serve(units, 5)
	got, err := s.all(slices.Reverse)
	if err != nil {
		s.Fatal(err)
	}
	s.same(got, want)
}

func concurrent(s *subject) {
	units, want := content(24)
	s.server.Serve(units, 5)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			listed, err := s.list(s.Context())
			if err != nil {
				s.Error(err)
				return
			}
			var mu sync.Mutex
			var got []string
			var fetches sync.WaitGroup
			for _, u := range listed {
				fetches.Go(func() {
					items, err := s.fetch(s.Context(), u)
					if err != nil {
						s.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					for _, it := range items {
						got = append(got, string(it.Raw))
					}
				})
			}
			fetches.Wait()
			s.same(got, want)
		})
	}
	wg.Wait()
}

func stableKeys(s *subject) {
	units, _ := content(9)
	s.server.Serve(units, 2)
	keys := func() (keys []string) {
		listed, err := s.list(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		for _, u := range listed {
			keys = append(keys, u.Key)
		}
		slices.Sort(keys)
		return keys
	}
	if one, two := keys(), keys(); !slices.Equal(one, two) {
		s.Errorf("two listings of the same content name it differently: %v and %v", one, two)
	}
}

func stopping(s *subject) {
	units, _ := content(9)
	s.server.Serve(units, 2)
	var some []record.Unit
	for u, err := range s.src.List(s.Context(), s.h.Windows[0]) {
		if err != nil {
			s.Fatal(err)
		}
		some = append(some, u)
		break
	}
	for _, u := range some {
		for _, err := range s.src.Fetch(s.Context(), u) {
			if err != nil {
				s.Fatal(err)
			}
			break
		}
	}
}
