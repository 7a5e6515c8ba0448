package m365sim

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestControlRoutes(t *testing.T) {
	clock := newClock()
	c := connect(t, StartTest(t, scenario(100, General), Options{Clock: clock}))
	c.subscribe(General)
	send := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, c.server.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		status, answer, _ := c.must(req)
		return status, string(answer)
	}
	if status, body := send("POST", "/sim/faults", `{"faults":[{"kind":"429","route":"list","retry_after":3}]}`); status != 204 {
		t.Errorf("faults: %d %s", status, body)
	}
	c.expect(http.MethodGet, "subscriptions/list", 429, "AF429")
	if status, body := send("POST", "/sim/faults", `{"faults":[{"kindd":"429"}]}`); status != 400 || !strings.Contains(body, "faults:1:13: faults[0].kindd: unknown key") {
		t.Errorf("wrong faults: %d %s", status, body)
	}
	if status, _ := send("POST", "/sim/clear", ""); status != 204 {
		t.Errorf("clear: %d", status)
	}
	c.expect(http.MethodGet, "subscriptions/list", 200, "")
	log := c.server.Requests(1000)
	if log.Counts["list"]["429"] != 1 || log.Counts["list"]["200"] != 1 || log.Faults[TooMany] != 1 || log.Counts["token"]["200"] != 1 {
		t.Errorf("counts are %v, faults %v", log.Counts, log.Faults)
	}
	last := log.Requests[len(log.Requests)-1]
	if last.Route != "list" || last.Publisher != testPublisher || last.TokenID == "" || strings.Contains(last.Query, c.token) {
		t.Errorf("journal entry %+v", last)
	}
	if status, body := send("GET", "/sim/requests?limit=1", ""); status != 200 || strings.Count(body, `"method"`) != 1 {
		t.Errorf("requests: %d %s", status, body)
	}
	if status, _ := send("DELETE", "/sim/requests", ""); status != 204 || c.server.Requests(10).Total != 0 {
		t.Error("the journal is not empty")
	}
	if status, body := send("GET", "/sim/ca", ""); status != 200 || body != string(c.server.CAPEM()) {
		t.Errorf("ca: %d", status)
	}
	for path, want := range map[string]int{"/sim/truth/ids?since=yesterday": 400, "/sim/requests?limit=x": 400, "/sim/nothing": 404, "/sim/truth": 200} {
		if status, _ := send("GET", path, ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	recorder := httptest.NewRecorder() // RemoteAddr is 192.0.2.1
	c.server.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/sim/truth", nil))
	if recorder.Code != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", recorder.Code)
	}
}

func TestServeEndsWithContext(t *testing.T) {
	sim, err := New(scenario(10, General), Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := sim.WriteCA(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(text) {
		t.Error("the CA file is no certificate")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan *Server, 1)
	done := make(chan error, 1)
	go func() { done <- sim.Serve(ctx, "127.0.0.1:0", func(s *Server) { ready <- s }) }()
	server := <-ready
	connect(t, server)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if _, err := sim.Start(t.Context(), "nonsense"); err == nil {
		t.Error("an impossible address is accepted")
	}
}

// TestCloseInterruptsStall closes while a client waits for a stalled answer.
func TestCloseInterruptsStall(t *testing.T) {
	s := scenario(10, General)
	s.Faults = []Fault{{Kind: Stall, Route: "list", Duration: Duration(time.Hour)}}
	sim, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, server)
	req := c.request(http.MethodGet, "subscriptions/list")
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _, _, _ = c.do(req) })
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	waiting.Wait()
}

// TestConcurrentClients lets the race detector look at everything at once.
func TestConcurrentClients(t *testing.T) {
	s := scenario(300, ContentTypes()...)
	s.Faults = []Fault{{Kind: Reset, Route: "blob", Probability: 0.1}, {Kind: AF429, Probability: 0.1}}
	c := connect(t, StartTest(t, s))
	var group sync.WaitGroup
	for _, ct := range ContentTypes() {
		group.Go(func() {
			_, _, _, _ = c.do(c.request(http.MethodPost, "subscriptions/start?contentType="+ct))
			now := time.Now().UTC()
			for range 5 {
				_, body, _, err := c.do(c.request(http.MethodGet, contentPath(ct, now.Add(-23*time.Hour), now)))
				var items []item
				if err != nil || codeOf(body) != "" {
					continue
				}
				decode(t, body, &items)
				for _, it := range items {
					_, _, _, _ = c.do(c.request(http.MethodGet, it.ContentURI))
				}
				if _, err := c.server.Truth(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
