package m365

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// Config is what a Client is made from.
type Config struct {
	API         API        // error codes; ManagementActivity() and the like
	BaseURL     string     // scheme, host and port of the API, with a path prefix if it has one
	Audience    string     // token audience
	Credential  Credential // who we are
	PublisherID string     // GUID sent as PublisherIdentifier on every request; empty: not sent
	Transport   Transport
	Transports  *Transports   // shared; nil: the client's own
	Tokens      *Tokens       // shared; nil: the client's own
	Pacer       *Pacer        // of the tenant; nil: no pacing
	Clock       clock.Clock   // nil: the wall clock
	Logger      *slog.Logger  // nil: no log
	Timeout     time.Duration // waiting for the service per request, body included; 0: 120 s
}

// Client speaks to one API of one tenant. It is safe for concurrent use and starts no goroutine of its own; idle
// connections end by themselves after 90 seconds, or at once with CloseIdle.
type Client struct {
	api       API
	base      *url.URL
	publisher string
	http      *http.Client
	transport *http.Transport
	tokens    *tokenSource
	cred      Credential
	pacer     *Pacer
	clock     clock.Clock
	log       *slog.Logger
	timeout   time.Duration
	secrets   []string
	zips      sync.Pool // of *gzip.Reader

	skew atomic.Int64 // service time minus local time, in nanoseconds
}

// New checks cfg and makes a client. Nothing is sent.
func New(cfg Config) (*Client, error) {
	base, err := parseBase("connect", "the API's address", cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg.PublisherID != "" {
		if _, err := uuid.Parse(cfg.PublisherID); err != nil || len(cfg.PublisherID) != 36 {
			return nil, fault.New(fault.Config, "connect", "publisher_id is not a GUID").
				WithHint("give the tenant id of the company that runs this collector, or leave it empty")
		}
	}
	c := &Client{api: cfg.API, base: base, publisher: cfg.PublisherID, pacer: cfg.Pacer, clock: cfg.Clock, log: cfg.Logger, timeout: cfg.Timeout}
	if c.clock == nil {
		c.clock = clock.Real{}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.timeout <= 0 {
		c.timeout = requestTimeout
	}
	transports := cfg.Transports
	if transports == nil {
		transports = NewTransports()
	}
	if c.transport, err = transports.get("connect", cfg.Transport); err != nil {
		return nil, err
	}
	if cfg.Transport.InsecureSkipVerify {
		c.log.Warn("certificate verification is switched off: anybody on the path can read the credential", slog.String("host", base.Host))
	}
	c.http = &http.Client{Transport: c.transport, CheckRedirect: checkRedirect}
	tokens := cfg.Tokens
	if tokens == nil {
		tokens = NewTokens(c.clock, c.log)
	}
	if c.tokens, err = tokens.source(cfg.Credential, cfg.Audience, cfg.Transport, c.transport); err != nil {
		return nil, err
	}
	c.cred, c.secrets = cfg.Credential, cfg.Credential.secrets()
	return c, nil
}

// Request is one call of the API.
type Request struct {
	Op      string      // what is being done, for errors: "list Audit.General"
	Method  string      // GET when empty
	Target  string      // path below BaseURL beginning with "/", or an absolute URL of the same origin, sent verbatim
	Query   url.Values  // added to Target's own query
	Header  http.Header // added to the request
	Body    []byte      // nil: none
	MaxBody int64       // largest accepted answer after decoding; 0: no limit
	Quiet   bool        // does not wait for the pacer (connection tests)
}

// Response is a successful answer (2xx).
type Response struct {
	Status int
	Header http.Header
	URL    string        // where it came from, without the query
	Body   io.ReadCloser // decoded; errors of Read are *fault.Error; must be closed

	request *http.Request
	body    *body
	secrets []string
}

// Fault adds the request to a failure that was found while the body was read, so that it can be shown. Of the body only
// the beginning of a web page is kept, which a proxy or captive portal put in the place of data.
func (r *Response) Fault(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if _, known := errors.AsType[*Exchange](err); !ok || known || e.Kind == fault.Canceled {
		return err
	}
	return e.WithCause(newExchange(r.request.Method, r.request.URL, r.Status, r.body.page, e.Err, r.secrets...))
}

// Get sends a GET.
func (c *Client) Get(ctx context.Context, op, target string) (*Response, error) {
	return c.Do(ctx, Request{Op: op, Target: target})
}

// Post sends a POST; a nil body is sent with Content-Length: 0.
func (c *Client) Post(ctx context.Context, op, target string, body []byte) (*Response, error) {
	return c.Do(ctx, Request{Op: op, Method: http.MethodPost, Target: target, Body: body})
}

// Do sends a request and returns the answer when its status is 2xx, and otherwise a *fault.Error that carries kind,
// code, status, the wait that was asked for, and a hint. A token that is refused for the first time is renewed once.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	u, err := c.resolve(r)
	if err != nil {
		return nil, err
	}
	token, err := c.tokens.get(ctx)
	if err != nil {
		return nil, inOp(r.Op, err)
	}
	resp, failed, rule := c.send(ctx, r, u, token)
	if failed == nil {
		return resp, nil
	}
	if failed.Status != http.StatusUnauthorized && !rule.Renew {
		return nil, failed
	}
	renewed, err := c.tokens.renew(ctx, token)
	if err != nil {
		return nil, inOp(r.Op, err)
	}
	if renewed.value == token.value {
		return nil, failed
	}
	if resp, failed, _ = c.send(ctx, r, u, renewed); failed != nil {
		return nil, failed
	}
	return resp, nil
}

// inOp adds the operation to an error of a lower layer and keeps its class.
func inOp(op string, err error) error { return fault.Wrap("", op, err) }

// resolve makes the request's address and refuses any that the token must not go to.
func (c *Client) resolve(r Request) (*url.URL, error) {
	var u *url.URL
	var err error
	if strings.HasPrefix(r.Target, "/") && !strings.HasPrefix(r.Target, "//") {
		u, err = url.Parse(c.base.Scheme + "://" + c.base.Host + c.base.Path + r.Target)
	} else {
		u, err = url.Parse(r.Target)
	}
	if err != nil || u.Host == "" {
		return nil, fault.New(fault.Config, r.Op, "the service named an address that cannot be read")
	}
	if !sameOrigin(u, c.base) || u.User != nil {
		return nil, fault.Newf(fault.Config, r.Op, "the service named an address at %s://%s, but this connector may send its token to %s://%s only",
			u.Scheme, u.Host, c.base.Scheme, c.base.Host).
			WithHint("nothing was sent; if that host is right, set it as api_endpoint or choose the matching subscription_plan; otherwise a proxy or an attacker may have changed the answer: ask your network team")
	}
	u.Fragment = ""
	query := r.Query.Encode()
	if c.publisher != "" && !hasPublisher(u.RawQuery) {
		query = join(query, "PublisherIdentifier="+c.publisher)
	}
	u.RawQuery = join(u.RawQuery, query)
	return u, nil
}

// hasPublisher looks for the parameter in any letter case, without decoding the rest of a query that is sent verbatim.
func hasPublisher(query string) bool {
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if strings.EqualFold(name, "PublisherIdentifier") {
			return true
		}
	}
	return false
}

func join(a, b string) string {
	a = strings.Trim(a, "&")
	if a == "" || b == "" {
		return a + b
	}
	return a + "&" + b
}

// checkRedirect follows redirects of a GET within its origin only.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case !sameOrigin(req.URL, first.URL):
		return fault.Newf(fault.Config, "", "%s redirects to %s://%s, which may not have the token", first.URL.Host, req.URL.Scheme, req.URL.Host).
			WithHint("check the configured address; a captive portal or a proxy that wants a login answers like this: let Sluice through it without a login page; nothing was sent to the other host")
	case first.Method != http.MethodGet:
		return fault.Newf(fault.Config, "", "%s redirects a %s", first.URL.Host, first.Method)
	case len(via) >= 5:
		return fault.Newf(fault.Unavailable, "", "%s redirects in circles", first.URL.Host)
	}
	return nil
}

// send makes one attempt. Exactly one of the response and the error is nil.
func (c *Client) send(ctx context.Context, r Request, u *url.URL, token Token) (*Response, *fault.Error, Rule) {
	if c.pacer != nil && !r.Quiet && !urgent(ctx) && !paced(ctx) {
		if err := c.pacer.Wait(ctx); err != nil {
			return nil, asFault(r.Op, err), Rule{}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	b := &body{op: r.Op, host: u.Host, ctx: ctx, cancel: cancel, pool: &c.zips, left: -1, budget: newBudget(c.timeout, cancel)}
	if r.MaxBody > 0 {
		b.left = r.MaxBody
	}
	req, err := c.request(ctx, r, u, token)
	if err != nil {
		_ = b.Close()
		return nil, fault.New(fault.Internal, r.Op, "the request cannot be built"), Rule{}
	}
	sent := c.clock.Now()
	resp, err := c.http.Do(req) //nolint:bodyclose // b takes the body over, and whoever gets b closes it
	if err != nil {
		failed := c.sendError(ctx, r.Op, req, err)
		_ = b.Close()
		return nil, failed, Rule{}
	}
	c.observe(resp.Header, sent)
	if err := b.open(resp); err != nil {
		failed := asFault(r.Op, err)
		_ = b.Close()
		return nil, failed, Rule{}
	}
	b.budget.stop()
	c.log.DebugContext(ctx, "answer", slog.String("method", req.Method), slog.String("url", shown(u)), slog.Int("status", resp.StatusCode))
	if resp.StatusCode/100 == 2 {
		return &Response{
			Status: resp.StatusCode, Header: resp.Header, URL: shown(u), Body: b,
			request: req, body: b, secrets: append([]string{token.value}, c.secrets...),
		}, nil, Rule{}
	}
	failed, rule := c.refusal(r.Op, req, resp, b, token)
	_ = b.Close()
	return nil, failed, rule
}

// request builds the HTTP request. A nil Body gives Content-Length: 0 on a POST.
func (c *Client) request(ctx context.Context, r Request, u *url.URL, token Token) (*http.Request, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	var content io.Reader
	if r.Body != nil {
		content = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	if r.Body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if c.api.RequestIDHeader != "" {
		req.Header.Set(c.api.RequestIDHeader, uuid.NewString())
	}
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "sluice")
	req.Header.Set("Authorization", "Bearer "+token.value)
	return req, nil
}

// sendError classifies a request that brought no answer.
func (c *Client) sendError(ctx context.Context, op string, req *http.Request, err error) *fault.Error {
	host := req.URL.Host
	var e *fault.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		e = fault.Newf(fault.Unavailable, op, "no answer from %s within %v", host, c.timeout).WithHint("check network, firewall and proxy; " + again)
	case cause != nil:
		return asFault(op, cause)
	default:
		e = transportError(op, host, err)
	}
	return e.WithCause(noAnswer(req.Method, req.URL, err))
}

// refusal reads an error body and classifies it. Throttling is passed on to the tenant's pacer.
func (c *Client) refusal(op string, req *http.Request, resp *http.Response, b *body, token Token) (*fault.Error, Rule) {
	b.left = -1
	text, _ := io.ReadAll(io.LimitReader(b, maxErrorBody)) // a broken error body is classified by what came
	secrets := append([]string{token.value}, c.secrets...)
	failed, rule := c.api.classify(resp.StatusCode, text, secrets...)
	failed.Op, failed.Hint = op, c.cred.fill(failed.Hint)
	failed.Err = newExchange(req.Method, req.URL, resp.StatusCode, text, failed.Err, secrets...)
	failed.RetryAfter = RetryAfter(resp.Header, c.clock.Now())
	if failed.Kind == fault.Throttled && c.pacer != nil {
		c.pacer.Penalize(failed.RetryAfter)
	}
	return failed, rule
}

// observe learns the service's clock from an answer.
func (c *Client) observe(h http.Header, sent time.Time) {
	if skew, ok := skewOf(h, sent, c.clock.Now()); ok {
		c.skew.Store(int64(skew))
	}
}

// skewOf is service time minus local time by an answer's Date header, which has whole seconds.
func skewOf(h http.Header, sent, now time.Time) (time.Duration, bool) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	middle := sent.Add(now.Sub(sent) / 2)
	return date.Add(time.Second / 2).Sub(middle), true
}

// SignInSkew is the sign-in service's time minus local time by its last answer; ok is false when there was none.
func (c *Client) SignInSkew() (skew time.Duration, ok bool) {
	seen := c.tokens.authority.outcome()
	return seen.skew, seen.dated
}

// Skew is service time minus local time as last seen, correct to about a second; 0 before the first answer.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// Token returns the present access token's facts; fresh asks the sign-in service even when a token is cached, as a
// connection test must, because consent reaches new tokens only.
func (c *Client) Token(ctx context.Context, fresh bool) (Token, error) {
	if fresh {
		return c.tokens.fresh(ctx)
	}
	return c.tokens.get(ctx)
}

// Certificate returns the facts of the certificate that the client signs in with; ok is false with a client secret.
func (c *Client) Certificate() (info Certificate, ok bool) {
	if c.tokens.certificate == nil {
		return Certificate{}, false
	}
	return c.tokens.certificate.info, true
}

type pacedKey struct{}

// Pace waits for the pacer's turn of one request, and returns a context whose first request does not wait again.
func (c *Client) Pace(ctx context.Context) (context.Context, error) {
	if c.pacer == nil {
		return ctx, nil
	}
	if err := c.pacer.Wait(ctx); err != nil {
		return ctx, asFault("", err)
	}
	return context.WithValue(ctx, pacedKey{}, new(atomic.Bool)), nil
}

// paced reports whether the turn of this request has come already.
func paced(ctx context.Context) bool {
	used, ok := ctx.Value(pacedKey{}).(*atomic.Bool)
	return ok && used.CompareAndSwap(false, true)
}

type urgentKey struct{}

// Urgent returns a context whose requests do not queue behind the pacer: for the few requests of a connection test,
// while somebody waits.
func Urgent(ctx context.Context) context.Context { return context.WithValue(ctx, urgentKey{}, true) }

func urgent(ctx context.Context) bool { return ctx.Value(urgentKey{}) != nil }

// Pacer is the tenant's pacer; nil when the client is not paced.
func (c *Client) Pacer() *Pacer { return c.pacer }

// CloseIdle closes the connections that nobody uses, those of other clients with the same Transports and settings too.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// asFault gives err an operation and a class.
func asFault(op string, err error) *fault.Error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		if e.Op == "" || e.Op == op {
			c := *e
			c.Op = op
			return &c
		}
	}
	return &fault.Error{Op: op, Kind: fault.KindOf(err), Err: err}
}
