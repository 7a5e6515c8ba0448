package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/health"
)

// pass lets time go by inside of a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func changes(list ...health.Change) []health.Change { return list }

func TestOneMessageAndOneResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{name: "soc"}
		n, stop := run(t, newTable(), Route{e, DefaultPolicy()})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(29 * time.Second)
		wantLines(t, e.take())
		pass(2 * time.Second)
		wantLines(t, e.take(), "1 problem a listing warning")
		n.Changes(changes(bad("a", health.Warning))) // told already
		pass(time.Hour)
		wantLines(t, e.take())
		n.Changes(changes(bad("a", health.Error))) // worse
		pass(10 * time.Minute)
		wantLines(t, e.take(), "1 problem a listing error")
		n.Changes(changes(good("a")))
		pass(time.Minute)
		wantLines(t, e.take(), "1 resolved a listing ok")
		pass(72 * time.Hour)
		wantLines(t, e.take())
	})
}

func TestWhatPassesIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{name: "soc"}
		n, stop := run(t, newTable(), Route{e, DefaultPolicy()})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(10 * time.Second)
		n.Changes(changes(good("a")))
		pass(time.Hour)
		wantLines(t, e.take())
		n.Changes(changes(bad("a", health.Warning)))
		pass(time.Minute)
		wantLines(t, e.take(), "1 problem a listing warning")
		n.Changes(changes(good("a")))
		pass(10 * time.Second)
		n.Changes(changes(bad("a", health.Warning)))
		pass(time.Hour)
		wantLines(t, e.take())
		n.Changes(changes(bad("a", health.Error)))
		pass(10 * time.Second)
		n.Changes(changes(bad("a", health.Warning))) // less bad again before anybody knew
		pass(time.Hour)
		wantLines(t, e.take())
		n.Changes(changes(paused("a")))
		pass(time.Hour)
		wantLines(t, e.take(), "1 closed a listing unknown")
	})
}

func TestOutageOfManyIsFewMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{name: "soc"}
		n, stop := run(t, newTable(), Route{e, DefaultPolicy()})
		defer stop()
		for i := range 500 { // over four minutes and a half
			n.Changes(changes(bad(fmt.Sprintf("c%03d", i), health.Warning)))
			pass(500 * time.Millisecond)
		}
		c := bad("other", health.Error)
		c.Condition.Reason = "auth"
		n.Changes(changes(c)) // another cause does not wait for the others
		pass(31 * time.Second)
		e.mu.Lock()
		heard := e.heard
		e.mu.Unlock()
		if len(heard) != 2 {
			t.Fatalf("%d messages", len(heard))
		}
		if got, want := heard[0].Counts[Problem]+heard[1].Counts[Problem], 501; got != want {
			t.Errorf("%d problems, want %d", got, want)
		}
		second := heard[1]
		if len(second.Events) != maxEvents || second.Omitted != second.Counts[Problem]-maxEvents || second.Events[0].Reason != "auth" {
			t.Errorf("%d events, %d omitted, the first because of %s", len(second.Events), second.Omitted, second.Events[0].Reason)
		}
		if !strings.Contains(second.Title, "Listing content (auth), other (T-other) Audit.General, and 1 more cause") || strings.Count(second.Text, "\n") > 40 {
			t.Errorf("title %q, text:\n%s", second.Title, second.Text)
		}
	})
}

func TestReminders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{name: "soc"}
		p := DefaultPolicy()
		p.Repeat = 10 * time.Hour
		n, stop := run(t, newTable(), Route{e, p})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(30 * time.Minute)
		n.Changes(changes(bad("b", health.Warning)))
		pass(time.Hour)
		wantLines(t, e.take(), "1 problem a listing warning", "2 problem b listing warning")
		pass(10 * time.Hour)
		wantLines(t, e.take(), "1 reminder a listing warning", "1 reminder b listing warning")
		n.Changes(changes(good("b")))
		pass(10 * time.Hour)
		wantLines(t, e.take(), "1 resolved b listing ok", "2 reminder a listing warning")
	})
}

func TestPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errorsOnly, oneTenant, quiet := DefaultPolicy(), DefaultPolicy(), DefaultPolicy()
		errorsOnly.MinSeverity = health.Error
		oneTenant.Tenants = []string{"T-b"}
		quiet.Resolved = false
		pager, customer, log := &ear{name: "pager"}, &ear{name: "customer"}, &ear{name: "log"}
		n, stop := run(t, newTable(), Route{pager, errorsOnly}, Route{customer, oneTenant}, Route{log, quiet})
		defer stop()
		server := bad("", health.Warning)
		server.Feed = health.Feed{}
		n.Changes(changes(bad("a", health.Error), bad("b", health.Warning), server))
		pass(time.Minute)
		wantLines(t, pager.take(), "1 problem a listing error")
		wantLines(t, customer.take(), "1 problem b listing warning")
		wantLines(t, log.take(), "1 problem a listing error", "1 problem  listing warning", "1 problem b listing warning")
		n.Changes(changes(bad("a", health.Warning), good("b")))
		pass(10 * time.Minute)
		wantLines(t, pager.take(), "1 resolved a listing warning")
		wantLines(t, customer.take(), "1 resolved b listing ok")
		wantLines(t, log.take())
	})
}

func TestDeliveryIsRepeatedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, well := &ear{name: "down", err: fault.New(fault.Unavailable, "send", "503")}, &ear{name: "well"}
		n, stop := run(t, newTable(), Route{down, DefaultPolicy()}, Route{well, DefaultPolicy()})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(31 * time.Second)
		n.Changes(changes(bad("b", health.Warning)))
		pass(time.Hour)
		wantLines(t, well.take(), "1 problem a listing warning", "2 problem b listing warning")
		st := n.Status()[0]
		if st.Outbox != 2 || st.Failures < 5 || st.Failures > 12 || !fault.Is(st.Error, fault.Unavailable) || st.NextTry.IsZero() || st.Open != 2 {
			t.Errorf("%+v", st)
		}
		down.fail(nil)
		pass(15 * time.Minute)
		wantLines(t, down.take(), "1 problem a listing warning", "2 problem b listing warning")
		if st := n.Status()[0]; st.Outbox != 0 || st.Failures != 0 || st.Error != nil || st.Delivered.IsZero() {
			t.Errorf("%+v", st)
		}
	})
}

func TestBackOff(t *testing.T) {
	t.Parallel()
	soon, slow := fault.New(fault.Unavailable, "send", "x"), fault.New(fault.Auth, "send", "x")
	for failures, want := range map[int]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 8: retryMost, 1000: retryMost} {
		if got := retryAfter(soon, failures); got != want {
			t.Errorf("%d failures: %v, want %v", failures, got, want)
		}
	}
	if got := retryAfter(slow, 1); got != retrySlow {
		t.Errorf("what a person must correct: %v", got)
	}
	s := newStream(Route{&ear{}, DefaultPolicy()}, "", nil)
	s.delivered("x", fault.New(fault.Throttled, "send", "429").WithRetryAfter(time.Hour), noon)
	if !s.tryAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("the receiver asked for an hour: %v", s.tryAt.Sub(noon))
	}
}

func TestGivenUpIsMentioned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{name: "soc", err: fault.New(fault.Auth, "send", "401")}
		p := DefaultPolicy()
		p.Repeat = 0
		n, stop := run(t, newTable(), Route{e, p})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(25 * time.Hour)
		if st := n.Status()[0]; st.Outbox != 0 || st.Dropped != 1 {
			t.Fatalf("%+v", st)
		}
		e.fail(nil)
		n.Changes(changes(bad("b", health.Warning)))
		pass(16 * time.Minute)
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.heard) != 1 || e.heard[0].Abandoned != 1 || !strings.Contains(e.heard[0].Text, "could not be delivered: 1") {
			t.Errorf("%+v", e.heard)
		}
	})
}

func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	s := newStream(Route{&ear{}, DefaultPolicy()}, "", func() string { return "id" })
	for range outboxMost + 7 {
		s.kept.Outbox = append(s.kept.Outbox, Message{Created: noon})
	}
	if gone := s.expire(noon); gone != 7 || len(s.kept.Outbox) != outboxMost || s.kept.Dropped != 7 {
		t.Errorf("%d gone, %d left", gone, len(s.kept.Outbox))
	}
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := newTable()
		e := &ear{name: "soc"}
		n, stop := run(t, values, Route{e, DefaultPolicy()})
		n.Changes(changes(bad("a", health.Warning), bad("b", health.Warning)))
		pass(time.Minute)
		wantLines(t, e.take(), "1 problem a listing warning", "1 problem b listing warning")
		e.fail(errors.New("down"))
		n.Changes(changes(bad("c", health.Error)))
		pass(10 * time.Minute)                       // in the outbox
		n.Changes(changes(bad("d", health.Warning))) // not even there
		stop()
		e.fail(nil)

		n, stop = run(t, values.copied(), Route{e, DefaultPolicy()})
		defer stop()
		n.Reconcile(changes(bad("a", health.Warning), bad("c", health.Error), bad("d", health.Warning)))
		pass(10 * time.Minute)
		wantLines(t, e.take(), "1 problem c listing error", "2 problem d listing warning", "2 resolved b listing ok")
	})
}

func TestCrashAfterDeliverySendsTheSameIDAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := newTable()
		e := &ear{name: "soc", err: errors.New("down")}
		n, stop := run(t, values, Route{e, DefaultPolicy()})
		n.Changes(changes(bad("a", health.Warning)))
		pass(time.Minute)
		crashed := values.copied()
		e.fail(nil)
		pass(time.Hour)
		stop()
		_, stop = run(t, crashed, Route{e, DefaultPolicy()})
		defer stop()
		pass(time.Minute)
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.heard) != 2 || e.heard[0].ID != e.heard[1].ID || e.heard[0].ID == "" {
			t.Errorf("%d messages", len(e.heard))
		}
	})
}

func TestStoreFailureDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := newTable()
		values.fail(errors.New("no database"))
		e := &ear{name: "soc"}
		n, stop := run(t, values, Route{e, DefaultPolicy()})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(time.Minute)
		wantLines(t, e.take(), "1 problem a listing warning")
		values.fail(nil)
		pass(2 * time.Minute)
		if len(values.copied().rows) != 1 {
			t.Error("not stored when the store worked again")
		}
	})
}

func TestDamagedMemoryIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := newTable()
		values.rows["notify/soc"] = []byte("{")
		e := &ear{name: "soc"}
		n, stop := run(t, values, Route{e, DefaultPolicy()})
		defer stop()
		n.Reconcile(changes(bad("a", health.Warning)))
		pass(time.Minute)
		wantLines(t, e.take(), "1 problem a listing warning")
	})
}

func TestTwoOfOneName(t *testing.T) {
	t.Parallel()
	r := Route{&ear{name: "soc"}, DefaultPolicy()}
	_, err := New(t.Context(), Settings{Routes: []Route{r, r}, Store: NewValueStore(newTable()), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler)})
	if !fault.Is(err, fault.Config) {
		t.Error(err)
	}
}

func TestTestTriesTheOutboxAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{name: "soc", err: fault.New(fault.Auth, "send", "401")}
		n, stop := run(t, newTable(), Route{e, DefaultPolicy()})
		defer stop()
		n.Changes(changes(bad("a", health.Warning)))
		pass(time.Minute)
		e.fail(nil)
		if _, err := n.Test(t.Context(), "other"); !fault.Is(err, fault.NotFound) {
			t.Error(err)
		}
		checks, err := n.Test(t.Context(), "soc")
		if err != nil {
			t.Fatal(err)
		}
		for range checks {
		}
		pass(time.Second)
		wantLines(t, e.take(), "1 problem a listing warning")
	})
}

func TestTextsAreOneLineEach(t *testing.T) {
	t.Parallel()
	c := bad("a", health.Error)
	c.At, c.Condition.Since = noon, noon
	c.Feed.Connector = "evil\r\nBcc: x@example.com"
	c.Condition.Message = "first\nsecond\x1b[31m"
	m := newMessage("id", "host", noon, []Event{begun(c)}, 0)
	if strings.ContainsAny(m.Title, "\r\n\x1b") || strings.Contains(m.Text, "\nBcc") || strings.Contains(m.Text, "\x1b") {
		t.Errorf("%q\n%q", m.Title, m.Text)
	}
	want := "Problem: Listing content, unavailable (1)\n" +
		"  evil Bcc: x@example.com (T-a) Audit.General: first second [31m\n" +
		"    since 2026-03-04 12:00:00 UTC\n" +
		"  What to do: wait\n\nSluice on host, 2026-03-04 12:00:00 UTC\n"
	if m.Text != want {
		t.Errorf("got:\n%s\nwant:\n%s", m.Text, want)
	}
}
