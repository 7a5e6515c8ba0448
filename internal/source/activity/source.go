package activity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/secret"
	"sluice/internal/source"
)

// Config is a connector's settings, secrets resolved, and what the driver works with. The fields above the line are the
// options of Properties.
type Config struct {
	SubscriptionPlan       string // empty: enterprise
	AuthenticationEndpoint string // empty: the plan's
	DirectoryID            string
	ApplicationID          string
	Credential             string // one of the Credential constants; empty: what is given of the next two
	APIAccessKey           secret.Secret
	CertificateFile        string
	CertificatePassword    secret.Secret
	ManagedIdentityID      string // with CredentialManagedIdentity, see m365.ManagedIdentity
	PublisherID            string // empty: DirectoryID
	MaxParallelFetches     int    // 0: 16
	RequestsPerMinute      int    // 0: no limit
	DisableSSLVerification bool
	CAFile                 string
	APIEndpoint            string // empty: the plan's
	APIAudience            string // empty: the plan's
	WebhookAddress         string // the whole public address of this connector's webhook; empty: none
	WebhookAuthID          secret.Secret

	ContentTypes []string // checked by Test; empty: all five

	Refused    func()           // called after each sign-in that was refused, must not block; nil: nobody is told
	Pacers     *m365.Pacers     // shared by all connectors; nil: no pacing
	Tokens     *m365.Tokens     // shared by all connectors; nil: the source's own
	Transports *m365.Transports // shared by all connectors; nil: the source's own
	Clock      clock.Clock      // nil: the wall clock
	Logger     *slog.Logger     // nil: no log

	dialer m365.Dialer // nil: the network; tests stand in for it
}

// Source is the driver. It implements source.Source and all optional interfaces of package source, and is safe for concurrent use.
type Source struct {
	client    *m365.Client
	clock     clock.Clock
	log       *slog.Logger
	feed      string // path of the tenant's feed
	directory string
	audience  string
	app       string
	plan      m365.Plan
	login     string   // sign-in address
	endpoint  string   // the API's address
	doubts    []string // settings that are possible but unusual
	parallel  int
	types     []string
	webhook   *hook // nil: none

	mu      sync.Mutex
	started map[string]lastStart // by content type
	hooks   map[string]hookState // by content type
}

var (
	_ source.Source   = (*Source)(nil)
	_ source.Preparer = (*Source)(nil)
	_ source.Clocked  = (*Source)(nil)
	_ source.Slower   = (*Source)(nil)
	_ source.Paced    = (*Source)(nil)
	_ source.Expirer  = (*Source)(nil)
)

// New checks the settings and makes a source; all mistakes come joined in one error. Nothing is sent.
func New(cfg Config) (*Source, error) {
	plan, known := m365.PlanByName(cfg.SubscriptionPlan)
	var mistakes []error
	var hints []string
	mistake := func(name, what, hint string) {
		mistakes, hints = append(mistakes, fault.New(fault.Config, name, what)), append(hints, hint)
	}
	if !known {
		mistake("subscription_plan", "must be one of "+strings.Join(m365.PlanNames(), ", "), "set subscription_plan to the cloud of the tenant; most tenants are enterprise")
	}
	if !isGUID(cfg.DirectoryID) {
		mistake("directory_id", "must be the Directory (tenant) ID, a GUID; the service refuses domain names", "copy the Directory (tenant) ID: "+overview)
	}
	if !isGUID(cfg.ApplicationID) {
		mistake("application_id", "must be the Application (client) ID, a GUID", "copy the Application (client) ID: "+overview)
	}
	if err := cfg.checkCredential(); err != nil {
		mistake(err.Op, err.Message, err.Hint)
	}
	types, err := canonicalTypes(cfg.ContentTypes)
	if err != nil {
		mistakes, hints = append(mistakes, err), append(hints, "correct content_types, or remove it to collect all")
	}
	webhook, err := newHook(cfg.WebhookAddress, cfg.WebhookAuthID)
	if err != nil {
		mistake("webhook_address", err.Error(), "set webhook_address to the address at which Microsoft reaches this server, or remove it")
	}
	if len(mistakes) > 0 {
		return nil, &fault.Error{Op: "configure office365", Kind: fault.Config, Hint: strings.Join(slices.Compact(hints), "; "), Err: errors.Join(mistakes...)}
	}
	s := &Source{
		clock: cfg.Clock, log: cfg.Logger, directory: cfg.DirectoryID, app: cfg.ApplicationID, parallel: cfg.MaxParallelFetches, types: types,
		audience: first(cfg.APIAudience, plan.Audience),
		plan:     plan, login: first(cfg.AuthenticationEndpoint, plan.LoginURL), endpoint: first(cfg.APIEndpoint, plan.APIURL), doubts: cfg.doubts(),
		feed: "/api/v1.0/" + url.PathEscape(cfg.DirectoryID) + "/activity/feed", started: map[string]lastStart{}, webhook: webhook, hooks: map[string]hookState{},
	}
	if s.clock == nil {
		s.clock = clock.Real{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.parallel <= 0 {
		s.parallel = defaultParallelFetches
	}
	var pacer *m365.Pacer
	if cfg.Pacers != nil {
		pacer = cfg.Pacers.For(cfg.DirectoryID, cfg.RequestsPerMinute)
	}
	s.client, err = m365.New(m365.Config{
		API:         m365.ManagementActivity(),
		BaseURL:     s.endpoint,
		Audience:    s.audience,
		Credential:  cfg.credential(s.login),
		PublisherID: first(cfg.PublisherID, cfg.DirectoryID),
		Transport:   m365.Transport{CAFile: cfg.CAFile, InsecureSkipVerify: cfg.DisableSSLVerification, Dialer: cfg.dialer},
		Transports:  cfg.Transports,
		Tokens:      cfg.Tokens,
		Pacer:       pacer,
		Clock:       s.clock,
		Logger:      s.log,
	})
	if err != nil {
		return nil, fault.Wrap("", "configure office365", err)
	}
	return s, nil
}

// overview is where the ids of a connector are shown.
const overview = "entra.microsoft.com > App registrations > All applications > your application > Overview"

// doubts are settings that are possible but unusual, each with what is usual.
func (cfg Config) doubts() (all []string) {
	if warning := m365.CheckCloud(cfg.SubscriptionPlan, cfg.AuthenticationEndpoint); warning != "" {
		all = append(all, warning)
	}
	if (m365.Credential{Secret: cfg.APIAccessKey}).SecretIsID() {
		all = append(all, "api_access_key is a GUID: that is how the ID of a secret looks, but the secret's Value is needed, which the portal shows only when a secret is created")
	}
	if cfg.DisableSSLVerification {
		all = append(all, "disable_ssl_verification is on, so anybody on the way can read the credential: set ca_file to the CA certificate of your proxy instead")
	}
	return all
}

// canonicalTypes spells content types as Microsoft does. None means all.
func canonicalTypes(names []string) ([]string, error) {
	if len(names) == 0 {
		return Properties().ContentTypes, nil
	}
	var out []string
	for _, name := range names {
		ct, ok := findContentType(name)
		if !ok {
			return nil, fault.Newf(fault.Config, "content_types", "%q is not a content type; there are %s", name, strings.Join(Properties().ContentTypes, ", "))
		}
		if !slices.Contains(out, ct.name) {
			out = append(out, ct.name)
		}
	}
	return out, nil
}

func isGUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Skew implements source.Clocked.
func (s *Source) Skew() time.Duration { return s.client.Skew() }

// CredentialExpiry implements source.Expirer: the end of the certificate. The end of a client secret is not known here.
func (s *Source) CredentialExpiry() (expires time.Time, what string, known bool) {
	cert, ok := s.client.Certificate()
	if !ok {
		return time.Time{}, "", false
	}
	return cert.Expires, fmt.Sprintf("certificate %s, thumbprint %s", cert.Subject, cert.SHA1), true
}

// hostOf is the host of an address that New has checked.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// Slow implements source.Slower.
func (s *Source) Slow(wait time.Duration) {
	if p := s.client.Pacer(); p != nil {
		p.Penalize(wait)
	}
}

// Pace implements source.Paced.
func (s *Source) Pace(ctx context.Context) (context.Context, error) { return s.client.Pace(ctx) }

// Pacer is the tenant's pacer, through which the collector announces default waits and sees pauses; nil without pacing.
func (s *Source) Pacer() *m365.Pacer { return s.client.Pacer() }

// MaxParallelFetches is how many units of a content type should be fetched at the same time.
func (s *Source) MaxParallelFetches() int { return s.parallel }

// CloseIdle closes idle connections; a later call opens new ones. Useful when a connector is deleted.
func (s *Source) CloseIdle() { s.client.CloseIdle() }
