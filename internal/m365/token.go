package m365

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

// Credential is what an application proves itself with. Exactly one of Secret, CertificateFile and Identity is set.
type Credential struct {
	LoginURL            string // sign-in host, https://login.microsoftonline.com
	TenantID            string // directory (tenant) id or a verified domain
	ClientID            string // application (client) id
	Secret              secret.Secret
	CertificateFile     string // PEM or PFX
	CertificatePassword secret.Secret
	Identity            Identity // WorkloadIdentity or ManagedIdentity: the machine's own, no secret at all
	ManagedIdentityID   string   // see ManagedIdentity
	Refused             func()   // called after each sign-in that was refused, must not block; nil: nobody is told
}

// Token is an access token and what is known about it.
type Token struct {
	Claims  Claims
	Expires time.Time // by the Clock of the Tokens it came from

	value string
}

// The timing of tokens.
const (
	tokenMargin   = 5 * time.Minute // a token is renewed this long before it expires, or a quarter of its life if that is less
	renewInterval = time.Minute     // a refused token is replaced at most this often
	failureHold   = time.Second     // a failed sign-in answers everybody who asks this soon after it
)

// Tokens holds one credential per tenant, application, key and audience, so that all connectors that share these also
// share their access token and ask for it one at a time. It is safe for concurrent use.
type Tokens struct {
	clock clock.Clock
	log   *slog.Logger

	mu      sync.Mutex
	sources map[tokenKey]*tokenSource
}

// tokenKey is what makes two connectors' credentials the same.
type tokenKey struct {
	login, tenant, client, audience string
	transport                       Transport
	authorities, material           [sha256.Size]byte // content of the CA file; secret, certificate or identity
}

// NewTokens returns an empty set. log may be nil.
func NewTokens(clk clock.Clock, log *slog.Logger) *Tokens {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Tokens{clock: clk, log: log, sources: map[tokenKey]*tokenSource{}}
}

// source finds or makes the credential. It checks the settings but asks nobody.
func (t *Tokens) source(cred Credential, audience string, tr Transport, rt http.RoundTripper) (*tokenSource, error) {
	const op = "sign in"
	base, err := parseBase(op, "authentication_endpoint", cred.LoginURL)
	if err != nil {
		return nil, err
	}
	s := &tokenSource{
		clock: t.clock, cred: cred, scope: audience + "/.default", authority: newAuthority(base, rt, t.clock),
		log: t.log.With(slog.String("component", "m365"), slog.String("directory_id", cred.TenantID)),
	}
	key := tokenKey{login: strings.ToLower(base.Host), tenant: strings.ToLower(cred.TenantID), client: strings.ToLower(cred.ClientID), audience: audience, transport: tr}
	if tr.CAFile != "" { // who starts over because it changed signs in with what it says now
		pem, err := os.ReadFile(tr.CAFile)
		if err != nil {
			return nil, fault.New(fault.Config, op, "ca_file cannot be read").WithCause(err)
		}
		key.authorities = sha256.Sum256(pem)
	}
	switch {
	case cred.Identity != "":
		if err := cred.checkIdentity(op); err != nil {
			return nil, err
		}
		key.material = sha256.Sum256([]byte(string(cred.Identity) + "\x00" + cred.ManagedIdentityID))
	case cred.TenantID == "" || cred.ClientID == "":
		return nil, fault.New(fault.Config, op, "directory_id and application_id are both needed").WithHint(overview)
	case cred.CertificateFile != "" && !cred.Secret.Empty():
		return nil, fault.New(fault.Config, op, "give api_access_key or certificate_file, not both").
			WithHint("remove one of the two; a certificate is the safer choice")
	case cred.CertificateFile != "":
		if s.certificate, err = loadCertificate(op, cred.CertificateFile, cred.CertificatePassword, t.clock.Now()); err != nil {
			return nil, err
		}
		key.material = s.certificate.hash
	case !cred.Secret.Empty():
		key.material = sha256.Sum256([]byte(cred.Secret.Reveal()))
	default:
		return nil, fault.New(fault.Config, op, "a credential is needed: api_access_key or certificate_file").
			WithHint(cred.fill(newSecret))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.sources[key]; known != nil {
		return known, nil
	}
	if _, err := s.newCredential(); err != nil {
		return nil, err
	}
	t.sources[key] = s
	return s, nil
}

// tokenSource is one credential with its present token. At most one request to the sign-in service is under way; all
// who ask meanwhile share its outcome.
type tokenSource struct {
	clock       clock.Clock
	log         *slog.Logger
	cred        Credential
	certificate *certificate // nil with a secret
	scope       string
	authority   *authority

	azure azcore.TokenCredential // used by the flight only

	mu       sync.Mutex
	token    Token     // zero before the first
	obtained time.Time // when token came
	usable   time.Time // until when token is handed out
	renewed  time.Time // last replacement of a refused token
	failure  *fault.Error
	failed   time.Time // when failure came
	holds    time.Time // until when failure answers
	flight   *flight   // nil when nobody asks
}

// flight is a request under way. Its fields are written before done is closed.
type flight struct {
	done  chan struct{}
	token Token
	err   *fault.Error
}

// get returns a usable token.
func (s *tokenSource) get(ctx context.Context) (Token, error) { return s.obtain(ctx, "", false) }

// renew returns a token other than refused: one that somebody else obtained meanwhile, or a new one, but refused itself
// when it was replaced less than renewInterval ago, since then the token is not the problem.
func (s *tokenSource) renew(ctx context.Context, refused Token) (Token, error) {
	s.mu.Lock()
	recent := within(s.clock.Now(), s.renewed, s.renewed.Add(renewInterval))
	same := s.token.value == refused.value
	s.mu.Unlock()
	if same && recent {
		return refused, nil
	}
	token, err := s.obtain(ctx, refused.value, false)
	if err == nil && same {
		s.mu.Lock()
		s.renewed = s.clock.Now()
		s.mu.Unlock()
	}
	return token, err
}

// fresh asks the sign-in service whatever is cached: consent reaches new tokens only.
func (s *tokenSource) fresh(ctx context.Context) (Token, error) { return s.obtain(ctx, "", true) }

// obtain returns the cached token unless it is refused or force is set, and otherwise joins or starts a flight.
func (s *tokenSource) obtain(ctx context.Context, refused string, force bool) (Token, error) {
	for {
		s.mu.Lock()
		now := s.clock.Now()
		if !force && s.token.value != "" && s.token.value != refused && within(now, s.obtained, s.usable) {
			defer s.mu.Unlock()
			return s.token, nil
		}
		if !force && s.failure != nil && within(now, s.failed, s.holds) {
			defer s.mu.Unlock()
			return Token{}, s.held(now)
		}
		f, leader := s.flight, false
		if f == nil {
			f, leader = &flight{done: make(chan struct{})}, true
			s.flight = f
		}
		old := s.token.value
		s.mu.Unlock()
		if leader {
			s.fly(ctx, f, old)
		}
		select {
		case <-ctx.Done():
			return Token{}, fault.Wrap("", "sign in", ctx.Err())
		case <-f.done:
		}
		switch {
		case f.err == nil:
			return f.token, nil
		case f.err.Kind == fault.Canceled && !leader:
			continue // the leader gave up, not the service
		}
		return Token{}, f.err
	}
}

// within reports whether now lies in [from, until). A now before from means that the clock was set back, for what began then
// as good as over: nobody knows how much of it is left.
func within(now, from, until time.Time) bool { return !now.Before(from) && now.Before(until) }

// held is the remembered failure, with what remains of its wait. s.mu is held.
func (s *tokenSource) held(now time.Time) error {
	if s.failure.RetryAfter > 0 {
		return s.failure.WithRetryAfter(s.holds.Sub(now))
	}
	return s.failure
}

// fly asks the sign-in service, publishes the outcome and ends the flight.
func (s *tokenSource) fly(ctx context.Context, f *flight, old string) {
	f.token, f.err = s.ask(ctx, old)
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	s.flight = nil
	if f.err != nil {
		if f.err.Kind != fault.Canceled {
			s.failure, s.failed, s.holds = f.err, now, now.Add(max(failureHold, f.err.RetryAfter))
		}
		return
	}
	life := f.token.Expires.Sub(now)
	s.token, s.obtained, s.failure = f.token, now, nil
	s.usable = f.token.Expires.Add(-min(tokenMargin, life/4))
}

// ask gets a token other than old. azidentity's cache cannot be emptied, so when it answers with old again, its
// credential is replaced.
func (s *tokenSource) ask(ctx context.Context, old string) (Token, *fault.Error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	s.authority.reset()
	token, err := s.request(ctx)
	if err == nil && token.Token == old {
		s.azure = nil
		token, err = s.request(ctx)
	}
	if err != nil {
		var e *fault.Error
		if s.isLocal(ctx) {
			e = s.identityError(err)
		} else {
			e = s.authority.explain(ctx, s.cred)
		}
		if e.Kind == fault.Auth && s.cred.Refused != nil {
			s.cred.Refused()
		}
		e.RetryAfter = RetryAfter(s.authority.outcome().header, s.clock.Now())
		s.azure = nil // the next try begins with the discovery document again
		return Token{}, e
	}
	// Life counts from now by our clock: azidentity has computed the expiry by the wall clock.
	expires := s.clock.Now().Add(time.Until(token.ExpiresOn))
	t := Token{value: token.Token, Claims: decodeClaims(token.Token), Expires: expires}
	s.log.DebugContext(ctx, "signed in", slog.String("audience", t.Claims.Audience), slog.Any("roles", t.Claims.Roles), slog.Time("expires", expires))
	return t, nil
}

func (s *tokenSource) request(ctx context.Context) (azcore.AccessToken, error) {
	if s.azure == nil {
		azure, err := s.newCredential()
		if err != nil {
			return azcore.AccessToken{}, err
		}
		s.azure = azure
	}
	return s.azure.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.scope}})
}

// newCredential makes azidentity's credential. It does not retry: when to try again is the collector's decision.
func (s *tokenSource) newCredential() (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: s.authority.host()},
		Transport: s.authority,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"},
	}
	noDiscovery := !isLoginHost(s.authority.base.Hostname())
	var (
		azure azcore.TokenCredential
		err   error
	)
	if s.cred.Identity != "" {
		azure, err = s.identityCredential(options, noDiscovery)
	} else if s.certificate != nil {
		azure, err = azidentity.NewClientCertificateCredential(s.cred.TenantID, s.cred.ClientID, s.certificate.chain, s.certificate.key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery, SendCertificateChain: true})
	} else {
		azure, err = azidentity.NewClientSecretCredential(s.cred.TenantID, s.cred.ClientID, s.cred.Secret.Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
	}
	if err != nil {
		return nil, fault.New(fault.Config, "sign in", fmt.Sprintf("the sign-in settings are not acceptable: %s",
			oneLine(redact(err.Error(), s.cred.Secret.Reveal()), maxErrorMessage))).
			WithHint("check directory_id, application_id and the credential")
	}
	return azure, nil
}
