package blackbox

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/internal/m365sim"
)

// slowly makes a scenario last, so that a server can be ended in the middle of it.
func slowly(scenario m365sim.Scenario) m365sim.Scenario {
	scenario.Latency = m365sim.Duration(12 * time.Millisecond)
	return scenario
}

// served waits until the simulator answered n more requests, or everything that was listed has landed.
func (s *server) served(sim *m365sim.Server, n int) {
	s.t.Helper()
	goal := sim.Requests(0).Total + n
	eventually(s.t, settleLimit, func() (bool, string) {
		got, pending, listed := sim.Requests(0).Total, int64(0), int64(0)
		for _, st := range s.status() {
			pending, listed = pending+st.Pending, listed+st.Listed
		}
		return got >= goal || listed > 0 && pending == 0, fmt.Sprintf("%d requests, want %d", got, goal)
	})
}

// TestKillLosesNothing ends the server as a power cut would, at moments that a seed decides.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(20261121, 9))
	sim := m365sim.StartTest(t, slowly(messy(2, 4000)))
	p := newPlace(t)
	for round := range 5 {
		s := p.start()
		if round == 0 {
			p.apply(sim, map[string]string{"max_parallel_fetches": "2"})
		}
		s.served(sim, 10+random.IntN(50))
		s.kill()
	}
	p.start()
	p.works()
	p.finish(sim)
	if n := sim.Requests(0).Counts["blob"]["200"]; n == 0 {
		t.Errorf("no blob was served: %v", sim.Requests(0).Counts)
	}
	compareRaw(t, p, sim)
}

// TestInterruptStopsInOrder ends the server with Ctrl-C in the middle of its work.
func TestInterruptStopsInOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(20261121, 10))
	sim := m365sim.StartTest(t, slowly(messy(3, 3000)))
	p := newPlace(t)
	for round := range 3 {
		s := p.start()
		if round == 0 {
			p.apply(sim, map[string]string{"max_parallel_fetches": "2"})
		}
		s.served(sim, 10+random.IntN(60))
		s.interrupt()
		p.run("status").wants(t, 1, "no server answers at", "sluice up")
	}
	p.start()
	p.works()
	p.finish(sim)
}

// TestInterruptWhileSomebodyWaits ends the server under a client that follows a run.
func TestInterruptWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	scenario := messy(4, 2000)
	scenario.Latency = m365sim.Duration(300 * time.Millisecond)
	sim := m365sim.StartTest(t, scenario)
	p := newPlace(t)
	s := p.start()
	p.apply(sim, map[string]string{"max_parallel_fetches": "1"})
	p.works()
	waiting := make(chan outcome, 1)
	go func() { waiting <- p.run("collect", connector, "--since", "25h", "--wait") }()
	s.served(sim, 10)
	s.interrupt()
	select {
	case got := <-waiting:
		if got.code == 0 || got.errors == "" {
			t.Errorf("the client ended with %d and said %q, want a failure with a reason", got.code, got.errors)
		}
	case <-time.After(stopLimit):
		t.Error("the client waits for a server that is gone")
	}
}
