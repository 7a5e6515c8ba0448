package sourcetest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
)

// patience is how long a call may take that has to end at once.
const patience = 10 * time.Second

// Run runs the whole suite as subtests of t.
func Run(t *testing.T, h Harness) {
	t.Helper()
	h.run(t, "everything arrives", everything)
	h.run(t, "nothing there", nothing)
	h.run(t, "damaged records do not hide others", damagedRecords)
	h.run(t, "order does not matter", anyOrder)
	h.run(t, "calls at the same time", concurrent)
	h.run(t, "keys are stable", stableKeys)
	h.run(t, "consumer stops", stopping)
	h.run(t, "cancelled before", cancelledBefore)
	h.run(t, "connection test", connectionTest)
	h.run(t, "connection test without a credential", connectionTestFails)
	for _, f := range failures() {
		if !slices.Contains(h.Lacks, f.Case) {
			h.run(t, f.String(), func(s *subject) { failing(s, f) })
		}
	}
	for _, c := range []Case{{Listing, EmptyPage}, {NextPage, EmptyPage}, {Listing, Unauthorized}, {NextPage, Unauthorized}, {Content, Unauthorized}} {
		if !slices.Contains(h.Lacks, c) {
			h.run(t, c.String()+", once", func(s *subject) { harmless(s, c) })
		}
	}
	for _, p := range []Place{SignIn, Listing, NextPage, Content} {
		if c := (Case{p, Stall}); !slices.Contains(h.Lacks, c) {
			h.run(t, "cancelled in a "+c.String(), func(s *subject) { cancelledDuring(s, c) })
		}
	}
}

// run makes a subject for one subtest and looks for goroutines after it is gone.
func (h Harness) run(t *testing.T, name string, check func(*subject)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		t.Cleanup(func() { goleak.VerifyNone(t, before) }) // runs after New's own clean-up
		src, server := h.New(t)
		check(&subject{T: t, h: h, src: src, server: server})
	})
}

// subject is one fresh source and its server.
type subject struct {
	*testing.T
	h      Harness
	src    source.Source
	server Server
}

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

// check looks for secrets in an error and its parts.
func (s *subject) check(err error) error {
	s.Helper()
	if err != nil {
		s.checkText(err.Error())
		s.checkText(fault.HintOf(err))
		s.checkText(fmt.Sprintf("%+v", err))
	}
	return err
}

func (s *subject) checkText(text string) {
	s.Helper()
	for _, secret := range s.h.Secrets {
		if strings.Contains(text, secret) {
			s.Errorf("a secret shows up in %q", text)
		}
	}
}

// list reads all windows to their end or the first error.
func (s *subject) list(ctx context.Context) (units []record.Unit, err error) {
	s.Helper()
	for _, w := range s.h.Windows {
		got, err := drain(s.src.List(ctx, w))
		units = append(units, got...)
		if err != nil {
			return units, s.check(err)
		}
	}
	return units, nil
}

// drain reads a sequence and demands that nothing follows its error.
func drain[T any](seq iter.Seq2[T, error]) (all []T, failed error) {
	for v, err := range seq {
		switch {
		case failed != nil:
			return all, fault.New(fault.Internal, "drain", "the sequence goes on behind an error")
		case err != nil:
			failed = err
		default:
			all = append(all, v)
		}
	}
	return all, failed
}

func (s *subject) fetch(ctx context.Context, u record.Unit) ([]record.Item, error) {
	s.Helper()
	items, err := drain(s.src.Fetch(ctx, u))
	return items, s.check(err)
}

// all lists and fetches everything in the given order of units and returns the records.
func (s *subject) all(reorder func([]record.Unit)) (records []string, err error) {
	s.Helper()
	units, err := s.list(s.Context())
	if err != nil {
		return nil, err
	}
	reorder(units)
	for _, u := range units {
		items, err := s.fetch(s.Context(), u)
		for _, it := range items {
			records = append(records, string(it.Raw))
		}
		if err != nil {
			return records, err
		}
	}
	return records, nil
}

func asListed([]record.Unit) {}

// same compares records without order; each must be there as often as it was served.
func (s *subject) same(got, want []string) {
	s.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.Errorf("got %d records, want %d; the first difference: %.120q, want %.120q", len(got), len(want), firstOther(got, want), firstOther(want, got))
	}
}

func firstOther(a, b []string) string {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return a[i]
		}
	}
	return ""
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

func cancelledBefore(s *subject) {
	units, _ := content(3)
	s.server.Serve(units, 2)
	listed, err := s.list(s.Context())
	if err != nil || len(listed) == 0 {
		s.Fatalf("%d units, %v", len(listed), err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.list(ctx); !fault.Is(err, fault.Canceled) {
		s.Errorf("list with a cancelled context: %v (%s)", err, fault.KindOf(err))
	}
	if _, err := s.fetch(ctx, listed[0]); !fault.Is(err, fault.Canceled) {
		s.Errorf("fetch with a cancelled context: %v (%s)", err, fault.KindOf(err))
	}
}

// cancelledDuring cancels a call while the server lets it hang.
func cancelledDuring(s *subject, c Case) {
	units, _ := content(6)
	s.server.Serve(units, 2)
	var target record.Unit
	if c.Place == Content {
		listed, err := s.list(s.Context())
		if err != nil || len(listed) == 0 {
			s.Fatalf("%d units, %v", len(listed), err)
		}
		target = listed[0]
	}
	s.server.Break(c, 0)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		if c.Place == Content {
			_, err = drain(s.src.Fetch(ctx, target))
		} else {
			_, err = drain(s.src.List(ctx, s.h.Windows[0]))
		}
		done <- err
	}()
	select {
	case <-s.server.Waiting():
	case err := <-done:
		s.Fatalf("the call ended before it was cancelled: %v", err)
	case <-time.After(patience):
		s.Fatal("no request reached the stall")
	}
	cancel()
	select {
	case err := <-done:
		if err := s.check(err); !fault.Is(err, fault.Canceled) {
			s.Errorf("cancelled call: %v (%s)", err, fault.KindOf(err))
		}
	case <-time.After(patience):
		s.Error("the call goes on although it was cancelled")
	}
}

// failing breaks one thing for good, wants the right kind of error, repairs it and wants everything.
func failing(s *subject, e expectation) {
	units, want := content(10)
	s.server.Serve(units, 3)
	s.server.Break(e.Case, 0)
	got, err := s.all(asListed)
	if !fault.Is(err, e.kind) {
		s.Errorf("error %v (%s), want %s", err, fault.KindOf(err), e.kind)
	}
	if e.Fault == Throttle && fault.RetryAfterOf(err) != 2500*time.Millisecond {
		s.Errorf("the wait that was asked for is %v, want 2.5s", fault.RetryAfterOf(err))
	}
	for _, r := range got {
		if !slices.Contains(want, r) {
			s.Errorf("a record that was never served: %.100q", r)
		}
	}
	if n := s.server.Foreign(); n > 0 {
		s.Errorf("%d requests reached a foreign host", n)
	}
	if e.Place == SignIn || e.Fault == Throttle {
		return // a refused sign-in and a pause are remembered for a moment
	}
	s.server.Break(Case{}, 0)
	got, err = s.all(asListed)
	if err != nil {
		s.Fatalf("after the repair: %v", err)
	}
	s.same(got, want)
}

// harmless breaks one thing once in a way that the driver has to cope with.
func harmless(s *subject, c Case) {
	units, want := content(10)
	s.server.Serve(units, 3)
	s.server.Break(c, 1)
	got, err := s.all(asListed)
	if err != nil {
		s.Fatal(err)
	}
	s.same(got, want)
}

// steps runs the connection test and checks the texts.
func (s *subject) steps() []source.Check {
	var all []source.Check
	for c := range s.src.Test(s.Context()) {
		s.checkText(c.Name + c.Message + c.Hint + c.Detail)
		if c.Name == "" || c.Duration < 0 {
			s.Errorf("step %+v has no name or a negative duration", c)
		}
		all = append(all, c)
	}
	return all
}

func connectionTest(s *subject) {
	units, _ := content(3)
	s.server.Serve(units, 2)
	all := s.steps()
	if len(all) < 3 {
		s.Errorf("only %d steps", len(all))
	}
	for _, c := range all {
		if c.Status == source.Failed {
			s.Errorf("step %s failed on a healthy service: %s", c.Name, c.Message)
		}
	}
	for range s.src.Test(s.Context()) {
		break // stopping must work at any step
	}
}

func connectionTestFails(s *subject) {
	c := Case{SignIn, Unauthorized}
	if slices.Contains(s.h.Lacks, c) {
		s.Skip("the driver does not sign in")
	}
	for _, f := range []Fault{Throttle, ServerError, GatewayPage, PageInstead} { // every failure says what to do
		if c := (Case{SignIn, f}); !slices.Contains(s.h.Lacks, c) {
			s.server.Break(c, 0)
			if !slices.ContainsFunc(s.steps(), func(c source.Check) bool { return c.Status == source.Failed && c.Hint != "" }) {
				s.Errorf("%s: no step fails with a hint", c)
			}
		}
	}
	s.server.Break(c, 0)
	var failed, skipped bool
	for _, c := range s.steps() {
		switch c.Status {
		case source.Failed:
			failed = true
			if c.Hint == "" {
				s.Errorf("failed step %s has no hint", c.Name)
			}
		case source.Skipped:
			skipped = skipped || failed
		case source.Passed:
			if failed {
				s.Logf("step %s passes after the failure", c.Name)
			}
		}
	}
	if !failed || !skipped {
		s.Errorf("failed %v, skipped afterwards %v; want both", failed, skipped)
	}
}
