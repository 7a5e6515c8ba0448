package m365

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

func TestTransportError(t *testing.T) {
	const host = "manage.office.com"
	wrap := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://" + host + "/feed?nextPage=hidden", Err: err}
	}
	tests := []struct {
		name string
		err  error
		kind fault.Kind
		says string
	}{
		{"no such name", &net.DNSError{Name: host, IsNotFound: true}, fault.Unavailable, "cannot be resolved: DNS does not know it"},
		{"plain http", http.ErrSchemeMismatch, fault.Config, "does not speak TLS"},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, fault.Config, "refuses the TLS session: tls: handshake failure"},
		{"bad key usage", x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, fault.Config, "is not acceptable"},
		{"unknown authority without its certificate", x509.UnknownAuthorityError{}, fault.Config, "is not trusted"},
		{"explained already", fault.New(fault.Config, "", "redirects"), fault.Config, "redirects"},
		{"anything else", errors.New("http2: unhappy"), fault.Unavailable, "no answer from manage.office.com: http2: unhappy"},
	}
	for _, tt := range tests {
		e := transportError("list", host, wrap(tt.err))
		if e.Kind != tt.kind || !strings.Contains(e.Error(), tt.says) || e.Op != "list" || strings.Contains(fmt.Sprintf("%+v", e), "hidden") {
			t.Errorf("%s: %s %q, want %s %q", tt.name, e.Kind, e, tt.kind, tt.says)
		}
	}
}

// TestProbeOfAClosedPort uses the real network of this machine.
func TestProbeOfAClosedPort(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	address := s.URL
	s.Close()
	c, err := New(Config{BaseURL: address, Audience: "x", Credential: Credential{LoginURL: address, TenantID: tenant, ClientID: app, Secret: secret.New(appSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	network, session := c.ProbeAPI(t.Context())
	if !fault.Is(network.Err, fault.Unavailable) || !strings.Contains(network.Err.Error(), "refuses the connection") || !session.Skipped {
		t.Errorf("%+v, %+v", network, session)
	}
	if x, ok := errors.AsType[*Exchange](network.Err); !ok || !strings.Contains(x.Shown(), "connection refused") {
		t.Errorf("exchange %v", x)
	}
}

func TestProbe(t *testing.T) {
	plain := newService(t, false)
	network, session := plain.client(t, nil).ProbeSignIn(t.Context())
	if network.Err != nil || network.Message == "" || !session.Skipped {
		t.Errorf("plain http: %+v, %+v", network, session)
	}
	secure := newService(t, true)
	network, session = secure.client(t, nil).ProbeAPI(t.Context())
	if network.Err != nil || !fault.Is(session.Err, fault.Config) {
		t.Errorf("untrusted: %+v, %+v", network, session)
	}
	network, session = secure.client(t, func(c *Config) { c.Transport.InsecureSkipVerify = true }).ProbeAPI(t.Context())
	if network.Err != nil || session.Err != nil || !strings.Contains(session.Message, "NOT verified") {
		t.Errorf("not verified: %+v, %+v", network, session)
	}
	if secure.asked() != 0 {
		t.Error("a probe asked for a token")
	}
}

func TestExchangeIsSafe(t *testing.T) {
	u, err := url.Parse("https://user:pw@manage.office.com/feed/content?contentType=Audit.General&nextPage=opaque%2Blink&startTime=x")
	if err != nil {
		t.Fatal(err)
	}
	const key = `p"w+&<é`
	body := `{"key":"p\"w+\u0026<é","quoted":"` + url.QueryEscape(key) + `","raw":"` + key + `","html":"p&#34;w+&amp;&lt;é","next":"opaque+link",` +
		`"token":"eyJhbGciOi.eyJhdWQi.sig","auth":"Bearer abc.def","trace":"no tenant.\r\n   at Microsoft.Stack()"}` + "\x1b[31m" + strings.Repeat("x", 3000)
	x := newExchange(http.MethodGet, u, http.StatusBadRequest, []byte(body), nil, key)
	for _, bad := range []string{"pw@", "opaque", "eyJ", "abc.def", key, url.QueryEscape(key), "&#34;", "Stack", "\x1b"} {
		if strings.Contains(x.Shown(), bad) {
			t.Errorf("%q is shown in %s", bad, x.Shown())
		}
	}
	if !strings.HasPrefix(x.Shown(), "GET https://manage.office.com/feed/content?contentType=Audit.General&nextPage=…&startTime=x\nHTTP 400 Bad Request\n{") {
		t.Errorf("shown:\n%s", x.Shown())
	}
	if n := len([]rune(x.Shown())); n > maxShownBody+200 {
		t.Errorf("%d characters", n)
	}
}

func TestSecretIsID(t *testing.T) {
	for text, want := range map[string]bool{
		"12345678-1234-1234-1234-1234567890ab": true, " 12345678-1234-1234-1234-1234567890ab\n": true,
		"abc8Q~kLmNoPqRsTuVwXyZ0123456789abcdefgh": false, "123456781234123412341234567890ab": false, "": false,
	} {
		if got := (Credential{Secret: secret.New(text)}).SecretIsID(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestDescribeSkew(t *testing.T) {
	for skew, want := range map[time.Duration]string{
		0: "agrees", 20 * time.Second: "agrees", 7 * time.Minute: "7 minutes behind", -90 * time.Minute: "90 minutes ahead of", 3 * time.Hour: "3 hours behind", -72 * time.Hour: "3 days ahead of",
	} {
		if got := DescribeSkew(skew); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", skew, got, want)
		}
	}
}
