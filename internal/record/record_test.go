package record

import (
	"strings"
	"testing"
)

func TestUnitID(t *testing.T) {
	u := Unit{Key: "Audit.General|a"}
	id := u.ID("c1")
	if id == (Unit{Key: "Audit.General|b"}).ID("c1") || id == u.ID("c2") {
		t.Error("other keys and other connectors must have other ids")
	}
	if (Unit{Key: "b"}).ID("ca") == (Unit{Key: "ab"}).ID("c") {
		t.Error("connector and key run into each other")
	}
	got, ok := ParseUnitID(id.String())
	if !ok || got != id || len(id.String()) != 32 {
		t.Errorf("round trip of %s: %v %v", id, got, ok)
	}
	for _, bad := range []string{"", "zz", id.String()[:30], id.String() + "00", strings.Repeat("g", 32)} {
		if _, ok := ParseUnitID(bad); ok {
			t.Errorf("%q was taken for a unit id", bad)
		}
	}
}

func TestSeqKeepsOrder(t *testing.T) {
	last := int64(-1)
	for _, seq := range []uint64{1, 2, 1 << 40} {
		for _, i := range []int{0, 1, MaxBatchRecords - 1} {
			s := Seq(seq, i)
			if s <= last || JournalSeq(s) != seq {
				t.Errorf("Seq(%d, %d) = %d after %d, back to %d", seq, i, s, last, JournalSeq(s))
			}
			last = s
		}
	}
}
