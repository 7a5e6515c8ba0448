package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/clock"
	"sluice/internal/health"
	"sluice/internal/m365sim"
	"sluice/internal/notify"
	"sluice/internal/secret"
	"sluice/internal/source"
)

const (
	simDirectory   = "6f1c7a52-0b8e-4d13-9a77-35f0b7c2d410"
	simApplication = "c4d2a9e8-1f35-4b60-8e21-7a90d3b6f5c1"
	simSecret      = "health~secret~of~the~simulated~app"
	hookSecret     = "signs~what~the~test~receives"
)

// receiver is the far side of a webhook.
type receiver struct {
	t     *testing.T
	clock clock.Clock
	mu    sync.Mutex
	got   []notify.Message
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var m notify.Message
	if err == nil {
		err = notify.VerifySignature(secret.New(hookSecret), req.Header.Get(notify.HeaderSignature), body, r.clock.Now())
	}
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		r.t.Errorf("%v in %s", err, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, m)
}

// events returns what was told so far: "problem listing auth".
func (r *receiver) events() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		for _, e := range m.Events {
			list = append(list, fmt.Sprintf("%s %s %s", e.Kind, e.Condition, e.Status))
		}
	}
	return list
}

// upText is standard output of a server, which says where it is.
type upText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (u *upText) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.text.Write(b)
}

// String implements fmt.Stringer.
func (u *upText) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.text.String()
}

var upAt = regexp.MustCompile(`Sluice is up at (\S+) `)

func (u *upText) url() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := upAt.FindStringSubmatch(u.text.String()); m != nil {
		return m[1]
	}
	return ""
}

// bench is a server under test with a simulated tenant and a receiver of notifications. Its clock runs fast.
type bench struct {
	t      *testing.T
	clock  clock.Clock
	config string
	data   string
	client *client.Client
	stop   func()
}

// eventually looks until done, and fails the test with the last word when that takes longer than a slow machine needs.
func (b *bench) eventually(what string, done func() (bool, any)) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		ok, word := done()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%s: not in time: %+v", what, word)
		}
	}
}

// start runs the server until stop.
func (b *bench) start() {
	b.t.Helper()
	out := &upText{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Options{ConfigFile: b.config, Clock: b.clock, Stdout: out, Version: "test"}) }()
	ended := false
	b.stop = func() {
		b.t.Helper()
		if ended {
			return
		}
		ended = true
		if b.client != nil {
			b.client.Close()
		}
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the server ended with %v", err)
		}
	}
	b.t.Cleanup(b.stop)
	b.eventually("the server comes up", func() (bool, any) {
		select {
		case err := <-done:
			b.t.Fatalf("the server ended: %v", err)
		default:
		}
		return out.url() != "", "no address"
	})
	token, err := os.ReadFile(filepath.Join(b.data, "cli-token"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.client = client.New(client.Settings{URL: out.url(), Token: secret.New(strings.TrimSpace(string(token)))})
}

// state waits until the only content type has the state.
func (b *bench) state(want health.State) (st api.Status) {
	b.t.Helper()
	b.eventually("state "+string(want), func() (bool, any) {
		all, err := b.client.Status(b.t.Context())
		if err != nil || len(all) != 1 {
			return false, fmt.Sprint(all, err)
		}
		st = all[0]
		return st.State == string(want), fmt.Sprintf("%+v %+v", st, st.LastError)
	})
	return st
}

func (b *bench) condition(t health.Type) api.Condition {
	b.t.Helper()
	all, err := b.client.Conditions(b.t.Context(), "contoso", 0)
	if err != nil || len(all.Feeds) != 1 {
		b.t.Fatalf("%+v, %v", all, err)
	}
	for _, c := range all.Feeds[0].Conditions {
		if c.Type == string(t) {
			return c
		}
	}
	b.t.Fatalf("no condition %s in %+v", t, all)
	return api.Condition{}
}

func (b *bench) metrics() string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.client.URL()+"/metrics", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// test runs the connection test of the connector and returns how many of its steps failed.
func (b *bench) test() (failed int) {
	b.t.Helper()
	for check, err := range b.client.Test(b.t.Context(), api.Connectors, "contoso") {
		if err != nil {
			b.t.Fatal(err)
		}
		if check.Status == source.Failed {
			failed++
		}
	}
	return failed
}

// TestHealthOfATenant follows a tenant whose credential stops working: it is on the record and told once, a restart
// of the server tells nothing again, and a passed connection test ends it at once.
func TestHealthOfATenant(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("SLUICE_HEALTH_HOOK", hookSecret)
	fast := clock.NewScaled(20)
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 3, Tenants: []m365sim.Tenant{{
		ID: simDirectory, Name: "contoso", Users: 5, Apps: []m365sim.App{{ID: simApplication, Secret: simSecret}},
		Traffic: []m365sim.Traffic{{ContentType: m365sim.General, History: m365sim.Duration(2 * time.Hour), Events: 40, BlobSize: 10}},
	}}}, m365sim.Options{Clock: fast, TokensByClock: true})
	far := &receiver{t: t, clock: fast}
	hook := httptest.NewServer(far)
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	b := &bench{t: t, clock: fast, config: filepath.Join(dir, "sluice.yaml"), data: filepath.Join(dir, "data")}
	ca := filepath.Join(dir, "ca.pem")
	if err := sim.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`data: %s
listen: 127.0.0.1:0
notifications:
  - {name: soc, type: webhook, url: %q, signing_secret: "${env:SLUICE_HEALTH_HOOK}", group_wait: 0s}
  - {name: quiet, type: webhook, url: %q, signing_secret: "${env:SLUICE_HEALTH_HOOK}", group_wait: 0s, tenant_names: [Fabrikam]}
connectors:
  - name: contoso
    tenant_name: Contoso
    type: office365
    interval: 1m
    content_types: [Audit.General]
    directory_id: %s
    application_id: %s
    api_access_key: %s
    authentication_endpoint: %s
    api_endpoint: %s
    ca_file: %s
    start_time: %s
`, b.data, hook.URL, hook.URL, simDirectory, simApplication, simSecret, sim.URL(), sim.URL(), ca, fast.Now().Add(-3*time.Hour).Format(time.RFC3339))
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	st := b.state(health.OK)
	if len(st.Conditions) != len(health.Types()) || st.LastError != nil {
		t.Errorf("status %+v", st)
	}
	// Only listings fail from here on, and the record knows that they worked.
	b.eventually("all content has landed", func() (bool, any) { st := b.state(health.OK); return st.Pending == 0, st })
	b.eventually("the listing is on the record", func() (bool, any) { c := b.condition(health.Listing); return c.Since != nil, c })

	if err := sim.SetFaults([]m365sim.Fault{{Route: "content", Kind: m365sim.Unauthorized}, {Route: "token", Kind: m365sim.Unauthorized}}); err != nil {
		t.Fatal(err)
	}
	st = b.state(health.Attention)
	if st.LastError == nil || st.LastError.Hint == "" {
		t.Errorf("last error %+v", st.LastError)
	}
	b.eventually("the problem is told", func() (bool, any) { return len(far.events()) > 0, far.events() })
	b.eventually("the metrics show it", func() (bool, any) {
		text := b.metrics()
		return strings.Contains(text, `sluice_condition{connector="contoso",content_type="Audit.General",status="error",type="listing"} 1`) &&
			strings.Contains(text, `sluice_notifications_total{result="delivered",target="soc"} 1`), text
	})
	if b.test() == 0 {
		t.Error("the connection test passes")
	}
	since := b.condition(health.Listing).Since
	if since == nil {
		t.Error("the condition is not on the record")
	}

	// After a restart the same problem is no news.
	b.stop()
	b.start()
	st = b.state(health.Attention)
	if st.StateSince == nil || since != nil && !st.StateSince.Equal(*since) {
		t.Errorf("since %v after the restart, %v before", st.StateSince, since)
	}
	if got := far.events(); len(got) != 1 || got[0] != "problem listing error" {
		t.Errorf("told so far: %q", got)
	}

	if err := sim.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	if n := b.test(); n > 0 {
		t.Fatalf("%d steps of the connection test fail", n)
	}
	b.state(health.OK)
	b.eventually("the end is told", func() (bool, any) { return len(far.events()) > 1, far.events() })
	if got := far.events(); len(got) != 2 || got[1] != "resolved listing ok" {
		t.Errorf("told: %q", got)
	}
	all, err := b.client.Conditions(t.Context(), "contoso", 10)
	if err != nil {
		t.Fatal(err)
	}
	var turns []string
	for _, c := range all.History {
		if c.Type == string(health.Listing) {
			turns = append(turns, c.From+" "+c.Status)
		}
	}
	if strings.Join(turns, ", ") != "error ok, ok error" {
		t.Errorf("history of the listing: %q", turns)
	}
	b.targets(far)
}

// targets checks what the API says of the targets of notifications, and tries one out.
func (b *bench) targets(far *receiver) {
	b.t.Helper()
	list, err := b.client.Notifications(b.t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "soc" || list[0].Open != 0 || list[0].Outbox != 0 || list[0].LastDelivered == nil || list[1].Sent != 0 {
		b.t.Errorf("targets %+v, %v", list, err)
	}
	for check, err := range b.client.TestNotification(b.t.Context(), "soc") {
		if err != nil || check.Status == source.Failed {
			b.t.Errorf("%+v, %v", check, err)
		}
	}
	if got := far.events(); len(got) != 3 || !strings.HasPrefix(got[2], "test ") {
		b.t.Errorf("after the test of a target: %q", got)
	}
}

// TestNotificationMistakesStopTheStart: what the options of a target mean together is checked before anything is opened.
func TestNotificationMistakesStopTheStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := "data: " + filepath.Join(dir, "data") + "\nnotifications:\n  - {name: soc, type: webhook, url: ftp://hook.example/hunter2}\n" +
		"  - {name: mail, type: email, host: smtp.example, from: nobody, to: [soc@example.com]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{ConfigFile: file, Stdout: io.Discard})
	if err == nil {
		t.Fatal("the server came up")
	}
	for _, want := range []string{"sluice.yaml:3:5: notification soc: url: must begin with https://", "sluice.yaml:4:5: notification mail: from: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the message tells a secret: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a data folder was made")
	}
}
