package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/fault"
)

// past is a History that a test fills.
type past struct {
	mu    sync.Mutex
	hours []Hour
	err   error
	asked int
}

func (p *past) Landed(_ context.Context, _ Feed, from, to time.Time) ([]Hour, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	var list []Hour
	for _, h := range p.hours {
		if !h.Start.Before(from) && h.Start.Before(to) {
			list = append(list, h)
		}
	}
	return list, p.err
}

type bench struct {
	*Monitor
	t      *testing.T
	clock  *hand
	values *table
	past   *past
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, clock: &hand{now: noon}, values: newTable(), past: &past{}}
	b.restart()
	return b
}

func (b *bench) restart() {
	b.t.Helper()
	b.Monitor = New(Settings{Clock: b.clock, Store: NewValueStore(b.values), History: b.past, Log: slog.New(slog.DiscardHandler)})
	if err := b.Load(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// tick advances the clock, ticks and returns the changes as text.
func (b *bench) tick(d time.Duration, inputs ...Input) []string {
	b.t.Helper()
	b.clock.advance(d)
	changes, err := b.Tick(b.t.Context(), inputs)
	if err != nil {
		b.t.Fatal(err)
	}
	return short(changes)
}

func short(changes []Change) (list []string) {
	for _, c := range changes {
		what := c.Feed.Connector
		if c.Feed.ContentType != "" {
			what += "/" + c.Feed.ContentType
		}
		if what == "" {
			what = "server"
		}
		list = append(list, fmt.Sprintf("%s %s: %s -> %s (%s)", what, c.Condition.Type, c.From, c.Condition.Status, c.Condition.Reason))
	}
	return list
}

func (b *bench) want(got []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Fatalf("changes:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func away(failures int, at time.Time) Trouble {
	return Trouble{failures, fault.New(fault.Unavailable, "list content", "503"), at}
}

func TestBadAtOnceGoodAfterAWhile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := healthy("a", "General")
	bad := good
	bad.Listing = away(3, noon)
	b.want(b.tick(0, good))
	b.want(b.tick(time.Minute, bad), "a/General listing: ok -> warning (unavailable)")
	b.want(b.tick(time.Minute, bad))
	if r := b.Report(bad); r.State != Degraded || !r.Condition(Listing).Since.Equal(noon.Add(time.Minute)) {
		t.Errorf("%s since %v", r.State, r.Condition(Listing).Since)
	}
	bad.Listing.Failures = 12
	b.want(b.tick(time.Minute, bad), "a/General listing: warning -> error (down)")
	b.want(b.tick(time.Minute, good))
	if r := b.Report(good); r.State != OK {
		t.Errorf("who asks hears %q while it is fine", r.State)
	}
	if open := short(b.Open()); len(open) != 1 {
		t.Errorf("open: %q", open)
	}
	b.want(b.tick(time.Minute, good))
	b.want(b.tick(time.Minute, good)) // twice bad within the hour: four minutes
	b.want(b.tick(time.Minute, good))
	b.want(b.tick(time.Minute, good), "a/General listing: error -> ok (ok)")
	if r := b.Report(good); !r.Condition(Listing).Since.Equal(noon.Add(4 * time.Minute)) {
		t.Errorf("good since %v", r.Condition(Listing).Since)
	}
	if open := b.Open(); len(open) != 0 {
		t.Errorf("still open: %q", short(open))
	}
}

func TestFlapsAreDamped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := healthy("a", "General")
	bad := good
	bad.Listing = away(3, noon)
	changes := 0
	for range 6 * 60 / 5 { // six hours of two bad and three good minutes
		for i := range 5 {
			in := good
			if i < 2 {
				in = bad
			}
			changes += len(b.tick(time.Minute, in))
		}
	}
	if changes > 8 {
		t.Errorf("%d changes in six hours of flapping", changes)
	}
	for range 40 {
		b.tick(time.Minute, good)
	}
	if open := b.Open(); len(open) > 0 {
		t.Errorf("not over after 40 good minutes: %q", short(open))
	}
}

func TestErrorRate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	fail := func(n int64) Input {
		in.Failed += n
		in.Fetching = Trouble{1, fault.New(fault.Unavailable, "read content", "reset"), b.clock.Now().Add(time.Minute)}
		return in
	}
	b.want(b.tick(time.Minute, fail(10)))
	b.want(b.tick(time.Minute, fail(10)))
	b.want(b.tick(time.Minute, fail(10))) // 30
	b.want(b.tick(time.Minute, fail(1)), "a/General error_rate: ok -> warning (too_many)")
	for range 3 {
		b.want(b.tick(time.Minute, in)) // the first tens leave the window
	}
	b.want(b.tick(time.Minute, in), "a/General error_rate: warning -> ok (ok)")
	in.Failed = 0 // a restart
	b.want(b.tick(10*time.Minute, fail(30)))
	in.Limits = Limits{ErrorUnits: 5, ErrorWindow: time.Minute}
	b.want(b.tick(time.Minute, fail(6)), "a/General error_rate: ok -> warning (too_many)")
}

func TestPassedTestClearsAndTroubleComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	in.Listing = Trouble{1, fault.New(fault.Auth, "get a token", "wrong secret"), noon}
	in.Failed = 60
	other := healthy("b", "General")
	other.Listing = in.Listing
	b.want(b.tick(time.Minute, in, other),
		"a/General listing: unknown -> error (auth)", "b/General listing: unknown -> error (auth)", "a/General error_rate: unknown -> warning (too_many)")
	b.clock.advance(time.Minute)
	changes, err := b.Passed(t.Context(), "id-a")
	if err != nil {
		t.Fatal(err)
	}
	b.want(short(changes), "a/General error_rate: warning -> ok (tested)", "a/General listing: error -> ok (tested)")
	if r := b.Report(in); r.State != OK {
		t.Errorf("after a passed test: %q", r.State)
	}
	b.want(b.tick(30*time.Second, in, other))
	in.Listing.At, in.Listing.Failures = b.clock.Now(), 2
	in.Failed += 13 // as many as before: 60 in 5 minutes
	b.want(b.tick(30*time.Second, in, other), "a/General listing: ok -> error (auth)", "a/General error_rate: ok -> warning (too_many)")
}

func TestPassedTestOfAContentType(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := healthy("a", "One"), healthy("a", "Two")
	one.Listing, two.Listing = away(3, noon), away(3, noon)
	b.tick(time.Minute, one, two)
	changes, err := b.Passed(t.Context(), "id-a", "Two")
	if err != nil {
		t.Fatal(err)
	}
	b.want(short(changes), "a/Two listing: warning -> ok (tested)")
}

func TestOneChangeForWhatIsShared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var inputs []Input
	for _, contentType := range []string{"One", "Two", "Three"} {
		in := healthy("a", contentType)
		in.Expires = noon.Add(20 * 24 * time.Hour)
		in.Storage.Err = errors.New("the disk is full")
		inputs = append(inputs, in)
	}
	paused := healthy("p", "One")
	paused.Paused = true
	b.want(b.tick(time.Minute, append(inputs, paused)...),
		"server storage: unknown -> error (internal)", "a credential: unknown -> warning (ends_soon)", "p running: unknown -> info (paused)")
}

func TestPauseAndDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := healthy("a", "One"), healthy("a", "Two")
	one.Listing, two.Listing = away(3, noon), away(3, noon)
	b.tick(time.Minute, one, two)
	one.Paused, two.Paused = true, true
	b.want(b.tick(time.Minute, one, two), "a running: ok -> info (paused)",
		"a/One listing: warning -> unknown (paused)", "a/Two listing: warning -> unknown (paused)")
	one.Paused, two.Paused = false, false
	b.want(b.tick(time.Minute, one, two), "a/One listing: unknown -> warning (unavailable)", "a/Two listing: unknown -> warning (unavailable)", "a running: info -> ok (ok)")
	b.want(b.tick(time.Minute, one), "a/Two listing: warning -> unknown (deleted)")
	b.want(b.tick(time.Minute), "a running: ok -> unknown (deleted)", "a/One listing: warning -> unknown (deleted)")
	if len(b.values.rows) != 0 {
		t.Errorf("%d values are left of a deleted connector", len(b.values.rows))
	}
}

func TestRecordSurvivesRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	in.Listing = away(3, noon)
	b.tick(time.Minute, in)
	b.restart()
	again := in
	again.Listed, again.Listing = false, Trouble{} // nothing is known yet
	b.want(b.tick(time.Minute, again))
	b.want(b.tick(time.Minute, in))
	if open := b.Open(); len(open) != 1 || !open[0].At.Equal(noon.Add(time.Minute)) {
		t.Fatalf("open: %+v", open)
	}
	history, err := b.History(t.Context(), in.Feed, 10)
	if err != nil {
		t.Fatal(err)
	}
	b.want(short(history), "a/General listing: unknown -> warning (unavailable)")
	fine := healthy("a", "General")
	b.tick(time.Minute, fine)
	b.want(b.tick(2*time.Minute, fine), "a/General listing: warning -> ok (ok)")
	history, _ = b.History(t.Context(), Feed{ConnectorID: "id-a"}, 1)
	b.want(short(history), "a/General listing: warning -> ok (ok)")
}

func TestStoreFailureLosesNoHistory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	in.Listing = away(3, noon)
	b.values.fail(errors.New("no database"))
	changes, err := b.Tick(t.Context(), []Input{in})
	if err == nil || len(changes) != 1 {
		t.Fatalf("%q, %v", short(changes), err)
	}
	b.values.fail(nil)
	b.want(b.tick(time.Minute, in))
	b.restart()
	if open := b.Open(); len(open) != 1 {
		t.Errorf("open after a restart: %q", short(open))
	}
}

func TestLossesAreToldAgainWhenTheyDouble(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	told := []int64{}
	for in.Lost = 1; in.Lost <= 10; in.Lost++ {
		if len(b.tick(time.Minute, in)) > 0 {
			told = append(told, in.Lost)
		}
	}
	if !slices.Equal(told, []int64{1, 2, 4, 8}) {
		t.Errorf("told at %v", told)
	}
	if c := b.Report(in).Condition(Completeness); c.Count != 11 {
		t.Errorf("who asks hears %d", c.Count)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	store := NewValueStore(newTable())
	feed := healthy("a", "General").Feed
	add := func(typ Type, i int) {
		c := Change{At: noon.Add(time.Duration(i) * time.Minute), Feed: feed, From: Good, Condition: Condition{Type: typ, Status: Error, Reason: "auth", Count: int64(i)}}
		if err := store.Append(t.Context(), []Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	add(Fetching, 0)
	for i := range 3 * keepPerFeed {
		add(Listing, i+1)
	}
	list, err := store.List(t.Context(), feed, 1000)
	if err != nil || len(list) != keepPerFeed+1 || list[0].Condition.Count != 3*keepPerFeed {
		t.Errorf("%d changes, %v", len(list), err)
	}
	last, err := store.Load(t.Context())
	if err != nil || len(last) != 2 {
		t.Errorf("last changes: %q, %v", short(last), err)
	}
}

func TestDamagedHistoryIsAnError(t *testing.T) {
	t.Parallel()
	values := newTable()
	values.rows[valueKey("x")] = []byte("[{")
	if _, err := NewValueStore(values).Load(t.Context()); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "health/x") {
		t.Error(err)
	}
}

// A damaged value hides no other, and is replaced by the next change.
func TestDamagedHistoryBeginsAnew(t *testing.T) {
	t.Parallel()
	values := newTable()
	store := NewValueStore(values)
	change := func(id string) Change {
		return Change{At: noon, Feed: Feed{ConnectorID: id, ContentType: "General"}, From: Good, Condition: Condition{Type: Listing, Status: Error, Since: noon}}
	}
	if err := store.Append(t.Context(), []Change{change("a"), change("b")}); err != nil {
		t.Fatal(err)
	}
	values.rows[valueKey("a")] = []byte("[{")
	m := New(Settings{Clock: &hand{now: noon}, Store: store, Log: slog.New(slog.DiscardHandler)})
	if err := m.Load(t.Context()); err == nil {
		t.Error("the damage is not told")
	}
	if open := m.Open(); len(open) != 1 || open[0].Feed.ConnectorID != "b" {
		t.Errorf("open: %+v", open)
	}
	if err := store.Append(t.Context(), []Change{change("a")}); err != nil {
		t.Fatal(err)
	}
	if last, err := store.Load(t.Context()); err != nil || len(last) != 2 {
		t.Errorf("after the next change: %+v, %v", last, err)
	}
}

func TestInactivityIsLearntFromTheLedger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for at := noon.Add(-8 * 7 * 24 * time.Hour); !at.After(noon); at = at.Add(time.Hour) {
		b.past.hours = append(b.past.hours, Hour{at, 5})
	}
	in := healthy("a", "General")
	in.LastData = noon
	b.past.err = errors.New("no ledger")
	b.want(b.tick(time.Minute, in))
	if c := b.Report(in).Condition(Activity); c.Reason != ReasonLearning {
		t.Errorf("without history: %+v", c)
	}
	b.past.err = nil
	b.want(b.tick(30*time.Minute, in)) // not asked again so soon
	if b.past.asked != 1 {
		t.Errorf("asked %d times", b.past.asked)
	}
	b.want(b.tick(time.Hour, in))
	if c := b.Report(in).Condition(Activity); c.Reason != ReasonOK || b.past.asked != 2 {
		t.Errorf("asked %d times: %+v", b.past.asked, c)
	}
	b.want(b.tick(8*time.Hour, in), "a/General activity: ok -> warning (silent)")
	if r := b.Report(in); r.State != Degraded || !strings.Contains(r.Condition(Activity).Message, "no data for 9 hours") {
		t.Errorf("%s: %s", r.State, r.Condition(Activity).Message)
	}
	in.LastData = b.clock.Now()
	b.tick(time.Minute, in)
	b.want(b.tick(2*time.Minute, in), "a/General activity: warning -> ok (ok)")
}

// TestVerificationGetsTimeAfterAPause: after the server was off, or the connector paused, the daily verification has
// hours to run; then it is overdue.
func TestVerificationGetsTimeAfterAPause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	until := func(end time.Duration, in Input) (overdueAfter time.Duration) {
		t.Helper()
		for d := time.Duration(0); d < end; d += 10 * time.Minute {
			in.LastData = b.clock.Now()
			b.tick(10*time.Minute, in)
			if b.Report(in).Condition(Verification).Reason == ReasonOverdue {
				return d + 10*time.Minute
			}
		}
		return 0
	}
	b.tick(0, in)
	b.clock.advance(50 * time.Hour) // off
	b.restart()
	if got := b.Report(in).Condition(Verification); got.Status != Good {
		t.Errorf("asked before the first look after the start: %+v", got)
	}
	if after := until(36*time.Hour, in); after <= verifyCatchUp || after > verifyCatchUp+time.Hour {
		t.Errorf("overdue %s after the start, want %s", after, verifyCatchUp)
	}
	for _, off := range []func(*Input){func(in *Input) { in.Paused = true }, func(in *Input) { in.Running = false }} {
		still := in
		off(&still)
		if after := until(3*time.Hour, still); after != 0 {
			t.Errorf("overdue while it is off, after %s", after)
		}
		if after := until(36*time.Hour, in); after <= verifyCatchUp || after > verifyCatchUp+time.Hour {
			t.Errorf("overdue %s after it runs again, want %s", after, verifyCatchUp)
		}
	}
	in.Verified.At = b.clock.Now()
	if after := until(72*time.Hour, in); after <= verifyOverdue || after > verifyOverdue+time.Hour {
		t.Errorf("overdue %s after a verification, want %s", after, verifyOverdue)
	}
}

func TestLearningIsSpread(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var inputs []Input
	for i := range 3 * learnAtOnce {
		inputs = append(inputs, healthy(fmt.Sprint(i), "General"))
	}
	for i := 1; i <= 4; i++ {
		b.tick(time.Minute, inputs...)
		if want := min(i, 3) * learnAtOnce; b.past.asked != want {
			t.Errorf("tick %d: asked %d times, want %d", i, b.past.asked, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := healthy("a", "General")
	in.Listing = away(3, noon)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				_, _ = b.Tick(t.Context(), []Input{in})
				_ = b.Report(in)
				_ = b.Open()
				_, _ = b.Passed(t.Context(), "id-a")
			}
		})
	}
	wg.Wait()
}
