package lake

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
)

var far = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// planOf is the plan of the table of events.
func planOf(t *testing.T, l *Lake) TablePlan {
	t.Helper()
	plan, err := l.Plan(t.Context(), PlanRequest{Index: []record.Index{record.WindowsEvents}})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Tables[0]
}

// damage makes one file of each problem, of different days, and returns their paths by problem.
func damage(t *testing.T, l *Lake) map[string]Problem {
	t.Helper()
	files := planOf(t, l).Files // newest day first, three of each day
	got := make(map[string]Problem)
	change := func(f File, p Problem, edit func(b []byte) []byte) {
		b, err := os.ReadFile(f.Path)
		if err == nil {
			err = os.WriteFile(f.Path, edit(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		got[f.Path] = p
	}
	if err := os.Remove(files[0].Path); err != nil {
		t.Fatal(err)
	}
	got[files[0].Path] = Missing
	change(files[3], WrongSize, func(b []byte) []byte { return b[:len(b)/2] })
	change(files[6], BadFooter, func(b []byte) []byte { copy(b[len(b)-40:], strings.Repeat("\xff", 32)); return b })
	change(files[9], BadRows, func(b []byte) []byte { copy(b[4:], strings.Repeat("\xff", 200)); return b })
	return got
}

func TestCheckAndForget(t *testing.T) {
	s := newSetup(t)
	l := s.open()
	entries := fill(t, l)
	if res, err := l.Check(t.Context(), CheckOptions{Deep: true}); err != nil || len(res.Bad) != 0 || res.Files != 15 || res.Rows != 45 || res.Bytes == 0 {
		t.Fatalf("whole lake: %+v, %v", res, err)
	}
	want := damage(t, l)
	if plan := planOf(t, l); len(plan.Missing) != 1 || want[plan.Missing[0].Path] != Missing || len(plan.Files) != 14 {
		t.Errorf("plan with %d files, missing %+v", len(plan.Files), plan.Missing)
	}
	if stats, err := l.Stats(t.Context()); err != nil || stats[0].Missing != 1 || stats[0].Files != 14 {
		t.Errorf("stats %+v, %v", stats[0], err)
	}
	res, err := l.Check(t.Context(), CheckOptions{Index: []record.Index{record.WindowsEvents}})
	if err != nil || len(res.Bad) != 3 {
		t.Fatalf("quick check: %+v, %v", res, err)
	}
	if res, err = l.Check(t.Context(), CheckOptions{Deep: true}); err != nil || len(res.Bad) != len(want) {
		t.Fatalf("deep check: %+v, %v", res, err)
	}
	for _, b := range res.Bad {
		if want[b.Path] != b.Problem || b.Detail == "" || b.Index != record.WindowsEvents || b.Records != 3 {
			t.Errorf("%+v, want problem %s", b, want[b.Path])
		}
	}
	whole := planOf(t, l).Files[1]
	forgotten, err := l.Forget(t.Context(), append(res.Bad, BadFile{File: whole, Index: record.WindowsEvents, Problem: BadRows}))
	if err != nil || forgotten.Files != 4 || forgotten.Rows != 12 || len(forgotten.Moved) != 3 {
		t.Fatalf("forget: %+v, %v", forgotten, err)
	}
	for _, path := range forgotten.Moved {
		if _, err := os.Stat(path); err != nil || !strings.HasPrefix(path, filepath.Join(l.cfg.Warehouse, damageDir)) {
			t.Errorf("moved file %s: %v", path, err)
		}
	}
	if again, err := l.Forget(t.Context(), res.Bad); err != nil || again.Files != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	for _, l := range []*Lake{l, s.open()} {
		if rows := tableRows(t, l, record.WindowsEvents); len(rows) != 33 {
			t.Errorf("%d rows are left, want 33", len(rows))
		}
		if positions, err := l.Positions(t.Context()); err != nil || positions[record.WindowsEvents] != (Position{stream, 3}) {
			t.Errorf("positions %v, %v", positions, err)
		}
	}
	// What was lost is collected anew, in a batch of its own.
	more := append(entries, batchOf(4, event(5, "healed", "")))
	if err := runWriter(t, NewWriter(l, feedOf(more...), WriterOptions{}), 4); err != nil {
		t.Fatal(err)
	}
	if rows := tableRows(t, l, record.WindowsEvents); len(rows) != 34 {
		t.Errorf("%d rows after the next commit, want 34", len(rows))
	}
	if _, err := l.Forget(t.Context(), []BadFile{{Index: "nowhere"}}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown table: %v", err)
	}
}

// TestCompactSkipsBadFiles compacts what can be read.
func TestCompactSkipsBadFiles(t *testing.T) {
	l := newSetup(t).open()
	fill(t, l)
	damage(t, l)
	got, err := l.Compact(t.Context(), CompactOptions{Before: far})
	if err != nil || got.FilesBefore != 11 || got.FilesAfter != 5 || got.Skipped != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	res, err := l.Check(t.Context(), CheckOptions{Deep: true})
	if err != nil || len(res.Bad) != 4 || res.Files != 9 {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := l.Forget(t.Context(), res.Bad); err != nil {
		t.Fatal(err)
	}
	if rows := tableRows(t, l, record.WindowsEvents); len(rows) != 33 {
		t.Errorf("%d rows are left, want 33", len(rows))
	}
}

// TestForgetWhileWriting takes files away while the writer and a compaction go on.
func TestForgetWhileWriting(t *testing.T) {
	s := newSetup(t)
	s.cfg.CommitRows = 4
	l := s.open()
	entries := testEntries(80)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int64)
	go func() {
		lost := int64(0)
		defer func() { done <- lost }()
		for ctx.Err() == nil {
			plan, err := l.Plan(ctx, PlanRequest{Index: []record.Index{record.WindowsEvents}})
			if err == nil && len(plan.Tables[0].Files) > 0 {
				_ = os.Remove(plan.Tables[0].Files[0].Path)
			}
			var res CheckResult
			if err == nil {
				res, err = l.Check(ctx, CheckOptions{})
			}
			if err == nil {
				var got ForgetResult
				got, err = l.Forget(context.WithoutCancel(ctx), res.Bad)
				lost += got.Rows
			}
			if err == nil {
				_, err = l.Compact(ctx, CompactOptions{Before: far})
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	}()
	err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 80)
	stop()
	lost := <-done
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.Check(t.Context(), CheckOptions{})
	if err == nil {
		var got ForgetResult
		got, err = l.Forget(t.Context(), res.Bad)
		lost += got.Rows
	}
	if err != nil {
		t.Fatal(err)
	}
	if rows := tableRows(t, l, record.WindowsEvents); int64(len(rows))+lost != 158 || lost == 0 {
		t.Errorf("%d rows are left and %d were forgotten, want 158 together", len(rows), lost)
	}
}

func TestPlanByWriting(t *testing.T) {
	s := newSetup(t)
	ticks := &tickClock{now: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)}
	s.cfg.Clock = ticks
	l := s.open()
	var entries []Entry
	for seq := uint64(1); seq <= 3; seq++ {
		entries = append(entries, batchOf(seq, event(1, "a", ""), event(1, "b", "")))
		if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), seq); err != nil {
			t.Fatal(err)
		}
		ticks.now = ticks.now.Add(time.Hour)
	}
	for _, tt := range []struct {
		name string
		req  PlanRequest
		want int
	}{
		{"all", PlanRequest{}, 3},
		{"written later", PlanRequest{WrittenFrom: ticks.now.Add(-90 * time.Minute)}, 1},
		{"written exactly", PlanRequest{WrittenFrom: ticks.now.Add(-2 * time.Hour)}, 2},
		{"nothing new", PlanRequest{WrittenFrom: ticks.now}, 0},
		{"after seq", PlanRequest{AfterSeq: record.Seq(2, 1)}, 1},
		{"within seq", PlanRequest{AfterSeq: record.Seq(2, 0)}, 2},
	} {
		tt.req.Index = []record.Index{record.WindowsEvents}
		plan, err := l.Plan(t.Context(), tt.req)
		if err != nil || len(plan.Tables[0].Files) != tt.want {
			t.Errorf("%s: %+v, %v; want %d files", tt.name, plan, err, tt.want)
		}
		for _, f := range plan.Tables[0].Files {
			if f.MaxSeq != f.MinSeq+1 || f.MinSeq < record.Seq(1, 0) || f.MaxSeq > record.Seq(3, 1) {
				t.Errorf("%s: file %+v", tt.name, f)
			}
		}
	}
}
