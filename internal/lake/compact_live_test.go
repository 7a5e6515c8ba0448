package lake

import (
	"context"
	"sync"
	"testing"
	"time"

	"sluice/internal/record"
)

// TestCompactWhileWriting compacts the days that are being written, from two sides at once: no row is lost, none is
// there twice, and every record still comes back byte for byte.
func TestCompactWhileWriting(t *testing.T) {
	s := newSetup(t)
	s.cfg.CommitRows = 4 // a commit every other entry
	l := s.open()
	entries := testEntries(120)
	w := NewWriter(l, feedOf(entries...), WriterOptions{})
	ctx, stop := context.WithCancel(t.Context())
	var compacting sync.WaitGroup
	merged := make([]int, 2)
	for i := range merged {
		compacting.Go(func() {
			for ctx.Err() == nil {
				r, err := l.Compact(ctx, CompactOptions{Before: time.Now().Add(100 * 365 * 24 * time.Hour)})
				if err != nil && ctx.Err() == nil {
					t.Errorf("compact: %v", err)
					return
				}
				merged[i] += r.FilesBefore
			}
		})
	}
	if err := runWriter(t, w, 120); err != nil {
		t.Fatal(err)
	}
	stop()
	compacting.Wait()
	if merged[0]+merged[1] == 0 {
		t.Error("nothing was compacted while the writer ran")
	}
	expect(t, l, entries...)
}

// TestCompactSkipsDroppedDays drops a day between the choice of the files and the commit.
func TestCompactSkipsDroppedDays(t *testing.T) {
	s := newSetup(t)
	s.cfg.CommitRows = 1
	l := s.open()
	if err := runWriter(t, NewWriter(l, feedOf(testEntries(12)...), WriterOptions{}), 12); err != nil {
		t.Fatal(err)
	}
	table := l.tables[record.WindowsEvents]
	far := time.Now().Add(100 * 365 * 24 * time.Hour)
	bins, err := l.bins(t.Context(), table, CompactOptions{Before: far, TargetBytes: 128 << 20, MinFiles: 2})
	if err != nil || len(bins) == 0 {
		t.Fatalf("bins %v, %v", bins, err)
	}
	if _, err := l.DropBefore(t.Context(), record.WindowsEvents, far, 12); err != nil {
		t.Fatal(err)
	}
	var sum CompactResult
	for _, b := range bins {
		if err := l.compactBin(t.Context(), table, b, &sum); err != nil {
			t.Fatal(err)
		}
	}
	if rows := tableRows(t, l, record.WindowsEvents); len(rows) != 0 || sum.FilesAfter != 0 {
		t.Errorf("%d rows of dropped days are back; %+v", len(rows), sum)
	}
}
