package consent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/secret"
)

// MicrosoftSignIn is the SignIn over the network. Its fields may be left empty, except Resolve.
type MicrosoftSignIn struct {
	Resolve func(ref string) (secret.Secret, error) // looks up a secret: config.ResolveSecret
	Clock   clock.Clock                             // nil: the wall clock
	Log     *slog.Logger                            // nil: no log
}

var _ SignIn = MicrosoftSignIn{}

// redeemTimeout bounds the exchange of a code.
const redeemTimeout = 30 * time.Second

// AppToken implements SignIn with a client of its own, so that no token is cached.
func (s MicrosoftSignIn) AppToken(ctx context.Context, a Application, tenant string) (Claims, error) {
	key, err := s.secret(keySecret, a.Secret.Text())
	if err != nil {
		return Claims{}, err
	}
	password, err := s.secret(keyCertificatePass, a.CertificatePass.Text())
	if err != nil {
		return Claims{}, err
	}
	client, err := m365.New(m365.Config{
		API: m365.ManagementActivity(), BaseURL: planOf(a.Plan).APIURL, Audience: a.Audience,
		Credential: m365.Credential{
			LoginURL: a.LoginURL, TenantID: tenant, ClientID: a.ApplicationID,
			Secret: key, CertificateFile: a.CertificateFile, CertificatePassword: password,
		},
		Transport: m365.Transport{CAFile: a.CAFile}, Clock: s.Clock, Logger: s.Log,
	})
	if err != nil {
		return Claims{}, err
	}
	defer client.CloseIdle()
	token, err := client.Token(ctx, true)
	if err != nil {
		return Claims{}, err
	}
	c := token.Claims
	return Claims{Decoded: c.Decoded, TenantID: c.TenantID, ApplicationID: c.AppID, Roles: c.Roles}, nil
}

// Redeem implements SignIn (spec/entra-auth.md section 6, form 1). The token comes straight from the sign-in service over
// TLS, so its tid may be believed; it is used for nothing else.
func (s MicrosoftSignIn) Redeem(ctx context.Context, a Application, authority, code string) (Claims, error) {
	const op = "exchange the code"
	key, err := s.secret(keySecret, a.Secret.Text())
	if err != nil {
		return Claims{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, redeemTimeout)
	defer cancel()
	form := url.Values{
		"grant_type": {"authorization_code"}, "resource": {a.Audience}, "client_id": {a.ApplicationID},
		"client_secret": {key.Reveal()}, "redirect_uri": {a.RedirectURI}, "code": {code},
	}
	target := strings.TrimRight(a.LoginURL, "/") + "/" + url.PathEscape(authority) + "/oauth2/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return Claims{}, fault.New(fault.Config, op, "authentication_endpoint is not usable").WithHint("correct it")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	transport, err := transportOf(op, a.CAFile)
	if err != nil {
		return Claims{}, err
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return Claims{}, fault.Newf(fault.Unavailable, op, "no answer from %s", req.URL.Host).
			WithHint("check network, firewall and proxy; then make a new link")
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Claims{}, fault.Newf(fault.Unavailable, op, "the answer of %s broke off", req.URL.Host).WithHint("make a new link")
	}
	return redeemed(op, a, resp.StatusCode, body)
}

// redeemed reads the answer to a code. Its text is never quoted when it may hold a token.
func redeemed(op string, a Application, status int, body []byte) (Claims, error) {
	var answer struct {
		Token       string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	err := json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != "":
		e := explainAnswer(a, answer.Error, answer.Description)
		return Claims{}, fault.New(e.Kind, op, e.Message).WithHint(e.Hint).WithCode(e.Code).WithStatus(status)
	case err != nil || status != http.StatusOK || answer.Token == "":
		return Claims{}, fault.Newf(fault.Unavailable, op, "the sign-in service answers HTTP %d, and not with a token", status).
			WithHint("check authentication_endpoint, and whether a proxy answers in the place of Microsoft; then make a new link").WithStatus(status)
	}
	var m jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(answer.Token, &m); err != nil && len(m) == 0 {
		return Claims{}, nil
	}
	text := func(name string) string { s, _ := m[name].(string); return s }
	return Claims{Decoded: true, TenantID: text("tid"), ApplicationID: text("appid")}, nil
}

func (s MicrosoftSignIn) secret(name, ref string) (secret.Secret, error) {
	if ref == "" {
		return secret.Secret{}, nil
	}
	value, err := s.Resolve(ref)
	return value, fault.Wrap("", name, err)
}

func transportOf(op, caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives:   true,
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fault.Newf(fault.Config, op, "ca_file cannot be read: %v", err).WithHint("check the path of ca_file")
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.Newf(fault.Config, op, "ca_file %s holds no PEM certificate", caFile).WithHint("give a text file with -----BEGIN CERTIFICATE----- blocks")
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}
