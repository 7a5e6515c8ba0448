package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixedClock stands at apitest.Now.
type fixedClock struct{ clock.Real }

func (fixedClock) Now() time.Time { return apitest.Now }

// server is a running API over a fake service.
type server struct {
	*httptest.Server
	fake *apitest.Fake
	log  *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func start(t *testing.T) *server {
	t.Helper()
	s := &server{fake: apitest.New(), log: &lockedBuffer{}}
	handler, err := api.New(api.Options{
		Service: s.fake, Token: secret.New(apitest.Token), Version: "1.2.3", Clock: fixedClock{},
		Log:     slog.New(slog.NewTextHandler(s.log, nil)),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sluice_up 1\n") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// do sends a request with the token and returns the answer with its body read.
func (s *server) do(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apitest.Token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(text)
}

// problem reads a problem and checks its outer form.
func problem(t *testing.T, resp *http.Response, body string) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("not a problem: %v in %q", err, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type = %q", ct)
	}
	if p.Status != resp.StatusCode || p.Type != "about:blank" || p.Title == "" || p.Detail != p.Message {
		t.Errorf("problem does not fit its answer (%d): %+v", resp.StatusCode, p)
	}
	return p
}

func TestAuthentication(t *testing.T) {
	s := start(t)
	for _, tc := range []struct {
		name, path, header string
		want               int
	}{
		{"good", "/api/v1/status", "Bearer " + apitest.Token, 200},
		{"scheme in lower case", "/api/v1/status", "bearer " + apitest.Token, 200},
		{"none", "/api/v1/status", "", 401},
		{"wrong", "/api/v1/status", "Bearer slu_wrong", 401},
		{"prefix of the token", "/api/v1/status", "Bearer " + apitest.Token[:8], 401},
		{"empty", "/api/v1/status", "Bearer ", 401},
		{"other scheme", "/api/v1/status", "Basic " + apitest.Token, 401},
		{"unknown path hides nothing", "/api/v1/nothing", "", 401},
		{"openapi is open", "/api/v1/openapi.json", "", 200},
		{"openapi yaml is open", "/api/v1/openapi.yaml", "", 200},
		{"health is open", "/healthz", "", 200},
		{"metrics are open", "/metrics", "", 200},
		{"no way around", "/api/v1/openapi.json/../status", "", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, body := s.do(t, http.MethodGet, tc.path, "", "Authorization", tc.header)
			if resp.StatusCode != tc.want {
				t.Fatalf("status = %d, want %d", resp.StatusCode, tc.want)
			}
			if tc.want == 401 {
				if p := problem(t, resp, body); p.Kind != fault.Auth || p.Hint == "" {
					t.Errorf("problem = %+v", p)
				}
				if resp.Header.Get("WWW-Authenticate") == "" {
					t.Error("no challenge")
				}
			}
		})
	}
}

func TestProblems(t *testing.T) {
	s := start(t)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		kind                     fault.Kind
		message                  string
	}{
		{"unknown route", "GET", "/api/v1/nothing", "", 404, fault.NotFound, "no operation GET /api/v1/nothing"},
		{"unknown connector", "GET", "/api/v1/entries/connectors/nobody", "", 404, fault.NotFound, `no connector is named "nobody"`},
		{"unknown kind", "GET", "/api/v1/entries/rockets", "", 422, fault.Config, "path.kind"},
		{"owned by a file", "DELETE", "/api/v1/entries/connectors/contoso", "", 409, fault.Conflict, "owned by sluice.yaml"},
		{"bad query", "GET", "/api/v1/search?query=bad+syntax", "", 400, fault.Config, "parse the query: 1:5: unexpected word"},
		{"bad since", "GET", "/api/v1/search?query=x&since=yesterday", "", 400, fault.Config, `"yesterday" is not a time`},
		{"bad range", "GET", "/api/v1/search?query=x&since=1h&until=2h", "", 400, fault.Config, "is not before until"},
		{"bad index", "GET", "/api/v1/search?query=x&index=nope", "", 400, fault.Config, `no index "nope"`},
		{"bad limit", "GET", "/api/v1/search?query=x&limit=-1", "", 422, fault.Config, "limit"},
		{"unknown parameter", "GET", "/api/v1/search?query=x&lmit=1", "", 422, fault.Config, "lmit"},
		{"body of another type", "POST", "/api/v1/search", `{"query": 5}`, 422, fault.Config, "body.query"},
		{"body that is no JSON", "POST", "/api/v1/search", `{"password":"hunter2"`, 400, fault.Config, "validation failed"},
		{"unknown job", "GET", "/api/v1/jobs/77", "", 404, fault.NotFound, `no job "77"`},
		{"unknown job, streaming", "GET", "/api/v1/jobs/77/progress", "", 404, fault.NotFound, `no job "77"`},
		{"unknown test, streaming", "POST", "/api/v1/entries/connectors/nobody/test", "", 404, fault.NotFound, "nobody"},
		{"unknown import", "PUT", "/api/v1/imports/9/files?name=a", "{}", 404, fault.NotFound, `no import "9"`},
		{"bug", "GET", "/api/v1/search?query=boom", "", 500, fault.Internal, "internal error "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, body := s.do(t, tc.method, tc.path, tc.body)
			if resp.StatusCode != tc.status {
				t.Fatalf("status = %d, want %d: %s", resp.StatusCode, tc.status, body)
			}
			p := problem(t, resp, body)
			if p.Kind != tc.kind || !strings.Contains(p.Message, tc.message) {
				t.Errorf("kind %s, message %q; want %s, %q", p.Kind, p.Message, tc.kind, tc.message)
			}
			if strings.Contains(body, "/secret/path") || strings.Contains(body, "hunter2") {
				t.Errorf("the answer tells too much: %s", body)
			}
		})
	}
}

func TestInternalErrorIsInTheLogUnderItsID(t *testing.T) {
	s := start(t)
	resp, body := s.do(t, http.MethodGet, "/api/v1/search?query=boom", "")
	p := problem(t, resp, body)
	if p.ID == "" || !strings.Contains(p.Message, p.ID) {
		t.Fatalf("no id in %+v", p)
	}
	log := s.log.String()
	if !strings.Contains(log, p.ID) || !strings.Contains(log, "/secret/path") {
		t.Errorf("the log does not explain %s: %s", p.ID, log)
	}
}

func TestRequestLogHasNoQuery(t *testing.T) {
	s := start(t)
	s.do(t, http.MethodGet, "/api/v1/search?query=ann-the-suspect", "")
	s.do(t, http.MethodPost, "/api/v1/search", `{"query":"ann-the-suspect"}`)
	s.Close() // waits for the requests to end
	log := s.log.String()
	if !strings.Contains(log, "path=/api/v1/search") || strings.Contains(log, "suspect") || strings.Contains(log, apitest.Token) {
		t.Errorf("log = %s", log)
	}
}

func TestHeadersAndCrossOrigin(t *testing.T) {
	s := start(t)
	resp, _ := s.do(t, http.MethodGet, "/api/v1/status", "")
	for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy", "Cache-Control"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	resp, body := s.do(t, http.MethodPost, "/api/v1/entries/connectors/contoso/pause", "", "Sec-Fetch-Site", "cross-site")
	if resp.StatusCode != http.StatusForbidden || problem(t, resp, body).Kind != fault.Permission {
		t.Errorf("cross-site write: %d %s", resp.StatusCode, body)
	}
	if resp, _ = s.do(t, http.MethodGet, "/api/v1/status", "", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusOK {
		t.Errorf("cross-site read with a token: %d", resp.StatusCode)
	}
}

func TestStatusHasExactlyTheDocumentedMembers(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodGet, "/api/v1/status", "")
	dec := json.NewDecoder(strings.NewReader(body))
	var all []map[string]any
	if err := dec.Decode(&all); err != nil || len(all) != 2 {
		t.Fatalf("not an array of two: %v in %s", err, body)
	}
	want := strings.Fields(`name tenant_name type content_type state listed landed pending lost records duplicates filtered malformed
		backlog_seconds newest_event last_success next_run last_error retrying coverage_percent verified_at gaps state_since`)
	for _, status := range all {
		for _, name := range want {
			if _, ok := status[name]; !ok {
				t.Errorf("%v: %s is missing", status["name"], name)
			}
		}
		if len(status) != len(want) {
			t.Errorf("%v has %d members, want %d", status["name"], len(status), len(want))
		}
	}
	if e, _ := all[0]["last_error"].(map[string]any); len(e) != 3 || e["kind"] != "permission" || e["hint"] == "" {
		t.Errorf("last_error = %v", e)
	}
	if gaps, _ := all[0]["gaps"].([]any); len(gaps) != 1 {
		t.Errorf("gaps = %v", all[0]["gaps"])
	} else if g, _ := gaps[0].(map[string]any); len(g) != 4 || g["from"] != "2026-03-04T03:00:00Z" || g["to"] != "2026-03-04T04:00:00Z" || g["reason"] == "" || g["noticed_at"] == "" {
		t.Errorf("gap = %v", g)
	}
	if gaps, ok := all[1]["gaps"].([]any); !ok || len(gaps) != 0 || all[1]["coverage_percent"] != nil || all[1]["verified_at"] != nil || all[1]["retrying"] != 1.0 {
		t.Errorf("never verified: %v", all[1])
	}
	if all[1]["last_error"] != nil || all[1]["newest_event"] != "2026-03-04T05:04:07Z" {
		t.Errorf("second = %v", all[1])
	}
}

func TestHealth(t *testing.T) {
	s := start(t)
	if resp, body := s.do(t, http.MethodGet, "/healthz", ""); resp.StatusCode != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz = %d %q", resp.StatusCode, body)
	}
	if resp, body := s.do(t, http.MethodGet, "/metrics", ""); resp.StatusCode != http.StatusOK || body != "sluice_up 1\n" {
		t.Errorf("metrics = %d %q", resp.StatusCode, body)
	}
}
