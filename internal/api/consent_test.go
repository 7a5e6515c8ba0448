package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/consent"
	"sluice/internal/fault"
)

// browser opens the callback as a browser does: without a token.
func (s *server) browser(t *testing.T, q url.Values) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+api.CallbackPath+"?"+q.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestCallbackPages(t *testing.T) {
	const hostile = `<script>alert(1)</script>`
	s := start(t)
	for _, tc := range []struct {
		name   string
		q      url.Values
		status int
		want   []string
	}{
		{
			"recorded",
			url.Values{"state": {apitest.ConsentState}, "tenant": {apitest.ConsentTenant}, "label": {hostile}},
			200,
			[]string{"<h1>Consent recorded</h1>", "Fabrikam", apitest.ConsentTenant, "&lt;script&gt;", "sluice consent create " + apitest.ConsentTenant, "missing: ActivityFeed.ReadDlp"},
		},
		{
			"declined",
			url.Values{"state": {apitest.ConsentState}, "error": {hostile}},
			400,
			[]string{"<h1>Consent not recorded</h1>", "<p>The administrator pressed Cancel.</p>", "<li>Press Accept.</li>", "AADSTS65004", "&lt;script&gt;"},
		},
		{"no state of ours", url.Values{"state": {hostile}, "tenant": {hostile}, hostile: {hostile}}, 400, []string{"belongs to no consent link"}},
		{"this side failed", url.Values{"state": {"broken"}}, 500, []string{"could not be recorded", "internal error"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, body := s.browser(t, tc.q)
			if resp.StatusCode != tc.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
			}
			for _, want := range tc.want {
				if !strings.Contains(body, want) {
					t.Errorf("%q is missing in\n%s", want, body)
				}
			}
			if strings.Contains(body, "<script") || strings.Contains(body, "/secret/path") {
				t.Errorf("hostile or secret text:\n%s", body)
			}
			if tc.name == "no state of ours" && strings.Contains(body, "script") {
				t.Errorf("an answer without a state is shown:\n%s", body)
			}
			h := resp.Header
			if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("policy %q", csp)
			}
			for name, want := range map[string]string{
				"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"Cache-Control": "no-store", "X-Frame-Options": "DENY",
			} {
				if h.Get(name) != want {
					t.Errorf("%s = %q", name, h.Get(name))
				}
			}
		})
	}
	if log := s.log.String(); strings.Contains(log, apitest.ConsentState) || strings.Contains(log, "script") {
		t.Errorf("the query is in the log:\n%s", log)
	}
}

func TestCallbackIsLimited(t *testing.T) {
	s := start(t) // its clock stands still
	limited := 0
	for range 30 {
		resp, body := s.browser(t, url.Values{"state": {"x"}})
		if resp.StatusCode == http.StatusTooManyRequests {
			limited++
			if resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "reload this page") {
				t.Errorf("%v %s", resp.Header, body)
			}
		}
	}
	if limited != 10 || len(s.fake.Callbacks) != 20 {
		t.Errorf("%d of 30 were limited, %d asked the service", limited, len(s.fake.Callbacks))
	}
	if resp, _ := s.do(t, http.MethodPost, api.CallbackPath, "{}"); resp.StatusCode == http.StatusOK {
		t.Error("the callback takes a POST")
	}
}

func TestConsentOperations(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/consent/applications", "/consent/tenants", "/types"} {
		if resp, _ := s.do(t, http.MethodGet, api.Prefix+path, "", "Authorization", ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, resp.StatusCode)
		}
	}
	resp, body := s.do(t, http.MethodPost, "/api/v1/consent", `{"application":"onboarding","label":"Contoso","form":"code"}`)
	var begun consent.Begun
	if err := json.Unmarshal([]byte(body), &begun); err != nil || resp.StatusCode != http.StatusOK || begun.Form != consent.Code || begun.Label != "Contoso" || begun.URL == "" {
		t.Errorf("%d %v %s", resp.StatusCode, err, body)
	}
	if strings.Contains(body, `"State"`) || strings.Contains(body, `"state"`) {
		t.Errorf("the state stands beside the URL: %s", body)
	}
	for _, tc := range []struct {
		path, body string
		status     int
		kind       fault.Kind
	}{
		{"/consent", `{"application":"nobody"}`, 404, fault.NotFound},
		{"/consent", `{"application":"onboarding","form":"magic"}`, 422, fault.Config},
		{"/consent", `{}`, 422, fault.Config},
		{"/consent/tenants/nobody/connectors", `{}`, 404, fault.NotFound},
		{"/consent/tenants/mistaken/connectors", `{"dry_run":true}`, 422, fault.Config},
	} {
		resp, body := s.do(t, http.MethodPost, api.Prefix+tc.path, tc.body)
		if p := problem(t, resp, body); p.Status != tc.status || p.Kind != tc.kind {
			t.Errorf("%s %s: %d %+v", tc.path, tc.body, resp.StatusCode, p)
		}
	}

	path := "/api/v1/consent/tenants/" + apitest.ConsentTenant + "/connectors"
	create := func(body string) api.CreateResult {
		t.Helper()
		_, text := s.do(t, http.MethodPost, path, body)
		var r api.CreateResult
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.Entries == nil || r.Skipped == nil {
			t.Fatalf("%v %s", err, text)
		}
		return r
	}
	if r := create(`{"dry_run":true}`); !r.DryRun || len(r.Entries) != 1 || r.Entries[0].Action != api.Created {
		t.Errorf("dry run: %+v", r)
	}
	if r := create(""); r.DryRun || len(r.Entries) != 1 {
		t.Errorf("create: %+v", r)
	}
	if r := create(""); len(r.Entries) != 0 || len(r.Skipped) != 1 {
		t.Errorf("again: %+v", r)
	}
	if _, body := s.do(t, http.MethodGet, "/api/v1/consent/tenants", ""); !strings.Contains(body, `"connectors":[{"name":"fabrikam-office365","type":"office365"}]`) {
		t.Errorf("tenants: %s", body)
	}
	if _, body := s.do(t, http.MethodPost, "/api/v1/consent/tenants", `{"application":"onboarding","tenant":"x.example"}`); !strings.Contains(body, "AADSTS700016") {
		t.Errorf("confirm: %s", body)
	}
}

func TestTypesAndHistory(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodGet, "/api/v1/types", "")
	if strings.Contains(body, "null") || !strings.Contains(body, `"type":"office365"`) || !strings.Contains(body, `"query":"msg_class:office365_dlp_all"`) {
		t.Errorf("types: %s", body)
	}
	if _, body := s.do(t, http.MethodGet, "/api/v1/types/bare", ""); !strings.Contains(body, `"permissions":[]`) {
		t.Errorf("type: %s", body)
	}
	resp, body := s.do(t, http.MethodGet, "/api/v1/types/rocket", "")
	if p := problem(t, resp, body); p.Status != 404 || !strings.Contains(p.Hint, "office365, bare") {
		t.Errorf("%+v", p)
	}
	if _, body := s.do(t, http.MethodGet, "/api/v1/connectors/gone/history", ""); !strings.Contains(body, `"what":"deleted"`) || !strings.Contains(body, `"detail":"interval, content_types"`) {
		t.Errorf("history: %s", body)
	}
	if resp, _ := s.do(t, http.MethodGet, "/api/v1/connectors/nobody/history", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("history of nobody: %d", resp.StatusCode)
	}
}

func TestDeleteStopsSubscriptionsOnlyWhenAsked(t *testing.T) {
	for path, want := range map[string]int{"": 0, "?stop_subscriptions=false": 0, "?stop_subscriptions=true": 2} {
		s := start(t)
		resp, body := s.do(t, http.MethodDelete, "/api/v1/entries/connectors/broken"+path, "")
		var r api.DeleteResult
		if err := json.Unmarshal([]byte(body), &r); err != nil || resp.StatusCode != http.StatusOK || len(r.Subscriptions) != want || r.Subscriptions == nil {
			t.Errorf("%q: %d %v %s", path, resp.StatusCode, err, body)
		}
	}
}
