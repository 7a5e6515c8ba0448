package normalize

import (
	"fmt"
	"strings"
	"testing"
)

// TestTextsLast keeps texts of many records, short and longer than a block, and the buffer that they were made of changes.
func TestTextsLast(t *testing.T) {
	var w work
	var kept, want []string
	for i := range 1000 {
		text := strings.Repeat(fmt.Sprint(i, ";"), 1+i%7*300)
		want = append(want, text)
		w.buf = append(w.buf[:0], text...)
		kept = append(kept, w.lasting(w.buf))
	}
	for i := range want {
		if kept[i] != want[i] {
			t.Fatalf("text %d became %.40q instead of %.40q", i, kept[i], want[i])
		}
	}
	w.buf = append(w.buf[:0], strings.Repeat("a", textBlock/100)...)
	if allocs := testing.AllocsPerRun(1000, func() { w.lasting(w.buf) }); allocs > 0.1 {
		t.Errorf("%.2f allocations per text", allocs)
	}
}
