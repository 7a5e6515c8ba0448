package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/source"
)

const (
	connectMost  = 10 * time.Second
	answerMost   = 30 * time.Second
	answerBytes  = 4 << 10
	formatJSON   = "json"
	formatText   = "text"
	userAgent    = "sluice"
	opWebhook    = "send webhook"
	checkAddress = "address"
	checkConnect = "connection"
	checkMessage = "message"
)

func webhookOptions() []option.Option {
	return []option.Option{
		{
			Name: "url", Secret: true, Required: true, Example: "${env:SLUICE_WEBHOOK_URL}",
			Help: "Address that messages are posted to: https, or http on loopback. It counts as a secret, because the addresses of chat systems carry their key.",
		},
		{Name: "format", Default: formatJSON, Choices: []string{formatJSON, formatText}, Help: "json sends all fields; text sends {\"text\": ...} as Slack, Mattermost and Google Chat take it."},
		{Name: "signing_secret", Secret: true, Example: "${env:SLUICE_WEBHOOK_SECRET}", Help: "Signs each request: the header X-Sluice-Signature carries an HMAC-SHA256 of time and body."},
		{Name: "authorization", Secret: true, Example: "${env:SLUICE_WEBHOOK_AUTH}", Help: "Value of the Authorization header, such as a bearer token with the word Bearer before it."},
		caOption(),
	}
}

func caOption() option.Option {
	return option.Option{Name: "ca_file", Type: option.File, Advanced: true, Help: "PEM file of further certificate authorities that are trusted for this target."}
}

// webhook posts messages.
type webhook struct {
	name     string
	env      Environment
	format   string
	url      option.Ref
	signing  option.Ref
	auth     option.Ref
	tls      *tls.Config
	client   *http.Client
	proxyFor func(*http.Request) (*url.URL, error)
}

func newWebhook(name string, v option.Values, env Environment) (*webhook, error) {
	tlsConfig, err := trust(v.String("ca_file"))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectMost}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   connectMost,
		ResponseHeaderTimeout: answerMost,
		ForceAttemptHTTP2:     true,
		DisableKeepAlives:     true, // messages are rare
	}
	w := &webhook{
		name: name, env: env, format: v.String("format"), url: v.Secret("url"), signing: v.Secret("signing_secret"), auth: v.Secret("authorization"),
		proxyFor: transport.Proxy, tls: tlsConfig.Clone(),
		client: &http.Client{
			Transport: transport, Timeout: answerMost + 2*connectMost,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if text := w.url.Text(); text != "" && !option.HasReference(text) && !strings.HasPrefix(text, "@") {
		if _, err := checkURL(text); err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
	}
	return w, nil
}

// checkURL reads the address. The error does not quote it.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("must be a URL such as https://host.example/path")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("must not carry a user name or password; use the option authorization")
	case u.Fragment != "":
		return nil, errors.New("must not carry a fragment")
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	default:
		return nil, errors.New("must begin with https:// (http:// only on loopback)")
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Name implements Target.
func (w *webhook) Name() string { return w.name }

// credentials are the secrets of one delivery.
type credentials struct {
	url           *url.URL
	signing, auth secret.Secret
}

func (w *webhook) credentials() (c credentials, err error) {
	address, err := w.env.resolve(w.url)
	if err != nil {
		return c, err
	}
	if c.url, err = checkURL(address.Reveal()); err != nil {
		return c, fault.New(fault.Config, opWebhook, "the option url "+err.Error())
	}
	if c.signing, err = w.env.resolve(w.signing); err != nil {
		return c, err
	}
	c.auth, err = w.env.resolve(w.auth)
	return c, err
}

// Deliver implements Target.
func (w *webhook) Deliver(ctx context.Context, m Message) error {
	c, err := w.credentials()
	if err != nil {
		return err
	}
	return w.post(ctx, c, m)
}

func (w *webhook) post(ctx context.Context, c credentials, m Message) error {
	body, err := w.body(m)
	if err != nil {
		return fault.Wrap(fault.Internal, opWebhook, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Config, opWebhook, "the address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set(HeaderID, m.ID)
	if !c.auth.Empty() {
		req.Header.Set("Authorization", c.auth.Reveal())
	}
	if !c.signing.Empty() {
		req.Header.Set(HeaderSignature, sign(c.signing, body, w.env.Clock.Now()))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return networkFault(opWebhook, c.url.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	return statusFault(resp, c.hide(string(answer)))
}

func (w *webhook) body(m Message) ([]byte, error) {
	if w.format == formatText {
		return json.Marshal(map[string]string{"text": m.Title + "\n" + m.Text})
	}
	return json.Marshal(m)
}

// hide takes the secrets of a request out of an answer that may repeat it, and shortens it.
func (c credentials) hide(answer string) string {
	hidden := []string{c.url.String(), c.url.RequestURI(), c.signing.Reveal(), c.auth.Reveal(), c.url.RawQuery, c.url.Path}
	if _, token, ok := strings.Cut(c.auth.Reveal(), " "); ok {
		hidden = append(hidden, token)
	}
	for _, values := range c.url.Query() {
		hidden = append(hidden, values...)
	}
	for _, h := range hidden {
		if len(h) > 1 {
			answer = strings.ReplaceAll(answer, h, secret.Redacted)
		}
	}
	if runes := []rune(clean(answer)); len(runes) > 200 {
		return string(runes[:200]) + "..."
	}
	return clean(answer)
}

// statusFault classifies an answer; nil for 2xx.
func statusFault(resp *http.Response, answer string) error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	kind, hint := fault.Config, "look at what the receiver expects; a message larger than it accepts, or another format, may be the cause"
	switch {
	case code >= 300 && code < 400:
		hint = "redirects are not followed: give the address that the receiver itself answers at"
	case code == http.StatusUnauthorized:
		kind, hint = fault.Auth, "check the option authorization or the key in the address"
	case code == http.StatusForbidden:
		kind, hint = fault.Permission, "check whether the receiver lets this key post here"
	case code == http.StatusNotFound || code == http.StatusGone:
		kind, hint = fault.NotFound, "check the address; the receiver may have removed this webhook"
	case code == http.StatusTooManyRequests:
		kind, hint = fault.Throttled, ""
	case code == http.StatusRequestTimeout || code >= 500:
		kind, hint = fault.Unavailable, ""
	}
	text := "the receiver answered " + strconv.Itoa(code) + " " + http.StatusText(code)
	if answer != "" {
		text += ": " + answer
	}
	return fault.New(kind, opWebhook, text).WithStatus(code).WithHint(hint).WithRetryAfter(retryAfterHeader(resp))
}

// retryAfterHeader reads Retry-After; what makes no sense counts as absent.
func retryAfterHeader(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil && seconds > 0 {
		return min(time.Duration(seconds)*time.Second, giveUp)
	}
	at, err := http.ParseTime(value)
	date, errDate := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || errDate != nil || !at.After(date) {
		return 0
	}
	return min(at.Sub(date), giveUp)
}

// Test implements Target.
func (w *webhook) Test(ctx context.Context) iter.Seq[source.Check] {
	return func(yield func(source.Check) bool) {
		begin := time.Now()
		c, err := w.credentials()
		if err != nil {
			_ = yield(source.Failure(checkAddress, err)) && skip(yield, checkAddress, checkConnect, checkMessage)
			return
		}
		if !yield(passed(checkAddress, c.url.Scheme+"://"+c.url.Host, begin)) {
			return
		}
		connection := w.connect(ctx, c.url)
		if !yield(connection) {
			return
		}
		if connection.Status == source.Failed {
			skip(yield, checkConnect, checkMessage)
			return
		}
		begin = time.Now()
		if err := w.post(ctx, c, w.env.trial(uuid.NewString(), w.name)); err != nil {
			yield(source.Failure(checkMessage, err))
			return
		}
		yield(passed(checkMessage, "the receiver accepted a test message", begin))
	}
}

// connect is the step of the test that opens a connection.
func (w *webhook) connect(ctx context.Context, u *url.URL) source.Check {
	if proxy, err := w.proxyFor(&http.Request{URL: u}); err != nil || proxy != nil {
		return source.Check{Name: checkConnect, Status: source.Skipped, Message: "goes through a proxy; the message will tell"}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	begin := time.Now()
	address := net.JoinHostPort(u.Hostname(), port)
	conn, err := dial(ctx, address, u.Scheme == "https", w.tls, u.Hostname())
	if err != nil {
		return source.Failure(checkConnect, networkFault("connect", u.Host, err))
	}
	_ = conn.Close()
	return passed(checkConnect, address+" answers", begin)
}

func passed(name, message string, begin time.Time) source.Check {
	return source.Check{Name: name, Status: source.Passed, Message: message, Duration: time.Since(begin)}
}

// skip yields steps that cannot be done because another one failed.
func skip(yield func(source.Check) bool, because string, names ...string) bool {
	for _, name := range names {
		if !yield(source.Check{Name: name, Status: source.Skipped, Message: because + " failed"}) {
			return false
		}
	}
	return true
}
