package activity

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sluice/internal/source"
)

// TestNoStepShowsASecret lets every place answer with everything that it was sent, in several spellings and shapes.
func TestNoStepShowsASecret(t *testing.T) {
	f := newFakeService(t)
	f.Serve([][]string{{`{"Id":"1"}`}}, 1)
	s := f.source(func(c *Config) { c.ContentTypes = []string{"Audit.General"} })
	quoted, err := json.Marshal(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	spellings := []string{testSecret, url.QueryEscape(testSecret), html.EscapeString(testSecret), strings.Trim(string(quoted), `"`), linkSecret, "Bearer ey", "eyJ"}
	for _, place := range []string{"openid-configuration", "/token", "subscriptions/list", "subscriptions/content", "/audit/"} {
		for _, status := range []int{200, 302, 400, 401, 500} {
			for _, shape := range []string{"%", `{"error":{"code":"AF99999","message":"%"}}`, `{"error":"invalid_client","error_description":"%"}`, "<html><title>%</title><body>%</body></html>"} {
				checks := echoing(t, f, s, place, status, shape)
				var text strings.Builder
				if err := source.RenderChecks(&text, checks, true); err != nil {
					t.Fatal(err)
				}
				for _, bad := range spellings {
					if strings.Contains(text.String(), bad) {
						t.Fatalf("%s, HTTP %d, %s: %q shows up in\n%s", place, status, shape, bad, text.String())
					}
				}
			}
		}
	}
}

// echoing runs a test while one place answers with what it got.
func echoing(t *testing.T, f *fakeService, s *Source, place string, status int, shape string) (checks []source.Check) {
	t.Helper()
	f.mu.Lock()
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, place) {
			return false
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		quoted, err := json.Marshal(testSecret)
		if err != nil {
			t.Error(err)
		}
		echo := strings.Join([]string{
			string(sent), testSecret, html.EscapeString(testSecret), strings.Trim(string(quoted), `"`), r.Header.Get("Authorization"), r.URL.RawQuery,
			"https://x.example/a?nextPage=" + linkSecret,
		}, " ")
		w.Header().Set("Location", "/login?"+url.QueryEscape(testSecret))
		writeJSON(w, status, strings.ReplaceAll(shape, "%", echo))
		return true
	}
	f.mu.Unlock()
	for c := range s.Test(t.Context()) {
		checks = append(checks, c)
	}
	return checks
}
