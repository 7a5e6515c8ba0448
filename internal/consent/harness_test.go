package consent_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"sluice/internal/consent"
	"sluice/internal/secret"
	"sluice/internal/source"
	"sluice/internal/source/activity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appID    = "99999999-8888-7777-6666-555555555555"
	tenantA  = "aaaaaaaa-1111-2222-3333-444444444444"
	tenantB  = "bbbbbbbb-1111-2222-3333-444444444444"
	password = "s3cret~value"
)

// authority is a tiny simulator of Microsoft's sign-in service: the two consent endpoints, the authorize form, and the
// token endpoint for codes and for the application alone. An administrator of a tenant opens links with accept or decline.
type authority struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	granted map[string][]string // roles by tenant; a tenant that is absent does not know the application
	late    int                 // sign-ins to a tenant that are refused before a consent arrives
	codes   map[string]string   // tenant by code; a code works once
	domains map[string]string   // tenant by domain
	lie     string              // tid that tokens claim, for a service that is not to be trusted
	broken  bool                // the token endpoint does not answer JSON
	asked   []string            // tenants for which an app-only token was asked
	opaque  bool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, granted: map[string][]string{}, codes: map[string]string{}, domains: map[string]string{"contoso.example": tenantA}}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if id, ok := a.domains[tenant]; ok {
		tenant = id
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case rest == "v2.0/.well-known/openid-configuration":
		base := a.URL + "/" + tenant
		a.answer(w, 200, map[string]any{
			"token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "issuer": base + "/v2.0",
		})
	case a.broken && r.Method == http.MethodPost:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>maintenance</html>"))
	case rest == "oauth2/v2.0/token" && r.FormValue("grant_type") == "client_credentials":
		a.appToken(w, r, tenant)
	case rest == "oauth2/token" && r.FormValue("grant_type") == "authorization_code":
		a.redeem(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (a *authority) appToken(w http.ResponseWriter, r *http.Request, tenant string) {
	a.asked = append(a.asked, tenant)
	roles, known := a.granted[tenant]
	if a.late > 0 {
		a.late--
		known = false
	}
	switch {
	case r.FormValue("client_secret") != password:
		a.refuse(w, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
	case !known:
		a.refuse(w, "unauthorized_client", "AADSTS700016: Application with identifier '"+appID+"' was not found in the directory.")
	default:
		a.token(w, tenant, roles)
	}
}

func (a *authority) redeem(w http.ResponseWriter, r *http.Request) {
	tenant, ok := a.codes[r.FormValue("code")]
	delete(a.codes, r.FormValue("code"))
	switch {
	case r.FormValue("client_secret") != password || r.FormValue("client_id") != appID || r.FormValue("resource") == "" || r.FormValue("redirect_uri") == "":
		a.refuse(w, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
	case !ok:
		a.refuse(w, "invalid_grant", "AADSTS54005: OAuth2 Authorization code was already redeemed.\r\nTrace ID: 1")
	default:
		a.token(w, tenant, nil)
	}
}

func (a *authority) token(w http.ResponseWriter, tenant string, roles []string) {
	if a.lie != "" {
		tenant = a.lie
	}
	claims := jwt.MapClaims{"aud": "https://manage.office.com", "tid": tenant, "appid": appID, "exp": time.Now().Add(time.Hour).Unix(), "jti": rand.Text()}
	if len(roles) > 0 {
		claims["roles"] = roles
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("key"))
	if err != nil {
		a.t.Error(err)
	}
	if a.opaque {
		text = "opaque." + rand.Text()
	}
	a.answer(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": text})
}

func (a *authority) refuse(w http.ResponseWriter, name, description string) {
	a.answer(w, 400, map[string]any{"error": name, "error_description": description + " Trace ID: t Correlation ID: c Timestamp: s"})
}

func (a *authority) answer(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.t.Error(err)
	}
}

// accept is an administrator of a tenant who opens a link and presses Accept. It returns the query of the redirect.
func (a *authority) accept(link, tenant string, roles ...string) url.Values {
	a.t.Helper()
	q := a.open(link)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.granted[tenant] = roles
	answer := url.Values{"state": q["state"]}
	if q.Get("response_type") == "code" {
		code := rand.Text()
		a.codes[code] = tenant
		answer.Set("code", code)
		answer.Set("session_state", "s")
		return answer
	}
	answer.Set("admin_consent", "True")
	answer.Set("tenant", tenant)
	return answer
}

// decline is an administrator who presses Cancel.
func (a *authority) decline(link string) url.Values {
	q := a.open(link)
	return url.Values{
		"state": q["state"], "admin_consent": {"True"}, "error": {"consent_required"},
		"error_description": {"AADSTS65004: The resource owner or authorization server denied the request.\r\nTrace ID: 1"},
	}
}

// open checks that a link is what the endpoints take.
func (a *authority) open(link string) url.Values {
	a.t.Helper()
	u, err := url.Parse(link)
	if err != nil || !strings.HasPrefix(link, a.URL+"/") {
		a.t.Fatalf("the link %s leads elsewhere (%v)", link, err)
	}
	q := u.Query()
	_, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	want := map[string][]string{
		"v2.0/adminconsent": {"client_id", "redirect_uri", "scope", "state"},
		"adminconsent":      {"client_id", "redirect_uri", "state"},
		"oauth2/authorize":  {"client_id", "prompt", "redirect_uri", "resource", "response_mode", "response_type", "state"},
	}[path]
	if got := slices.Sorted(maps.Keys(q)); want == nil || !slices.Equal(got, want) {
		a.t.Fatalf("%s has the parameters %v, want %v", path, got, want)
	}
	if q.Get("client_id") != appID || q.Get("redirect_uri") != "https://sluice.example/consent/callback" {
		a.t.Fatalf("link %s", link)
	}
	return q
}

// store is a Store in memory.
type store struct {
	mu     sync.Mutex
	values map[string][]byte
	fail   error
}

func (s *store) PutValue(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.values[key] = slices.Clone(value)
	return nil
}

func (s *store) Values(_ context.Context, prefix string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string][]byte{}
	for key, value := range s.values {
		if strings.HasPrefix(key, prefix) {
			found[key] = slices.Clone(value)
		}
	}
	return found, s.fail
}

func (s *store) DeleteValue(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return s.fail
}

func (s *store) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		fmt.Fprintf(&b, "%s=%s\n", key, s.values[key])
	}
	return b.String()
}

// clockAt is a clock that sleeps by moving.
type clockAt struct {
	mu    sync.Mutex
	now   time.Time
	slept time.Duration
}

func (c *clockAt) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clockAt) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.slept = c.now.Add(d), c.slept+d
	return ctx.Err()
}

func (c *clockAt) After(time.Duration) <-chan time.Time { return make(chan time.Time) }

func (c *clockAt) advance(d time.Duration) { _ = c.Sleep(context.Background(), d) }

// world is a manager with everything around it.
type world struct {
	*consent.Manager
	authority  *authority
	store      *store
	clock      *clockAt
	connectors []consent.Connector
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{authority: newAuthority(t), store: &store{values: map[string][]byte{}}, clock: &clockAt{now: time.Now().UTC().Truncate(time.Second)}}
	resolve := func(ref string) (secret.Secret, error) {
		if ref == "${env:SECRET}" {
			return secret.New(password), nil
		}
		return secret.New(ref), nil
	}
	m, err := consent.New(consent.Options{
		Store: w.store, SignIn: consent.MicrosoftSignIn{Resolve: resolve, Clock: w.clock}, Clock: w.clock, Drivers: drivers(),
		Connectors: func(context.Context) ([]consent.Connector, error) { return w.connectors, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Manager = m
	w.Declare("sluice.yaml", parse(t, strings.ReplaceAll(section, "LOGIN", w.authority.URL)))
	return w
}

func drivers() []source.Properties { return []source.Properties{activity.Properties()} }

const section = `
- name: onboarding
  application_id: ` + appID + `
  api_access_key: ${env:SECRET}
  authentication_endpoint: LOGIN
  redirect_uri: https://sluice.example/consent/callback
  connectors:
    - type: office365
      interval: 10m
      content_types: [Audit.General, Audit.Exchange]
`

func parse(t *testing.T, text string) []consent.Application {
	t.Helper()
	all, err := consent.Parse("sluice.yaml", node(t, text), drivers())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func node(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// begin makes a link of the application onboarding.
func (w *world) begin(t *testing.T, r consent.Request) consent.Begun {
	t.Helper()
	r.Application = "onboarding"
	b, err := w.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// callback takes an answer in.
func (w *world) callback(t *testing.T, q url.Values) consent.Result {
	t.Helper()
	r, err := w.Callback(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
