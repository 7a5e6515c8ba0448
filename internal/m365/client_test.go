package m365

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
	"software.sslmate.com/src/go-pkcs12"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant    = "11111111-2222-3333-4444-555555555555"
	app       = "99999999-8888-7777-6666-555555555555"
	appSecret = "s3cr~t+value&=x"
)

// service is a sign-in service and an API on one plain-http loopback host.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	forms    []url.Values // token requests
	life     int          // seconds
	tokenErr func(w http.ResponseWriter) bool
	api      http.HandlerFunc
}

func newService(t *testing.T, tlsServer bool) *service {
	s := &service{life: 3600, api: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/a","issuer":"%[1]s/%[2]s/v2.0"}`, s.URL, r.PathValue("tenant"))
	})
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.token)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.api(w, r) })
	if tlsServer {
		s.Server = httptest.NewTLSServer(mux)
	} else {
		s.Server = httptest.NewServer(mux)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *service) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.forms = append(s.forms, r.PostForm)
	n, fail := len(s.forms), s.tokenErr
	s.mu.Unlock()
	if fail != nil && fail(w) {
		return
	}
	claims, _ := json.Marshal(map[string]any{"aud": "https://api", "tid": tenant, "appid": app, "roles": []string{"ActivityFeed.Read"}, "n": n})
	token := "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString(claims) + "."
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":%q}`, s.life, token)
}

func (s *service) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

func (s *service) client(t *testing.T, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		API: ManagementActivity(), BaseURL: s.URL, Audience: "https://api",
		Credential: Credential{LoginURL: s.URL, TenantID: tenant, ClientID: app, Secret: secret.New(appSecret)},
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

// read gets a path and returns the body.
func read(ctx context.Context, c *Client, target string) (string, error) {
	resp, err := c.Get(ctx, "get", target)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestClientSecretSignIn(t *testing.T) {
	s := newService(t, false)
	c := s.client(t, nil)
	for range 3 {
		if text, err := read(t.Context(), c, "/x"); err != nil || text != "ok" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	if len(s.forms) != 1 {
		t.Fatalf("%d token requests for 3 calls", len(s.forms))
	}
	if f := s.forms[0]; f.Get("client_secret") != appSecret || f.Get("client_id") != app || !strings.HasPrefix(f.Get("scope"), "https://api/.default") {
		t.Errorf("token request %v", f)
	}
	token, err := c.Token(t.Context(), true)
	if err != nil || !token.Claims.HasRole("activityfeed.read") || token.Claims.TenantID != tenant || token.Claims.Audience != "https://api" || len(s.forms) != 2 {
		t.Errorf("fresh token %+v, %v", token.Claims, err)
	}
	if skew := c.Skew(); skew < -2*time.Second || skew > 2*time.Second {
		t.Errorf("skew %v", skew)
	}
}

// TestTokensAreShared compares two clients with the same and two with other credentials.
func TestTokensAreShared(t *testing.T) {
	s := newService(t, false)
	tokens := NewTokens(clock.Real{}, nil)
	for _, change := range []func(*Config){
		func(c *Config) { c.Tokens = tokens },
		func(c *Config) { c.Tokens = tokens; c.Credential.ClientID = strings.ToUpper(app) },
		func(c *Config) { c.Tokens = tokens; c.Audience = "https://other" },
		func(c *Config) { c.Tokens = tokens; c.Credential.Secret = secret.New("rotated secret") },
	} {
		if _, err := read(t.Context(), s.client(t, change), "/x"); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked() != 3 {
		t.Errorf("%d token requests, want 3", s.asked())
	}
}

// TestShortTokensDoNotLoop: a token of a minute is used for most of its life, and then replaced although azidentity
// would not cache it at all.
func TestShortTokensDoNotLoop(t *testing.T) {
	s := newService(t, false)
	s.life = 60
	clk := clock.NewScaled(1)
	c := s.client(t, func(c *Config) { c.Clock = clk })
	for range 5 {
		if _, err := read(t.Context(), c, "/x"); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked() != 1 {
		t.Errorf("%d token requests for 5 calls with a one-minute token", s.asked())
	}
	c.tokens.mu.Lock()
	left := c.tokens.usable.Sub(clk.Now())
	c.tokens.usable = clk.Now() // as if the time had passed
	c.tokens.mu.Unlock()
	if left < 40*time.Second || left > 50*time.Second {
		t.Errorf("a one-minute token is used for %v", left)
	}
	if _, err := read(t.Context(), c, "/x"); err != nil || s.asked() != 2 {
		t.Errorf("renewal: %v, %d requests", err, s.asked())
	}
}

func TestUnauthorizedTwice(t *testing.T) {
	s := newService(t, false)
	s.api = func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"x","message":"denied: `+r.Header.Get("Authorization")+`"}}`)
	}
	c := s.client(t, nil)
	for range 3 {
		_, err := read(t.Context(), c, "/x")
		if !fault.Is(err, fault.Auth) || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("error %v", err)
		}
	}
	if s.asked() != 2 {
		t.Errorf("%d token requests: a refused token is renewed once a minute at most", s.asked())
	}
}

func TestSignInFailures(t *testing.T) {
	s := newService(t, false)
	var status int
	var body string
	s.tokenErr = func(w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
	tests := []struct {
		status int
		body   string
		want   fault.Kind
	}{
		{401, `{"error":"invalid_client","error_description":"AADSTS7000222: expired","error_codes":[7000222]}`, fault.Auth},
		{400, `{"error":"invalid_resource","error_description":"AADSTS500011: none","error_codes":[500011]}`, fault.Config},
		{503, `<html><title>Our services are not available</title></html>`, fault.Unavailable},
		{429, ``, fault.Throttled},
		{200, `<html><title>Hotel Wi-Fi ` + appSecret + `</title></html>`, fault.Unavailable},
		{200, `{"access_token":"eyJsecret.token.`, fault.Unavailable},
		{302, ``, fault.Config},
	}
	slow := clock.NewScaled(0.001) // the moment lasts however long the machine takes
	for _, tt := range tests {
		status, body = tt.status, tt.body
		c := s.client(t, func(c *Config) { c.Clock = slow })
		_, err := read(t.Context(), c, "/x")
		if !fault.Is(err, tt.want) || strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), appSecret) && tt.status != 200 {
			t.Errorf("HTTP %d %s: %v (%s), want %s", tt.status, tt.body, err, fault.KindOf(err), tt.want)
		}
		asked := s.asked()
		if _, again := read(t.Context(), c, "/x"); again == nil || s.asked() != asked {
			t.Errorf("HTTP %d: the failure is not remembered for a moment", tt.status)
		}
	}
}

func TestAuthorityRefusesOtherHosts(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(other.Close)
	base, _ := url.Parse("https://login.example")
	a := newAuthority(base, other.Client().Transport, clock.Real{})
	for target, want := range map[string]bool{
		other.URL: false, "https://login.microsoftonline.com/x": false, "http://login.example/x": false, "https://eastus.login.example/x": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader("client_secret=x"))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.allowed(req.URL); got != want {
			t.Errorf("allowed(%s) = %v", target, got)
		}
		resp, err := a.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was asked", target)
		}
	}
	if e := a.explain(context.Background(), Credential{}); e.Kind != fault.Config || reached {
		t.Errorf("%v, reached %v", e, reached)
	}
	base, _ = url.Parse("https://login.microsoftonline.com")
	alias, _ := url.Parse("https://login.windows.net/x")
	if !newAuthority(base, nil, clock.Real{}).allowed(alias) {
		t.Error("Microsoft's own alias is refused")
	}
}

// certificateFile writes a self-signed certificate in each format.
func certificateFile(t *testing.T, format string) (file string, cert *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	var data []byte
	switch format {
	case "pem":
		pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
		data = append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	case "modern pfx":
		data, err = pkcs12.Modern2023.Encode(key, cert, nil, "pass")
	case "old pfx":
		data, err = pkcs12.LegacyDES.Encode(key, cert, nil, "pass")
	case "encrypted pem":
		data = pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	default:
		data = []byte("nonsense")
	}
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cert")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, cert
}

func TestCertificateSignIn(t *testing.T) {
	for _, format := range []string{"pem", "modern pfx", "old pfx"} {
		t.Run(format, func(t *testing.T) {
			s := newService(t, true)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			file, cert := certificateFile(t, format)
			c := s.client(t, func(c *Config) {
				c.Transport.CAFile = ca
				c.Credential.Secret, c.Credential.CertificateFile = secret.Secret{}, file
				if format != "pem" {
					c.Credential.CertificatePassword = secret.New("pass")
				}
			})
			if _, err := read(t.Context(), c, "/x"); err != nil {
				t.Fatal(err)
			}
			assertion, err := jwt.Parse(s.forms[0].Get("client_assertion"), func(*jwt.Token) (any, error) { return cert.PublicKey, nil })
			if err != nil || assertion.Header["x5c"] == nil {
				t.Errorf("assertion: %v, header %v", err, assertion.Header)
			}
			if info, ok := c.Certificate(); !ok || info.Subject != "CN=sluice" || len(info.SHA1) != 40 {
				t.Errorf("certificate %+v", info)
			}
		})
	}
	for _, format := range []string{"encrypted pem", "nonsense"} {
		file, _ := certificateFile(t, format)
		_, err := loadCertificate("sign in", file, secret.New("pass"), time.Now())
		if !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", format, err)
		}
	}
	file, _ := certificateFile(t, "pem")
	if _, err := loadCertificate("sign in", file, secret.Secret{}, time.Now().Add(2*time.Hour)); !fault.Is(err, fault.Auth) {
		t.Errorf("expired certificate: %v", err)
	}
}

func TestCertificateOfTheServer(t *testing.T) {
	s := newService(t, true)
	if _, err := read(t.Context(), s.client(t, nil), "/x"); !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "ca_file") {
		t.Errorf("untrusted certificate: %v (%s)", err, fault.KindOf(err))
	}
	if _, err := read(t.Context(), s.client(t, func(c *Config) { c.Transport.InsecureSkipVerify = true }), "/x"); err != nil {
		t.Errorf("verification off: %v", err)
	}
}

func TestForeignAddresses(t *testing.T) {
	s := newService(t, false)
	hits := 0
	s.api = func(http.ResponseWriter, *http.Request) { hits++ }
	c := s.client(t, nil)
	host := strings.TrimPrefix(s.URL, "http://")
	for _, target := range []string{
		"http://example.com/x?nextPage=opaque", "https://" + host + "/x", "http://" + host + "0/x", "//example.com/x",
		"http://user@" + host + "/x", "ftp://" + host + "/x", "http:///x", "x", "", "http://" + host + "@example.com/x", ":",
	} {
		_, err := read(t.Context(), c, target)
		if !fault.Is(err, fault.Config) || strings.Contains(err.Error(), "opaque") {
			t.Errorf("%q: %v", target, err)
		}
	}
	if hits > 0 || s.asked() > 0 {
		t.Errorf("%d requests and %d sign-ins for foreign addresses", hits, s.asked())
	}
	if _, err := read(t.Context(), c, strings.ToUpper(s.URL[:4])+s.URL[4:]+"/x$y?a=%2B"); err != nil || hits != 1 {
		t.Errorf("own address: %v", err)
	}
}

func TestBodies(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte("data "), 20_000))
	_ = z.Close()
	damaged := bytes.Clone(zipped.Bytes())
	damaged[len(damaged)-6] ^= 1
	tests := []struct {
		name    string
		coding  string
		body    []byte
		length  int // announced; 0: as it is
		maxBody int64
		want    fault.Kind
		size    int
	}{
		{"plain", "", []byte("abc"), 0, 3, "", 3},
		{"too large", "", []byte("abcd"), 0, 3, fault.Malformed, 0},
		{"gzip", "gzip", zipped.Bytes(), 0, 0, "", 100_000},
		{"gzip bomb", "gzip", zipped.Bytes(), 0, 50_000, fault.Malformed, 0},
		{"gzip cut by the server", "gzip", zipped.Bytes()[:zipped.Len()/2], 0, 0, fault.Unavailable, 0},
		{"gzip cut by the network", "gzip", zipped.Bytes()[:zipped.Len()/2], zipped.Len(), 0, fault.Unavailable, 0},
		{"gzip checksum", "gzip", damaged, 0, 0, fault.Unavailable, 0},
		{"not gzip", "gzip", []byte("plain text"), 0, 0, fault.Unavailable, 0},
		{"text behind gzip", "gzip", append(bytes.Clone(zipped.Bytes()), "garbage garbage"...), 0, 0, fault.Unavailable, 0},
		{"empty gzip", "gzip", nil, 0, 0, "", 0},
		{"other coding", "br", []byte("x"), 0, 0, fault.Unavailable, 0},
		{"cut", "", []byte("abc"), 10, 0, fault.Unavailable, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, false)
			s.api = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "gzip" {
					t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
				}
				if tt.coding != "" {
					w.Header().Set("Content-Encoding", tt.coding)
				}
				if tt.length > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(tt.length))
				}
				_, _ = w.Write(tt.body)
			}
			c := s.client(t, nil)
			for range 2 { // a second time, to use a pooled decoder
				resp, err := c.Do(t.Context(), Request{Op: "get", Target: "/x", MaxBody: tt.maxBody})
				var text []byte
				if err == nil {
					text, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					_ = resp.Body.Close()
				}
				if fault.KindOf(err) != tt.want || tt.want == "" && len(text) != tt.size {
					t.Errorf("%d bytes, %v (%s)", len(text), err, fault.KindOf(err))
				}
			}
		})
	}
}

// TestTimeout counts the time of waiting for the service, not the reader's.
func TestTimeout(t *testing.T) {
	s := newService(t, false)
	s.api = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/stall" {
			<-r.Context().Done()
		}
	}
	c := s.client(t, func(c *Config) { c.Timeout = time.Second })
	if _, err := read(t.Context(), c, "/stall"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("stalled body: %v (%s)", err, fault.KindOf(err))
	}
	resp, err := c.Get(t.Context(), "get", "/slow-reader")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	<-time.After(1100 * time.Millisecond)
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "first" {
		t.Errorf("a slow reader is blamed on the service: %q, %v", text, err)
	}
	c = s.client(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := read(ctx, c, "/stall"); !fault.Is(err, fault.Canceled) {
		t.Errorf("cancelled body: %v (%s)", err, fault.KindOf(err))
	}
}

func TestThrottlingPausesTheTenant(t *testing.T) {
	s := newService(t, false)
	hits := 0
	s.api = func(w http.ResponseWriter, _ *http.Request) {
		hits++
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":"AF429","message":"Too many requests."}}`)
	}
	pacers := NewPacers(clock.Real{})
	c := s.client(t, func(c *Config) { c.Pacer = pacers.For(tenant, 1200) })
	for range 2 {
		if _, err := read(t.Context(), c, "/x"); !fault.Is(err, fault.Throttled) || fault.RetryAfterOf(err) < 55*time.Second {
			t.Errorf("error %v, wait %v", err, fault.RetryAfterOf(err))
		}
	}
	if hits != 1 || c.Pacer().PausedUntil().IsZero() || c.Pacer().PerMinute() != 600 {
		t.Errorf("%d requests, paused until %v, %v a minute", hits, c.Pacer().PausedUntil(), c.Pacer().PerMinute())
	}
}
