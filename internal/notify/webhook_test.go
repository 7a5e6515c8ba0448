package notify

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/source"
)

// caFile writes the certificate of a test server.
func caFile(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func options(t *testing.T, kind string) []option.Option {
	t.Helper()
	for _, k := range Kinds() {
		if k.Type == kind {
			return k.Options
		}
	}
	t.Fatalf("no kind %s", kind)
	return nil
}

// build makes a target of options as a document has them.
func build(t *testing.T, kind string, given map[string]any, secrets map[string]string) (Route, error) {
	t.Helper()
	decoded := map[string]any{}
	declared := options(t, kind)
	for _, o := range declared {
		v, err := o.Decode(given[o.Name])
		if err != nil {
			t.Fatalf("%s: %v", o.Name, err)
		}
		if text, ok := v.(string); ok && o.Secret {
			v = option.NewRef(text)
		}
		decoded[o.Name] = v
	}
	return Build(kind, "soc", option.NewValues(declared, decoded), environment(secrets))
}

func mustBuild(t *testing.T, kind string, given map[string]any, secrets map[string]string) Route {
	t.Helper()
	r, err := build(t, kind, given, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func example() Message {
	c := bad("contoso", health.Error)
	c.At, c.Condition.Since = noon, noon
	return newMessage("0b9f3f3e-0000-4000-8000-000000000001", "sluice-1", noon, []Event{begun(c)}, 0)
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	type request struct {
		header http.Header
		body   []byte
	}
	got := make(chan request, 1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Header, body}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	r := mustBuild(t, TypeWebhook, map[string]any{
		"url": "${env:URL}", "signing_secret": "${env:KEY}", "authorization": "${env:AUTH}", "ca_file": caFile(t, srv), "min_severity": "error", "repeat_after": "0s",
	}, map[string]string{"URL": srv.URL + "/hook?key=k123", "KEY": "sesame", "AUTH": "Bearer b456"})
	if r.Policy.MinSeverity != health.Error || r.Policy.Repeat != 0 || r.Policy.Wait != 30*time.Second || !r.Policy.Resolved {
		t.Errorf("policy %+v", r.Policy)
	}
	if err := r.Target.Deliver(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	req := <-got
	if err := VerifySignature(secret.New("sesame"), req.header.Get(HeaderSignature), req.body, time.Now()); err != nil {
		t.Error(err)
	}
	if req.header.Get("Authorization") != "Bearer b456" || req.header.Get(HeaderID) != example().ID || req.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", req.header)
	}
	var doc map[string]any
	if err := json.Unmarshal(req.body, &doc); err != nil {
		t.Fatal(err)
	}
	event, _ := doc["events"].([]any)[0].(map[string]any)
	for key, want := range map[string]any{
		"kind": "problem", "key": "id-contoso/Audit.General/listing", "connector": "contoso", "connector_id": "id-contoso", "tenant_name": "T-contoso", "type": "office365",
		"content_type": "Audit.General", "condition": "listing", "status": "error", "reason": "unavailable", "message": "listing content fails: 503", "hint": "wait",
		"since": "2026-03-04T12:00:00Z", "at": "2026-03-04T12:00:00Z", "state": "degraded",
	} {
		if event[key] != want {
			t.Errorf("events[0].%s is %v, want %v", key, event[key], want)
		}
	}
	if doc["version"] != 1.0 || doc["server"] != "sluice-1" || doc["omitted"] != 0.0 || doc["counts"].(map[string]any)["problem"] != 1.0 {
		t.Errorf("%s", req.body)
	}
}

func TestWebhookText(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer srv.Close()
	if err := mustBuild(t, TypeWebhook, map[string]any{"url": srv.URL, "format": "text"}, nil).Target.Deliver(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	if body := <-got; !strings.HasPrefix(body, `{"text":"problem: Listing content (unavailable), contoso (T-contoso) Audit.General\n`) {
		t.Error(body)
	}
}

func TestWebhookAnswers(t *testing.T) {
	t.Parallel()
	var other atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { other.Add(1) }))
	defer elsewhere.Close()
	tests := []struct {
		code int
		kind fault.Kind
		wait time.Duration
	}{
		{200, "", 0},
		{204, "", 0},
		{302, fault.Config, 0},
		{307, fault.Config, 0},
		{400, fault.Config, 0},
		{401, fault.Auth, 0},
		{403, fault.Permission, 0},
		{404, fault.NotFound, 0},
		{408, fault.Unavailable, 0},
		{410, fault.NotFound, 0},
		{413, fault.Config, 0},
		{429, fault.Throttled, 7 * time.Second},
		{500, fault.Unavailable, 0},
		{503, fault.Unavailable, 7 * time.Second},
	}
	for _, tt := range tests {
		t.Run(http.StatusText(tt.code), func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", elsewhere.URL)
				if tt.wait > 0 {
					w.Header().Set("Retry-After", "7")
				}
				w.WriteHeader(tt.code)
				if tt.code != http.StatusNoContent {
					_, _ = io.WriteString(w, "you sent "+r.URL.String()+" with "+r.Header.Get("Authorization")+"\x1b[31m")
				}
			}))
			defer srv.Close()
			r := mustBuild(t, TypeWebhook, map[string]any{"url": srv.URL + "/T0/hidden1?key=hidden2", "authorization": "Bearer hidden3"}, nil)
			err := r.Target.Deliver(t.Context(), example())
			if fault.KindOf(err) != tt.kind || fault.RetryAfterOf(err) != tt.wait {
				t.Errorf("%v: kind %q, wait %v; want %q, %v", err, fault.KindOf(err), fault.RetryAfterOf(err), tt.kind, tt.wait)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q", err)
			}
			assertHidden(t, err, "hidden")
		})
	}
	t.Cleanup(func() {
		if other.Load() > 0 {
			t.Error("a redirect was followed")
		}
	})
}

// assertHidden checks that neither an error nor its parts tell a secret.
func assertHidden(t *testing.T, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error() + fault.HintOf(err) + source.Failure("x", err).Detail
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%q tells %q", text, s)
		}
	}
}

func TestWebhookLeaksNothingOnTheWay(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	defer srv.Close()
	given := map[string]any{"url": srv.URL + "/hidden1?key=hidden2", "authorization": "hidden3", "signing_secret": "hidden4"}

	err := mustBuild(t, TypeWebhook, given, nil).Target.Deliver(t.Context(), example())
	if !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "ca_file") {
		t.Errorf("an unknown authority: %v", err)
	}
	assertHidden(t, err, "hidden")

	given["ca_file"] = caFile(t, srv)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	err = mustBuild(t, TypeWebhook, given, nil).Target.Deliver(ctx, example())
	if err == nil {
		t.Error("cut off half-way is no success")
	}
	assertHidden(t, err, "hidden")

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	err = mustBuild(t, TypeWebhook, map[string]any{"url": closed.URL + "/hidden1"}, nil).Target.Deliver(t.Context(), example())
	if !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	assertHidden(t, err, "hidden")
}

func TestWebhookOptions(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"http://hooks.example/x":          "https",
		"ftp://hooks.example/x":           "https",
		"hooks.example":                   "must be a URL",
		"https://user:hidden@host.ex/":    "authorization",
		"https://host.example/#hidden":    "fragment",
		"https://":                        "must be a URL",
		"https://hooks.example/x?key=y":   "",
		"http://127.0.0.1:9/x":            "",
		"http://localhost:9/x":            "",
		"${env:NOT_LOOKED_AT_BEFORE_USE}": "",
	}
	for address, want := range tests {
		_, err := build(t, TypeWebhook, map[string]any{"url": address}, nil)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !fault.Is(err, fault.Config)) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
		assertHidden(t, err, "hidden")
	}
	for _, k := range Kinds() {
		if err := option.CheckDeclarations(k.Options); err != nil {
			t.Errorf("%s: %v", k.Type, err)
		}
	}
	if got, want := PolicyFrom(option.NewValues(PolicyOptions(), nil)), DefaultPolicy(); got.MinSeverity != want.MinSeverity || got.Wait != want.Wait || got.Repeat != want.Repeat || got.Interval != want.Interval || got.Resolved != want.Resolved {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := Build("pigeon", "soc", option.Values{}, environment(nil)); !fault.Is(err, fault.Config) {
		t.Error(err)
	}
	if _, err := build(t, TypeWebhook, map[string]any{"url": "https://h.example", "ca_file": "/does/not/exist"}, nil); err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Error(err)
	}
}

func statuses(target Target, t *testing.T) (list []string) {
	t.Helper()
	for c := range target.Test(t.Context()) {
		list = append(list, c.Name+" "+string(c.Status))
	}
	return list
}

func TestWebhookTest(t *testing.T) {
	t.Parallel()
	var code atomic.Int32
	code.Store(200)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) }))
	defer srv.Close()
	ca := caFile(t, srv)
	well := mustBuild(t, TypeWebhook, map[string]any{"url": srv.URL, "ca_file": ca}, nil).Target
	wantLines(t, statuses(well, t), "address passed", "connection passed", "message passed")
	code.Store(401)
	wantLines(t, statuses(well, t), "address passed", "connection passed", "message failed")
	strange := mustBuild(t, TypeWebhook, map[string]any{"url": srv.URL}, nil).Target
	wantLines(t, statuses(strange, t), "address passed", "connection failed", "message skipped")
	unset := mustBuild(t, TypeWebhook, map[string]any{"url": "${env:NOT_SET}"}, nil).Target
	wantLines(t, statuses(unset, t), "address failed", "connection skipped", "message skipped")
	for range well.Test(t.Context()) {
		break // who stops listening is obeyed
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	key, body := secret.New("sesame"), []byte(`{"a":1}`)
	header := sign(key, body, noon)
	tests := []struct {
		name   string
		key    string
		header string
		body   string
		now    time.Time
		ok     bool
	}{
		{"good", "sesame", header, `{"a":1}`, noon.Add(4 * time.Minute), true},
		{"one of two", "sesame", "t=" + strings.TrimPrefix(strings.Split(header, ",")[0], "t=") + ",v1=00," + strings.Split(header, ",")[1], `{"a":1}`, noon, true},
		{"other body", "sesame", header, `{"a":2}`, noon, false},
		{"other key", "open", header, `{"a":1}`, noon, false},
		{"too old", "sesame", header, `{"a":1}`, noon.Add(6 * time.Minute), false},
		{"from the future", "sesame", header, `{"a":1}`, noon.Add(-6 * time.Minute), false},
		{"other time", "sesame", strings.Replace(header, "t=1", "t=2", 1), `{"a":1}`, noon, false},
		{"nothing", "sesame", "", `{"a":1}`, noon, false},
		{"no time", "sesame", strings.Split(header, ",")[1], `{"a":1}`, noon, false},
		{"no sum", "sesame", strings.Split(header, ",")[0], `{"a":1}`, noon, false},
	}
	for _, tt := range tests {
		if err := VerifySignature(secret.New(tt.key), tt.header, []byte(tt.body), tt.now); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// The numbers that a receiver in another language can test itself with.
	if want := "t=1772625600,v1=" + "ac33549f796220195ddcc1303be9d7d720b2060d3d9fde8cd9d7e5f24050ccf7"; header != want {
		t.Errorf("%s, want %s", header, want)
	}
}

func FuzzVerifySignature(f *testing.F) {
	key, body := secret.New("k"), []byte("b")
	f.Add(sign(key, body, noon))
	f.Add("t=1,v1=00")
	f.Add(",,=,t==")
	f.Fuzz(func(t *testing.T, header string) {
		if VerifySignature(key, header, []byte("other"), noon) == nil {
			t.Errorf("%q fits another body", header)
		}
	})
}
