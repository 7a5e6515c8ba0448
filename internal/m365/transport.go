package m365

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"sluice/internal/fault"
)

// Transport says how connections are made.
type Transport struct {
	CAFile             string // PEM file with authorities that are trusted beside the system's
	InsecureSkipVerify bool   // accept any certificate; logged as a warning
	Dialer             Dialer // opens connections, also those to a proxy; nil: the network. Tests stand in for it
}

// Dialer opens connections as net.Dialer does. Its dynamic type must be comparable, such as a pointer.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// The time limits of spec/http-behaviour.md section 3. The whole-request limit counts only time spent waiting for the
// service, not time in which the reader of a body is busy, so that a slow disk here never looks like a failure there.
const (
	connectTimeout = 10 * time.Second
	tlsTimeout     = 10 * time.Second
	requestTimeout = 120 * time.Second
	tokenTimeout   = 30 * time.Second
)

// maxIdle connections to a host are kept for reuse: as many as fetches fit into the collector's memory at a time.
const maxIdle = 256

// Transports are the connections of many clients: those with the same settings share them, so that hundreds of
// connectors hold no more idle connections than one that is busy. A connection carries no identity; every request brings
// its own token. Safe for concurrent use.
type Transports struct {
	mu  sync.Mutex
	set map[transportKey]*http.Transport
}

// transportKey is what makes two clients' connections the same. A certificate authority file counts by its content too.
type transportKey struct {
	settings    Transport
	authorities [sha256.Size]byte
}

// NewTransports returns an empty set.
func NewTransports() *Transports { return &Transports{set: map[transportKey]*http.Transport{}} }

// get finds or makes the transport for t.
func (s *Transports) get(op string, t Transport) (*http.Transport, error) {
	key := transportKey{settings: t}
	if t.CAFile != "" {
		pem, err := readCAs(op, t.CAFile)
		if err != nil {
			return nil, err
		}
		key.authorities = sha256.Sum256(pem)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.set[key]; known != nil {
		return known, nil
	}
	fresh, err := newTransport(op, t)
	if err != nil {
		return nil, err
	}
	s.set[key] = fresh
	return fresh, nil
}

// newTransport makes a transport.
//
// It speaks HTTP/1.1 only: with one connection per parallel request a stalled answer holds up nobody else, and on fast
// links HTTP/2's framing costs the collector noticeably more CPU per byte than it saves.
func newTransport(op string, t Transport) (*http.Transport, error) {
	proxy, err := environmentProxy(op)
	if err != nil {
		return nil, err
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if t.CAFile != "" {
		pool, err := loadCAs(op, t.CAFile)
		if err != nil {
			return nil, err
		}
		tlsConfig.RootCAs = pool
	}
	tlsConfig.InsecureSkipVerify = t.InsecureSkipVerify
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               proxy,
		DialContext:         dial(t.Dialer),
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: tlsTimeout,
		Protocols:           protocols,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      16 << 10,
		DisableCompression:  true, // gzip is asked for and decoded by the Client

		OnProxyConnectResponse: func(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
			return proxyRefusal(proxy, req.Host, resp.StatusCode)
		},
	}, nil
}

// dial opens connections and makes their failures say to whom, because that is the proxy's address when there is one.
func dial(d Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	if d == nil {
		d = &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, &dialError{address: address, err: err}
		}
		return conn, nil
	}
}

// environmentProxy reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY and returns the function that chooses a proxy by them. An
// address that cannot be read is an error, whose text does not hold it, because it may hold a password.
func environmentProxy(op string) (func(*http.Request) (*url.URL, error), error) {
	env := httpproxy.FromEnvironment()
	for name, address := range map[string]string{"HTTPS_PROXY": env.HTTPSProxy, "HTTP_PROXY": env.HTTPProxy} {
		if _, err := url.Parse(address); err == nil {
			continue
		}
		if _, err := url.Parse("http://" + address); err != nil {
			return nil, fault.Newf(fault.Config, op, "the proxy address in %s in the environment of Sluice is not valid", name).
				WithHint("write it as http://proxy.example:8080, with a login as http://user:password@proxy.example:8080 (special characters of the password as %XX); then restart Sluice")
		}
	}
	choose := env.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }, nil
}

func readCAs(op, file string) ([]byte, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Newf(fault.Config, op, "ca_file cannot be read: %v", err).
			WithHint("check the path of ca_file and that the user that runs Sluice may read it")
	}
	return pem, nil
}

func loadCAs(op, file string) (*x509.CertPool, error) {
	pem, err := readCAs(op, file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.Newf(fault.Config, op, "ca_file %s holds no PEM certificate", file).
			WithHint("give a text file with -----BEGIN CERTIFICATE----- blocks; a binary .cer file is converted with: openssl x509 -inform der -in FILE -out FILE.pem")
	}
	return pool, nil
}
