package follow

import (
	"context"
	"errors"
	"slices"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/journal"
)

// memory is a store whose next call can be made to fail.
type memory struct {
	positions map[string]uint64
	fail      error
}

func (m *memory) Load(_ context.Context, name string) (uint64, bool, error) {
	p, ok := m.positions[name]
	return p, ok, m.fail
}

func (m *memory) Save(_ context.Context, name string, p uint64) error {
	if m.fail == nil {
		m.positions[name] = p
	}
	return m.fail
}

// gauge is a journal of messages of 100 bytes.
type gauge struct {
	first, last uint64
	fail        error
}

func (g *gauge) Bounds(context.Context) (first, last uint64, err error) {
	return g.first, g.last, g.fail
}

func (g *gauge) Usage(context.Context) (used, budget int64, err error) {
	return int64(g.last+1-g.first) * 100, 1 << 40, g.fail
}

func attach(t *testing.T, r *Readers, name string, start uint64) *Attachment {
	t.Helper()
	a, err := r.Attach(t.Context(), name, start)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPositionsAreDurable(t *testing.T) {
	store := &memory{positions: map[string]uint64{}}
	r := NewReaders(store, &gauge{first: 1, last: 50}, 1000, nil)
	if r.Floor() != Unheld {
		t.Error("nobody is attached and the journal is held")
	}
	a := attach(t, r, "a", 7)
	b := attach(t, r, "b", 20)
	if _, err := r.Attach(t.Context(), "a", 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second reader of the same name: %v", err)
	}
	if r.Floor() != 7 {
		t.Errorf("floor %d, want 7", r.Floor())
	}
	if err := errors.Join(a.Advance(t.Context(), 30), a.Advance(t.Context(), 25)); err != nil || a.Position() != 30 {
		t.Errorf("position %d, %v; want 30", a.Position(), err)
	}
	if r.Floor() != 20 {
		t.Errorf("floor %d, want 20", r.Floor())
	}
	store.fail = errors.New("database away")
	if err := b.Advance(t.Context(), 40); !errors.Is(err, store.fail) || b.Position() != 20 || r.Floor() != 20 {
		t.Errorf("a position that is not stored moved to %d, floor %d, %v", b.Position(), r.Floor(), err)
	}
	if _, err := r.Attach(t.Context(), "c", 0); !errors.Is(err, store.fail) {
		t.Errorf("attaching without a store: %v", err)
	}
	store.fail = nil
	attach(t, r, "c", 45).Close() // the name is free again
	a.Close()
	b.Close()
	b.Close()
	if r.Floor() != Unheld {
		t.Error("closed readers hold the journal")
	}
	again := NewReaders(store, &gauge{first: 1, last: 50}, 1000, nil)
	if a := attach(t, again, "a", 0); a.Position() != 30 {
		t.Errorf("after a restart position %d, want 30", a.Position())
	}
}

func TestBudgetDetachesAndAttachesAgain(t *testing.T) {
	store := &memory{positions: map[string]uint64{}}
	g := &gauge{first: 1, last: 20}
	r := NewReaders(store, g, 1000, nil)
	slow, fast := attach(t, r, "slow", 10), attach(t, r, "fast", 20)
	expect := func(what string, floor uint64, detached bool) {
		t.Helper()
		if err := r.Enforce(t.Context()); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.List(), func(s Status) bool { return s.Name == "slow" })
		if s := r.List()[i]; r.Floor() != floor || s.Detached != detached {
			t.Errorf("%s: floor %d, %+v; want floor %d, detached %v", what, r.Floor(), s, floor, detached)
		}
	}
	advance := func(a *Attachment, seq uint64) {
		t.Helper()
		if err := a.Advance(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	expect("1000 bytes behind", 10, false)
	g.last = 21
	expect("1100 bytes behind", 20, true)
	g.first = 21 // trimmed to the floor
	advance(slow, 13)
	expect("in the part that was trimmed", 20, true)
	g.last = 30
	advance(fast, 30)
	advance(slow, 24)
	expect("600 bytes behind: not yet", 30, true)
	advance(slow, 25)
	expect("500 bytes behind", 25, false)
	// A failure changes nothing.
	g.fail, g.last = errors.New("away"), 100
	if err := r.Enforce(t.Context()); !errors.Is(err, g.fail) || r.Floor() != 25 {
		t.Errorf("journal away: floor %d, %v", r.Floor(), err)
	}
	// A reader that needs what is not in the journal holds nothing.
	g.fail, g.first, g.last = nil, 28, 30
	expect("overtaken", 30, true)
	// One at the end of an empty journal is not behind.
	advance(slow, 30)
	g.first, g.last = 31, 30
	expect("empty journal", 30, false)
}

// TestAttachedToARealJournal: a dead reader costs the budget and no more, and loses nothing.
func TestAttachedToARealJournal(t *testing.T) {
	j, err := journal.Open(t.Context(), journal.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := newWorld(t)
	r := NewReaders(&memory{positions: map[string]uint64{}}, j, 64<<10, nil)
	dead := attach(t, r, "dead", 0)
	held := false
	for n := range 100 {
		data, err := w.codec.Encode(batch(w.last+1, 1))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, make([]byte, 4<<10)...) // trailing bytes that no decoder accepts: only the size counts here
		if _, err := j.Publish(t.Context(), "e", int64(n), data, w.last); err != nil {
			t.Fatal(err)
		}
		w.publish(1)
		w.commit(w.last)
		if err := r.Enforce(t.Context()); err != nil {
			t.Fatal(err)
		}
		upTo := min(w.committed, r.Floor())
		held = held || upTo < w.committed
		if err := j.Trim(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
		if used, _, err := j.Usage(t.Context()); err != nil || used > 72<<10 {
			t.Fatalf("after %d messages a dead reader holds %d bytes, %v", n, used, err)
		}
	}
	if !held {
		t.Error("the reader never held the journal")
	}
	c := follow(t, Source{Journal: Live(j), Lake: w}, dead.Position())
	c.until(w.last)
	c.same(w.truth(0))
}
