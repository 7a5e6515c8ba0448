package m365

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

func TestManagedIdentity(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-IDENTITY-HEADER") != "h" || r.FormValue("client_id") != "99999999-8888-7777-6666-555555555555" || r.FormValue("resource") != "https://manage.office.com" {
			t.Errorf("asked for %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"access_token":"T0ken","expires_on":"4102444800","resource":"https://manage.office.com","token_type":"Bearer"}`))
	}))
	defer srv.Close()
	t.Setenv("IDENTITY_ENDPOINT", srv.URL)
	t.Setenv("IDENTITY_HEADER", "h")
	refused := 0
	cred := Credential{
		LoginURL: "https://login.microsoftonline.com", TenantID: "11111111-2222-3333-4444-555555555555", ClientID: "99999999-8888-7777-6666-555555555555",
		Identity: ManagedIdentity, Refused: func() { refused++ },
	}
	s, err := NewTokens(clock.Real{}, nil).source(cred, "https://manage.office.com", Transport{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	status = http.StatusBadRequest
	if _, err := s.fresh(t.Context()); !fault.Is(err, fault.Auth) || fault.HintOf(err) == "" || refused != 1 {
		t.Errorf("%v, refused %d times", err, refused)
	}
	status = http.StatusOK
	if token, err := s.fresh(t.Context()); err != nil || token.value != "T0ken" { // azidentity keeps it from now on, for the whole process
		t.Errorf("%v", err)
	}
	cred.Secret = secret.New("x")
	if _, err := NewTokens(clock.Real{}, nil).source(cred, "https://manage.office.com", Transport{}, nil); !fault.Is(err, fault.Config) {
		t.Errorf("%v", err)
	}
}

func TestWorkloadIdentity(t *testing.T) {
	s := newService(t, true)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	projected := filepath.Join(dir, "token")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", projected)
	refused := 0
	c := s.client(t, func(c *Config) {
		c.Transport.CAFile = ca
		c.Credential = Credential{
			LoginURL: s.URL, TenantID: tenant, ClientID: app, Identity: WorkloadIdentity, Refused: func() { refused++ },
		}
	})
	if _, err := c.Token(t.Context(), true); !fault.Is(err, fault.Auth) || !strings.Contains(err.Error(), "workload_identity") || refused != 1 {
		t.Errorf("without the pod's token: %v, refused %d times", err, refused)
	}
	if err := os.WriteFile(projected, []byte("the-token-of-the-pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Token(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := s.forms[0]; got.Get("client_assertion") != "the-token-of-the-pod" || got.Get("client_id") != app || got.Get("client_secret") != "" {
		t.Errorf("asked with %v", got)
	}
}

func TestRefusedIsToldOfRefusalsOnly(t *testing.T) {
	s := newService(t, false)
	status, body := http.StatusServiceUnavailable, ""
	s.tokenErr = func(w http.ResponseWriter) bool {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return status != http.StatusOK
	}
	refused := 0
	c := s.client(t, func(c *Config) { c.Credential.Refused = func() { refused++ } })
	if _, err := c.Token(t.Context(), true); !fault.Is(err, fault.Unavailable) || refused != 0 {
		t.Errorf("an outage: %v, refused %d times", err, refused)
	}
	status, body = http.StatusUnauthorized, `{"error":"invalid_client","error_description":"AADSTS7000215: wrong","error_codes":[7000215]}`
	if _, err := c.Token(t.Context(), true); !fault.Is(err, fault.Auth) || refused != 1 {
		t.Errorf("a wrong secret: %v, refused %d times", err, refused)
	}
}

func TestIdentitySettings(t *testing.T) {
	good := Credential{LoginURL: "https://login.microsoftonline.com", TenantID: tenant, ClientID: app}
	for name, change := range map[string]func(*Credential){
		"unknown":            func(c *Credential) { c.Identity = "fingerprint" },
		"with certificate":   func(c *Credential) { c.Identity, c.CertificateFile = WorkloadIdentity, "/x" },
		"no tenant":          func(c *Credential) { c.Identity, c.TenantID = ManagedIdentity, "" },
		"no application":     func(c *Credential) { c.Identity, c.ClientID = WorkloadIdentity, "" },
		"id of another kind": func(c *Credential) { c.Identity, c.ManagedIdentityID = WorkloadIdentity, "system" },
	} {
		cred := good
		change(&cred)
		if _, err := NewTokens(clock.Real{}, nil).source(cred, "https://api", Transport{}, nil); !fault.Is(err, fault.Config) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "/absent")
	for _, id := range []string{"", "system", "22222222-3333-4444-5555-666666666666"} {
		cred := good
		cred.Identity, cred.ManagedIdentityID = ManagedIdentity, id
		if _, err := NewTokens(clock.Real{}, nil).source(cred, "https://api", Transport{}, nil); err != nil {
			t.Errorf("managed identity %q: %v", id, err)
		}
	}
}

func TestAChangedCAFileMakesANewSignIn(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cred := Credential{LoginURL: "https://login.microsoftonline.com", TenantID: tenant, ClientID: app, Secret: secret.New(appSecret)}
	tokens := NewTokens(clock.Real{}, nil)
	var sources []*tokenSource
	for _, content := range []string{"one", "one", "two"} {
		if err := os.WriteFile(ca, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := tokens.source(cred, "https://api", Transport{CAFile: ca}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	if sources[0] != sources[1] || sources[1] == sources[2] {
		t.Error("sign-ins are shared by what the CA file held before, or not shared at all")
	}
}
