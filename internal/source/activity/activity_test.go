package activity

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/option"
	"sluice/internal/record"
	"sluice/internal/secret"
	"sluice/internal/source"
)

// lastHours is a window of Audit.General that ends now.
func lastHours(n int) source.Window {
	now := time.Now().UTC()
	return source.Window{ContentType: "audit.general", From: now.Add(-time.Duration(n) * time.Hour), To: now}
}

func listAll(t *testing.T, s *Source, w source.Window) (units []record.Unit, err error) {
	t.Helper()
	for u, e := range s.List(t.Context(), w) {
		if e != nil {
			return units, e
		}
		units = append(units, u)
	}
	return units, nil
}

func TestNewReportsAllMistakes(t *testing.T) {
	_, err := New(Config{SubscriptionPlan: "gold", DirectoryID: "contoso.com", ApplicationID: "x", ContentTypes: []string{"Audit.Teams"}})
	for _, want := range []string{"subscription_plan", "directory_id", "application_id", "Audit.Teams"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %s", err, want)
		}
	}
	if !fault.Is(err, fault.Config) {
		t.Errorf("kind %s", fault.KindOf(err))
	}
	good := Config{DirectoryID: testTenant, ApplicationID: testApp, APIAccessKey: secret.New("x")}
	if _, err := New(good); err != nil {
		t.Errorf("defaults are refused: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"no credential":       func(c *Config) { c.APIAccessKey = secret.Secret{} },
		"plain http":          func(c *Config) { c.APIEndpoint = "http://manage.example.com" },
		"plain http sign-in":  func(c *Config) { c.AuthenticationEndpoint = "http://login.example.com" },
		"publisher":           func(c *Config) { c.PublisherID = "nobody" },
		"missing certificate": func(c *Config) { c.APIAccessKey = secret.Secret{}; c.CertificateFile = "/nonexistent" },
		"two credentials":     func(c *Config) { c.CertificateFile = "/nonexistent" },
	} {
		c := good
		change(&c)
		if _, err := New(c); !fault.Is(err, fault.Config) {
			t.Errorf("%s: %v (%s), want config", name, err, fault.KindOf(err))
		}
	}
}

func TestPropertiesAreConsistent(t *testing.T) {
	p := Properties()
	if p.Type != "office365" || len(p.ContentTypes) != 5 || p.MaxWindow != 24*time.Hour {
		t.Errorf("unexpected properties %+v", p)
	}
	seen := map[string]bool{}
	for _, o := range p.Options {
		if seen[o.Name] || o.Help == "" || !strings.HasSuffix(o.Help, ".") {
			t.Errorf("option %q is repeated or has no proper help", o.Name)
		}
		seen[o.Name] = true
	}
	for _, name := range []string{"api_access_key", "certificate_password"} {
		if !slices.ContainsFunc(p.Options, func(o option.Option) bool { return o.Name == name && o.Secret }) {
			t.Errorf("option %s is not secret", name)
		}
	}
}

// TestEveryRequestNamesThePublisher covers listing, followed pages, blobs and subscriptions.
func TestEveryRequestNamesThePublisher(t *testing.T) {
	f := newFakeService(t)
	f.Serve([][]string{{`{"Id":"1"}`}, {`{"Id":"2"}`}, {`{"Id":"3"}`}}, 1)
	s := f.source(nil)
	if _, failed := s.Prepare(t.Context(), []string{"Audit.General"}); len(failed) > 0 {
		t.Fatal(failed)
	}
	units, err := listAll(t, s, lastHours(2))
	if err != nil || len(units) != 3 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	if want := "Audit.General|" + units[0].ContentID; units[0].Key != want || units[0].Expires.Sub(units[0].Created) != retention {
		t.Errorf("unit %+v, want key %s and an expiry after 7 days", units[0], want)
	}
	for _, err := range s.Fetch(t.Context(), units[0]) {
		if err != nil {
			t.Fatal(err)
		}
	}
	requests := f.seen("")
	if len(requests) != 5 {
		t.Errorf("%d requests, want subscriptions, 3 pages, 1 blob", len(requests))
	}
	for _, r := range requests {
		if got := r.URL.Query()["PublisherIdentifier"]; len(got) != 1 || got[0] != testTenant {
			t.Errorf("%s carries PublisherIdentifier %v", r.URL.Path, got)
		}
	}
	if blob := requests[4].RequestURI; !strings.Contains(blob, "$x$audit_general$") {
		t.Errorf("the $ of a content id did not stay as it is: %s", blob)
	}
	if q := requests[1].URL.Query(); q.Get("contentType") != "Audit.General" || len(q.Get("startTime")) != len(wireTime) {
		t.Errorf("listing query %v", q)
	}
}

func TestListWindow(t *testing.T) {
	f := newFakeService(t)
	s := f.source(nil)
	at := time.Date(2026, 11, 20, 10, 0, 0, 500_000_000, time.UTC)
	tests := []struct {
		name     string
		from, to time.Time
		want     []string // start-end of each request
		kind     fault.Kind
	}{
		{"fractions are widened", at, at.Add(time.Hour), []string{"2026-11-20T10:00:00-2026-11-20T11:00:01"}, ""},
		{"whole seconds stay", at.Truncate(time.Second), at.Truncate(time.Second).Add(time.Hour), []string{"2026-11-20T10:00:00-2026-11-20T11:00:00"}, ""},
		{"a widened day is asked in two", at, at.Add(24 * time.Hour), []string{"2026-11-20T10:00:00-2026-11-21T10:00:00", "2026-11-21T10:00:00-2026-11-21T10:00:01"}, ""},
		{"other zones", at.In(time.FixedZone("", 3600)), at.Add(time.Second).In(time.FixedZone("", -3600)), []string{"2026-11-20T10:00:00-2026-11-20T10:00:02"}, ""},
		{"too long", at, at.Add(24*time.Hour + time.Nanosecond), nil, fault.Config},
		{"empty", at, at, nil, fault.Config},
		{"backwards", at, at.Add(-time.Hour), nil, fault.Config},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(f.seen("/content"))
			_, err := listAll(t, s, source.Window{ContentType: "Audit.General", From: tt.from, To: tt.to})
			if fault.KindOf(err) != tt.kind {
				t.Errorf("error %v, want kind %q", err, tt.kind)
			}
			var got []string
			for _, r := range f.seen("/content")[before:] {
				got = append(got, r.URL.Query().Get("startTime")+"-"+r.URL.Query().Get("endTime"))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("requests %v, want %v", got, tt.want)
			}
		})
	}
}

func TestListDamagedEntries(t *testing.T) {
	const good = `{"contentId":"a","contentUri":"https://x/a","contentCreated":"2026-11-21T10:00:00.123Z"}`
	tests := map[string]string{
		"no id":        `{"contentUri":"https://x","contentCreated":"2026-11-21T10:00:00Z"}`,
		"no uri":       `{"contentId":"b","contentCreated":"2026-11-21T10:00:00Z"}`,
		"bad time":     `{"contentId":"b","contentUri":"https://x","contentCreated":"yesterday"}`,
		"year 10000":   `{"contentId":"b","contentUri":"https://x","contentCreated":"9999-12-31T23:59:59-01:00"}`,
		"year 0":       `{"contentId":"b","contentUri":"https://x","contentCreated":"0001-01-01T00:00:00+01:00"}`,
		"wrong type":   `{"contentId":7,"contentUri":"https://x","contentCreated":"2026-11-21T10:00:00Z"}`,
		"not JSON":     `{"contentId":}`,
		"not an entry": `null`,
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeService(t)
			f.override = func(w http.ResponseWriter, _ *http.Request) bool {
				writeJSON(w, 200, "["+bad+","+good+"]")
				return true
			}
			units, err := listAll(t, f.source(nil), lastHours(1))
			if !fault.Is(err, fault.Malformed) || len(units) != 1 || units[0].ContentID != "a" {
				t.Errorf("%d units and %v (%s), want the good one and a malformed error", len(units), err, fault.KindOf(err))
			}
		})
	}
}

// TestListExpiry: a unit without a usable expiry is one of which nobody knows when it expires.
func TestListExpiry(t *testing.T) {
	const created = "2026-11-21T10:00:00Z"
	for expiry, known := range map[string]bool{
		`,"contentExpiration":"2026-11-28T10:00:00Z"`: true, ``: false, `,"contentExpiration":null`: false, `,"contentExpiration":"soon"`: false,
		`,"contentExpiration":"0001-01-01T00:00:00"`: false, `,"contentExpiration":"2026-11-21T10:00:00"`: false,
	} {
		f := newFakeService(t)
		f.override = func(w http.ResponseWriter, _ *http.Request) bool {
			writeJSON(w, 200, `[{"contentId":"a","contentUri":"https://x/a","contentCreated":"`+created+`"`+expiry+`}]`)
			return true
		}
		units, err := listAll(t, f.source(nil), lastHours(1))
		if err != nil || len(units) != 1 || units[0].Expires.IsZero() == known {
			t.Errorf("%s: %+v, %v", expiry, units, err)
		}
	}
}

func TestListBadNextPageRestarts(t *testing.T) {
	f := newFakeService(t)
	f.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("nextPage") {
			writeJSON(w, 400, `{"error":{"code":"AF20031","message":"Invalid nextPage Input: `+linkSecret+`"}}`)
			return true
		}
		w.Header().Set("NextPageUrl", f.URL+r.URL.Path+"?nextPage="+linkSecret)
		writeJSON(w, 200, `[]`)
		return true
	}
	_, err := listAll(t, f.source(nil), lastHours(1))
	if !fault.Is(err, fault.Unavailable) || fault.CodeOf(err) != "AF20031" || !strings.Contains(err.Error(), "listed again") || strings.Contains(err.Error(), linkSecret) {
		t.Errorf("error %v (%s)", err, fault.KindOf(err))
	}
}

func TestListTooManyPages(t *testing.T) {
	f := newFakeService(t)
	var mu sync.Mutex
	page := 0
	f.override = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		page++
		w.Header()["NextPageUri"] = []string{fmt.Sprintf("%s%s?nextPage=%d", f.URL, r.URL.Path, page)}
		writeJSON(w, 200, `[]`)
		return true
	}
	if _, err := listAll(t, f.source(nil), lastHours(1)); err == nil || page != maxPages {
		t.Errorf("%d pages and %v, want an error after %d", page, err, maxPages)
	}
}

func TestFetchGone(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   fault.Kind
	}{
		{404, `{"error":{"code":"AF20050","message":"x"}}`, fault.Gone},
		{400, `{"error":{"code":"AF20051","message":"x"}}`, fault.Gone},
		{404, ``, fault.Gone},
		{410, ``, fault.Gone},
		{404, `<html><title>nginx</title></html>`, fault.Unavailable},
		{404, `{"error":{"code":"AF20011","message":"x"}}`, fault.Config},
		{400, `{"error":{"code":"AF20052","message":"x"}}`, fault.Internal},
		{503, `{'error':{'code':'AF429'}}`, fault.Throttled},
	}
	f := newFakeService(t)
	s := f.source(nil)
	for _, tt := range tests {
		f.mu.Lock()
		f.override = func(w http.ResponseWriter, _ *http.Request) bool { writeJSON(w, tt.status, tt.body); return true }
		f.mu.Unlock()
		var err error
		for _, err = range s.Fetch(t.Context(), record.Unit{ContentType: "Audit.General", ContentID: "x", URI: f.URL + "/api/v1.0/x"}) {
			if err == nil {
				t.Error("an item from a refusal")
			}
		}
		if !fault.Is(err, tt.want) {
			t.Errorf("HTTP %d %s: %v (%s), want %s", tt.status, tt.body, err, fault.KindOf(err), tt.want)
		}
	}
}

func TestPrepare(t *testing.T) {
	f := newFakeService(t)
	f.subscriptions = map[string]string{"Audit.Exchange": "enabled", "audit.sharepoint": "disabled"}
	f.startAnswer = func(name string) (int, string) {
		switch name {
		case "Audit.SharePoint":
			return 400, `{"error":{"code":"AF20024","message":"The subscription is already enabled. No property change."}}`
		case "DLP.All":
			return 401, `{"Message":"Authorization has been denied for this request."}`
		case "Audit.AzureActiveDirectory":
			return 400, `{"error":{"code":"StartSubscription [CorrId=1][TenantId=2,ContentType=x][AppId","message":"3] failed. Exception: Microsoft.Office.Compliance.Audit.DataServiceException: Tenant 2 does not exist.\r\n at Stack.Trace()"}}`
		}
		return 200, `{"contentType":"` + name + `","status":"enabled","webhook":null}`
	}
	s := f.source(nil)
	_, failed := s.Prepare(t.Context(), Properties().ContentTypes)
	if len(failed) != 2 || !fault.Is(failed["DLP.All"], fault.Permission) || !strings.Contains(fault.HintOf(failed["DLP.All"]), "ActivityFeed.ReadDlp") {
		t.Errorf("failed: %v", failed)
	}
	if err := failed["Audit.AzureActiveDirectory"]; !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "audit logging is off") || strings.Contains(err.Error(), "Stack") {
		t.Errorf("tenant without audit log: %v", err)
	}
	if slices.Contains(f.starts, "Audit.Exchange") {
		t.Error("an enabled subscription was started")
	}
	// Within 15 minutes nothing is started again, and the reason of a failure stays visible.
	starts := len(f.starts)
	f.mu.Lock()
	delete(f.subscriptions, "Audit.General")
	f.mu.Unlock()
	_, again := s.Prepare(t.Context(), []string{"Audit.General", "Audit.AzureActiveDirectory", "DLP.All"})
	if len(f.starts) != starts {
		t.Errorf("started again within 15 minutes: %v", f.starts[starts:])
	}
	if err := again["Audit.General"]; !fault.Is(err, fault.Unavailable) || fault.RetryAfterOf(err) <= 14*time.Minute {
		t.Errorf("started but missing: %v", err)
	}
	if !strings.Contains(fmt.Sprint(again["Audit.AzureActiveDirectory"]), "audit logging is off") || !fault.Is(again["DLP.All"], fault.Permission) {
		t.Errorf("remembered failures: %v", again)
	}
}

// TestListStartsAMissingSubscription heals a subscription that somebody stopped.
func TestListStartsAMissingSubscription(t *testing.T) {
	f := newFakeService(t)
	f.subscriptions["Audit.General"] = "disabled"
	s := f.source(nil)
	_, err := listAll(t, s, lastHours(1))
	if !fault.Is(err, fault.Unavailable) || fault.CodeOf(err) != "AF20023" || len(f.starts) != 1 {
		t.Fatalf("error %v, starts %v", err, f.starts)
	}
	if _, err := listAll(t, s, lastHours(1)); err != nil {
		t.Errorf("after the start: %v", err)
	}
}

func TestConnectionTestNamesTheMissingPermission(t *testing.T) {
	f := newFakeService(t)
	f.roles = []string{"ActivityFeed.Read"}
	f.subscriptions["Audit.Exchange"] = "disabled"
	f.Serve([][]string{{`{"Id":"1"}`}}, 3)
	s := f.source(nil)
	got := map[string]source.Check{}
	for c := range s.Test(t.Context()) {
		got[c.Name] = c
	}
	for name, want := range map[string]source.Status{
		"sign-in network": source.Passed, "sign-in tls": source.Passed, "api network": source.Passed, "api tls": source.Passed, "token": source.Passed,
		"tenant": source.Passed, "permission Audit.General": source.Passed, "permission DLP.All": source.Failed, "api": source.Passed,
		"audit logging": source.Passed, "subscription Audit.Exchange": source.Skipped, "listing": source.Passed, "sample": source.Passed,
	} {
		if got[name].Status != want {
			t.Errorf("step %s: %+v, want %s", name, got[name], want)
		}
	}
	if !strings.Contains(got["permission DLP.All"].Hint, "ActivityFeed.ReadDlp") {
		t.Errorf("hint %q", got["permission DLP.All"].Hint)
	}
	if len(f.starts) > 0 {
		t.Error("a connection test started a subscription")
	}
	before := f.tokens
	for range s.Test(t.Context()) {
	}
	if f.tokens == before {
		t.Error("the second test used the cached token")
	}
}

// TestTokenIsRenewedOnceForAll lets many fetches meet the same refusal.
func TestTokenIsRenewedOnceForAll(t *testing.T) {
	f := newFakeService(t)
	var mu sync.Mutex
	var first string
	f.override = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if first == "" {
			first = r.Header.Get("Authorization")
		}
		if r.Header.Get("Authorization") == first {
			writeJSON(w, 401, `{"Message":"Authorization has been denied for this request."}`)
			return true
		}
		writeJSON(w, 200, `[{"Id":"1"}]`)
		return true
	}
	tokens := m365.NewTokens(clock.Real{}, nil)
	a := f.source(func(c *Config) { c.Tokens = tokens })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for _, err := range a.Fetch(t.Context(), record.Unit{ContentID: fmt.Sprint(i), URI: f.URL + "/api/v1.0/x"}) {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if f.tokens != 2 {
		t.Errorf("%d tokens for 20 parallel fetches, want 2", f.tokens)
	}
}
