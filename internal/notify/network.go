package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"sluice/internal/fault"
)

// trust is the TLS configuration with further authorities.
func trust(caFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", caFile)
	}
	cfg.RootCAs = pool
	return cfg, nil
}

// dial opens a connection, with TLS from the start if asked for.
func dial(ctx context.Context, address string, secure bool, cfg *tls.Config, serverName string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectMost)
	defer cancel()
	d := &net.Dialer{Timeout: connectMost}
	if !secure {
		return d.DialContext(ctx, "tcp", address)
	}
	cfg = cfg.Clone()
	cfg.ServerName = serverName
	return (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(ctx, "tcp", address)
}

// networkFault classifies a failure on the way. The text of an url.Error has the whole address, which may be a secret.
func networkFault(op, host string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	certificate := errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError))
	if certificate {
		return fault.New(fault.Config, op, "the certificate of "+host+" is not trusted").WithCause(err).
			WithHint("give its authority in ca_file, or correct the host name")
	}
	return fault.New(fault.Unavailable, op, host+" cannot be reached").WithCause(err).WithHint("check the name, the port, the proxy and the firewall")
}
