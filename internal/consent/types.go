package consent

import (
	"time"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/option"
)

// Form is a way of asking for consent (spec/entra-auth.md section 6).
type Form string

// The forms of consent.
const (
	// AdminConsent is today's endpoint: an administrator consents to every permission of the registration.
	AdminConsent Form = "admin_consent"
	// AdminConsentV1 is its predecessor, for registrations that today's endpoint refuses.
	AdminConsentV1 Form = "admin_consent_v1"
	// Code is the older authorize form: the redirect carries a code, which is exchanged for a token that names the tenant.
	Code Form = "code"
)

// Forms lists the forms, the default first.
func Forms() []Form { return []Form{AdminConsent, AdminConsentV1, Code} }

// Application is a multi-tenant application: registered once, in the provider's directory, and consented to by each
// customer. Parse makes it from the list `consent` of sluice.yaml or of what is applied.
type Application struct {
	Name            string // unique among the applications
	ApplicationID   string // client id, in lower case
	Secret          option.Ref
	CertificateFile string // instead of Secret
	CertificatePass option.Ref
	Plan            string // subscription plan: decides sign-in host and audience
	LoginURL        string // scheme and host of the sign-in service; the plan's unless it was given
	Audience        string // for which tokens are asked; the plan's unless it was given
	RedirectURI     string // where Microsoft sends the browser back to, exactly as registered
	CAFile          string // extra authorities to trust
	Templates       []Template
	Owner           string // file that declares it; empty: made with apply
	Spec            []byte // the declaration as JSON, references kept: what is sealed and stored. It may hold a literal secret, see JSON
	Created         time.Time
	Updated         time.Time       // of one that a file declares, both are when the file was read
	Pos             config.Position // in its document; zero for one that was stored

	given option.Values // what was given
}

// Template is a connector without what consent fills in: name, tenant_name, directory_id, application_id and credential.
type Template struct {
	Type    string
	Options []Setting // in the order of the declaration

	secrets []string // names of the options that are secrets
}

// Setting is one option of a template: a text, number, truth value or list of texts.
type Setting struct {
	Name  string
	Value any
}

// Info is an application as it is shown: without anything of its credential.
type Info struct {
	Name          string   `json:"name"`
	ApplicationID string   `json:"application_id" doc:"Application (client) ID"`
	Plan          string   `json:"subscription_plan"`
	RedirectURI   string   `json:"redirect_uri" doc:"Must stand among the redirect URIs of the app registration, letter by letter"`
	Types         []string `json:"types" nullable:"false" doc:"Types of the connectors that are made for a tenant"`
	Forms         []Form   `json:"forms" nullable:"false" doc:"Forms of consent that the application can use"`
	Owner         string   `json:"owner,omitempty" doc:"File that declares it; empty: made with apply"`
}

// Request asks for a consent URL.
type Request struct {
	Application string `json:"application" minLength:"1" doc:"Name of the application, or its Application (client) ID"`
	Tenant      string `json:"tenant,omitempty" doc:"Directory (tenant) ID or domain of the customer, when known: a consent of another tenant is refused"`
	Form        Form   `json:"form,omitempty" enum:"admin_consent,admin_consent_v1,code" doc:"admin_consent (default) is today's endpoint, code the older authorize form"`
	Label       string `json:"label,omitempty" maxLength:"64" doc:"Your name for the customer; it becomes the tenant_name of the connectors"`
}

// Begun is a consent that an administrator of the customer can give now.
type Begun struct {
	URL         string    `json:"url" doc:"For a browser in which an administrator of the customer signs in. Whoever has it can answer it once"`
	Expires     time.Time `json:"expires" doc:"Until when the answer is accepted"`
	Application string    `json:"application"`
	Form        Form      `json:"form"`
	Label       string    `json:"label,omitempty"`
	RedirectURI string    `json:"redirect_uri"`
	State       string    `json:"-"` // is in URL
}

// Explained is a failure in plain words.
type Explained struct {
	Kind    fault.Kind `json:"kind"`
	Code    string     `json:"code,omitempty" doc:"Microsoft's code"`
	Message string     `json:"message" doc:"What happened"`
	Hint    string     `json:"hint,omitempty" doc:"What to click; steps are parted by a semicolon"`
}

// Result is what became of a consent.
type Result struct {
	Application  string     `json:"application,omitempty"`
	Label        string     `json:"label,omitempty"`
	TenantID     string     `json:"tenant_id,omitempty" doc:"Confirmed by a token of that tenant; empty after a failure"`
	TenantName   string     `json:"tenant_name,omitempty" doc:"What the tenant is called here"`
	AdminConsent bool       `json:"admin_consent" doc:"The application holds permissions in the tenant"`
	Roles        []string   `json:"roles,omitempty" nullable:"false" doc:"Permissions that were granted"`
	Missing      []string   `json:"missing,omitempty" nullable:"false" doc:"Permissions that the connectors of the application need and that were not granted"`
	Error        *Explained `json:"error,omitempty" doc:"Why nothing was recorded"`
}

// Tenant is a directory that consented.
type Tenant struct {
	ID           string      `json:"tenant_id" doc:"Directory (tenant) ID"`
	Name         string      `json:"tenant_name" doc:"tenant_name of its connectors, unique"`
	Application  string      `json:"application" doc:"Name of the application"`
	Form         string      `json:"form" doc:"How it came here: a form of consent, or confirmed when only the tenant id was given"`
	ConsentedAt  time.Time   `json:"consented_at" doc:"When the latest consent was recorded"`
	AdminConsent bool        `json:"admin_consent"`
	Roles        []string    `json:"roles,omitempty" nullable:"false"`
	Missing      []string    `json:"missing,omitempty" nullable:"false"`
	Connectors   []Connector `json:"connectors" nullable:"false" doc:"Connectors that exist for the tenant"`
}

// Connector is what the manager needs to know of a connector that exists.
type Connector struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	TenantName  string `json:"-"`
	DirectoryID string `json:"-"`
}

// Draft is a document of connectors for tenants that consented.
type Draft struct {
	Document []byte   // YAML that apply accepts; it may hold a literal secret, as the declaration of the application does
	Names    []string // of the connectors in it, in order
	Skipped  []Skip
}

// Skip is a connector that is not made, because the tenant has one of its type.
type Skip struct {
	TenantID string `json:"tenant_id"`
	Type     string `json:"type"`
	Existing string `json:"existing" doc:"Name of the connector that exists"`
}
