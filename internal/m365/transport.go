package m365

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"sluice/internal/fault"
)

// Transport says how connections are made.
type Transport struct {
	CAFile             string // PEM file with authorities that are trusted beside the system's
	InsecureSkipVerify bool   // accept any certificate; logged as a warning
}

// The time limits of spec/http-behaviour.md section 3. The whole-request limit counts only time spent waiting for the
// service, not time in which the reader of a body is busy, so that a slow disk here never looks like a failure there.
const (
	connectTimeout = 10 * time.Second
	tlsTimeout     = 10 * time.Second
	requestTimeout = 120 * time.Second
	tokenTimeout   = 30 * time.Second
)

// maxIdle covers 64 parallel fetches for each of the five content types' busiest pairs without reconnecting.
const maxIdle = 256

// newTransport makes the transport of one connector.
//
// It speaks HTTP/1.1 only: with one connection per parallel request a stalled answer holds up nobody else, and on fast
// links HTTP/2's framing costs the collector noticeably more CPU per byte than it saves.
func newTransport(op string, t Transport) (*http.Transport, error) {
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
		Proxy:               proxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: tlsTimeout,
		Protocols:           protocols,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      16 << 10,
		DisableCompression:  true, // gzip is asked for and decoded by the Client
	}, nil
}

// proxyFromEnvironment hides the proxy's address, which may hold a password, from errors.
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy address in the environment (HTTPS_PROXY, HTTP_PROXY) is not valid")
	}
	return u, nil
}

func loadCAs(op, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Newf(fault.Config, op, "ca_file cannot be read: %v", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.Newf(fault.Config, op, "ca_file %s holds no PEM certificate", file)
	}
	return pool, nil
}

// transportError classifies a failure to get an answer at all. Its text never holds the request's URL, because a
// *url.Error prints the query.
func transportError(op, host string, err error) *fault.Error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if ours, ok := errors.AsType[*fault.Error](err); ok {
		c := *ours
		if c.Op == "" {
			c.Op = op
		}
		return &c
	}
	e := fault.New(fault.Unavailable, op, "no answer from "+host).WithCause(err).
		WithHint("Sluice tries again by itself; if it stays, check network, DNS, firewall and proxy")
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &authority), errors.As(err, &invalid):
		e.Kind, e.Message = fault.Config, "the certificate of "+host+" is not trusted"
		e.Hint = "usually an inspecting proxy: set ca_file to its authority instead of switching verification off"
	case errors.As(err, &name):
		e.Kind, e.Message = fault.Config, "the certificate is not for "+host
		e.Hint = "check the configured address and the proxy"
	case errors.As(err, &record):
		e.Kind, e.Message, e.Hint = fault.Config, host+" does not speak TLS", "check the configured address"
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Message, e.Hint = "the name "+host+" cannot be resolved", "check the configured address and DNS"
	}
	return e
}
