package m365

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Stage is one part of opening a connection.
type Stage struct {
	Message  string // what was found
	Skipped  bool   // there was nothing to do, or an earlier stage failed
	Err      error  // nil: it worked
	Duration time.Duration
}

// ProbeSignIn opens a connection to the sign-in host as a request would, through the proxy if there is one, and reports
// the network (DNS, TCP, proxy) and the TLS session apart. Nothing is sent.
func (c *Client) ProbeSignIn(ctx context.Context) (network, session Stage) {
	return c.probe(ctx, c.tokens.authority.base)
}

// ProbeAPI is ProbeSignIn for the API's host.
func (c *Client) ProbeAPI(ctx context.Context) (network, session Stage) { return c.probe(ctx, c.base) }

func (c *Client) probe(ctx context.Context, base *url.URL) (network, session Stage) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout+tlsTimeout)
	defer cancel()
	proxy, err := c.transport.Proxy(&http.Request{URL: base})
	if err != nil {
		return Stage{Err: asFault("find the proxy", err)}, Stage{Skipped: true, Message: "there is no connection"}
	}
	if proxy != nil && proxy.Scheme != "http" && proxy.Scheme != "https" {
		unseen := Stage{Skipped: true, Message: "not looked at, because it goes through the " + proxy.Scheme + " proxy " + proxy.Host}
		return unseen, unseen
	}
	begin := time.Now()
	conn, message, err := c.open(ctx, base, proxy)
	network = Stage{Message: message, Err: err, Duration: time.Since(begin)}
	if err != nil {
		return network, Stage{Skipped: true, Message: "there is no connection"}
	}
	defer func() { _ = conn.Close() }()
	if base.Scheme != "https" {
		return network, Stage{Skipped: true, Message: "plain http, which is accepted on this machine's loopback only"}
	}
	begin = time.Now()
	message, err = c.handshake(ctx, conn, base)
	return network, Stage{Message: message, Err: err, Duration: time.Since(begin)}
}

// open connects to a host, through the proxy if there is one.
func (c *Client) open(ctx context.Context, base, proxy *url.URL) (net.Conn, string, error) {
	target := hostPort(base)
	address, through := target, ""
	if proxy != nil {
		address, through = hostPort(proxy), " through the proxy "+proxy.Host
	}
	conn, err := c.transport.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, "", probeError("connect", base, err)
	}
	if proxy != nil {
		if conn, err = c.tunnel(ctx, conn, proxy, target); err != nil {
			return nil, "", probeError("connect", base, err)
		}
		return conn, target + through, nil
	}
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	if host == "" || host == base.Hostname() {
		return conn, "port " + portOf(target) + " of " + base.Hostname() + " is open", nil
	}
	return conn, fmt.Sprintf("%s is %s, port %s is open", base.Hostname(), host, portOf(target)), nil
}

func hostPort(u *url.URL) string {
	_, address, _ := strings.Cut(origin(u), "://")
	return address
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// tunnel asks a proxy for a connection to target. It closes conn on failure.
func (c *Client) tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, target string) (_ net.Conn, err error) {
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
		defer func() { _ = conn.SetDeadline(time.Time{}) }()
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if proxy.Scheme == "https" {
		cfg := c.transport.TLSClientConfig.Clone()
		cfg.ServerName = proxy.Hostname()
		conn = tls.Client(conn, cfg)
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {"sluice"}}}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(user.Username(), password)
		req.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	if err := req.Write(conn); err != nil {
		return nil, &dialError{address: proxy.Host, err: err}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, &dialError{address: proxy.Host, err: err}
	}
	_ = resp.Body.Close()
	return conn, proxyRefusal(proxy, target, resp.StatusCode)
}

// handshake opens the TLS session and says which certificate the host showed.
func (c *Client) handshake(ctx context.Context, conn net.Conn, base *url.URL) (string, error) {
	cfg := c.transport.TLSClientConfig.Clone()
	cfg.ServerName = base.Hostname()
	session := tls.Client(conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	if err := session.HandshakeContext(ctx); err != nil {
		return "", probeError("open a TLS session", base, err)
	}
	state := session.ConnectionState()
	leaf := state.PeerCertificates[0]
	message := fmt.Sprintf("%s, the certificate was issued by %s and is valid until %s",
		tls.VersionName(state.Version), person(leaf.Issuer), leaf.NotAfter.UTC().Format(time.DateOnly))
	if cfg.InsecureSkipVerify {
		message += "; it was NOT verified, because disable_ssl_verification is on"
	}
	return message, nil
}

// probeError adds what was tried to the explanation.
func probeError(op string, base *url.URL, err error) error {
	e := transportError(op, base.Host, err)
	x := noAnswer("", &url.URL{Scheme: base.Scheme, Host: base.Host}, err)
	if chain, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		for _, cert := range chain.UnverifiedCertificates {
			x.Body += fmt.Sprintf("certificate for %s, issued by %s, valid %s to %s\n", namesOf(cert), person(cert.Issuer),
				cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	return e.WithCause(x)
}
