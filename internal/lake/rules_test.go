package lake

import (
	"context"
	"testing"

	"sluice/internal/fault"
)

// TestNothingIsCommittedBehindAGap: whoever waits for a message behind a gap is not told that the lake has it.
func TestNothingIsCommittedBehindAGap(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(6)
	gap := append(entries[:3:3], entries[4:]...)
	w := NewWriter(l, func(context.Context, uint64) (Feed, error) { return &listFeed{entries: gap}, nil }, WriterOptions{})
	err := runWriter(t, w, 6)
	if err == nil {
		t.Error("the writer committed behind a gap")
	} else if !fault.Is(err, fault.Gone) && !fault.Is(err, fault.Canceled) {
		t.Errorf("the writer ended with %v", err)
	}
	if got := w.Committed().Seq; got != 3 {
		t.Errorf("committed up to %d, want 3", got)
	}
	expect(t, l, entries[:3]...)
}

// TestACommitThatLostTheRaceIsMadeAgain: another process changed the table since the writer saw it. What the writer then calls
// committed has to be in the lake as everybody sees it.
func TestACommitThatLostTheRaceIsMadeAgain(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := testEntries(5)
	more := make(chan Entry)
	w := NewWriter(l, func(_ context.Context, from uint64) (Feed, error) {
		f := &listFeed{more: more}
		for _, e := range entries[:4] {
			if e.Seq >= from {
				f.entries = append(f.entries, e)
			}
		}
		return f, nil
	}, WriterOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if err := w.Flush(ctx, 4); err != nil {
		t.Fatal(err)
	}
	if err := s.open().Expire(ctx); err != nil { // another process, as far as the catalog can tell
		t.Fatal(err)
	}
	more <- entries[4]
	if err := w.Flush(ctx, 5); err != nil {
		t.Fatal(err)
	}
	seen := s.open()
	positions, err := seen.Positions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for index, p := range positions {
		if p.Seq != 5 {
			t.Errorf("%s of the lake is at %d after a commit up to 5", index, p.Seq)
		}
	}
	expect(t, seen, entries...)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
