package m365

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/internal/fault"
)

// ProbeTCP resolves the API's host and opens a connection to it, or to the proxy that the environment names. detail
// says to what.
func (c *Client) ProbeTCP(ctx context.Context) (detail string, err error) {
	conn, detail, err := c.dial(ctx)
	if err != nil {
		return detail, err
	}
	return detail, conn.Close()
}

// ProbeTLS opens a TLS session with the API's host and says which certificate it showed. Behind a proxy and with plain
// http it does nothing and says so.
func (c *Client) ProbeTLS(ctx context.Context) (detail string, err error) {
	const op = "open a TLS session"
	proxy, err := c.proxy(ctx)
	if err != nil {
		return "", err
	}
	if c.base.Scheme != "https" || proxy != nil {
		return "not checked: plain http, or through a proxy", nil
	}
	conn, detail, err := c.dial(ctx)
	if err != nil {
		return detail, err
	}
	defer func() { _ = conn.Close() }()
	cfg := c.transport.TLSClientConfig.Clone()
	cfg.ServerName = c.base.Hostname()
	session := tls.Client(conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	if err := session.HandshakeContext(ctx); err != nil {
		return detail, transportError(op, c.base.Host, err)
	}
	state := session.ConnectionState()
	leaf := state.PeerCertificates[0]
	return fmt.Sprintf("%s, certificate of %s issued by %s, valid until %s", tls.VersionName(state.Version),
		oneLine(leaf.Subject.CommonName+" "+strings.Join(leaf.DNSNames, " "), 80), oneLine(leaf.Issuer.String(), 120), leaf.NotAfter.UTC().Format(time.DateOnly)), nil
}

func (c *Client) proxy(ctx context.Context) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String(), nil)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "find the proxy", err)
	}
	u, err := proxyFromEnvironment(req)
	return u, fault.Wrap(fault.Config, "find the proxy", err)
}

func (c *Client) dial(ctx context.Context) (net.Conn, string, error) {
	const op = "connect"
	target, through := c.base, ""
	proxy, err := c.proxy(ctx)
	if err != nil {
		return nil, "", err
	}
	if proxy != nil {
		target, through = proxy, " (the proxy of this environment)"
	}
	address := strings.TrimPrefix(strings.TrimPrefix(origin(target), "https://"), "http://")
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, address + through, transportError(op, target.Host, err)
	}
	return conn, fmt.Sprintf("%s at %s%s", address, conn.RemoteAddr(), through), nil
}
