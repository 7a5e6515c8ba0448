package consent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/option"
)

// Names of options. Those of connectors are the same words, because a template leaves them to the application.
const (
	keyName            = "name"
	keyTenantName      = "tenant_name"
	keyType            = "type"
	keyDirectoryID     = "directory_id"
	keyApplicationID   = "application_id"
	keySecret          = "api_access_key"
	keyCertificate     = "certificate_file"
	keyCertificatePass = "certificate_password"
	keyPlan            = "subscription_plan"
	keyLogin           = "authentication_endpoint"
	keyAudience        = "api_audience"
	keyRedirect        = "redirect_uri"
	keyCAFile          = "ca_file"
	keyTemplates       = "connectors"
)

// DefaultRedirect is where the browser comes back to when nothing else is set: the server's default address, as the
// browser of somebody on the same machine sees it. Microsoft accepts http for localhost only.
const DefaultRedirect = "http://localhost:8365/consent/callback"

// ApplicationOptions declares the keys of an application in the section `consent`, apart from the list `connectors` of templates.
func ApplicationOptions() []option.Option {
	return []option.Option{
		{Name: keyName, Required: true, Fixed: true, Example: "onboarding", Help: "Name of the application here, unique. Printable ASCII, at most 64 characters."},
		{
			Name: keyApplicationID, Type: option.GUID, Required: true, Fixed: true, Example: "99999999-8888-7777-6666-555555555555",
			Help: "Application (client) ID of the multi-tenant application, from the Overview page of its registration in your own directory.",
		},
		{Name: keySecret, Secret: true, Example: "${env:ONBOARDING_SECRET}", Help: "Value of a client secret of the application. Needed unless certificate_file is given, and for the form code."},
		{Name: keyCertificate, Type: option.File, Help: "Certificate with private key to sign in with, instead of a client secret: PEM or PFX."},
		{Name: keyCertificatePass, Secret: true, Help: "Password of a PFX certificate_file. Empty for PEM."},
		{Name: keyPlan, Default: "enterprise", Choices: m365.PlanNames(), Help: "The cloud of the application and of the customers that consent to it."},
		{Name: keyLogin, Type: option.URL, Advanced: true, Example: "https://login.microsoftonline.com", Help: "The sign-in host. Empty: that of the plan."},
		{Name: keyAudience, Advanced: true, Example: "https://manage.office.com", Help: "For which API consent is asked. Empty: that of the plan."},
		{
			Name: keyRedirect, Type: option.URL, Default: DefaultRedirect, Example: "https://sluice.example/consent/callback",
			Help: "Where Microsoft sends the browser back to: this server's path /consent/callback as browsers reach it. It must stand in the app registration letter by letter (Authentication > Web).",
		},
		{Name: keyCAFile, Type: option.File, Advanced: true, Help: "PEM file with certificate authorities to trust beside the system's."},
	}
}

// credentialKeys are the options of a connector that a template leaves to the application or to the tenant.
func credentialKeys() []string {
	return []string{keyName, keyTenantName, keyDirectoryID, keyApplicationID, keySecret, keyCertificate, keyCertificatePass}
}

// newApplication makes an application of decoded options. spec are the given ones.
func newApplication(v option.Values, templates []Template) Application {
	plan := planOf(v.String(keyPlan))
	a := Application{
		Name: v.String(keyName), ApplicationID: v.String(keyApplicationID),
		Secret: v.Secret(keySecret), CertificateFile: v.String(keyCertificate), CertificatePass: v.Secret(keyCertificatePass),
		Plan: plan.Name, LoginURL: first(v.String(keyLogin), plan.LoginURL), Audience: first(v.String(keyAudience), plan.Audience),
		RedirectURI: v.String(keyRedirect), CAFile: v.String(keyCAFile), Templates: templates, given: v,
	}
	a.Spec = object(a.settings(false))
	return a
}

func object(settings []Setting) []byte {
	b := []byte{'{'}
	for i, s := range settings {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%s", s.Name, encoded(s.Value))
	}
	return append(b, '}')
}

func planOf(name string) m365.Plan {
	plan, _ := m365.PlanByName(name)
	return plan
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Info is the application as it is shown.
func (a Application) Info() Info {
	i := Info{Name: a.Name, ApplicationID: a.ApplicationID, Plan: a.Plan, RedirectURI: a.RedirectURI, Owner: a.Owner, Types: []string{}, Forms: []Form{AdminConsent, AdminConsentV1}}
	if !a.Secret.Empty() {
		i.Forms = Forms()
	}
	for _, t := range a.Templates {
		i.Types = append(i.Types, t.Type)
	}
	return i
}

// Declare sets the applications of sluice.yaml, which are read-only elsewhere. One of the same name that was made with
// apply is hidden as long as the file has it.
func (m *Manager) Declare(file string, all []Application) {
	owned := slices.Clone(all)
	now := m.clock.Now()
	for i := range owned {
		owned[i].Owner, owned[i].Created, owned[i].Updated = file, now, now
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.declared = owned
}

// Applications lists the applications by name.
func (m *Manager) Applications(ctx context.Context) ([]Application, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applications(ctx)
}

// applications is Applications with m.mu held.
func (m *Manager) applications(ctx context.Context) ([]Application, error) {
	all := slices.Clone(m.declared)
	stored, err := m.store.Values(ctx, applicationPrefix)
	if err != nil {
		return nil, err
	}
	for key, text := range stored {
		a, err := m.readStored(ctx, key, text)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(m.declared, func(d Application) bool { return d.Name == a.Name }) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b Application) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// application finds an application by its name or application id.
func (m *Manager) application(ctx context.Context, word string) (Application, error) {
	all, err := m.Applications(ctx)
	if err != nil {
		return Application{}, err
	}
	var names []string
	for _, a := range all {
		if a.Name == word || strings.EqualFold(a.ApplicationID, word) {
			return a, nil
		}
		names = append(names, a.Name)
	}
	hint := "declare one in the list consent of sluice.yaml, or apply one"
	if len(names) > 0 {
		hint = "use one of " + strings.Join(names, ", ")
	}
	return Application{}, fault.Newf(fault.NotFound, "", "no application for consent is named %q", word).WithHint(hint)
}
