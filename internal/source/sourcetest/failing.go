package sourcetest

import (
	"context"
	"slices"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// patience is how long a call may take that has to end at once, on a machine that is busy with other things.
const patience = time.Minute

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
