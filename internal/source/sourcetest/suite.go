package sourcetest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
)

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
