package m365sim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const scopeText = "https://manage.office.com/.default"

// newCertificate makes a key, its certificate, and a PEM file with the certificate.
func newCertificate(t *testing.T) (*rsa.PrivateKey, *x509.Certificate, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, certificate, path
}

// TestAzidentity uses the client library of the product: secret, certificate, and the error of each kind.
func TestAzidentity(t *testing.T) {
	key, certificate, path := newCertificate(t)
	s := scenario(10, General)
	s.Tenants[0].Apps[0].Certificate = path
	c := connect(t, StartTest(t, s))
	c.subscribe(General)
	get := func(tenantID, app string, secret any, scopes ...string) (string, error) {
		options := policy.TokenRequestOptions{Scopes: scopes}
		if cert, ok := secret.(*x509.Certificate); ok {
			credential, err := azidentity.NewClientCertificateCredential(tenantID, app, []*x509.Certificate{cert}, key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: azure(c), DisableInstanceDiscovery: true, SendCertificateChain: true})
			if err != nil {
				t.Fatal(err)
			}
			token, err := credential.GetToken(t.Context(), options)
			return token.Token, err
		}
		credential, err := azidentity.NewClientSecretCredential(tenantID, app, secret.(string),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: azure(c), DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		token, err := credential.GetToken(t.Context(), options)
		return token.Token, err
	}
	for name, secret := range map[string]any{"secret": testSecret, "certificate": certificate} {
		token, err := get(testTenant, testApp, secret, scopeText)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.token = token
		c.expect(http.MethodGet, "subscriptions/list", 200, "")
	}
	tests := []struct{ name, tenant, app, secret, scope, code string }{
		{"wrong secret", testTenant, testApp, "nonsense", scopeText, "7000215"},
		{"expired secret", testTenant, testApp, "old", scopeText, "7000222"},
		{"unknown tenant", uuid.NewString(), testApp, testSecret, scopeText, "90002"},
		{"unknown app", testTenant, uuid.NewString(), testSecret, scopeText, "700016"},
		{"unknown resource", testTenant, testApp, testSecret, "https://nothing.example/.default", "500011"},
		{"bad scope", testTenant, testApp, testSecret, "https://manage.office.com/ActivityFeed.Read", "1002012"},
	}
	for _, test := range tests {
		_, err := get(test.tenant, test.app, test.secret, test.scope)
		var failed *azidentity.AuthenticationFailedError
		if !errors.As(err, &failed) || failed.RawResponse == nil || !strings.Contains(err.Error(), "AADSTS"+test.code) {
			t.Errorf("%s: got %v, want AADSTS%s", test.name, err, test.code)
		}
	}
}

type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	Timestamp   string `json:"timestamp"`
	TraceID     string `json:"trace_id"`
	Correlation string `json:"correlation_id"`
	URI         string `json:"error_uri"`
}

func TestTokenEndpoints(t *testing.T) {
	s := scenario(10, General)
	c := connect(t, StartTest(t, s))
	base := url.Values{"grant_type": {"client_credentials"}, "client_id": {testApp}, "client_secret": {testSecret}}
	with := func(pairs ...string) url.Values {
		form := url.Values{}
		maps.Copy(form, base)
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
	tests := []struct {
		name, path string
		form       url.Values
		status     int
		err        string
		code       int
	}{
		{"v2", "/" + testTenant + "/oauth2/v2.0/token", with("scope", scopeText), 200, "", 0},
		{"v2 by domain", "/contoso.onmicrosoft.com/oauth2/v2.0/token", with("scope", scopeText), 200, "", 0},
		{"v1", "/" + testTenant + "/oauth2/token?api-version=1.0", with("resource", "https://manage.office.com"), 200, "", 0},
		{"no resource", "/" + testTenant + "/oauth2/token", with(), 400, "invalid_request", 900144},
		{"two resources", "/" + testTenant + "/oauth2/v2.0/token", with("scope", scopeText+" https://graph.microsoft.com/.default"), 400, "invalid_scope", 28000},
		{"wrong secret", "/" + testTenant + "/oauth2/v2.0/token", with("scope", scopeText, "client_secret", "x"), 401, "invalid_client", 7000215},
		{"no secret", "/" + testTenant + "/oauth2/v2.0/token", with("scope", scopeText, "client_secret", ""), 401, "invalid_client", 7000218},
		{"no app", "/" + testTenant + "/oauth2/v2.0/token", with("scope", scopeText, "client_id", ""), 400, "invalid_request", 900144},
		{"common", "/common/oauth2/v2.0/token", with("scope", scopeText), 400, "invalid_request", 9001023},
		{"tenant", "/" + uuid.NewString() + "/oauth2/v2.0/token", with("scope", scopeText), 400, "invalid_tenant", 90002},
		{"password grant", "/" + testTenant + "/oauth2/v2.0/token", with("scope", scopeText, "grant_type", "password"), 400, "unsupported_grant_type", 70003},
	}
	for _, test := range tests {
		status, body, _ := c.post(test.path, test.form)
		var e tokenError
		if test.err != "" {
			decode(t, body, &e)
		}
		if status != test.status || e.Error != test.err || test.code != 0 && (len(e.Codes) != 1 || e.Codes[0] != test.code ||
			e.TraceID == "" || e.Correlation == "" || e.Timestamp == "" || e.URI == "" || !strings.Contains(e.Description, "Trace ID: ")) {
			t.Errorf("%s: got %d %s", test.name, status, body)
		}
	}
	_, body, _ := c.post("/"+testTenant+"/oauth2/token", with("resource", "https://manage.office.com/"))
	var v1 map[string]string // every value is a string
	decode(t, body, &v1)
	if v1["expires_in"] != "3600" || v1["resource"] != "https://manage.office.com" || v1["expires_on"] == "" || v1["not_before"] == "" {
		t.Errorf("v1 answer: %v", v1)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.server.URL()+"/"+testTenant+"/oauth2/v2.0/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {scopeText}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(testApp, url.QueryEscape(testSecret))
	if status, body, _ := c.must(req); status != http.StatusOK {
		t.Errorf("basic authentication: %d %s", status, body)
	}
	if status, body, _ := c.get(c.server.URL() + "/" + uuid.NewString() + "/v2.0/.well-known/openid-configuration"); status != 400 || !bytes.Contains(body, []byte("90002")) {
		t.Errorf("discovery of an unknown tenant: %d %s", status, body)
	}
}

// TestAccessTokenClaims checks the inside of a token with the published key.
func TestAccessTokenClaims(t *testing.T) {
	c := connect(t, StartTest(t, scenario(10, General)))
	var claims jwt.MapClaims
	_, err := jwt.ParseWithClaims(c.token, &claims, func(*jwt.Token) (any, error) { return &c.server.authority.key.PublicKey, nil })
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"aud": "https://manage.office.com", "tid": testTenant, "appid": testApp, "appidacr": "1"} {
		if claims[key] != want {
			t.Errorf("%s is %v, want %s", key, claims[key], want)
		}
	}
	if roles, ok := claims["roles"].([]any); !ok || len(roles) != 2 {
		t.Errorf("roles are %v", claims["roles"])
	}
}

func TestClientAssertions(t *testing.T) {
	key, certificate, path := newCertificate(t)
	stranger, other, _ := newCertificate(t)
	s := scenario(10, General)
	s.Tenants[0].Apps[0].Certificate = path
	c := connect(t, StartTest(t, s))
	endpoint := c.server.URL() + "/" + testTenant + "/oauth2/v2.0/token"
	short, long := sha1.Sum(certificate.Raw), sha256.Sum256(certificate.Raw)
	x5t, x5t256 := base64.RawURLEncoding.EncodeToString(short[:]), base64.StdEncoding.EncodeToString(long[:])
	foreign := sha256.Sum256(other.Raw)
	type header map[string]any
	claims := func(aud, sub string, notBefore, expires time.Duration) jwt.MapClaims {
		now := time.Now()
		return jwt.MapClaims{
			"aud": aud, "iss": testApp, "sub": sub, "jti": uuid.NewString(),
			"nbf": now.Add(notBefore).Unix(), "exp": now.Add(expires).Unix(),
		}
	}
	good := claims(endpoint, testApp, 0, 10*time.Minute)
	tests := []struct {
		name   string
		method jwt.SigningMethod
		key    crypto.Signer
		header header
		claims jwt.MapClaims
		code   int
	}{
		{"PS256 with x5t#S256 in standard base64", jwt.SigningMethodPS256, key, header{"x5t#S256": x5t256}, good, 0},
		{"RS256 with x5t", jwt.SigningMethodRS256, key, header{"x5t": x5t}, good, 0},
		{"chain", jwt.SigningMethodPS256, key, header{"x5c": []string{base64.StdEncoding.EncodeToString(certificate.Raw)}}, good, 0},
		{
			"v1 endpoint, other case", jwt.SigningMethodRS256, key,
			header{"x5t": x5t},
			claims(strings.ToUpper(c.server.URL()+"/"+testTenant+"/oauth2/token"), testApp, 0, time.Minute), 0,
		},
		{"clock four minutes ahead", jwt.SigningMethodRS256, key, header{"x5t": x5t}, claims(endpoint, testApp, 4*time.Minute, 14*time.Minute), 0},
		{"not yet valid", jwt.SigningMethodRS256, key, header{"x5t": x5t}, claims(endpoint, testApp, 7*time.Minute, 14*time.Minute), 700024},
		{"expired", jwt.SigningMethodRS256, key, header{"x5t": x5t}, claims(endpoint, testApp, -time.Hour, -6*time.Minute), 700024},
		{"other audience", jwt.SigningMethodRS256, key, header{"x5t": x5t}, claims("https://login.example/", testApp, 0, time.Minute), 700023},
		{"other subject", jwt.SigningMethodRS256, key, header{"x5t": x5t}, claims(endpoint, uuid.NewString(), 0, time.Minute), 700021},
		{"unregistered certificate", jwt.SigningMethodPS256, stranger, header{"x5t#S256": base64.StdEncoding.EncodeToString(foreign[:])}, good, 700027},
		{"unregistered chain", jwt.SigningMethodPS256, stranger, header{"x5c": []string{base64.StdEncoding.EncodeToString(other.Raw)}}, good, 700027},
		{"wrong key", jwt.SigningMethodPS256, stranger, header{"x5t#S256": x5t256}, good, 700027},
		{"no thumbprint", jwt.SigningMethodPS256, key, header{}, good, 700027},
	}
	for _, test := range tests {
		token := jwt.NewWithClaims(test.method, test.claims)
		maps.Copy(token.Header, test.header)
		text, err := token.SignedString(test.key)
		if err != nil {
			t.Fatal(err)
		}
		status, body, _ := c.post("/"+testTenant+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {testApp},
			"scope": {scopeText}, "client_assertion": {text}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})
		var e tokenError
		decode(t, body, &e)
		if test.code == 0 && status != 200 || test.code != 0 && (len(e.Codes) != 1 || e.Codes[0] != test.code) {
			t.Errorf("%s: got %d %.200s, want %d", test.name, status, body, test.code)
		}
	}
}
