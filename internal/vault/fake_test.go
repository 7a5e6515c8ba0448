package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	vaultHost  = "contoso.vault.azure.net"
	vaultToken = "access-token-for-key-vault-5Hq2"
)

// manualClock stands still until a test moves it.
type manualClock struct {
	mu      sync.Mutex
	now     time.Time
	waiters chan chan time.Time
}

func newManualClock() *manualClock {
	return &manualClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), waiters: make(chan chan time.Time)}
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *manualClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
func (c *manualClock) After(time.Duration) <-chan time.Time             { return nil }

// fakeVault speaks the protocol of Azure Key Vault: a challenge for requests without token, then JSON.
type fakeVault struct {
	t        *testing.T
	server   *httptest.Server
	roots    *x509.CertPool
	resource string // of the challenge

	mu        sync.Mutex
	key       *rsa.PrivateKey
	secrets   map[string]map[string]any // "name" or "name/version" to the JSON answer
	requests  []string                  // host and path of those with a token
	anonymous int                       // requests without
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

func newFakeVault(t *testing.T) *fakeVault {
	t.Helper()
	v := &fakeVault{t: t, resource: "https://vault.azure.net", secrets: map[string]map[string]any{}}
	cert, roots := selfSigned(t, vaultHost, "keys.example")
	v.roots = roots
	v.server = httptest.NewUnstartedServer(v)
	v.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	v.server.StartTLS()
	t.Cleanup(v.server.Close)
	return v
}

func selfSigned(t *testing.T, hosts ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// transport leads every host to the server, with its certificate checked for the host that was asked for.
func (v *fakeVault) transport() http.RoundTripper {
	tr := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: v.roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, v.server.Listener.Addr().String())
		},
	}
	v.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// config reaches the server.
func (v *fakeVault) config() KeyVaultConfig {
	return KeyVaultConfig{Credential: &fakeCredential{}, Transport: v.transport()}
}

// put stores a secret with further members of the answer.
func (v *fakeVault) put(path, value string, attributes map[string]any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[path] = map[string]any{
		"value": value, "contentType": "text/plain", "attributes": attributes,
		"id": "https://" + vaultHost + "/secrets/" + strings.TrimSuffix(path, "/") + "/0123456789abcdef0123456789abcdef",
	}
}

func (v *fakeVault) intercepted(f func(w http.ResponseWriter, r *http.Request) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.intercept = f
}

func (v *fakeVault) asked() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.requests...)
}

func (v *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.intercept != nil && v.intercept(w, r) {
		return
	}
	if r.Header.Get("Authorization") == "" {
		v.anonymous++
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555", resource="%s"`, v.resource))
		vaultFailure(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	v.requests = append(v.requests, r.Host+r.URL.Path)
	kind, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+vaultToken || r.URL.Query().Get("api-version") == "":
		vaultFailure(w, http.StatusForbidden, "Forbidden")
	case kind == "secrets" && r.Method == http.MethodGet && v.secrets[rest] != nil:
		_ = json.NewEncoder(w).Encode(v.secrets[rest])
	case kind == "keys" && r.Method == http.MethodPost && v.key != nil:
		v.useKey(w, r, rest)
	default:
		vaultFailure(w, http.StatusNotFound, "SecretNotFound")
	}
}

// useKey answers wrapkey and unwrapkey of the key "data", version "v2".
func (v *fakeVault) useKey(w http.ResponseWriter, r *http.Request, path string) {
	var body struct{ Alg, Value string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		vaultFailure(w, http.StatusBadRequest, "BadParameter")
		return
	}
	value, err := base64.RawURLEncoding.DecodeString(body.Value)
	switch {
	case err != nil || body.Alg != "RSA-OAEP-256":
		err = fmt.Errorf("bad parameter: %w", err)
	case path == "data/wrapkey":
		value, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &v.key.PublicKey, value, nil)
	case path == "data/v2/unwrapkey":
		value, err = rsa.DecryptOAEP(sha256.New(), nil, v.key, value, nil)
	default:
		err = fmt.Errorf("unknown path %s", path)
	}
	if err != nil {
		vaultFailure(w, http.StatusBadRequest, "BadParameter")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"kid": "https://" + vaultHost + "/keys/data/v2", "value": base64.RawURLEncoding.EncodeToString(value)})
}

func vaultFailure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": "the body says " + vaultToken}})
}

// fakeCredential hands out the token and remembers for what.
type fakeCredential struct {
	mu     sync.Mutex
	scopes []string
	err    error
}

func (c *fakeCredential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scopes = append(c.scopes, o.Scopes...)
	return azcore.AccessToken{Token: vaultToken, ExpiresOn: time.Now().Add(time.Hour)}, c.err
}
