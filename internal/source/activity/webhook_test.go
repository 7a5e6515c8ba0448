package activity

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/m365sim"
	"sluice/internal/secret"
	"sluice/internal/source"
)

const hookSecret = "auth-id-of-the-tests"

// hookScene is a simulated Microsoft and a webhook that answers as told.
type hookScene struct {
	t     *testing.T
	clock *m365sim.HandClock
	sim   *m365sim.Server
	hook  *httptest.Server
	log   lockedText

	mu     sync.Mutex
	status int
	auth   []string // of the calls
}

// lockedText is a writer for logs.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newHookScene(t *testing.T) *hookScene {
	h := &hookScene{t: t, clock: m365sim.NewHandClock(time.Date(2026, 11, 20, 12, 35, 0, 0, time.UTC)), status: http.StatusOK}
	h.hook = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.auth = append(h.auth, r.Header.Get("Webhook-AuthID"))
		w.WriteHeader(h.status)
	}))
	h.hook.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(h.hook.Close)
	h.sim = m365sim.StartTest(t, m365sim.Scenario{
		Seed: 3, TokenLifetime: m365sim.Duration(1000 * time.Hour),
		Tenants: []m365sim.Tenant{{
			ID: testTenant, Users: 20, Apps: []m365sim.App{{ID: testApp, Secret: testSecret}},
			Traffic: []m365sim.Traffic{{ContentType: "Audit.General", Rate: 1, BlobSize: 10, History: m365sim.Duration(time.Hour)}},
		}},
	}, m365sim.Options{Clock: h.clock, TokensByClock: true, WebhookClient: h.hook.Client()})
	return h
}

func (h *hookScene) answer(status int) {
	h.mu.Lock()
	h.status = status
	h.mu.Unlock()
}

// calls is how often the webhook was called since the last question.
func (h *hookScene) calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	auth := h.auth
	h.auth = nil
	return auth
}

func (h *hookScene) source(change func(*Config)) *Source {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "ca.pem")
	if err := h.sim.WriteCA(file); err != nil {
		h.t.Fatal(err)
	}
	cfg := Config{
		AuthenticationEndpoint: h.sim.URL(), APIEndpoint: h.sim.URL(), CAFile: file, DirectoryID: testTenant, ApplicationID: testApp,
		APIAccessKey: secret.New(testSecret), ContentTypes: []string{"Audit.General"}, Clock: h.clock, Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
		WebhookAddress: h.hook.URL + "/path-nobody-guesses", WebhookAuthID: secret.New(hookSecret),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(s.CloseIdle)
	return s
}

func withoutHook(c *Config) { c.WebhookAddress = "" }

func atAddress(address, authID string) func(*Config) {
	return func(c *Config) { c.WebhookAddress, c.WebhookAuthID = address, secret.New(authID) }
}

// listed is the subscription as the service lists it: "enabled https://... enabled".
func (h *hookScene) listed(s *Source) string {
	h.t.Helper()
	present, err := s.subscriptions(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	sub := present["Audit.General"]
	text := sub.Status
	if w := sub.hook(); w != nil {
		text += " " + w.Address + " " + w.Status
	}
	return text
}

// starts is how many starts the service has answered.
func (h *hookScene) starts() int {
	n := 0
	for _, count := range h.sim.Requests(0).Counts["start"] {
		n += count
	}
	return n
}

func (h *hookScene) prepare(s *Source) {
	h.t.Helper()
	if _, failed := s.Prepare(h.t.Context(), []string{"Audit.General"}); len(failed) > 0 {
		h.t.Fatal(failed)
	}
}

func (h *hookScene) tend(s *Source) { s.Tend(h.t.Context(), []string{"Audit.General", "no such type"}) }

// list reads content, to show that collecting works whatever the webhook does.
func (h *hookScene) list(s *Source) {
	h.t.Helper()
	now, n := h.clock.Now(), 0
	for _, err := range s.List(h.t.Context(), source.Window{ContentType: "Audit.General", From: now.Add(-2 * time.Hour), To: now}) {
		if err != nil {
			h.t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		h.t.Error("nothing was listed")
	}
}

func (h *hookScene) warning(s *Source, parts ...string) {
	h.t.Helper()
	all := s.Warnings()
	if len(parts) == 0 {
		if len(all) > 0 {
			h.t.Errorf("warnings: %v", all)
		}
		return
	}
	if len(all) != 1 || all[0].Status != source.Skipped || all[0].Hint == "" {
		h.t.Fatalf("warnings: %v", all)
	}
	for _, p := range append(parts, "nothing is lost") {
		if !strings.Contains(all[0].Message+all[0].Hint, p) {
			h.t.Errorf("the warning does not say %q: %s; %s", p, all[0].Message, all[0].Hint)
		}
	}
	if strings.Contains(all[0].Message+all[0].Hint, "path-nobody-guesses") {
		h.t.Error("the warning shows the whole address")
	}
}

func TestPrepareStartsWithTheWebhook(t *testing.T) {
	h := newHookScene(t)
	s := h.source(nil)
	h.prepare(s)
	if got, want := h.listed(s), "enabled "+h.hook.URL+"/path-nobody-guesses enabled"; got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
	if calls := h.calls(); !slices.Equal(calls, []string{hookSecret}) {
		t.Errorf("the webhook was called with %q", calls)
	}
	h.clock.Advance(time.Hour)
	h.tend(s)
	h.prepare(s)
	if n := h.starts(); n != 1 {
		t.Errorf("%d starts, want 1: a webhook that works is left alone", n)
	}
	h.warning(s)
	if strings.Contains(h.log.String(), hookSecret) || strings.Contains(h.log.String(), "path-nobody-guesses") {
		t.Errorf("the log shows too much:\n%s", h.log.String())
	}
}

// TestRefusedWebhookDoesNotStopCollecting: the subscription is started without, and the webhook is set when it answers.
func TestRefusedWebhookDoesNotStopCollecting(t *testing.T) {
	h := newHookScene(t)
	h.answer(http.StatusNotFound)
	s := h.source(nil)
	h.prepare(s)
	if got := h.listed(s); got != "enabled" {
		t.Errorf("listed %q", got)
	}
	h.list(s)
	h.warning(s, "AF20021", h.hook.URL, "Audit.General", "15 minutes")
	h.answer(http.StatusOK)
	h.calls()
	h.clock.Advance(startInterval - time.Minute)
	h.tend(s)
	if calls := h.calls(); len(calls) > 0 {
		t.Error("the webhook was set again within 15 minutes")
	}
	h.clock.Advance(2 * time.Minute)
	h.tend(s)
	if got := h.listed(s); !strings.HasSuffix(got, "path-nobody-guesses enabled") {
		t.Errorf("listed %q", got)
	}
	h.warning(s)
}

func TestDisabledWebhookIsEnabledAgain(t *testing.T) {
	h := newHookScene(t)
	s := h.source(nil)
	h.prepare(s)
	h.answer(http.StatusInternalServerError)
	for range 20 {
		h.clock.Advance(time.Hour)
		h.sim.Notify(t.Context())
	}
	if got := h.listed(s); !strings.HasSuffix(got, " disabled") {
		t.Fatalf("listed %q", got)
	}
	before := h.starts()
	h.tend(s)
	h.tend(s)
	h.warning(s, "AF20021")
	if n := h.starts() - before; n != 1 {
		t.Errorf("%d starts at once, want 1", n)
	}
	h.list(s)
	h.answer(http.StatusOK)
	h.clock.Advance(startInterval)
	h.tend(s)
	if got := h.listed(s); !strings.HasSuffix(got, " enabled") || !strings.Contains(got, "path-nobody") {
		t.Errorf("listed %q", got)
	}
	h.warning(s)
}

// TestWebhooksOfOthers: nothing of what a connector does removes a webhook that works for somebody else.
func TestWebhooksOfOthers(t *testing.T) {
	h := newHookScene(t)
	theirs := h.hook.URL + "/theirs"
	other := h.source(atAddress(theirs, "their secret"))
	h.prepare(other)
	plain, s := h.source(withoutHook), h.source(nil)
	h.clock.Advance(time.Hour)
	for _, src := range []*Source{plain, s} {
		h.prepare(src)
		h.tend(src)
		if got := h.listed(s); got != "enabled "+theirs+" enabled" {
			t.Fatalf("listed %q", got)
		}
	}
	h.warning(plain)
	h.warning(s, h.hook.URL, "leaves it alone")

	// A former address of its own, told by the AuthID, is replaced; but only once, or two would fight.
	moved := h.source(atAddress(h.hook.URL+"/moved", "their secret"))
	h.tend(moved)
	if got := h.listed(s); got != "enabled "+h.hook.URL+"/moved enabled" {
		t.Fatalf("listed %q", got)
	}
	h.clock.Advance(time.Hour)
	h.tend(other)
	h.clock.Advance(time.Hour)
	h.tend(moved)
	if got := h.listed(s); got != "enabled "+h.hook.URL+"/moved enabled" {
		t.Errorf("two connectors fight: %q", got)
	}

	// What Microsoft has given up is replaced.
	h.answer(http.StatusBadGateway)
	for range 20 {
		h.clock.Advance(time.Hour)
		h.sim.Notify(t.Context())
	}
	h.answer(http.StatusOK)
	h.tend(s)
	if got := h.listed(s); got != "enabled "+h.hook.URL+"/path-nobody-guesses enabled" {
		t.Errorf("listed %q", got)
	}
	h.warning(s)
}

// TestReviveKeepsAForeignWebhook: a subscription that is not enabled has to be started, with the webhook that it has.
func TestReviveKeepsAForeignWebhook(t *testing.T) {
	f := newFakeService(t)
	hooks := `{"status":"enabled","address":"https://theirs.example/x","authId":"their secret","expiration":null}`
	for name, change := range map[string]func(*Config){
		"without webhook": nil,
		"with webhook":    func(c *Config) { c.WebhookAddress = "https://ours.example/y" },
	} {
		var sent string
		f.override = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case strings.HasSuffix(r.URL.Path, "/list"):
				writeJSON(w, 200, `[{"contentType":"Audit.General","status":"disabled","webhook":`+hooks+`}]`)
			case strings.HasSuffix(r.URL.Path, "/start"):
				body, _ := io.ReadAll(r.Body)
				sent = string(body)
				writeJSON(w, 200, `{"contentType":"Audit.General","status":"enabled","webhook":`+hooks+`}`)
			default:
				return false
			}
			return true
		}
		if _, failed := f.source(change).Prepare(t.Context(), []string{"Audit.General"}); len(failed) > 0 {
			t.Errorf("%s: %v", name, failed)
		}
		var got struct{ Webhook hook }
		if err := json.Unmarshal([]byte(sent), &got); err != nil || got.Webhook.Address != "https://theirs.example/x" || got.Webhook.AuthID != "their secret" {
			t.Errorf("%s: sent %s", name, sent)
		}
	}
}

// TestSlowWebhookDelaysNobody: a start that waits for the webhook holds up neither a listing nor another Prepare.
func TestSlowWebhookDelaysNobody(t *testing.T) {
	f := newFakeService(t)
	f.units = [][]string{{`{"Id":"1"}`}}
	waiting, release := make(chan struct{}), make(chan struct{})
	f.override = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/start") && r.ContentLength > 0 {
			close(waiting)
			<-release
		}
		return false
	}
	s := f.source(func(c *Config) { c.WebhookAddress = "https://ours.example/y" })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Tend(t.Context(), []string{"Audit.General"})
	}()
	<-waiting
	if _, failed := s.Prepare(t.Context(), []string{"Audit.General"}); len(failed) > 0 {
		t.Error(failed)
	}
	if units, err := listAll(t, s, lastHours(1)); err != nil || len(units) != 1 {
		t.Errorf("listed %d units: %v", len(units), err)
	}
	s.Warnings()
	close(release)
	<-done
}

func TestDamagedWebhookInAListing(t *testing.T) {
	f := newFakeService(t)
	f.override = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/list") {
			return false
		}
		writeJSON(w, 200, `[{"contentType":"Audit.General","status":"enabled","webhook":{"status":1,"address":[]}},{"contentType":"Audit.Exchange","status":"enabled"}]`)
		return true
	}
	s := f.source(func(c *Config) { c.WebhookAddress = "https://ours.example/y" })
	if _, failed := s.Prepare(t.Context(), []string{"Audit.General", "Audit.Exchange"}); len(failed) > 0 {
		t.Error(failed)
	}
	s.Tend(t.Context(), []string{"Audit.General"})
	if len(f.starts) > 0 || len(s.Warnings()) != 1 {
		t.Errorf("starts %v, warnings %v", f.starts, s.Warnings())
	}
}

func TestWebhookSettings(t *testing.T) {
	h := newHookScene(t)
	for address, want := range map[string]string{
		"http://collector.example/x":        "https",
		"https://user@collector.example/x":  "user name",
		"collector.example":                 "address",
		"https://collector.example/x#there": "fragment",
	} {
		cfg := Config{DirectoryID: testTenant, ApplicationID: testApp, APIAccessKey: secret.New(testSecret), WebhookAddress: address}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "webhook_address") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	cfg := Config{DirectoryID: testTenant, ApplicationID: testApp, APIAccessKey: secret.New(testSecret), WebhookAddress: h.hook.URL, WebhookAuthID: secret.New("a\nb")}
	if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "a\nb") {
		t.Errorf("AuthID with a line end: %v", err)
	}
}

// TestConnectionTestOfTheWebhook: the step sets a missing webhook, and is a warning at worst.
func TestConnectionTestOfTheWebhook(t *testing.T) {
	h := newHookScene(t)
	step := func(s *Source) source.Check {
		for c := range s.Test(t.Context()) {
			if c.Status == source.Failed {
				t.Errorf("%s failed: %s", c.Name, c.Message)
			}
			if c.Name == stepWebhook {
				return c
			}
		}
		return source.Check{}
	}
	h.prepare(h.source(withoutHook))
	if c := step(h.source(withoutHook)); c.Name != "" {
		t.Errorf("a step without a webhook: %v", c)
	}
	h.answer(http.StatusForbidden)
	if c := step(h.source(nil)); c.Status != source.Passed || !strings.Contains(c.Message, "AF20021") || !strings.Contains(c.Hint, "certificate") {
		t.Errorf("refused: %v", c)
	}
	h.answer(http.StatusOK)
	if c := step(h.source(nil)); c.Status != source.Passed || c.Hint != "" || !strings.Contains(c.Message, "1 of 1") {
		t.Errorf("works: %v", c)
	}
	h.clock.Advance(time.Hour)
	if c := step(h.source(nil)); c.Status != source.Passed || c.Hint != "" || h.starts() != 3 {
		t.Errorf("is there already: %v, %d starts", c, h.starts())
	}
}
