package blackbox

import (
	"database/sql"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the tests break the state database by hand

	"sluice/internal/api"
	"sluice/internal/m365sim"
)

// verify runs the command and returns its report.
func (p *place) verify(code int, flags ...string) api.VerifyReport {
	p.t.Helper()
	o := p.run(append([]string{"verify", connector, "-o", "json"}, flags...)...)
	o.wants(p.t, code)
	var report api.VerifyReport
	if err := json.Unmarshal([]byte(o.out), &report); err != nil {
		p.t.Fatalf("%v in %s", err, last(o.out, 500))
	}
	return report
}

// collected is a place whose server has collected everything of a quiet tenant.
func collected(t *testing.T, seed uint64) (*place, *server, *m365sim.Server, api.VerifyReport) {
	t.Helper()
	scenario := m365sim.Scenario{
		Seed: seed, Tenants: []m365sim.Tenant{tenant(3000)}, Malformed: 0.01,
		Duplicates: m365sim.Duplicates{WithinBlob: 0.02, AcrossBlobs: 0.05, AcrossFeeds: 0.2},
	}
	sim := m365sim.StartTest(t, scenario)
	sim.Freeze()
	p := newPlace(t)
	s := p.start()
	p.apply(sim, nil)
	p.works()
	p.finish(sim)
	report := p.verify(0)
	if !report.Complete || report.CoveragePercent != 100 || report.Totals.Landed != report.Totals.Listed || report.Totals.Waiting != 0 || report.Totals.Records == 0 {
		t.Fatalf("not complete: %+v %+v", report.Totals, report.Problems)
	}
	return p, s, sim, report
}

// heals repairs, waits until nothing waits and compares everything again.
func (p *place) heals(sim *m365sim.Server, units, records int64) {
	p.t.Helper()
	report := p.verify(3, "--repair")
	if report.Repaired < units {
		p.t.Errorf("%d units were queued, want at least %d: %+v", report.Repaired, units, report.Problems)
	}
	p.settles()
	report = p.verify(0)
	if !report.Complete || report.Totals.Records != records {
		p.t.Errorf("after the repair: %+v %+v", report.Totals, report.Problems)
	}
	p.same(sim)
}

// settles waits until no unit waits.
func (p *place) settles() {
	p.t.Helper()
	eventually(p.t, settleLimit, func() (bool, string) {
		waiting := int64(0)
		for _, s := range p.status() {
			waiting += s.Pending
		}
		return waiting == 0, "units wait"
	})
}

// same compares the ids of the lake with the truth.
func (p *place) same(sim *m365sim.Server) {
	p.t.Helper()
	p.must("collect", connector, "--wait") // what has landed can be searched then
	var truth strings.Builder
	if err := sim.WriteIDs(p.t.Context(), &truth, "", "", time.Time{}, time.Time{}); err != nil {
		p.t.Fatal(err)
	}
	var got []string
	seen := map[string]bool{}
	for _, l := range p.records("all") {
		if seen[l.ID] {
			p.t.Errorf("%s is in the lake twice", l.ID)
		}
		seen[l.ID] = true
		got = append(got, l.base())
	}
	same(p.t, "identities", got, lines(truth.String()))
}

// dataFiles lists the Parquet files of the lake's tables, largest first.
func (p *place) dataFiles() []string {
	p.t.Helper()
	var files []string
	size := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(p.data, "lake"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") && strings.Contains(path, "windows_events") && strings.Contains(path, string(filepath.Separator)+"data"+string(filepath.Separator)) {
			info, err := d.Info()
			if err != nil {
				return err
			}
			files, size[path] = append(files, path), info.Size()
		}
		return err
	})
	if err != nil || len(files) == 0 {
		p.t.Fatalf("data files of the lake: %v %v", files, err)
	}
	best := 0
	for i := range files {
		if size[files[i]] > size[files[best]] {
			best = i
		}
	}
	files[0], files[best] = files[best], files[0]
	return files
}

// TestVerifyFindsADeletedLakeFile deletes a data file under the running server.
func TestVerifyFindsADeletedLakeFile(t *testing.T) {
	t.Parallel()
	p, _, sim, before := collected(t, 41)
	if err := os.Remove(p.dataFiles()[0]); err != nil {
		t.Fatal(err)
	}
	p.run("lake", "check").wants(t, 3, "missing")
	p.run("search", "*", "--limit", "1").wants(t, 3, "are missing on the disk")
	report := p.verify(3)
	if report.Totals.Missing == 0 || report.Totals.MissingRecords != before.Totals.Records-report.Totals.Records || report.Totals.Surplus != 0 {
		t.Errorf("%+v", report.Totals)
	}
	missing := int64(0)
	for _, problem := range report.Problems {
		if problem.State != api.UnitMissing || !problem.Repairable || problem.Found >= problem.Expected {
			t.Errorf("%+v", problem)
		}
		missing += problem.Expected - problem.Found
	}
	if missing != report.Totals.MissingRecords {
		t.Errorf("the units miss %d records, the totals %d", missing, report.Totals.MissingRecords)
	}
	// What is well in one minute does not make the whole well.
	since, until := wholeMinute(report)
	p.verify(0, "--since", since, "--until", until)
	gaps := 0
	for _, s := range p.status() {
		if s.State == "data gap" && s.CoveragePercent != nil && *s.CoveragePercent < 100 {
			gaps++
		}
	}
	if gaps == 0 {
		t.Error("the status forgot what is missing after a verification of one minute")
	}
	p.run("status", connector, "--conditions").wants(t, 0, "queues what is missing")
	p.heals(sim, report.Totals.Missing, before.Totals.Records)
	p.run("lake", "check").wants(t, 0)
}

// wholeMinute is the newest minute of a report in which nothing is missing.
func wholeMinute(report api.VerifyReport) (since, until string) {
	end := report.Until
	for slices.ContainsFunc(report.Problems, func(p api.VerifyProblem) bool {
		return !p.Created.Before(end.Add(-time.Minute)) && p.Created.Before(end)
	}) {
		end = end.Add(-time.Minute)
	}
	return end.Add(-time.Minute).Format(time.RFC3339Nano), end.Format(time.RFC3339Nano)
}

// TestVerifyFindsDeletedLedgerRows deletes units by hand, with the server stopped and started again.
func TestVerifyFindsDeletedLedgerRows(t *testing.T) {
	t.Parallel()
	p, s, sim, before := collected(t, 42)
	p.must("pause", connector) // or the schedule lists them again by itself
	s.interrupt()
	db, err := sql.Open("sqlite", filepath.Join(p.data, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := db.ExecContext(t.Context(), `DELETE FROM units WHERE row % 7 = 3`)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := gone.RowsAffected()
	if err != nil || n == 0 {
		t.Fatalf("%d rows deleted: %v", n, err)
	}
	p.start()
	report := p.verify(3)
	if report.Totals.Missing != n || report.Totals.Landed != before.Totals.Landed-n {
		t.Errorf("%d missing and %d landed, want %d and %d", report.Totals.Missing, report.Totals.Landed, n, before.Totals.Landed-n)
	}
	p.must("resume", connector)
	p.works()
	p.verifyUntilWhole(sim, before.Totals.Records)
}

// verifyUntilWhole repairs for as long as there is anything to repair: the schedule works beside it.
func (p *place) verifyUntilWhole(sim *m365sim.Server, records int64) {
	p.t.Helper()
	eventually(p.t, settleLimit, func() (bool, string) {
		o := p.run("verify", connector, "--repair", "-o", "json")
		return o.code == 0, last(o.out, 300)
	})
	p.settles()
	if report := p.verify(0); report.Totals.Records != records {
		p.t.Errorf("%d records, want %d", report.Totals.Records, records)
	}
	p.same(sim)
}

// TestLostJournalHeals deletes the journal of a server that was killed with batches that the lake did not have.
func TestLostJournalHeals(t *testing.T) {
	t.Parallel()
	scenario := slowly(m365sim.Scenario{Seed: 43, Tenants: []m365sim.Tenant{tenant(3000)}})
	sim := m365sim.StartTest(t, scenario)
	sim.Freeze()
	p := newPlace(t)
	config := write(t, p.root, "slow.yaml", "lake:\n  commit_interval: 1h\n")
	s := p.launch("--config", config, "--data", p.data)
	s.waitUp()
	p.apply(sim, map[string]string{"max_parallel_fetches": "2"})
	p.works()
	eventually(t, settleLimit, func() (bool, string) {
		landed := int64(0)
		for _, st := range p.status() {
			landed += st.Landed
		}
		return landed > 10, "units landed"
	})
	s.kill()
	if err := os.RemoveAll(filepath.Join(p.data, "journal")); err != nil {
		t.Fatal(err)
	}
	again := p.start()
	p.finishQuietly(sim)
	if !strings.Contains(again.log.String(), "the journal lost batches before they reached the lake") {
		t.Error("the log does not say that the journal was lost")
	}
	p.verifyUntilWhole(sim, int64(len(p.records("all")))+int64(len(p.records("quarantine"))))
}

// finishQuietly collects what is missing.
func (p *place) finishQuietly(sim *m365sim.Server) {
	p.t.Helper()
	p.works()
	p.must("collect", connector, "--since", "25h", "--wait")
	p.same(sim)
}

// TestOlderCopiesHeal puts back older copies of the state database and of the journal.
func TestOlderCopiesHeal(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"state", "journal"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			sim := m365sim.StartTest(t, slowly(m365sim.Scenario{Seed: 44, Tenants: []m365sim.Tenant{tenant(3000)}}))
			p := newPlace(t)
			s := p.start()
			p.apply(sim, map[string]string{"max_parallel_fetches": "2"})
			p.works()
			s.served(sim, 40)
			s.interrupt()
			names := []string{"journal"}
			if what == "state" {
				names = []string{"state.db", "state.db-wal", "state.db-shm"}
			}
			for _, name := range names {
				copyTree(t, filepath.Join(p.data, name), filepath.Join(p.root, "copy", name))
			}
			s = p.start()
			p.works()
			p.must("collect", connector, "--since", "25h", "--wait")
			s.interrupt()
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(p.data, name)); err != nil {
					t.Fatal(err)
				}
				copyTree(t, filepath.Join(p.root, "copy", name), filepath.Join(p.data, name))
			}
			sim.Freeze()
			p.start()
			p.finishQuietly(sim)
			p.verifyUntilWhole(sim, int64(len(p.records("all")))+int64(len(p.records("quarantine"))))
		})
	}
}

// copyTree copies a file or folder; one that does not exist is left out.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		return
	}
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
