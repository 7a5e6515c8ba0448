package sourcetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/fault"
	"sluice/internal/rawjson"
	"sluice/internal/record"
	"sluice/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun runs the suite against a driver that keeps every promise without a network: what the suite demands can be met.
func TestRun(t *testing.T) {
	Run(t, Harness{
		New: func(*testing.T) (source.Source, Server) {
			m := &memory{waiting: make(chan struct{})}
			return m, m
		},
		Windows: []source.Window{{ContentType: "test", From: time.Unix(0, 0).UTC(), To: time.Unix(3600, 0).UTC()}},
		Secrets: []string{"the secret"},
	})
}

// memory is the driver and its service in one.
type memory struct {
	mu      sync.Mutex
	units   [][]string
	perPage int
	broken  Case
	times   int // that broken still strikes, 0: for ever
	waiting chan struct{}
}

// Serve implements Server.
func (m *memory) Serve(units [][]string, perPage int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.units, m.perPage = units, perPage
}

// Break implements Server.
func (m *memory) Break(c Case, times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken, m.times = c, times
}

// Foreign implements Server.
func (m *memory) Foreign() int { return 0 }

// Waiting implements Server.
func (m *memory) Waiting() <-chan struct{} { return m.waiting }

// strike takes the fault of a request at a place.
func (m *memory) strike(p Place) Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken.Place != p {
		return ""
	}
	f := m.broken.Fault
	if m.times > 0 {
		if m.times--; m.times == 0 {
			m.broken = Case{}
		}
	}
	return f
}

// request is one request at a place; a refused token is renewed once.
func (m *memory) request(ctx context.Context, p Place) error {
	if ctx.Err() != nil {
		return fault.New(fault.Canceled, "ask", "given up")
	}
	f := m.strike(p)
	if f == Unauthorized && p != SignIn {
		f = m.strike(p)
	}
	if f == Stall {
		close(m.waiting)
		<-ctx.Done()
		return fault.New(fault.Canceled, "ask", "given up")
	}
	for _, e := range failures() {
		if e.Case != (Case{p, f}) {
			continue
		}
		err := fault.New(e.kind, "ask", string(f))
		if f == Throttle {
			err = err.WithRetryAfter(2500 * time.Millisecond)
		}
		return err
	}
	return nil
}

// List implements source.Source.
func (m *memory) List(ctx context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	return func(yield func(record.Unit, error) bool) {
		m.mu.Lock()
		units, perPage := m.units, m.perPage
		m.mu.Unlock()
		err := m.request(ctx, SignIn)
		place := Listing
		for from := 0; err == nil && (from < len(units) || from == 0); from += perPage {
			if err = m.request(ctx, place); err != nil {
				break
			}
			place = NextPage
			for i := from; i < min(from+perPage, len(units)); i++ {
				if !yield(record.Unit{Key: strconv.Itoa(i), ContentType: w.ContentType, Created: w.From}, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(record.Unit{}, err)
		}
	}
}

// Fetch implements source.Source.
func (m *memory) Fetch(ctx context.Context, u record.Unit) iter.Seq2[record.Item, error] {
	return func(yield func(record.Item, error) bool) {
		if err := errors.Join(m.request(ctx, SignIn), m.request(ctx, Content)); err != nil {
			yield(record.Item{}, err)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		n, _ := strconv.Atoi(u.Key)
		for i, raw := range m.units[n] {
			if !yield(record.Item{Raw: []byte(raw), Offset: int64(i), Malformed: rawjson.Check([]byte(raw))}, nil) {
				return
			}
		}
	}
}

// Test implements source.Source.
func (m *memory) Test(ctx context.Context) iter.Seq[source.Check] {
	return func(yield func(source.Check) bool) {
		status := source.Passed
		for _, p := range []Place{SignIn, Listing, Content} {
			c := source.Check{Name: string(p), Status: status}
			if status == source.Passed && m.request(ctx, p) != nil {
				c.Status, c.Hint, status = source.Failed, "repair it", source.Skipped
			}
			if !yield(c) {
				return
			}
		}
	}
}

func TestDrain(t *testing.T) {
	broken := errors.New("broken")
	type step struct {
		v   int
		err error
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  []int
		kind  fault.Kind // of the error; "" when it is broken itself, or none
		err   error
	}{
		{name: "empty"},
		{name: "values", steps: []step{{v: 1}, {v: 2}}, want: []int{1, 2}},
		{name: "values before an error stay", steps: []step{{v: 1}, {err: broken}}, want: []int{1}, err: broken},
		{name: "a value behind the error", steps: []step{{v: 1}, {err: broken}, {v: 2}}, want: []int{1}, kind: fault.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := drain(func(yield func(int, error) bool) {
				for _, s := range tt.steps {
					if !yield(s.v, s.err) {
						return
					}
				}
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if tt.kind != "" && !fault.Is(err, tt.kind) || tt.kind == "" && !errors.Is(err, tt.err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestFailures checks that a case has one expected kind, and one that says something.
func TestFailures(t *testing.T) {
	seen := map[Case]bool{}
	for _, e := range failures() {
		if seen[e.Case] {
			t.Errorf("%s is expected twice", e)
		}
		seen[e.Case] = true
		if !slices.Contains(fault.Kinds(), e.kind) || e.kind == fault.Internal {
			t.Errorf("%s: kind %q", e, e.kind)
		}
	}
}

func TestContent(t *testing.T) {
	units, all := content(12)
	if len(units) != 12 {
		t.Fatalf("%d units", len(units))
	}
	seen := map[string]bool{}
	for _, r := range all {
		if why := rawjson.Check([]byte(r)); why != "" || seen[r] {
			t.Errorf("record %.60q: %q, seen before: %v", r, why, seen[r])
		}
		seen[r] = true
	}
}

func TestFirstOther(t *testing.T) {
	for _, tt := range []struct {
		a, b []string
		want string
	}{
		{nil, []string{"a"}, ""},
		{[]string{"a"}, []string{"a", "b"}, ""},
		{[]string{"a", "b"}, []string{"a"}, "b"},
		{[]string{"a", "b"}, []string{"a", "c"}, "b"},
	} {
		if got := firstOther(tt.a, tt.b); got != tt.want {
			t.Errorf("firstOther(%q, %q) = %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}
