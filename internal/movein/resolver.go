package movein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/option"
)

// Resolver finds the directory id of a tenant.
type Resolver interface {
	// DirectoryID returns the id (a GUID in lower case) of the directory that domain belongs to. authority is the
	// sign-in address to ask, such as https://login.microsoftonline.com. The error is of kind fault.NotFound when there
	// is no such tenant, fault.Config for an address that is not asked, fault.Unavailable or fault.Malformed for what
	// goes wrong on the way.
	DirectoryID(ctx context.Context, authority, domain string) (string, error)
}

// lookupOp is what a Resolver was doing, in its errors.
const lookupOp = "look up the directory id"

// The limits of a lookup.
const (
	lookupTimeout = 15 * time.Second
	maxDiscovery  = 256 << 10
	maxRedirects  = 3
)

// OpenIDSettings are the settings of an OpenID resolver. The zero value is fit for use.
type OpenIDSettings struct {
	// Authority is asked instead of the one that a document names: a private cloud, a simulator. https, or http on
	// loopback.
	Authority string
	// Transport makes the requests. nil: a transport with the proxy of the environment and the system's authorities.
	Transport http.RoundTripper
	// Timeout bounds one lookup. 0: 15 seconds.
	Timeout time.Duration
}

// OpenID asks the sign-in service for the OpenID configuration of a domain, whose issuer carries the directory id
// (spec/entra-auth.md section 7.1 and 7.2). It sends the domain and nothing else: no credential is involved. Redirects
// are followed on the same host only, and no part of an answer is repeated in an error. It is safe for concurrent use.
type OpenID struct {
	authority string
	timeout   time.Duration
	client    *http.Client
}

// NewOpenID makes a resolver. It starts nothing and keeps no connections open.
func NewOpenID(s OpenIDSettings) *OpenID {
	transport := s.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:               proxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableKeepAlives:   true, // a lookup is rare
		}
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = lookupTimeout
	}
	return &OpenID{authority: s.Authority, timeout: timeout, client: &http.Client{Transport: transport, CheckRedirect: sameHost}}
}

// proxyFromEnvironment hides the proxy's address, which may hold a password, from errors.
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy address in the environment (HTTPS_PROXY, HTTP_PROXY) is not valid")
	}
	return u, nil
}

// sameHost allows few redirects, and none to another host or away from https.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fault.New(fault.Unavailable, "", "the sign-in service redirects too often")
	}
	first := via[0].URL
	if !strings.EqualFold(req.URL.Host, first.Host) || req.URL.Scheme != first.Scheme {
		return fault.New(fault.Config, "", "the sign-in service redirects to another host, which is not followed").
			WithHint("check the sign-in address and the proxy")
	}
	return nil
}

// DirectoryID implements Resolver.
func (r *OpenID) DirectoryID(ctx context.Context, authority, domain string) (string, error) {
	const op = lookupOp
	if r.authority != "" {
		authority = r.authority
	}
	base, err := signInBase(authority)
	if err != nil {
		return "", fault.New(fault.Config, op, err.Error())
	}
	if !isDomain(domain) {
		return "", fault.New(fault.Config, op, "not a domain name")
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	address := base.JoinPath(domain, "v2.0/.well-known/openid-configuration").String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fault.New(fault.Config, op, "the sign-in address is not valid")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return "", lookupFailure(op, base.Host, err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDiscovery+1))
	switch {
	case err != nil:
		return "", lookupFailure(op, base.Host, err)
	case len(body) > maxDiscovery:
		return "", fault.Newf(fault.Malformed, op, "the answer of %s is larger than Sluice accepts", base.Host)
	case resp.StatusCode != http.StatusOK:
		return "", refusal(op, base.Host, resp.StatusCode, body)
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return "", fault.Newf(fault.Malformed, op, "the answer of %s is not an OpenID configuration", base.Host).
			WithHint("check the sign-in address; a proxy may answer in its place")
	}
	id, err := issuerDirectory(document.Issuer, base.Host)
	if err != nil {
		return "", fault.New(fault.Malformed, op, err.Error())
	}
	return id, nil
}

// signInBase checks a sign-in address by the rules of option authentication_endpoint.
func signInBase(authority string) (*url.URL, error) {
	if _, err := (option.Option{Type: option.URL}).Decode(authority); err != nil {
		return nil, fmt.Errorf("the sign-in address %w", err)
	}
	u, err := url.Parse(authority)
	if err != nil || u.Host == "" {
		return nil, errors.New("there is no sign-in address")
	}
	return u, nil
}

// loginHosts are the sign-in hosts of Microsoft's clouds, which name each other as issuers (spec/entra-auth.md
// section 2).
func loginHosts() []string {
	return []string{
		"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net",
		"login.microsoftonline.us", "login.partner.microsoftonline.cn", "sts.chinacloudapi.cn", "login.chinacloudapi.cn",
		"login.microsoftonline.de",
		"login.sovcloud-identity.fr", "login.sovcloud-identity.de", "login.sovcloud-identity.sg",
	}
}

// issuerDirectory takes the directory id out of https://host/{id}/v2.0, of the host that was asked or one of Microsoft's.
func issuerDirectory(issuer, asked string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return "", errors.New("the OpenID configuration names no issuer")
	}
	if !strings.EqualFold(u.Host, asked) && !slices.Contains(loginHosts(), strings.ToLower(u.Host)) {
		return "", errors.New("the OpenID configuration names an issuer on a foreign host")
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !option.IsGUID(id) || strings.Trim(id, "0-") == "" {
		return "", errors.New("the issuer in the OpenID configuration carries no directory id")
	}
	return strings.ToLower(id), nil
}

// lookupFailure classifies a failure to get an answer. Its text does not hold the address.
func lookupFailure(op, host string, err error) error {
	if ours, ok := errors.AsType[*fault.Error](err); ok {
		c := *ours
		c.Op = op
		return &c
	}
	if errors.Is(err, context.Canceled) {
		return fault.New(fault.Canceled, op, "").WithCause(context.Canceled)
	}
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fault.New(fault.Unavailable, op, "no answer from "+host).WithCause(err).
		WithHint("check network, DNS, firewall and proxy of the server")
}

// refusal explains an answer that is an error (spec/entra-auth.md section 5). Only numbers are taken out of it.
func refusal(op, host string, status int, body []byte) error {
	var answer struct {
		Codes []int `json:"error_codes"`
	}
	_ = json.Unmarshal(body, &answer) // an answer that is no JSON has no codes
	unknown := slices.ContainsFunc(answer.Codes, func(code int) bool { return code == 90002 || code == 900023 })
	switch {
	case unknown:
		return fault.Newf(fault.NotFound, op, "%s knows no tenant with this domain", host).WithStatus(status).
			WithHint("check the domain and the cloud that the tenant is in")
	case status == http.StatusTooManyRequests:
		return fault.Newf(fault.Throttled, op, "%s asks to slow down", host).WithStatus(status)
	case status >= http.StatusInternalServerError:
		return fault.Newf(fault.Unavailable, op, "%s answers with status %d", host, status).WithStatus(status)
	case len(answer.Codes) > 0:
		return fault.Newf(fault.NotFound, op, "%s refuses with AADSTS%d", host, answer.Codes[0]).WithStatus(status)
	}
	return fault.Newf(fault.NotFound, op, "%s answers with status %d", host, status).WithStatus(status)
}
