package apitest

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"sluice/internal/api"
	"sluice/internal/consent"
	"sluice/internal/fault"
	"sluice/internal/source"
)

// ConsentTenant is the tenant that the fake knows from the beginning; its connectors do not exist yet.
const ConsentTenant = "aaaaaaaa-1111-2222-3333-444444444444"

// ConsentState is the state that FinishConsent accepts, with tenant=ConsentTenant.
const ConsentState = "good-state"

// ConsentApplications implements api.Consenter.
func (f *Fake) ConsentApplications(context.Context) ([]consent.Info, error) {
	return []consent.Info{{
		Name: "onboarding", ApplicationID: "99999999-8888-7777-6666-555555555555", Plan: "enterprise",
		RedirectURI: consent.DefaultRedirect, Types: []string{"office365"}, Forms: consent.Forms(), Owner: "sluice.yaml",
	}}, nil
}

// BeginConsent implements api.Consenter.
func (f *Fake) BeginConsent(_ context.Context, r consent.Request) (consent.Begun, error) {
	if r.Application != "onboarding" {
		return consent.Begun{}, fault.Newf(fault.NotFound, "", "no application for consent is named %q", r.Application).WithHint("use one of onboarding")
	}
	if r.Form == "" {
		r.Form = consent.AdminConsent
	}
	q := url.Values{"state": {ConsentState}}
	return consent.Begun{
		URL: "https://login.microsoftonline.com/organizations/v2.0/adminconsent?" + q.Encode(), Expires: Now.Add(10 * time.Minute),
		Application: r.Application, Form: r.Form, Label: r.Label, RedirectURI: consent.DefaultRedirect,
	}, nil
}

// FinishConsent implements api.Consenter. The state "broken" fails on this side.
func (f *Fake) FinishConsent(_ context.Context, q url.Values) (consent.Result, error) {
	f.mu.Lock()
	f.Callbacks = append(f.Callbacks, q)
	f.mu.Unlock()
	switch {
	case q.Get("state") == "broken":
		return consent.Result{}, errors.New("disk /secret/path failed")
	case q.Get("state") != ConsentState:
		return consent.Result{Error: &consent.Explained{Kind: fault.Conflict, Message: "this answer belongs to no consent link of this server", Hint: "ask for a new link"}}, nil
	case q.Get("error") != "":
		return consent.Result{Application: "onboarding", Label: q.Get("error"), Error: &consent.Explained{
			Kind: fault.Permission, Code: "AADSTS65004", Message: "the administrator pressed Cancel", Hint: "make a new link; press Accept",
		}}, nil
	}
	return f.consented(q.Get("tenant"), q.Get("label")), nil
}

func (f *Fake) consented(tenant, label string) consent.Result {
	return consent.Result{
		Application: "onboarding", Label: label, TenantID: tenant, TenantName: "Fabrikam", AdminConsent: true,
		Roles: []string{"ActivityFeed.Read"}, Missing: []string{"ActivityFeed.ReadDlp"},
	}
}

// ConfirmConsent implements api.Consenter. Only ConsentTenant is confirmed.
func (f *Fake) ConfirmConsent(_ context.Context, r api.ConfirmRequest) (consent.Result, error) {
	if r.Tenant != ConsentTenant {
		return consent.Result{Application: r.Application, Error: &consent.Explained{
			Kind: fault.Config, Code: "AADSTS700016", Message: "the application is not known in the customer's tenant", Hint: "wait some minutes",
		}}, nil
	}
	return f.consented(r.Tenant, r.Label), nil
}

// ConsentTenants implements api.Consenter.
func (f *Fake) ConsentTenants(context.Context) ([]consent.Tenant, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := consent.Tenant{
		ID: ConsentTenant, Name: "Fabrikam", Application: "onboarding", Form: string(consent.AdminConsent), ConsentedAt: Now.Add(-time.Hour),
		AdminConsent: true, Roles: []string{"ActivityFeed.Read"}, Missing: []string{"ActivityFeed.ReadDlp"},
	}
	if _, err := f.find(api.Connectors, "fabrikam-office365"); err == nil {
		t.Connectors = append(t.Connectors, consent.Connector{Name: "fabrikam-office365", Type: "office365"})
	}
	return []consent.Tenant{t}, nil
}

// CreateConnectors implements api.Consenter. The tenant "mistaken" makes a document with a mistake.
func (f *Fake) CreateConnectors(ctx context.Context, r api.CreateRequest) (api.CreateResult, error) {
	var result api.CreateResult
	if slices.Contains(r.Tenants, "mistaken") {
		result.Problems = []api.Mistake{{File: "consent", Line: 2, Column: 5, Message: "interval: must be a duration"}}
		return result, nil
	}
	if !slices.Contains(r.Tenants, ConsentTenant) && !slices.Contains(r.Tenants, "Fabrikam") {
		return result, fault.Newf(fault.NotFound, "", "no tenant %q has consented", r.Tenants[0]).WithHint("sluice consent list shows those that did")
	}
	tenants, err := f.ConsentTenants(ctx)
	if err != nil {
		return result, err
	}
	result.DryRun = r.DryRun
	if len(tenants[0].Connectors) > 0 {
		result.Skipped = []consent.Skip{{TenantID: ConsentTenant, Type: "office365", Existing: "fabrikam-office365"}}
		return result, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	result.Entries = []api.AppliedEntry{f.put(api.Connectors, "fabrikam-office365", map[string]any{"name": "fabrikam-office365", "type": "office365"}, r.DryRun)}
	return result, nil
}

// Types implements api.Catalog.
func (f *Fake) Types(context.Context) ([]api.TypeInfo, error) {
	return api.TypesOf([]source.Properties{
		{
			Type: "office365", Title: "Office 365 audit log", ContentTypes: []string{"Audit.General", "DLP.All"},
			Card: source.Card{
				Summary: "The audit log.", Category: "office_suite", Function: "collect",
				Capabilities: []source.Capability{{Name: "collect", Has: true}, {Name: "respond", Note: "reads only"}},
				Collects: []source.Collected{
					{ContentType: "Audit.General", What: "the rest", Index: "windows_events", Query: "msg_class:office365_audit_general", Permission: "ActivityFeed.Read"},
					{ContentType: "DLP.All", What: "matches", Index: "windows_events", Query: "msg_class:office365_dlp_all", Permission: "ActivityFeed.ReadDlp"},
				},
				Egress:       []source.Egress{{Plan: "enterprise", Hosts: []source.Host{{Name: "manage.office.com", Port: 443, Why: "the API"}}}},
				Licences:     []string{"any Microsoft 365 plan"},
				Permissions:  []source.Permission{{API: "Office 365 Management APIs", APIID: "c5393580", Name: "ActivityFeed.Read", ID: "594c1fb6", Why: "reading"}},
				Register:     []string{"Open the portal.", "Press New registration."},
				Audit:        []string{"Start recording."},
				Naming:       "tenantname-connectortype",
				NamingSample: "contoso-office365",
				Notes:        []string{"Seven days."},
			},
		},
		{Type: "bare", Title: "A type without a card"},
	}), nil
}

// History implements api.Entries.
func (f *Fake) History(_ context.Context, name string) ([]api.Change, error) {
	if name != "contoso" && name != "gone" {
		return nil, fault.Newf(fault.NotFound, "", "nothing is known of a connector named %q", name).WithHint("`sluice get connectors` lists them")
	}
	all := []api.Change{
		{At: Now.Add(-48 * time.Hour), Actor: "sluice.yaml", What: "created"},
		{At: Now.Add(-2 * time.Hour), Actor: "apply", What: "updated", Detail: "interval, content_types"},
	}
	if name == "gone" {
		all = append(all, api.Change{At: Now.Add(-time.Hour), Actor: "api", What: "deleted"})
	}
	return all, nil
}
