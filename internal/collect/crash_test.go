//go:build sluicetest

package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/failpoint"
	"sluice/internal/source"
)

// crashDir names the data folder of the process that is to die.
const crashDir = "SLUICE_COLLECT_CRASH_DIR"

const crashUnits = 6

// crashSource is the same content in every process: units of two records, the second of which is also in the unit behind.
func crashSource() *fakeSource {
	src := newFakeSource()
	start := time.Now().UTC().Add(-12 * time.Hour).Truncate(24 * time.Hour).Add(time.Hour)
	for i := range crashUnits {
		src.add(general, fmt.Sprint("u", i), start.Add(time.Duration(i)*time.Minute), rec(fmt.Sprint(i), ""), rec(fmt.Sprint(i+1), ""))
	}
	return src
}

func crashConfig(src source.Source) RunnerConfig {
	cfg := connectorConfig(src, general)
	cfg.Parallel = 1
	return cfg
}

// TestCrashChild is the process that dies at a fail point; alone it does nothing.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("a part of TestKillBetweenEffects")
	}
	h := &harness{t: t, dir: dir}
	h.lake = &fakeLake{h: h, gone: map[string]bool{}}
	h.open()
	t.Cleanup(h.close)
	r := h.start()
	r.manager.Start(crashConfig(crashSource()))
	h.waitLanded(general, crashUnits)
}

// TestKillBetweenEffects kills a process at each place between two durable effects. The next one has to find every record once,
// counted right, and nothing that looks as if the state or the journal had been lost.
func TestKillBetweenEffects(t *testing.T) {
	for _, tt := range []struct {
		point   string
		passes  int  // which pass of the point kills
		unread  bool // the batch is known to be in the journal: its units are not fetched again
		waiting bool // the batch is not in the journal
	}{
		{point: failpoint.CollectListed, passes: 1},
		{point: failpoint.CollectClaimed, passes: 1, waiting: true},
		{point: failpoint.CollectFrozen, passes: 1, waiting: true},
		{point: failpoint.CollectPublished, passes: 1, unread: true},
		{point: failpoint.CollectConfirmed, passes: 1, unread: true},
	} {
		t.Run(tt.point, func(t *testing.T) {
			dir := t.TempDir()
			die(t, dir, fmt.Sprintf("%s@%d=kill", tt.point, tt.passes))
			h := &harness{t: t, dir: dir}
			h.lake = &fakeLake{h: h, gone: map[string]bool{}}
			h.open()
			t.Cleanup(h.close)
			published := h.unitsOfJournal()
			if tt.unread == (len(published) == 0) {
				t.Fatalf("%d units are in the journal after a kill at %s", len(published), tt.point)
			}
			src := crashSource()
			r := h.start()
			if r.publisher.Restored() {
				t.Error("the start after a crash believes that state or journal were restored from a copy")
			}
			r.manager.Start(crashConfig(src))
			h.waitLanded(general, crashUnits)
			for key := range published {
				if n := src.fetches(key); n != 0 {
					t.Errorf("%s was fetched %d times although its batch is in the journal", key, n)
				}
			}
			if got := h.once(); got != crashUnits+1 {
				t.Errorf("%d records, want %d", got, crashUnits+1)
			}
			total := h.total(general)
			if total.Records != crashUnits+1 || total.Duplicates != crashUnits-1 || total.Landed != crashUnits {
				t.Errorf("counts %+v, want %d records and %d duplicates in %d units", total, crashUnits+1, crashUnits-1, crashUnits)
			}
		})
	}
}

// die runs the child until the fail point kills it.
func die(t *testing.T, dir, point string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-test.run=^TestCrashChild$", "-test.v")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, failpoint.Variable+"="+point)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || !strings.Contains(string(out), "kill") {
		t.Fatalf("the process did not die at %s: %v\n%s", point, err, out)
	}
}

// unitsOfJournal names the units of the batches that the journal has.
func (h *harness) unitsOfJournal() map[string]bool {
	h.t.Helper()
	rows, err := h.lake.journalRows(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, row := range rows {
		keys[general+"|"+row.unit.ContentID] = true
	}
	return keys
}
