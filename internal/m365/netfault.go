package m365

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"sluice/internal/fault"
)

// dialError is a connection that could not be opened, and to whom.
type dialError struct {
	address string
	err     error
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Hints that several failures share.
const (
	again       = "Sluice tries again by itself"
	openPort    = "allow outgoing TCP connections to it in the firewall, or name your proxy in HTTPS_PROXY in the environment of Sluice; " + again
	inspectedBy = "an inspecting proxy or firewall (TLS interception) looks like this: ask your network team for its CA certificate, save it as a PEM file and set ca_file " +
		"to that file (if ca_file is set already, it holds another authority); if nobody knows that authority, somebody may be reading the connection: " +
		"do not switch verification off"
)

// transportError classifies a failure to get an answer at all. Its text never holds the request's URL, because a
// *url.Error prints the query.
func transportError(op, host string, err error) *fault.Error {
	err = unwrapURL(err)
	if ours, ok := errors.AsType[*fault.Error](err); ok {
		c := *ours
		if c.Op == "" {
			c.Op = op
		}
		return &c
	}
	if e := certificateError(host, err); e != nil {
		e.Op = op
		return e
	}
	e := networkError(host, err)
	e.Op = op
	return e
}

func unwrapURL(err error) error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err
}

// networkError explains what happened below TLS.
func networkError(host string, err error) *fault.Error {
	subject, configured, open := host, "the configured address", openPort
	var dialled *dialError
	opening := errors.As(err, &dialled)
	if opening && !sameHost(dialled.address, host) {
		subject, configured, open = "the proxy "+dialled.address, "the address in HTTPS_PROXY in the environment of Sluice", "ask the people who run the proxy; "+again
	}
	var (
		dns     *net.DNSError
		timeout net.Error
		record  tls.RecordHeaderError
		remote  *net.OpError
	)
	unavailable := func(message, hint string) *fault.Error {
		return fault.New(fault.Unavailable, "", message).WithHint(hint)
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return unavailable("the name "+dns.Name+" cannot be resolved: DNS does not know it",
			"check the spelling of "+configured+" and the DNS servers of this machine (nslookup "+dns.Name+"); "+again)
	case errors.As(err, &dns):
		return unavailable("the name "+dns.Name+" cannot be resolved: the DNS server does not answer properly",
			"check the DNS servers of this machine (nslookup "+dns.Name+") and that the firewall lets it reach them; "+again)
	case errors.Is(err, syscall.ECONNREFUSED):
		return unavailable(subject+" refuses the connection", "check host and port of "+configured+"; "+open)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return unavailable("there is no way to "+subject+" from this machine", "check the network connection and the routes of this machine; "+open)
	case errors.As(err, &timeout) && timeout.Timeout() && opening:
		return unavailable(subject+" does not answer: the connection was not opened in time", "a firewall that drops packets looks like this; "+open)
	case errors.As(err, &timeout) && timeout.Timeout():
		return unavailable("no answer from "+subject+" in time", "check network, firewall and proxy; "+again)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return fault.Newf(fault.Config, "", "%s does not speak TLS: it answers plain text on its https port", host).
			WithHint("check the configured address and its port; a captive portal or a proxy that is entered as the service's address looks like this too")
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fault.Newf(fault.Config, "", "%s refuses the TLS session: %s", host, oneLine(remote.Err.Error(), 80)).
			WithHint("Sluice needs TLS 1.2 or newer; Microsoft's hosts have it, so look for a proxy or firewall on the way")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return unavailable(subject+" closed the connection without an answer", "a firewall or proxy that does not allow this address looks like this; "+open)
	}
	return unavailable("no answer from "+subject+": "+oneLine(redact(err.Error()), maxErrorMessage), "check network, DNS, firewall and proxy; "+again)
}

func sameHost(address, host string) bool {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		name = address
	}
	want := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		want = h
	}
	return strings.EqualFold(name, strings.Trim(want, "[]"))
}

// certificateError explains a certificate that was not accepted: why, and which authority it would need. It is nil for
// other failures.
func certificateError(host string, err error) *fault.Error {
	var (
		chain     *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	failed := func(format string, args ...any) *fault.Error { return fault.Newf(fault.Config, "", format, args...) }
	switch {
	case errors.As(err, &name):
		return failed("the certificate that %s shows is for %s, not for %s", host, namesOf(name.Certificate), name.Host).
			WithHint("check the configured address; if it is right, a proxy or a captive portal answers in the place of the host: ask your network team")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expiredServer(host, invalid.Cert, time.Now())
	case errors.As(err, &invalid):
		return failed("the certificate of %s is not acceptable: %s", host, oneLine(invalid.Error(), 120)).WithHint(inspectedBy)
	case !errors.As(err, &authority):
		return nil
	}
	var certs []*x509.Certificate
	if errors.As(err, &chain) {
		certs = chain.UnverifiedCertificates
	} else if authority.Cert != nil {
		certs = []*x509.Certificate{authority.Cert}
	}
	if len(certs) == 0 {
		return failed("the certificate of %s is not trusted", host).WithHint(inspectedBy)
	}
	top := certs[len(certs)-1]
	switch {
	case len(certs) == 1 && string(top.RawIssuer) == string(top.RawSubject):
		return failed("the certificate of %s is self-signed (%s): nobody vouches for it", host, person(top.Subject)).
			WithHint("if the host is your own (a simulator, a private cloud), save its certificate as a PEM file and set ca_file to that file; Microsoft never does this: " + inspectedBy)
	case microsoftHost(host):
		return failed("the connection to %s is intercepted: its certificate was issued by %s, which is none of Microsoft's authorities and which this machine does not trust", host, person(top.Issuer)).
			WithHint(inspectedBy)
	}
	return failed("the certificate of %s is not trusted: it was issued by %s, which this machine does not trust", host, person(top.Issuer)).WithHint(inspectedBy)
}

// expiredServer tells a certificate that ended from one that has not begun.
func expiredServer(host string, cert *x509.Certificate, now time.Time) *fault.Error {
	if now.Before(cert.NotBefore) {
		return fault.Newf(fault.Config, "", "the certificate of %s begins to be valid on %s, which is in the future for this machine's clock",
			host, cert.NotBefore.UTC().Format(time.DateOnly)).
			WithHint("set the clock of this machine (timedatectl shows it on Linux) and switch on time synchronisation")
	}
	return fault.Newf(fault.Config, "", "the certificate of %s expired on %s (%s, issued by %s)",
		host, cert.NotAfter.UTC().Format(time.DateOnly), person(cert.Subject), person(cert.Issuer)).
		WithHint("compare this machine's date with a watch first; if it is right, the owner of that certificate must renew it: " +
			"your network team when the issuer is an inspecting proxy, otherwise the operator of the host")
}

// person is what people call the subject or issuer of a certificate.
func person(n pkix.Name) string {
	switch org := strings.Join(n.Organization, " "); {
	case n.CommonName != "" && org != "":
		return fmt.Sprintf("%q of %s", oneLine(n.CommonName, 80), oneLine(org, 60))
	case n.CommonName != "":
		return fmt.Sprintf("%q", oneLine(n.CommonName, 80))
	}
	return fmt.Sprintf("%q", oneLine(n.String(), 120))
}

// namesOf lists the hosts that a certificate is for.
func namesOf(c *x509.Certificate) string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{person(c.Subject)}
	}
	return oneLine(strings.Join(names, ", "), 120)
}

// microsoftHost reports whether host is one whose certificates only well-known authorities issue.
func microsoftHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if isLoginHost(host) {
		return true
	}
	for _, p := range Plans() {
		if strings.EqualFold("https://"+host, p.APIURL) {
			return true
		}
	}
	return false
}

// proxyRefusal explains a proxy's answer to CONNECT; nil when it agreed.
func proxyRefusal(proxy *url.URL, target string, status int) error {
	by := "the proxy " + proxy.Host
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusProxyAuthRequired:
		return fault.New(fault.Config, "", by+" asks for a login (HTTP 407)").WithStatus(status).
			WithHint("write user name and password into HTTPS_PROXY in the environment of Sluice, as http://user:password@" + proxy.Host + ", and restart Sluice")
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return fault.Newf(fault.Unavailable, "", "%s cannot reach %s (HTTP %d)", by, target, status).WithStatus(status).
			WithHint("ask the people who run the proxy; " + again)
	}
	return fault.Newf(fault.Config, "", "%s does not let Sluice connect to %s (HTTP %d)", by, target, status).WithStatus(status).
		WithHint("ask the people who run the proxy to allow " + target + ", without a login or with the one in HTTPS_PROXY")
}
