package blackbox

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sluice/internal/m365sim"
)

// hugeEvents of SharePoint, some 1.75 KB each, are a blob of 200 MB.
const hugeEvents = 115_000

// memoryLimit is what a server may use, query children and what is mapped of its program apart: how much of a program is
// in memory is up to the kernel.
const memoryLimit = 340 << 20

// hugeLimit is how long the blob may take, which is mostly made and sent meanwhile.
const hugeLimit = 15 * time.Minute

// TestHugeBlob collects a blob of 200 MB: memory is bounded by settings, not by what Microsoft sends.
func TestHugeBlob(t *testing.T) {
	if testing.Short() {
		t.Skip("a blob of 200 MB takes a while")
	}
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 77, Tenants: []m365sim.Tenant{{
		ID: directory, Name: "contoso", Users: 60, Apps: []m365sim.App{{ID: application, Secret: credential}},
		Traffic: []m365sim.Traffic{{
			ContentType: m365sim.SharePoint, History: m365sim.Duration(time.Hour), Events: hugeEvents, BlobSize: hugeEvents,
			Latency: m365sim.Duration(time.Second),
		}},
	}}})
	p := newPlace(t)
	s := p.start()
	p.apply(sim, map[string]string{"content_types": "[Audit.SharePoint]"})
	program := int64(0)
	eventually(t, hugeLimit, func() (bool, string) {
		program = max(program, s.memory("RssFile"))
		st := p.status()[connector+" Audit.SharePoint"]
		return st.Landed == 1 && st.Records == hugeEvents, st.State
	})
	report := p.verify(0)
	if !report.Complete || report.Totals.Records != hugeEvents {
		t.Errorf("%+v", report.Totals)
	}
	peak := s.memory("VmHWM") - program
	t.Logf("peak memory of the server: %d MB beside %d MB of its program", peak>>20, program>>20)
	if peak > memoryLimit {
		t.Errorf("the server used %d MB, want at most %d", peak>>20, memoryLimit>>20)
	}
}

// memory is a number of bytes that the system tells of the server's memory: see proc_pid_status(5).
func (s *server) memory(name string) int64 {
	s.t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		s.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		s.t.Fatalf("no %s in %s", name, status)
	}
	kb, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return kb << 10
}
