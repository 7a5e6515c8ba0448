package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/fault"
	"sluice/internal/lake"
)

// onDisk has one record in the lake and returns its data file.
func onDisk(t *testing.T) (e *engines, file string) {
	t.Helper()
	e = openTestEngines(t, t.TempDir())
	e.commit(e.collect(1))
	files := e.dataFiles()
	if len(files) != 1 {
		t.Fatalf("data files %q, want one", files)
	}
	return e, files[0]
}

// dataFiles are the data files that the tables reference, whether they are on the disk or not.
func (e *engines) dataFiles() (paths []string) {
	e.t.Helper()
	plan, err := e.svc.lake.Plan(e.t.Context(), lake.PlanRequest{Index: lake.Indices()})
	if err != nil {
		e.t.Fatal(err)
	}
	for _, table := range plan.Tables {
		for _, f := range append(table.Files, table.Missing...) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestAFolderThatIsAway: it may come back, as one that is not mounted. What is taken out of a table is deleted when it does.
func TestAFolderThatIsAway(t *testing.T) {
	e, file := onDisk(t)
	folder := filepath.Dir(file)
	rename(t, folder, folder+".away")
	report := api.VerifyReport{Scheduled: true}
	repair, err := e.svc.forgetMissingFiles(t.Context(), &report)
	if err != nil || repair || report.Omitted != 1 || len(report.Notes) != 1 {
		t.Errorf("by itself: repair %v, %v, %d omitted, notes %q", repair, err, report.Omitted, report.Notes)
	}
	if files := e.dataFiles(); len(files) != 1 {
		t.Fatalf("by itself: the tables reference %q", files)
	}
	rename(t, folder+".away", folder)
	if check, err := e.svc.lake.Check(t.Context(), lake.CheckOptions{}); err != nil || len(check.Bad) > 0 || check.Rows != 1 {
		t.Errorf("when it is back: %+v, %v", check, err)
	}
	rename(t, folder, folder+".away")
	report = api.VerifyReport{}
	if repair, err = e.svc.forgetMissingFiles(t.Context(), &report); err != nil || !repair || report.Omitted != 0 || len(e.dataFiles()) != 0 {
		t.Errorf("by hand: repair %v, %v, the tables reference %q", repair, err, e.dataFiles())
	}
}

// TestAway: single files are lost, and what was in them can be collected again for a while; most of all files are not.
func TestAway(t *testing.T) {
	missing := func(n int) (bad []lake.BadFile) {
		dir := t.TempDir()
		for i := range n {
			bad = append(bad, lake.BadFile{File: lake.File{Path: filepath.Join(dir, fmt.Sprint(i))}, Problem: lake.Missing})
		}
		return bad
	}
	for _, tt := range []struct {
		missing, all int
		away         bool
	}{{1, 1, false}, {1, 100, false}, {3, 3, false}, {4, 100, false}, {40, 100, false}, {60, 100, true}} {
		if got := away(missing(tt.missing), tt.all); got != tt.away {
			t.Errorf("%d of %d: %v", tt.missing, tt.all, got)
		}
	}
}

// TestTheLakeDoesNotAnswerWithoutItsFiles: what is in a file that is not there is not absent.
func TestTheLakeDoesNotAnswerWithoutItsFiles(t *testing.T) {
	e, file := onDisk(t)
	answers := &lakeAnswers{s: e.svc}
	asks := []collect.Ask{{ID: "o365::some", Second: 1772600767}}
	if _, err := answers.Present(t.Context(), asks); err != nil {
		t.Fatal(err)
	}
	rename(t, file, file+".away")
	if held, err := answers.Present(t.Context(), asks); !fault.Is(err, fault.Unavailable) {
		t.Errorf("answered %v, %v", held, err)
	}
	rename(t, file+".away", file)
	if _, err := answers.Present(t.Context(), asks); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}
