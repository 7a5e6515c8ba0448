package follow

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/journal"
)

// steps takes entries until the reader is at seq.
func (c *collector) until(seq uint64) {
	c.t.Helper()
	for c.r.Position() < seq {
		if _, err := c.next(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestFromLakeToJournal(t *testing.T) {
	for name, start := range map[string]uint64{"beginning": 0, "in the lake": 3, "where the journal begins": 6, "in the journal": 8} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for n := range 10 {
				w.publish(1 + n%4)
			}
			w.commit(7)
			w.trim(6)
			c := follow(t, w.source(), start)
			c.until(10)
			c.same(w.truth(start))
			if fromLake := c.lake > 0; fromLake != (start < 6) {
				t.Errorf("started at %d, read the lake: %v", start, fromLake)
			}
		})
	}
}

func TestEmptyPartsMoveThePosition(t *testing.T) {
	w := newWorld(t)
	w.publish(2)
	w.publish(-1)
	w.publish(0)
	w.commit(3)
	w.trim(3)
	w.publish(-1)
	w.publishBad()
	c := follow(t, w.source(), 0)
	c.until(4)
	if e, err := c.next(t.Context()); err != nil || e.Seq != 5 || !fault.Is(e.Bad, fault.Malformed) || len(e.Rows) != 0 {
		t.Errorf("a message that cannot be decoded: %+v, %v", e, err)
	}
	c.same(w.truth(0))
}

func TestOvertakenReaderUsesTheLake(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.publish(3)
	}
	c := follow(t, w.source(), 0)
	c.until(2) // in the journal
	w.commit(5)
	w.trim(5)
	c.until(5)
	if c.lake == 0 {
		t.Error("the journal had nothing left, and the lake was not read")
	}
	w.publish(1)
	w.replace()
	w.commit(11)
	c.until(11)
	w.publish(2)
	c.until(12)
	c.same(w.truth(0))
}

// TestWaitsForTheLake: the journal begins above what the lake has.
func TestWaitsForTheLake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 4 {
			w.publish(2)
		}
		w.commit(4)
		w.trim(4)
		w.change(func() { w.committed = 0 })
		c := follow(t, w.source(), 0)
		got := make(chan Entry)
		go func() {
			e, err := c.next(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- e
		}()
		synctest.Wait()
		select {
		case e := <-got:
			t.Fatalf("entry %d before the lake had it", e.Seq)
		default:
		}
		w.commit(2)
		if e := <-got; e.Seq != 1 || !e.Lake {
			t.Errorf("got %d, from the lake %v", e.Seq, e.Lake)
		}
		w.commit(4)
		c.until(4)
		c.same(w.truth(0))
	})
}

func TestNextAfterFailures(t *testing.T) {
	w := newWorld(t)
	for range 6 {
		w.publish(2)
	}
	w.commit(4)
	w.trim(4)
	c := follow(t, w.source(), 0)
	broken := errors.New("broken")
	w.change(func() { w.failScan = broken })
	if _, err := c.next(t.Context()); !errors.Is(err, broken) {
		t.Errorf("scan that breaks in the first group: %v", err)
	}
	w.change(func() { w.failScan = nil })
	c.until(2)
	// The end of one call's context ends the scan, not the reader.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	c.until(5)
	w.change(func() { w.failRead = fault.New(fault.Unavailable, "read", "away") })
	if _, err := c.next(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("journal that is away: %v", err)
	}
	w.change(func() { w.failRead = nil })
	c.until(6)
	c.same(w.truth(0))
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing more to read: %v", err)
	}
	w.publish(1)
	c.until(7)
	c.same(w.truth(0))
}

// TestAnyInterleaving publishes, commits, trims and replaces at random while several readers read.
func TestAnyInterleaving(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		w := newWorld(t)
		var readers []*collector
		starts := map[*collector]uint64{}
		for range 150 {
			switch random.IntN(12) {
			case 0, 1, 2, 3:
				w.publish(random.IntN(5) - 1)
			case 4, 5:
				w.commit(w.committed + uint64(random.IntN(4)))
			case 6, 7:
				w.trim(w.first + uint64(random.IntN(5)))
			case 8:
				if random.IntN(10) == 0 {
					w.replace()
					w.commit(w.last) // the owner ties the lake to the new journal
				}
			case 9:
				if len(readers) < 4 {
					start := uint64(random.IntN(int(w.last) + 1))
					c := follow(t, w.source(), start)
					readers, starts[c] = append(readers, c), start
				}
			default:
				for _, c := range readers {
					if c.r.Position() < w.last && random.IntN(2) == 0 {
						if _, err := c.next(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
		for _, c := range readers {
			c.until(w.last)
			c.same(w.truth(starts[c]))
		}
	}
}

// TestRealJournal reads an embedded journal while it is written and trimmed away under the reader.
func TestRealJournal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	j, err := journal.Open(ctx, journal.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := newWorld(t) // the truth and the lake
	const messages = 120
	publish := func(n int) {
		data, err := w.codec.Encode(batch(w.last+1, n))
		if err != nil {
			t.Error(err)
			return
		}
		data = bytes.Clone(data)
		if _, err := j.Publish(ctx, "e", int64(w.last+1)*10, data, w.last); err != nil {
			t.Error(err)
			return
		}
		w.publish(n)
	}
	for range messages / 3 {
		publish(3)
	}
	w.commit(30)
	if err := j.Trim(ctx, 30); err != nil {
		t.Fatal(err)
	}
	source := Source{Journal: Live(j), Lake: w, Clock: clock.NewScaled(100)}
	fast, slow := follow(t, source, 0), follow(t, source, 0)
	slow.until(35) // out of the lake and into the journal
	if slow.lake == 0 {
		t.Error("the trimmed part did not come from the lake")
	}
	var done sync.WaitGroup
	done.Go(func() {
		for n := range messages - messages/3 {
			publish(n % 4)
			if n%10 == 9 {
				w.commit(w.last)
				if err := j.Trim(ctx, w.last-2); err != nil {
					t.Error(err)
				}
			}
		}
	})
	fast.until(messages)
	done.Wait()
	before := slow.lake
	slow.until(messages)
	if slow.lake == before {
		t.Error("the reader that was overtaken did not read the lake")
	}
	fast.same(w.truth(0))
	slow.same(w.truth(0))
}
