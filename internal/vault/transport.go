package vault

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"sluice/internal/fault"
)

// The time limits of a look into Azure Key Vault.
const (
	connectTimeout = 10 * time.Second
	answerTimeout  = 20 * time.Second
	lookTimeout    = 45 * time.Second // with retries and the sign-in
)

// maxAnswer bounds what is read of an answer; a secret has at most 25 KB.
const maxAnswer = 1 << 20

// newTransport makes the connections to Azure Key Vault, through the proxy of the environment if there is one.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: answerTimeout,
		DisableKeepAlives:     true, // a look every few minutes
	}
}

// guard carries the requests to one vault and refuses all others before they are sent.
type guard struct {
	host   string
	client *http.Client
}

func newGuard(host string, transport http.RoundTripper) *guard {
	return &guard{host: host, client: &http.Client{
		Transport:     transport,
		Timeout:       answerTimeout + 2*connectTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do implements azcore's policy.Transporter.
func (g *guard) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" || !strings.EqualFold(strings.TrimSuffix(req.URL.Host, ":443"), g.host) {
		return nil, &guardError{fault.Newf(fault.Config, "", "a request for %s://%s was not sent: only https://%s was asked for", req.URL.Scheme, req.URL.Host, g.host)}
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && !soundChallenge(resp.Header.Get("WWW-Authenticate")) {
		_ = resp.Body.Close()
		return nil, &guardError{fault.Newf(fault.Unavailable, "", "https://%s does not answer as a key vault does", g.host).
			WithHint("check the host of the reference, and whether a proxy answers in the place of the vault")}
	}
	resp.Body = limited{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// limited is a body of which only the beginning is read.
type limited struct {
	io.Reader
	io.Closer
}

// soundChallenge reports whether the key vault policy of the SDK can read a challenge. It takes the tenant from the
// fourth part of the address behind authorization= without looking whether there is one.
func soundChallenge(header string) bool {
	for part := range strings.FieldsSeq(header) {
		if address, found := strings.CutPrefix(strings.TrimPrefix(part, "Bearer "), "authorization="); found {
			u, err := url.Parse(strings.Trim(strings.TrimSuffix(address, ","), `"`))
			return err == nil && u.Scheme == "https" && u.Host != "" && len(strings.Split(u.Path, "/")) > 1
		}
	}
	return header != ""
}

// guardError is a refusal of this side. It tells azcore that trying again cannot help.
type guardError struct{ refusal *fault.Error }

// Error implements error.
func (e *guardError) Error() string { return e.refusal.Error() }

// NonRetriable implements azcore's marker.
func (*guardError) NonRetriable() {}

// Unwrap returns the classified error.
func (e *guardError) Unwrap() error { return e.refusal }

// vaultOnly is a credential that gets tokens for Key Vault only, whatever the challenge of a server asks for: a token
// for anything else would open more than a vault.
type vaultOnly struct{ azcore.TokenCredential }

// GetToken implements azcore.TokenCredential.
func (c vaultOnly) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	for _, scope := range o.Scopes {
		if !slices.ContainsFunc(vaultSuffixes(), func(s string) bool { return scope == "https://"+s+"/.default" }) {
			return azcore.AccessToken{}, &guardError{fault.New(fault.Config, "", fmt.Sprintf("the vault asks for a token for %q, which is not a token for Key Vault; it gets none", scope)).
				WithHint("the host of the reference is not a key vault, or something on the way changes its answers")}
		}
	}
	return c.TokenCredential.GetToken(ctx, o)
}
