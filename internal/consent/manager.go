package consent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/source"
)

// Lifetime is how long a state is valid.
const Lifetime = 10 * time.Minute

// remembered is how long an ended state is kept, so that a late answer is told why it is refused.
const remembered = 24 * time.Hour

// maxPending bounds the states that are kept at a time.
const maxPending = 2000

// The keys of the store.
const (
	prefix            = "consent/"
	statePrefix       = prefix + "state/"
	tenantPrefix      = prefix + "tenant/"
	applicationPrefix = prefix + "application/"
)

// Store keeps small values by key. Package state implements it.
type Store interface {
	PutValue(ctx context.Context, key string, value []byte) error
	Values(ctx context.Context, prefix string) (map[string][]byte, error)
	DeleteValue(ctx context.Context, key string) error
}

// SignIn asks Microsoft's sign-in service. MicrosoftSignIn is the real one.
type SignIn interface {
	// AppToken obtains a new token for the application alone from a tenant (id or domain) and tells what is in it.
	// Nothing cached may answer: a consent reaches new tokens only.
	AppToken(ctx context.Context, a Application, tenant string) (Claims, error)
	// Redeem exchanges the code of the authorize form. authority is the tenant part of the address at which the code
	// was issued.
	Redeem(ctx context.Context, a Application, authority, code string) (Claims, error)
}

// Claims is what a token tells. Decoded is false when the token is opaque; the rest is empty then.
type Claims struct {
	Decoded       bool
	TenantID      string
	ApplicationID string
	Roles         []string
}

// Options are what New needs. Store and SignIn must be given.
type Options struct {
	Store      Store
	SignIn     SignIn
	Sealer     Sealer                                     // of literal secrets; nil: Put refuses them
	Connectors func(context.Context) ([]Connector, error) // that exist; nil: none
	Drivers    []source.Properties                        // connector types that templates can name
	Clock      clock.Clock                                // nil: the wall clock
	Log        *slog.Logger                               // nil: no log
	Random     io.Reader                                  // nil: crypto/rand
}

// Manager keeps applications, pending consents and tenants.
type Manager struct {
	store      Store
	signIn     SignIn
	sealer     Sealer
	connectors func(context.Context) ([]Connector, error)
	drivers    []source.Properties
	clock      clock.Clock
	log        *slog.Logger
	random     io.Reader

	mu       sync.Mutex    // guards declared, and every read-then-write of the store
	declared []Application // of sluice.yaml
}

// New returns a manager without applications of a file, see Declare.
func New(o Options) (*Manager, error) {
	if o.Store == nil || o.SignIn == nil {
		return nil, fault.New(fault.Internal, "consent", "Store and SignIn are needed")
	}
	m := &Manager{store: o.Store, signIn: o.SignIn, sealer: o.Sealer, connectors: o.Connectors, drivers: o.Drivers, clock: o.Clock, log: o.Log, random: o.Random}
	if m.connectors == nil {
		m.connectors = func(context.Context) ([]Connector, error) { return nil, nil }
	}
	if m.clock == nil {
		m.clock = clock.Real{}
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.random == nil {
		m.random = rand.Reader
	}
	return m, nil
}

// pending is a state that was given out.
type pending struct {
	Application string    `json:"application"`
	Form        Form      `json:"form"`
	Tenant      string    `json:"tenant,omitempty"` // hint
	Label       string    `json:"label,omitempty"`
	RedirectURI string    `json:"redirect_uri"`
	Expires     time.Time `json:"expires"`
	Used        bool      `json:"used,omitempty"`
}

// Begin makes a consent URL. An unknown application is fault.NotFound, a request that makes no sense fault.Config, too many
// open links are fault.Throttled.
func (m *Manager) Begin(ctx context.Context, r Request) (Begun, error) {
	a, err := m.application(ctx, r.Application)
	if err != nil {
		return Begun{}, err
	}
	p, err := checkRequest(a, r)
	if err != nil {
		return Begun{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.sweep(ctx); err != nil {
		return Begun{}, err
	}
	random := make([]byte, 32)
	if _, err := io.ReadFull(m.random, random); err != nil {
		return Begun{}, fault.Wrap(fault.Internal, "make a consent link", err)
	}
	state := base64.RawURLEncoding.EncodeToString(random)
	p.Expires = m.clock.Now().Add(Lifetime)
	if err := m.put(ctx, stateKey(state), p); err != nil {
		return Begun{}, err
	}
	return Begun{
		URL: consentURL(a, p, state), Expires: p.Expires, Application: a.Name, Form: p.Form, Label: p.Label,
		RedirectURI: p.RedirectURI, State: state,
	}, nil
}

// checkRequest makes the pending consent of a request, without its end.
func checkRequest(a Application, r Request) (pending, error) {
	const op = "make a consent link"
	p := pending{Application: a.Name, Form: r.Form, RedirectURI: a.RedirectURI}
	if p.Form == "" {
		p.Form = AdminConsent
	}
	var err error
	if p.Tenant, err = checkTenant(op, r.Tenant); err != nil {
		return p, err
	}
	if p.Label, err = checkLabel(op, r.Label); err != nil {
		return p, err
	}
	switch p.Form {
	case AdminConsent, AdminConsentV1:
		return p, nil
	case Code:
		if a.Secret.Empty() {
			return p, fault.Newf(fault.Config, op, "application %s signs in with a certificate, but the code form needs a client secret", a.Name).
				WithHint("use the form admin_consent, which works with a certificate")
		}
		return p, nil
	}
	return p, fault.Newf(fault.Config, op, "%q is not a form of consent", r.Form).WithHint("use admin_consent, admin_consent_v1 or code")
}

// authority is the tenant part of a sign-in address (spec/entra-auth.md section 6).
func (p pending) authority() string {
	switch {
	case p.Tenant != "":
		return p.Tenant
	case p.Form == AdminConsent:
		return "organizations"
	}
	return "common"
}

// consentURL is where the administrator goes.
func consentURL(a Application, p pending, state string) string {
	q := url.Values{"client_id": {a.ApplicationID}, "redirect_uri": {p.RedirectURI}, "state": {state}}
	path := "/adminconsent"
	switch p.Form {
	case AdminConsent:
		path = "/v2.0/adminconsent"
		q.Set("scope", strings.TrimRight(a.Audience, "/")+"/.default")
	case Code:
		path = "/oauth2/authorize"
		q.Set("response_type", "code")
		q.Set("response_mode", "query")
		q.Set("resource", a.Audience)
		q.Set("prompt", "admin_consent")
	case AdminConsentV1:
	}
	return strings.TrimRight(a.LoginURL, "/") + "/" + url.PathEscape(p.authority()) + path + "?" + q.Encode()
}

// stateKey is where a state is kept: under its hash, so that a copy of the database answers no link.
func stateKey(state string) string {
	sum := sha256.Sum256([]byte(state))
	return statePrefix + hex.EncodeToString(sum[:])
}

// take uses up a state. It returns why it is no good, which is no error of this side.
func (m *Manager) take(ctx context.Context, state string) (pending, *Explained, error) {
	var p pending
	unknown := &Explained{
		Kind: fault.Conflict, Message: "this answer belongs to no consent link of this server",
		Hint: "ask for a new link and open it in one go; the operator makes it with sluice consent url",
	}
	if state == "" || len(state) > 128 {
		return p, unknown, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := stateKey(state)
	found, err := m.store.Values(ctx, key)
	if err != nil {
		return p, nil, err
	}
	text, ok := found[key]
	if !ok || json.Unmarshal(text, &p) != nil {
		return p, unknown, nil
	}
	switch {
	case p.Used:
		return p, &Explained{
			Kind: fault.Conflict, Message: "this link was answered already",
			Hint: "nothing to do if the first answer went well: sluice consent list shows the tenant; otherwise ask for a new link",
		}, nil
	case !m.clock.Now().Before(p.Expires):
		return p, &Explained{
			Kind: fault.Gone, Message: "the link was valid for ten minutes, and they are over",
			Hint: "ask for a new link and open it soon; a consent that was given stays given and needs one click only",
		}, nil
	}
	p.Used = true
	return p, nil, m.put(ctx, key, p)
}

// sweep forgets states that ended long ago and refuses more than can be meant. m.mu is held.
func (m *Manager) sweep(ctx context.Context) error {
	all, err := m.store.Values(ctx, statePrefix)
	if err != nil {
		return err
	}
	now, open := m.clock.Now(), 0
	for key, text := range all {
		var p pending
		if json.Unmarshal(text, &p) == nil && now.Before(p.Expires.Add(remembered)) {
			if !p.Used && now.Before(p.Expires) {
				open++
			}
			continue
		}
		if err := m.store.DeleteValue(ctx, key); err != nil {
			return err
		}
	}
	if open >= maxPending {
		return fault.Newf(fault.Throttled, "make a consent link", "%d links are open already", open).
			WithRetryAfter(Lifetime).WithHint("wait until they expire, ten minutes at most")
	}
	return nil
}

func (m *Manager) put(ctx context.Context, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, "store "+key, err)
	}
	return m.store.PutValue(ctx, key, text)
}
