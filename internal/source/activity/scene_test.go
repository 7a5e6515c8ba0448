package activity

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/secret"
	"sluice/internal/source"
)

// The hosts of a scene. They have Microsoft's names, but every connection ends at a server of the test.
const (
	signInHost = "login.microsoftonline.com"
	apiHost    = "manage.office.com"
	proxyHost  = "proxy.contoso.example:8080"
)

// scene is Microsoft as a connection test sees it: a sign-in host and an API behind names of their own. A row of the table
// changes what it has to.
type scene struct {
	t      *testing.T
	server *httptest.Server
	ca     *authorityCA

	change func(*Config)                                 // the connector's settings
	signIn func(http.ResponseWriter) bool                // answers the token request when it returns true
	api    func(http.ResponseWriter, *http.Request) bool // answers a request of the API when it returns true
	claims map[string]any                                // replaces claims of the token; nil values remove them
	opaque bool                                          // the token is no JWT
	skew   time.Duration                                 // the service's time minus ours
	subs   map[string]string                             // status of the subscriptions
	blobs  bool                                          // there is content
	dials  map[string]func() (net.Conn, error)           // by host name: replaces the connection
	certs  map[string]tls.Certificate                    // by host name

	mu     sync.Mutex
	served int
}

func newScene(t *testing.T) *scene {
	s := &scene{
		t: t, ca: newCA(t, "Public Test CA", "Test Authority"), subs: map[string]string{}, blobs: true,
		dials: map[string]func() (net.Conn, error){}, certs: map[string]tls.Certificate{}, claims: map[string]any{},
	}
	for _, ct := range contentTypes() {
		s.subs[ct.name] = "enabled"
	}
	far := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, host := range []string{signInHost, apiHost} {
		s.certs[host] = s.ca.issue(t, host, time.Now().Add(-time.Hour), far)
	}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, ok := s.certs[hello.ServerName]
		if !ok {
			return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
		}
		return &cert, nil
	}}
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	return s
}

// DialContext implements m365.Dialer.
func (s *scene) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	if open := s.dials[host]; open != nil {
		return open()
	}
	return s.reach(ctx)
}

// reach connects to the server of the scene.
func (s *scene) reach(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.server.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	return publicConn{conn}, nil
}

// publicConn is a connection that seems to lead to a public address.
type publicConn struct{ net.Conn }

func (publicConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 10), Port: 443}
}

// brokenConn is a connection that takes everything and gives an error.
type brokenConn struct {
	net.Conn
	err error
}

func (c brokenConn) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "read", Net: "tcp", Err: c.err}
}
func (brokenConn) Write(p []byte) (int, error) { return len(p), nil }

// source makes the connector, or says why it cannot be.
func (s *scene) source() (*Source, error) {
	file := filepath.Join(s.t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.cert.Raw}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cfg := Config{DirectoryID: testTenant, ApplicationID: testApp, APIAccessKey: secret.New(testSecret), CAFile: file, dialer: s}
	if s.change != nil {
		s.change(&cfg)
	}
	src, err := New(cfg)
	if err == nil {
		s.t.Cleanup(src.CloseIdle)
	}
	return src, err
}

// run runs the connection test as the program does.
func (s *scene) run() (checks []source.Check) {
	src, err := s.source()
	if err != nil {
		return []source.Check{source.Failure("configuration", err)}
	}
	for c := range src.Test(s.t.Context()) {
		if c.Duration < 0 || c.Status == source.Skipped && c.Duration != 0 {
			s.t.Errorf("step %s took %v", c.Name, c.Duration)
		}
		c.Duration = 0 // differs from run to run
		switch c.Name {
		case stepSignInNetwork, stepSignInTLS, stepAPINetwork, stepAPITLS, stepToken, stepAPI, stepListing, stepSample:
			if c.Status != source.Skipped {
				c.Duration = 10 * time.Millisecond
			}
		}
		checks = append(checks, c)
	}
	return checks
}

func (s *scene) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().Add(s.skew).UTC().Format(http.TimeFormat))
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		tenant := strings.Split(r.URL.Path, "/")[1]
		writeJSON(w, 200, fmt.Sprintf(`{"token_endpoint":"https://%[1]s/%[2]s/oauth2/v2.0/token","authorization_endpoint":"https://%[1]s/a","issuer":"https://%[1]s/%[2]s/v2.0"}`, r.Host, tenant))
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		if s.signIn == nil || !s.signIn(w) {
			s.token(w)
		}
	default:
		if s.api == nil || !s.api(w, r) {
			s.feed(w, r)
		}
	}
}

func (s *scene) token(w http.ResponseWriter) {
	s.mu.Lock()
	s.served++
	claims := map[string]any{"aud": "https://manage.office.com", "tid": testTenant, "appid": testApp, "n": s.served, "roles": []string{"ActivityFeed.Read", "ActivityFeed.ReadDlp"}}
	s.mu.Unlock()
	maps.Copy(claims, s.claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		s.t.Error(err)
	}
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	if s.opaque {
		token = "opaque-" + linkSecret
	}
	writeJSON(w, 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, token))
}

// feed is the healthy API.
func (s *scene) feed(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1.0/"+testTenant+"/activity/feed/")
	switch {
	case path == "subscriptions/list":
		var all []string
		for _, ct := range contentTypes() {
			if status, ok := s.subs[ct.name]; ok {
				all = append(all, fmt.Sprintf(`{"contentType":%q,"status":%q,"webhook":null}`, ct.name, status))
			}
		}
		writeJSON(w, 200, "["+strings.Join(all, ",")+"]")
	case path == "subscriptions/start":
		writeJSON(w, 200, fmt.Sprintf(`{"contentType":%q,"status":"enabled","webhook":null}`, r.URL.Query().Get("contentType")))
	case path == "subscriptions/content" && s.blobs:
		writeJSON(w, 200, fmt.Sprintf(`[{"contentType":"Audit.AzureActiveDirectory","contentId":"b1","contentUri":"https://%s/api/v1.0/%s/activity/feed/audit/b1",`+
			`"contentCreated":%q,"contentExpiration":%q}]`, apiHost, testTenant, time.Now().UTC().Format(time.RFC3339), time.Now().Add(retention).UTC().Format(time.RFC3339)))
	case path == "subscriptions/content":
		writeJSON(w, 200, "[]")
	case path == "audit/b1":
		writeJSON(w, 200, `[{"Id":"00000000-0000-0000-0000-000000000001","Operation":"UserLoggedIn"}]`)
	default:
		writeJSON(w, 404, "")
	}
}

// at answers requests of the API whose path ends in a suffix.
func (s *scene) at(suffix string, answer func(http.ResponseWriter, *http.Request)) {
	s.api = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		answer(w, r)
		return true
	}
}

// authorityCA issues certificates.
type authorityCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, name, org string) *authorityCA {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{org}}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}
	return &authorityCA{cert: sign(t, template, template, key, key), key: key}
}

// issue makes a certificate for a host.
func (ca *authorityCA) issue(t *testing.T, host string, from, to time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: to}
	cert := sign(t, template, ca.cert, key, ca.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// selfSigned makes a certificate that vouches for itself.
func selfSigned(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	return tls.Certificate{Certificate: [][]byte{sign(t, template, template, key, key).Raw}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// behindProxy puts the connector behind a proxy that answers CONNECT with a status; 200 connects.
func (s *scene) behindProxy(status int) {
	s.t.Setenv("HTTPS_PROXY", "http://operator:"+linkSecret+"@"+proxyHost)
	s.t.Setenv("NO_PROXY", "")
	host, _, _ := net.SplitHostPort(proxyHost)
	s.dials[host] = func() (net.Conn, error) {
		near, far := net.Pipe()
		go s.serveProxy(far, status)
		return near, nil
	}
}

// serveProxy is one connection of the proxy.
func (s *scene) serveProxy(client net.Conn, status int) {
	defer func() { _ = client.Close() }()
	reader := bufio.NewReader(client)
	req, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	if _, password, _ := (&http.Request{Header: http.Header{"Authorization": req.Header["Proxy-Authorization"]}}).BasicAuth(); password != linkSecret {
		s.t.Error("the proxy got no password")
	}
	if _, err := fmt.Fprintf(client, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status)); err != nil || status != 200 {
		return
	}
	target, err := s.reach(context.Background())
	if err != nil {
		s.t.Error(err)
		return
	}
	var both sync.WaitGroup
	pipe := func(to net.Conn, from interface{ Read([]byte) (int, error) }) {
		defer func() { _ = to.Close() }()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
				return
			}
		}
	}
	both.Go(func() { pipe(target, reader) })
	both.Go(func() { pipe(client, target) })
	both.Wait()
}

// The ways in which a connection is not opened, as package net reports them.
func dnsFails(name string, notFound bool) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		cause := &net.DNSError{Err: "server misbehaving", Name: name, Server: "192.0.2.53:53", IsTemporary: true}
		if notFound {
			cause = &net.DNSError{Err: "no such host", Name: name, Server: "192.0.2.53:53", IsNotFound: true}
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: cause}
	}
}

func dialFails(err error) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: publicConn{}.RemoteAddr(), Err: err}
	}
}

var (
	errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	errNoRoute = os.NewSyscallError("connect", syscall.EHOSTUNREACH)
	errReset   = os.NewSyscallError("read", syscall.ECONNRESET)
)
