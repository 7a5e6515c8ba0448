package lake

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// Two tenants whose names are longer than what the statistics keep of them, and begin alike.
const (
	ownName   = "Contoso Holding International Limited, London"
	otherName = "Contoso Holding International Limited, Paris"
)

// batchOfTenant is a batch of three records on two days, one of them malformed.
func batchOfTenant(seq uint64, tenantName string) Entry {
	e := batchOf(seq, event(1+int(seq)%2, "New-InboxRule", ""), event(1, "Add user.", ""), "no record")
	e.Batch.Connectors[0].TenantName = tenantName
	e.Batch.Records[2].Index, e.Batch.Records[2].Reason = record.Quarantine, "not JSON"
	return e
}

// TestErase: the rows of one tenant go up to a message of the journal, from merged files and from those that are only its own,
// and nothing else changes.
func TestErase(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		s := newSetup(t)
		s.cfg.CommitRows = 2
		l := s.open()
		var entries, left []Entry
		for seq := uint64(1); seq <= 12; seq++ {
			name := otherName
			if seq%3 == 0 {
				name = ownName
			}
			e := batchOfTenant(seq, name)
			entries = append(entries, e)
			if name == otherName || seq > 9 {
				left = append(left, e)
			}
		}
		if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 12); err != nil {
			t.Fatal(err)
		}
		if compacted {
			if _, err := l.Compact(t.Context(), CompactOptions{Before: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		for index, want := range map[record.Index]int64{record.WindowsEvents: 6, record.Quarantine: 3, record.Alerts: 0} {
			got, err := l.Erase(t.Context(), index, ownName, 9)
			if err != nil || got.Rows != want || (got.Files == 0) != (want == 0) {
				t.Errorf("compacted %v: %s: %+v, %v; want %d rows", compacted, index, got, err, want)
			}
			if got, err = l.Erase(t.Context(), index, ownName, 9); err != nil || got != (EraseResult{}) {
				t.Errorf("compacted %v: %s a second time: %+v, %v", compacted, index, got, err)
			}
		}
		expect(t, l, left...)
		if rows := tableRows(t, l, record.Quarantine); len(rows) != 9 {
			t.Errorf("compacted %v: %d malformed items are left, want 9", compacted, len(rows))
		}
		positions, err := l.Positions(t.Context())
		if err != nil || positions[record.WindowsEvents] != (Position{stream, 12}) {
			t.Errorf("compacted %v: the table is at %v, %v", compacted, positions, err)
		}
		if n := len(l.tables[record.WindowsEvents].cur.Load().Metadata().Snapshots()); n != 1 {
			t.Errorf("compacted %v: %d snapshots are left, which may have the erased rows", compacted, n)
		}
	}
}

// TestEraseMeetsDamage: a file that is gone has nothing to erase, one that cannot be read may have.
func TestEraseMeetsDamage(t *testing.T) {
	s := newSetup(t)
	s.cfg.CommitRows = 2
	l := s.open()
	if err := runWriter(t, NewWriter(l, feedOf(batchOfTenant(1, ownName), batchOfTenant(2, ownName)), WriterOptions{}), 2); err != nil {
		t.Fatal(err)
	}
	plan, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{record.WindowsEvents}})
	if err != nil || len(plan.Tables[0].Files) < 2 {
		t.Fatalf("%+v, %v: want several files", plan, err)
	}
	paths := make([]string, 0, 2)
	for _, f := range plan.Tables[0].Files[:2] {
		paths = append(paths, f.Path)
	}
	slices.Sort(paths) // the order of Erase
	if err := errors.Join(os.Remove(paths[0]), os.Truncate(paths[1], 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Erase(t.Context(), record.WindowsEvents, ownName, 9); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Errorf("%v, want fault.Unavailable with a hint", err)
	}
}
