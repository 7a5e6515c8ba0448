package m365sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestSubscriptions(t *testing.T) {
	clock := newClock()
	c := connect(t, StartTest(t, scenario(10, General), Options{Clock: clock}))
	window := contentPath(General, clock.Now().Add(-time.Hour), clock.Now())
	if body := c.expect(http.MethodGet, "subscriptions/list", 200, ""); string(body) != "[]" {
		t.Errorf("list before a start: %s", body)
	}
	c.expect(http.MethodGet, window, 400, "AF20022")
	c.expect(http.MethodPost, "subscriptions/stop?contentType="+General, 400, "AF20022")
	body := c.expect(http.MethodPost, "subscriptions/start?CONTENTTYPE=audit.general", 200, "")
	if string(body) != `{"contentType":"audit.general","status":"enabled","webhook":null}` {
		t.Errorf("start: %s", body)
	}
	c.expect(http.MethodPost, "subscriptions/start?contentType=Audit.General", 400, "AF20024")
	c.expect(http.MethodGet, window, 200, "")
	c.expect(http.MethodPost, "subscriptions/stop?contentType=Audit.General", 204, "")
	c.expect(http.MethodGet, window, 400, "AF20023")
	if body := c.expect(http.MethodGet, "subscriptions/list", 200, ""); !strings.Contains(string(body), `"status":"disabled"`) {
		t.Errorf("list after a stop: %s", body)
	}
	c.expect(http.MethodPost, "subscriptions/start", 400, "AF20001")
	c.expect(http.MethodPost, "subscriptions/start?contentType=Audit.Everything", 400, "AF20020")
	c.expect(http.MethodGet, "subscriptions/start?contentType=Audit.General", 405, "")
	c.expect(http.MethodGet, "subscriptions/unknown", 404, "")
}

func TestWindows(t *testing.T) {
	clock := newClock()
	s := scenario(1000, Exchange)
	s.Tenants[0].Traffic[0].History = Duration(6 * 24 * time.Hour)
	s.Expiry = Duration(20 * 24 * time.Hour)
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(Exchange)
	now := clock.Now()
	at := func(from, to time.Duration) string { return contentPath(Exchange, now.Add(from), now.Add(to)) }
	c.expect(http.MethodGet, at(-24*time.Hour, 0), 200, "")
	c.expect(http.MethodGet, at(-time.Hour, 20*time.Hour), 200, "") // the future is accepted
	c.expect(http.MethodGet, at(-24*time.Hour-time.Second, 0), 400, "AF20055")
	c.expect(http.MethodGet, at(0, 0), 400, "AF20055")
	c.expect(http.MethodGet, at(0, -time.Hour), 400, "AF20055")
	c.expect(http.MethodGet, at(-7*24*time.Hour-time.Hour, -7*24*time.Hour), 200, "")
	c.expect(http.MethodGet, at(-7*24*time.Hour-time.Hour-time.Second, -7*24*time.Hour), 400, "AF20055")
	c.expect(http.MethodGet, "subscriptions/content?contentType=Audit.Exchange&startTime=2026-11-20", 400, "AF20030")
	c.expect(http.MethodGet, "subscriptions/content?contentType=Audit.Exchange&startTime=soon&endTime=later", 400, "AF20002")
	c.expect(http.MethodGet, "subscriptions/content?contentType=Audit.Exchange&STARTTIME=2026-11-20&endtime=2026-11-20T10:15Z", 200, "")
	c.expect(http.MethodGet, "subscriptions/content?contentType=Audit.Exchange&startTime=2026-11-20T00:00:00.5&endTime=2026-11-20T10:15:00.25Z", 200, "")
	c.expect(http.MethodGet, "subscriptions/content?contentType=Audit.Exchange", 200, "")

	// startTime <= contentCreated < endTime
	items, _ := c.list(Exchange, now.Add(-20*time.Hour), now)
	middle := items[len(items)/2].ContentCreated.Truncate(time.Second)
	before, _ := c.list(Exchange, now.Add(-20*time.Hour), middle)
	after, _ := c.list(Exchange, middle, now)
	if len(before)+len(after) != len(items) || len(before) == 0 || !after[0].ContentCreated.Before(middle.Add(time.Second)) {
		t.Errorf("cut at %s: %d and %d of %d", middle, len(before), len(after), len(items))
	}
}

func TestPagingAndContent(t *testing.T) {
	clock := newClock()
	s := scenario(500, SharePoint)
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(SharePoint)
	from, to := clock.Now().Add(-23*time.Hour), clock.Now().Add(time.Second)
	items, pages := c.list("AUDIT.SharePoint", from, to)
	if len(items) != 50 || pages != 8 {
		t.Fatalf("%d blobs on %d pages, want 50 on 8", len(items), pages)
	}
	status, _, header := c.get(contentPath("AUDIT.SharePoint", from, to))
	next := header.Get("NextPageUri")
	if status != 200 || strings.Contains(strings.ToLower(next), "publisher") || !strings.Contains(next, "nextPage=") {
		t.Errorf("NextPageUri is %q", next)
	}
	c.expect(http.MethodGet, next+"1", 400, "AF20031")
	c.expect(http.MethodGet, strings.Replace(next, "nextPage=2", "nextPage=1", 1), 400, "AF20031")
	c.expect(http.MethodGet, strings.Replace(next, "/api/v1.0/", "/api/v1/", 1), 200, "")
	seen := map[string]bool{}
	for _, it := range items {
		if it.ContentType != "AUDIT.SharePoint" || !strings.HasSuffix(it.ContentURI, "/audit/"+it.ContentID) ||
			!strings.HasPrefix(it.ContentURI, c.server.URL()+"/api/v1.0/"+testTenant) || strings.Count(it.ContentID, "$") != 4 ||
			!it.ContentExpiration.After(it.ContentCreated.Add(6*24*time.Hour)) {
			t.Errorf("item %+v", it)
		}
		seen[it.ContentID] = true
		if n := len(c.records(it.ContentURI)); n != 10 {
			t.Errorf("%d records in a blob, want 10", n)
		}
	}
	if len(seen) != 50 {
		t.Errorf("%d different contentIds, want 50", len(seen))
	}
	id := items[0].ContentID
	c.expect(http.MethodGet, "audit/nonsense", 400, "AF20052")
	c.expect(http.MethodGet, "audit/"+strings.Replace(id, "$na", "$eu", 1), 404, "AF20050")
	c.expect(http.MethodGet, "audit/"+strings.Replace(id, "SharePoint", "Exchange", 1), 404, "AF20050")
	clock.Advance(8 * 24 * time.Hour)
	c.expect(http.MethodGet, "audit/"+id, 400, "AF20051")
}

// TestHeaderSpelling looks at the raw header: clients of other languages compare it as it is.
func TestHeaderSpelling(t *testing.T) {
	clock := newClock()
	s := scenario(500, SharePoint)
	s.ClockSkew = Duration(10 * time.Minute)
	server := StartTest(t, s, Options{Clock: clock})
	c := connect(t, server)
	c.subscribe(SharePoint)
	recorder := httptest.NewRecorder()
	req := c.request(http.MethodGet, contentPath(SharePoint, clock.Now().Add(-20*time.Hour), clock.Now()))
	req.RemoteAddr = "127.0.0.1:1"
	server.Handler().ServeHTTP(recorder, req)
	if got := recorder.Header()["NextPageUri"]; len(got) != 1 { //nolint:staticcheck // the spelling is the point
		t.Errorf("headers are %v", recorder.Header())
	}
	for key, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Expires": "-1",
		"Date": "Fri, 20 Nov 2026 12:40:00 GMT",
	} {
		if got := recorder.Header().Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestGzip(t *testing.T) {
	clock := newClock()
	c := connect(t, StartTest(t, scenario(100, DLP), Options{Clock: clock}))
	c.subscribe(DLP)
	items, _ := c.list(DLP, clock.Now().Add(-20*time.Hour), clock.Now())
	var bodies []string
	for range 3 { // made, made and cached, cached
		req := c.request(http.MethodGet, items[0].ContentURI)
		req.Header.Set("Accept-Encoding", "gzip")
		_, body, header := c.must(req)
		if header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("headers are %v", header)
		}
		plain, err := gunzip(t, body)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(plain))
	}
	req := c.request(http.MethodGet, items[0].ContentURI)
	req.Header.Set("Accept-Encoding", "identity")
	_, body, _ := c.must(req)
	bodies = append(bodies, string(body))
	for i, text := range bodies {
		if text != bodies[0] || !json.Valid([]byte(text)) {
			t.Errorf("body %d differs", i)
		}
	}
}

func TestAuthorisation(t *testing.T) {
	s := scenario(10, General, DLP)
	reader, nobody := uuid.NewString(), uuid.NewString()
	s.Tenants[0].Apps = append(s.Tenants[0].Apps, App{ID: reader, Secret: testSecret, Roles: []string{"ActivityFeed.Read"}},
		App{ID: nobody, Secret: testSecret, Roles: []string{}})
	second := Tenant{ID: "22222222-2222-3333-4444-555555555555", Name: "fabrikam", Users: 5, Plan: "gcc", Apps: s.Tenants[0].Apps}
	s.Tenants = append(s.Tenants, second)
	c := connect(t, StartTest(t, s))
	sim, app := c.server.Sim, c.server.tenants[testTenant].apps
	token := func(tenantID, appID, audience string, at time.Time) string {
		answer, failure := sim.authority.issue(sim.tenants[tenantID], app[appID], audience, "1", true, at)
		if failure != nil {
			t.Fatal(failure.message)
		}
		return answer["access_token"].(string)
	}
	office, now := "https://manage.office.com", time.Now()
	general, dlp := "subscriptions/start?contentType=Audit.General", "subscriptions/start?contentType=DLP.All"
	tests := []struct {
		name, token, path string
		status            int
		code, body        string
	}{
		{"no token", "", general, 401, "", "Authorization has been denied"},
		{"forged", c.token[:len(c.token)-4] + "AAAA", general, 401, "", ""},
		{"expired", token(testTenant, testApp, office, now.Add(-2*time.Hour)), general, 401, "", ""},
		{"other tenant", token(second.ID, testApp, office, now), general, 401, "AF20010", ""},
		{"other audience", token(testTenant, testApp, "https://manage-gcc.office.com", now), general, 401, "", "Authorization has been denied"},
		{"no consent", token(testTenant, nobody, office, now), general, 401, "AF10001", "ActivityFeed.Read."},
		{"no DLP role", token(testTenant, reader, office, now), dlp, 401, "AF10001", "ActivityFeed.ReadDlp."},
		{"without DLP role, other feed", token(testTenant, reader, office, now), general, 200, "", ""},
		{"domain in the path", c.token, c.server.URL() + "/api/v1.0/contoso.onmicrosoft.com/activity/feed/subscriptions/list", 400, "AF20013", ""},
	}
	for _, test := range tests {
		req := c.request(http.MethodPost, test.path)
		req.Header.Set("Authorization", "Bearer "+test.token)
		status, body, _ := c.must(req)
		if status != test.status || codeOf(body) != test.code || !strings.Contains(string(body), test.body) {
			t.Errorf("%s: got %d %s", test.name, status, body)
		}
		if (test.name == "expired" || test.name == "forged") && len(body) != 0 {
			t.Errorf("%s: the body is %s, want none", test.name, body)
		}
	}
	req := c.request(http.MethodGet, "subscriptions/list")
	req.URL.RawQuery = "publisheridentifier=me"
	if status, body, _ := c.must(req); status != 400 || codeOf(body) != "AF20002" {
		t.Errorf("bad publisher: %d %s", status, body)
	}
}

func TestAuditOff(t *testing.T) {
	s := scenario(10, General)
	s.Tenants[0].AuditOff = true
	c := connect(t, StartTest(t, s))
	status, body, _ := c.must(c.request(http.MethodPost, "subscriptions/start?contentType=Audit.General"))
	if status != 400 || !strings.HasPrefix(codeOf(body), "StartSubscription [CorrId=") || !strings.Contains(string(body), "does not exist.\\r\\n") {
		t.Errorf("start: %d %s", status, body)
	}
}

func TestWebhookValidation(t *testing.T) {
	answer := http.StatusOK
	var seen http.Header
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		w.WriteHeader(answer)
	}))
	defer hook.Close()
	c := connect(t, StartTest(t, scenario(10, General), Options{WebhookClient: hook.Client()}))
	start := func(address, expiration string) (int, string) {
		req := c.request(http.MethodPost, "subscriptions/start?contentType=Audit.General")
		req.Body = io.NopCloser(strings.NewReader(`{"webhook":{"address":"` + address + `","authId":"abc","expiration":"` + expiration + `"}}`))
		status, body, _ := c.must(req)
		return status, codeOf(body)
	}
	if status, code := start("http://hook.example/", ""); status != 400 || code != "AF20021" {
		t.Errorf("plain http: %d %s", status, code)
	}
	if status, code := start(hook.URL, "2001-01-01T00:00:00Z"); status != 400 || code != "AF20003" {
		t.Errorf("expired: %d %s", status, code)
	}
	answer = http.StatusAccepted
	if status, code := start(hook.URL, ""); status != 400 || code != "AF20021" {
		t.Errorf("status 202: %d %s", status, code)
	}
	answer = http.StatusOK
	if status, code := start(hook.URL, ""); status != 200 || code != "" || seen.Get("Webhook-AuthID") != "abc" || seen.Get("Webhook-ValidationCode") == "" {
		t.Errorf("good hook: %d %s, headers %v", status, code, seen)
	}
}

func TestSensitiveTypes(t *testing.T) {
	c := connect(t, StartTest(t, scenario(10, General)))
	var kinds []struct{ ID, Name string }
	decode(t, c.expect(http.MethodGet, "resources/dlpSensitiveTypes", 200, ""), &kinds)
	if len(kinds) != len(sensitiveTypes) || kinds[0].Name == "" {
		t.Errorf("sensitive types: %v", kinds)
	}
}
