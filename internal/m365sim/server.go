package m365sim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"sluice/internal/fault"
)

// certificateAuthority signs the server certificates of one Sim. It is made new with every Sim.
type certificateAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newCertificateAuthority(now time.Time) (*certificateAuthority, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Sluice simulator CA", Organization: []string{"Sluice"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	ca := &certificateAuthority{}
	der, key, err := ca.sign(template)
	if err != nil {
		return nil, err
	}
	ca.key, ca.pem = key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if ca.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fault.Wrap(fault.Internal, "make certificate", err)
	}
	return ca, nil
}

// sign makes a certificate with a key of its own; an authority without certificate signs itself.
func (ca *certificateAuthority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Internal, "make certificate key", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, fault.Wrap(fault.Internal, "make certificate number", err)
	}
	parent, signer := ca.certificate, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Internal, "sign certificate", err)
	}
	return der, key, nil
}

// serverCertificate makes a certificate for the loopback names and the given host.
func (ca *certificateAuthority) serverCertificate(host string, now time.Time) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Sluice simulator"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if ip == nil && host != "" {
		template.DNSNames = append(template.DNSNames, host)
	}
	if name, err := os.Hostname(); err == nil {
		template.DNSNames = append(template.DNSNames, name)
	}
	der, key, err := ca.sign(template)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.certificate.Raw}, PrivateKey: key}, nil
}

// CAPEM is the certificate of the authority that signs the server's certificate, for a client's ca_file.
func (s *Sim) CAPEM() []byte { return append([]byte(nil), s.ca.pem...) }

// WriteCA writes CAPEM to a file.
func (s *Sim) WriteCA(path string) error {
	return fault.Wrap(fault.Config, "write CA certificate", os.WriteFile(path, s.ca.pem, 0o644)) //nolint:gosec // a certificate is public
}

// Server is a simulator that listens. It owns its goroutines until Close returns.
type Server struct {
	*Sim
	url    string
	cancel context.CancelFunc
	done   chan struct{} // closed when everything has stopped
	err    error         // why it stopped; readable after done
}

// Start listens on a TCP address (port 0 picks a free one) and serves HTTPS until Close is called or ctx ends.
func (s *Sim) Start(ctx context.Context, listen string) (*Server, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "listen", err)
	}
	certificate, err := s.ca.serverCertificate(host, s.wall())
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "listen", err)
	}
	running, cancel := context.WithCancel(ctx)
	server := &Server{Sim: s, url: "https://" + visible(listener.Addr()), cancel: cancel, done: make(chan struct{})}
	web := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 30 * time.Second,
		BaseContext: func(net.Listener) context.Context { return running },
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:   new(http.Protocols),
	}
	web.Protocols.SetHTTP1(true) // alone: a reset shall reset a connection, not a stream of it
	served := make(chan error, 1)
	go func() { served <- web.ServeTLS(listener, "", "") }()
	go server.supervise(running, web, served)
	return server, nil
}

// stopTimeout bounds how long Close waits for requests that are being answered.
const stopTimeout = 2 * time.Second

// supervise waits for the end of the context or of the server and then stops everything.
func (s *Server) supervise(ctx context.Context, web *http.Server, served <-chan error) {
	defer close(s.done)
	var notifier sync.WaitGroup
	defer notifier.Wait()
	defer s.cancel()
	notifier.Go(func() { s.notifyWhile(ctx) })
	select {
	case s.err = <-served:
	case <-ctx.Done():
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if web.Shutdown(limit) != nil {
			_ = web.Close()
		}
		s.err = <-served
	}
	if errors.Is(s.err, http.ErrServerClosed) {
		s.err = nil
	}
}

// URL is the address of the server, https://host:port.
func (s *Server) URL() string { return s.url }

// Close stops the server and waits until it has stopped. Calling it again does no harm.
func (s *Server) Close() error {
	s.cancel()
	<-s.done
	return s.err
}

// Client returns a new HTTP client that trusts the simulator and nothing else.
func (s *Server) Client() *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.certificate)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
	}}
}

// visible turns the address of a listener into one that a client on this machine can use.
func visible(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Serve listens and serves until ctx ends; ready is called with the running server once it listens.
func (s *Sim) Serve(ctx context.Context, listen string, ready func(*Server)) error {
	server, err := s.Start(ctx, listen)
	if err != nil {
		return err
	}
	if ready != nil {
		ready(server)
	}
	<-server.done
	return server.Close()
}

// TB is the part of testing.TB that StartTest uses, so that the product does not link the testing package.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// StartTest starts a simulator on a free loopback port for the duration of a test. Options are optional.
func StartTest(t TB, scenario Scenario, options ...Options) *Server {
	t.Helper()
	var o Options
	if len(options) > 0 {
		o = options[0]
	}
	sim, err := New(scenario, o)
	if err != nil {
		t.Fatalf("make simulator: %v", err)
		return nil
	}
	server, err := sim.Start(context.WithoutCancel(t.Context()), "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start simulator: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Fatalf("stop simulator: %v", err)
		}
	})
	return server
}
