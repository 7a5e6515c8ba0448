package m365

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// maxSignInBody bounds what is read of an answer of the sign-in service.
const maxSignInBody = 1 << 20

// authority carries azidentity's requests to one sign-in host. It exists for four reasons:
//
//   - Requests to any other host are refused before they are sent, since they carry the client secret. A discovery
//     document may name another of Microsoft's sign-in hosts when the configured one is Microsoft's too.
//   - It remembers the last answer, from which failures are explained: azidentity's own error text holds whole bodies,
//     an undecodable successful answer (and so a token) included.
//   - Redirects are refused.
//   - A simulator on loopback may speak plain http, which azidentity does not: it is shown https and converted here.
type authority struct {
	base   *url.URL
	client *http.Client
	clock  clock.Clock

	mu   sync.Mutex
	last exchange
}

// exchange is the outcome of the last request to the sign-in service.
type exchange struct {
	method string
	url    *url.URL
	status int
	header http.Header
	body   []byte
	err    error
	skew   time.Duration // service time minus local time
	dated  bool          // skew is known
}

func newAuthority(base *url.URL, rt http.RoundTripper, clk clock.Clock) *authority {
	return &authority{base: base, clock: clk, client: &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// host is what azidentity is told, always https.
func (a *authority) host() string { return "https://" + a.base.Host + "/" }

// reset forgets the last exchange.
func (a *authority) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = exchange{}
}

// outcome returns the last exchange.
func (a *authority) outcome() exchange {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// Do implements azcore's policy.Transporter.
func (a *authority) Do(req *http.Request) (*http.Response, error) {
	sent := a.clock.Now()
	resp, seen := a.do(req)
	seen.method, seen.url = req.Method, req.URL
	seen.skew, seen.dated = skewOf(seen.header, sent, a.clock.Now())
	a.mu.Lock()
	a.last = seen
	a.mu.Unlock()
	if seen.err != nil {
		return nil, seen.err
	}
	return resp, nil
}

func (a *authority) do(req *http.Request) (*http.Response, exchange) {
	if !a.allowed(req.URL) {
		return nil, exchange{err: fault.Newf(fault.Config, "sign in", "the sign-in service names another host, %s, which would receive the credential", req.URL.Host).
			WithHint("check authentication_endpoint, and unset AZURE_REGIONAL_AUTHORITY_NAME in Sluice's environment")}
	}
	if a.base.Scheme == "http" {
		req = req.Clone(req.Context())
		req.URL.Scheme = "http"
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, exchange{err: err}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSignInBody))
	_ = resp.Body.Close()
	if err != nil {
		return nil, exchange{err: err}
	}
	if a.base.Scheme == "http" && strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
		body = bytes.ReplaceAll(body, []byte("http://"+a.base.Host), []byte("https://"+a.base.Host))
	}
	seen := exchange{status: resp.StatusCode, header: resp.Header, body: body}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, seen
}

func (a *authority) allowed(u *url.URL) bool {
	if u.Scheme != "https" {
		return false
	}
	if strings.EqualFold(u.Host, a.base.Host) {
		return true
	}
	return isLoginHost(a.base.Host) && isLoginHost(u.Host)
}

// explain turns azidentity's error into ours, from what was seen on the wire. Its own text is not used.
func (a *authority) explain(ctx context.Context, cred Credential) *fault.Error {
	const op = "sign in"
	seen := a.outcome()
	var e *fault.Error
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != nil && fault.KindOf(context.Cause(ctx)) == fault.Canceled:
		return fault.New(fault.Canceled, op, "").WithCause(context.Canceled)
	case ctx.Err() != nil:
		e = fault.Newf(fault.Unavailable, op, "no answer from %s within %v", a.base.Host, tokenTimeout).
			WithHint("check network, firewall and proxy; " + again)
	case seen.err != nil:
		e = transportError(op, a.base.Host, seen.err)
	case seen.status == 0:
		return fault.New(fault.Config, op, "the sign-in settings are not acceptable").
			WithHint("check directory_id, application_id and the credential")
	case seen.status < 300:
		e = a.strange(op, seen, cred)
	default:
		e = signInError(op, seen.status, seen.body, cred.secrets()...)
		cred.explain(e, seen)
	}
	e.Hint = cred.fill(e.Hint)
	return e.WithCause(a.shown(seen, e.Err, cred))
}

// strange is a successful answer that azidentity cannot read. It may hold a token, so of its text only the title of a
// web page is shown.
func (a *authority) strange(op string, seen exchange, cred Credential) *fault.Error {
	e := fault.Newf(fault.Unavailable, op, "the answer of %s is not a sign-in answer", a.base.Host).WithStatus(seen.status)
	if isHTML(seen.body) {
		e.Err = &HTMLError{Title: oneLine(redact(pageText(seen.body), cred.secrets()...), maxErrorMessage)}
	}
	return e.WithHint("a captive portal or a proxy answers in the place of the sign-in service: open https://" + a.base.Host + "/ in a browser on this machine to see it; " +
		"allow this host in the proxy without a login page, and check authentication_endpoint; " + again)
}

// shown is the exchange behind a failure. A successful answer's body is left out, unless it is a web page.
func (a *authority) shown(seen exchange, cause error, cred Credential) *Exchange {
	if seen.url == nil {
		return noAnswer("", a.base, cause)
	}
	if seen.err != nil {
		return noAnswer(seen.method, seen.url, seen.err)
	}
	body := seen.body
	if seen.status < 300 && !isHTML(body) {
		body = []byte("(the body is not shown, because it may hold a token)")
	}
	return newExchange(seen.method, seen.url, seen.status, body, cause, cred.secrets()...)
}
