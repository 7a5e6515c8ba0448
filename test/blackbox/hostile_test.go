package blackbox

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/m365sim"
)

// thief is a server that answers in Microsoft's place. It fails the test when it was asked for anything.
type thief struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // method, path and Authorization of every request
}

func newThief(t *testing.T) *thief {
	t.Helper()
	th := &thief{}
	th.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		th.mu.Lock()
		defer th.mu.Unlock()
		th.seen = append(th.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("[]"))
	}))
	t.Cleanup(func() {
		th.Close()
		th.mu.Lock()
		defer th.mu.Unlock()
		if len(th.seen) != 0 {
			t.Errorf("the other host was asked: %q", th.seen)
		}
	})
	return th
}

// TestTokenStaysWithItsHost serves links to another host, whose certificate the connector would even accept.
func TestTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	th := newThief(t)
	scenario := m365sim.Scenario{
		Seed: 6, Tenants: []m365sim.Tenant{tenant(300)}, ForeignHost: strings.TrimPrefix(th.URL, "https://"), PageSize: 3,
		Faults: []m365sim.Fault{
			{Route: "content", ContentType: m365sim.Exchange, Kind: m365sim.ForeignURI},
			{Route: "content", ContentType: m365sim.General, Kind: m365sim.ForeignNext},
		},
	}
	sim := m365sim.StartTest(t, scenario)
	p := newPlace(t)
	s := p.start()
	trusted := append(sim.CAPEM(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: th.Certificate().Raw})...)
	p.apply(sim, map[string]string{"ca_file": write(t, p.root, "both.pem", string(trusted))})
	for _, contentType := range []string{m365sim.Exchange, m365sim.General} {
		eventually(t, settleLimit, func() (bool, string) {
			got := p.status()[connector+" "+contentType]
			return got.LastError != nil && strings.Contains(got.LastError.Message, scenario.ForeignHost), fmt.Sprintf("%s is %q and says %+v", contentType, got.State, got.LastError)
		})
	}
	p.run("status").wants(t, 0, scenario.ForeignHost, "hint: ")
	eventually(t, settleLimit, func() (bool, string) {
		got := p.status()[connector+" "+m365sim.SharePoint]
		return got.State == "ok" && got.Landed > 0, got.State
	})
	if strings.Contains(s.log.String(), "eyJ") {
		t.Error("a token is in the log")
	}
}

// TestFullDisk runs the server in a file system that is too small, and then makes it larger.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs the right to mount a file system")
	}
	t.Parallel()
	p := newPlace(t)
	if err := os.Mkdir(p.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("sluice-test", p.data, "tmpfs", 0, "size=300m"); err != nil {
		t.Skipf("this system does not let root mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(p.data, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 7, Tenants: []m365sim.Tenant{tenant(300)}})
	s := p.start()
	p.apply(sim, nil)
	eventually(t, settleLimit, func() (bool, string) {
		got := p.status()[connector+" "+m365sim.General]
		return got.State == "degraded" && got.LastError != nil && strings.Contains(got.LastError.Message, "MiB are free") &&
			strings.Contains(got.LastError.Hint, "goes on by itself"), got.State
	})
	p.run("status").wants(t, 0, "full: ", "512 are needed", "hint: collecting is paused")
	for key, got := range p.status() {
		if got.Landed+got.Records+got.Lost != 0 {
			t.Errorf("%s collected on a full disk: %+v", key, got)
		}
	}
	if n := len(p.records("all")); n != 0 {
		t.Errorf("%d records in the lake", n)
	}
	select {
	case <-s.exited:
		t.Fatalf("the server ended: %v", s.result)
	default:
	}
	if err := unix.Mount("sluice-test", p.data, "tmpfs", unix.MS_REMOUNT, "size=2g"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*settleLimit, func() (bool, string) {
		got := p.status()[connector+" "+m365sim.General]
		return got.State == "ok" && got.Landed > 0 && got.LastError == nil, got.State
	})
	p.finish(sim)
	s.interrupt() // before the folder goes away
}

// ask is a GET with the token of the API.
func ask(t *testing.T, target, token string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	web := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s, %v", target, resp.Status, err)
	}
	return body.Bytes()
}

// children returns the environments of the server's child processes.
func (s *server) children() map[int][]byte {
	s.t.Helper()
	found := map[int][]byte{}
	for pid := range processes(s.t) {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			continue
		}
		if strings.Contains(string(text), "\nPPid:\t"+strconv.Itoa(s.cmd.Process.Pid)+"\n") {
			environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.t.Error(err)
			}
			found[pid] = environment
		}
	}
	return found
}

// processes returns the running processes and the programs that they run, where the system shows them.
func processes(t *testing.T) map[int]string {
	t.Helper()
	all := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skipf("this system does not show its processes: %v", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if program, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe")); err == nil {
			all[pid] = strings.TrimSuffix(program, " (deleted)")
		}
	}
	return all
}
