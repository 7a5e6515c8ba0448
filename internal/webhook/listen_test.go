package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
)

// issue writes a self-signed certificate with a serial number, and its key, with a change time of their own.
func issue(t *testing.T, c Config, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{c.Certificate: {Type: "CERTIFICATE", Bytes: der}, c.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_700_000_000+serial, 0)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool
}

// serve runs a listener for the test.
func serve(t *testing.T, c Config, handler http.Handler) *Listener {
	t.Helper()
	l, err := Listen(t.Context(), c, handler, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// ask sends a notification over a connection of its own and returns status and serial number of the certificate.
func ask(t *testing.T, url string, pool *x509.CertPool) (status int, serial int64) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(told(directory, application, general)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Webhook-AuthID", testKey.AuthID("c1").Reveal())
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.TLS == nil {
		return resp.StatusCode, 0
	}
	return resp.StatusCode, resp.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestListenerReadsARenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	c := Config{Listen: "127.0.0.1:0", Certificate: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	pool := issue(t, c, 1)
	h := New(Settings{Key: testKey, Hint: func(string, string) {}})
	h.Set(contoso())
	l := serve(t, c, h)
	url := "https://" + l.Addr().String() + "/hook/" + testKey.Path("c1")
	if status, serial := ask(t, url, pool); status != 200 || serial != 1 {
		t.Fatalf("status %d, certificate %d", status, serial)
	}
	later := func() {
		l.cert.mu.Lock()
		l.cert.looked = time.Time{}
		l.cert.mu.Unlock()
	}
	if err := os.WriteFile(c.Certificate, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	later()
	if _, serial := ask(t, url, pool); serial != 1 {
		t.Errorf("certificate %d while the files are being written", serial)
	}
	pool = issue(t, c, 2)
	later()
	if _, serial := ask(t, url, pool); serial != 2 {
		t.Errorf("certificate %d after it was renewed", serial)
	}
}

func TestListenerRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if _, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0", Certificate: "/nowhere", Key: "/nowhere"}, nil, log); !fault.Is(err, fault.Config) {
		t.Errorf("no certificate: %v", err)
	}
	l, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0"}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), Config{Listen: l.Addr().String()}, nil, log); !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
		t.Errorf("the port is taken: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
