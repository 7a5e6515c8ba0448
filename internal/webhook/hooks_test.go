package webhook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"sluice/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	directory   = "11111111-2222-3333-4444-555555555555"
	application = "99999999-8888-7777-6666-555555555555"
	general     = "Audit.General"
	exchange    = "Audit.Exchange"
)

var testKey = Key{1, 2, 3}

func contoso() Target {
	return Target{ConnectorID: "c1", Connector: "contoso", DirectoryID: directory, ApplicationID: application, ContentTypes: []string{general, exchange}}
}

// told writes a notification.
func told(tenant, client string, contentTypes ...string) string {
	var items []string
	for i, ct := range contentTypes {
		items = append(items, fmt.Sprintf(`{"tenantId":%q,"clientId":%q,"contentType":%q,"contentId":"id%d","contentUri":"https://evil.example/%d","contentCreated":"2026-11-20T12:00:00.000Z","contentExpiration":"soon","new":{"field":[1]}}`,
			tenant, client, ct, i, i))
	}
	return "[" + strings.Join(items, ",") + "]"
}

// send posts a body and returns the status. Headers are pairs.
func send(t *testing.T, h http.Handler, method, path, body string, headers ...string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://collector.example"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		t.Errorf("%s %s: the answer has a body: %s", method, path, w.Body)
	}
	return w.Code
}

func TestRequests(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := New(Settings{Key: testKey, Hint: func(string, string) {}, Registerer: reg})
	h.Set(contoso())
	own := contoso()
	own.ConnectorID, own.Connector, own.AuthID = "c2", "fabrikam", secret.New("chosen by the operator")
	h.Set(own)
	path, auth := "/sluice/"+testKey.Path("c1"), testKey.AuthID("c1").Reveal()
	ok := told(directory, application, general)
	tests := []struct {
		name, method, path, body, auth, code string
		want                                 int
		result                               string
	}{
		{"notification", "POST", path, ok, auth, "", 200, "notified"},
		{"path changed by a proxy", "POST", "/" + testKey.Path("c1"), ok, auth, "", 200, "notified"},
		{"letter case of ids", "POST", path, told(strings.ToUpper(directory), strings.ToUpper(application), "AUDIT.general"), auth, "", 200, "notified"},
		{"empty array", "POST", path, "[]", auth, "", 200, "notified"},
		{"byte order mark", "POST", path, "\xef\xbb\xbf" + ok, auth, "", 200, "notified"},
		{"one damaged element", "POST", path, `[{"tenantId":7},` + ok[1:], auth, "", 200, "notified"},
		{"content type that is not collected", "POST", path, told(directory, application, "DLP.All"), auth, "", 200, "notified"},
		{"AuthID of the operator", "POST", "/" + testKey.Path("c2"), ok, "chosen by the operator", "", 200, "notified"},
		{"made AuthID where the operator chose one", "POST", "/" + testKey.Path("c2"), ok, testKey.AuthID("c2").Reveal(), "", 401, "unauthorized"},
		{"validation", "POST", path, `{"validationCode":"abc"}`, auth, "abc", 200, "validated"},
		{"validation, codes differ", "POST", path, `{"validationCode":"abd"}`, auth, "abc", 400, "malformed"},
		{"validation without body", "POST", path, "", auth, "abc", 400, "malformed"},
		{"validation, wrong AuthID", "POST", path, `{"validationCode":"abc"}`, "guess", "abc", 401, "unauthorized"},
		{"wrong AuthID", "POST", path, ok, "guess", "", 401, "unauthorized"},
		{"no AuthID", "POST", path, ok, "", "", 401, "unauthorized"},
		{"AuthID of another connector", "POST", path, ok, testKey.AuthID("c2").Reveal(), "", 401, "unauthorized"},
		{"unknown path", "POST", "/sluice/" + testKey.Path("c3"), ok, auth, "", 404, "unknown"},
		{"no path", "POST", "/", ok, auth, "", 404, "unknown"},
		{"more path", "POST", path + "/more", ok, auth, "", 404, "unknown"},
		{"another method", "GET", path, "", auth, "", 404, "unknown"},
		{"another tenant", "POST", path, told("22222222-2222-3333-4444-555555555555", application, general), auth, "", 404, "foreign"},
		{"another application", "POST", path, told(directory, "22222222-2222-3333-4444-555555555555", general), auth, "", 404, "foreign"},
		{"no JSON", "POST", path, "hello", auth, "", 400, "malformed"},
		{"an object", "POST", path, "{}", auth, "", 400, "malformed"},
		{"null", "POST", path, "null", auth, "", 400, "malformed"},
		{"nothing usable", "POST", path, `[{"tenantId":7},3]`, auth, "", 400, "malformed"},
		{"two values", "POST", path, ok + ok, auth, "", 400, "malformed"},
		{"too large", "POST", path, "[" + strings.Repeat(" ", maxBody) + "]", auth, "", 413, "malformed"},
	}
	want := map[string]float64{}
	for _, tt := range tests {
		headers := []string{"Webhook-AuthID", tt.auth}
		if tt.code != "" {
			headers = append(headers, "Webhook-ValidationCode", tt.code)
		}
		if got := send(t, h, tt.method, tt.path, tt.body, headers...); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
		want[tt.result]++
	}
	got := map[string]float64{}
	for _, connector := range []string{"", "contoso", "fabrikam"} {
		for result := range want {
			got[result] += testutil.ToFloat64(h.metrics.requests.WithLabelValues(connector, result))
		}
	}
	for result, n := range want {
		if got[result] != n {
			t.Errorf("%s: counted %v, want %v", result, got[result], n)
		}
	}
	if n := testutil.ToFloat64(h.metrics.contents.WithLabelValues("contoso", general)); n != 5 {
		t.Errorf("contents: %v", n)
	}

	h.Remove("c1")
	h.Remove("c1")
	if got := send(t, h, "POST", path, ok, "Webhook-AuthID", auth); got != 404 {
		t.Errorf("after Remove: %d", got)
	}
}

// A flood of wrong AuthIDs does not keep Microsoft out, and the other way round each has its bound.
func TestRateLimits(t *testing.T) {
	h := New(Settings{Key: testKey, Hint: func(string, string) {}})
	h.Set(contoso())
	other := contoso()
	other.ConnectorID = "c2"
	h.Set(other)
	body := told(directory, application, general)
	count := func(id, auth string, n int) map[int]int {
		got := map[int]int{}
		for range n {
			got[send(t, h, "POST", "/"+testKey.Path(id), body, "Webhook-AuthID", auth)]++
		}
		return got
	}
	if got := count("c1", "guess", 50*wrongBurst); got[401] < wrongBurst || got[429] == 0 {
		t.Errorf("wrong: %v", got)
	}
	if got := count("c1", testKey.AuthID("c1").Reveal(), 10); got[200] != 10 {
		t.Errorf("right behind a flood of wrong ones: %v", got)
	}
	if got := count("c1", testKey.AuthID("c1").Reveal(), 20*requestsBurst); got[200] < requestsBurst/2 || got[429] == 0 {
		t.Errorf("right: %v", got)
	}
	if got := count("c2", testKey.AuthID("c2").Reveal(), 10); got[200] != 10 {
		t.Errorf("another connector: %v", got)
	}
}

// hearing runs h inside of a bubble and returns what was hinted, in time since the start.
func hearing(t *testing.T, settings Settings, do func(h *Hooks)) (heard []string) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		settings.Key = testKey
		settings.Hint = func(id, contentType string) {
			heard = append(heard, fmt.Sprintf("%v %s %s", time.Since(began), id, contentType))
		}
		h := New(settings)
		h.Set(contoso())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		do(h)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return heard
}

func TestHintsAreSpread(t *testing.T) {
	notify := func(t *testing.T, h *Hooks, contentTypes ...string) {
		t.Helper()
		if got := send(t, h, "POST", "/"+testKey.Path("c1"), told(directory, application, contentTypes...), "Webhook-AuthID", testKey.AuthID("c1").Reveal()); got != 200 {
			t.Errorf("status %d", got)
		}
	}
	pass := func(d time.Duration) { <-time.After(d); synctest.Wait() }
	heard := hearing(t, Settings{Spacing: 10 * time.Second}, func(h *Hooks) {
		notify(t, h, general, general, "DLP.All")
		synctest.Wait()
		for range 20 {
			pass(100 * time.Millisecond)
			notify(t, h, general)
		}
		notify(t, h, exchange)
		pass(time.Minute)
		notify(t, h, general)
	})
	want := []string{"0s c1 Audit.General", "2s c1 Audit.Exchange", "10s c1 Audit.General", "1m2s c1 Audit.General"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

// A hint that takes its time delays no answer.
func TestSlowHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hints := 0
		h := New(Settings{Key: testKey, Hint: func(string, string) { hints++; <-release }})
		h.Set(contoso())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		for range 100 {
			if got := send(t, h, "POST", "/"+testKey.Path("c1"), told(directory, application, general), "Webhook-AuthID", testKey.AuthID("c1").Reveal()); got != 200 {
				t.Fatalf("status %d", got)
			}
			synctest.Wait()
		}
		close(release)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if hints == 0 || hints > 2 {
			t.Errorf("%d hints for 100 notifications at once", hints)
		}
	})
}

func TestManyRequestsAtATime(t *testing.T) {
	h := New(Settings{Key: testKey, Hint: func(string, string) {}})
	h.Set(contoso())
	for range maxAtATime {
		h.places <- struct{}{}
	}
	if got := send(t, h, "POST", "/"+testKey.Path("c1"), "[]"); got != 503 {
		t.Errorf("status %d", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "null", "{}", `[{}]`, told(directory, application, general, exchange), `[{"tenantId":null}]`, `[[[[`, `{"validationCode":"abc"}`,
		"\xef\xbb\xbf[]", `[{"TENANTID":"a","clientid":"b","contenttype":"c","contentID":"d"}]`, `[1,"x",null,true]`, `{"validationCode":7}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, damaged, err := parseNotifications(body)
		if err != nil && (list != nil || damaged != 0) {
			t.Errorf("%q: an error and %d elements", body, len(list))
		}
		for _, n := range list {
			if n.TenantID == "" || n.ClientID == "" || n.ContentType == "" || n.ContentID == "" {
				t.Errorf("%q: half an element %+v", body, n)
			}
		}
		if validCode("", body) {
			t.Errorf("%q: an empty code is valid", body)
		}
		h := New(Settings{Key: testKey, Hint: func(string, string) {}})
		h.Set(contoso())
		got := send(t, h, "POST", "/"+testKey.Path("c1"), string(body), "Webhook-AuthID", testKey.AuthID("c1").Reveal())
		if want := map[bool][]int{true: {400, 413}, false: {200, 400, 404}}[err != nil]; !slices.Contains(want, got) {
			t.Errorf("%q: status %d", body, got)
		}
	})
}
