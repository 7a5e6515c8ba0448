package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/consent"
)

// Consenter onboards tenants through admin consent. Package consent does the work; the application adds the entries.
type Consenter interface {
	// ConsentApplications lists the multi-tenant applications by name.
	ConsentApplications(ctx context.Context) ([]consent.Info, error)
	// BeginConsent makes a consent URL. An unknown application is fault.NotFound, a request that makes no sense
	// fault.Config.
	BeginConsent(ctx context.Context, r consent.Request) (consent.Begun, error)
	// FinishConsent takes in the query with which Microsoft sends the browser back. Whatever a stranger sends is a Result
	// with Error; an error means that this side failed.
	FinishConsent(ctx context.Context, query url.Values) (consent.Result, error)
	// ConfirmConsent records a tenant whose administrator consented elsewhere, after a token of that tenant proved it.
	ConfirmConsent(ctx context.Context, r ConfirmRequest) (consent.Result, error)
	// ConsentTenants lists the tenants that consented, by name.
	ConsentTenants(ctx context.Context) ([]consent.Tenant, error)
	// CreateConnectors makes the connectors of the application's templates for tenants that consented. The document is
	// tried (dry run) before it is applied; Problems of ApplyResult mean that nothing was created. A tenant that did not
	// consent is fault.NotFound.
	CreateConnectors(ctx context.Context, r CreateRequest) (CreateResult, error)
}

// ConfirmRequest names a tenant whose administrator consented without coming back to Sluice.
type ConfirmRequest struct {
	Application string `json:"application" minLength:"1" doc:"Name of the application, or its Application (client) ID"`
	Tenant      string `json:"tenant" minLength:"1" doc:"Directory (tenant) ID or domain"`
	Label       string `json:"label,omitempty" maxLength:"64" doc:"Your name for the customer; it becomes the tenant_name of the connectors"`
}

// CreateRequest asks for the connectors of tenants.
type CreateRequest struct {
	Tenants []string // directory ids or names
	DryRun  bool
}

// CreateResult is the outcome of CreateRequest.
type CreateResult struct {
	ApplyResult
	Skipped []consent.Skip `json:"skipped" nullable:"false" doc:"Types of which the tenant has a connector already"`
}

// CreateOptions go with the creation of a tenant's connectors.
type CreateOptions struct {
	DryRun bool `json:"dry_run,omitempty" doc:"Only say what would be created"`
}

type beginInput struct{ Body consent.Request }

type confirmInput struct{ Body ConfirmRequest }

type createInput struct {
	ID   string `path:"id" doc:"Directory (tenant) ID, or the name of the tenant"`
	Body *CreateOptions
}

func (s *server) consentRoutes(api huma.API) {
	const tag = "Consent"
	handle(s, api, operation("list-consent-applications", http.MethodGet, "/consent/applications", tag, "List the multi-tenant applications"),
		func(ctx context.Context, _ *struct{}) ([]consent.Info, error) {
			all, err := s.service.ConsentApplications(ctx)
			for i := range all {
				all[i].Types, all[i].Forms = listed(all[i].Types), listed(all[i].Forms)
			}
			return listed(all), err
		})
	handle(s, api, operation("begin-consent", http.MethodPost, "/consent", tag, "Make a link with which an administrator of a customer consents"),
		func(ctx context.Context, in *beginInput) (consent.Begun, error) {
			return s.service.BeginConsent(ctx, in.Body)
		})
	handle(s, api, operation("list-consent-tenants", http.MethodGet, "/consent/tenants", tag, "List the tenants that consented"),
		func(ctx context.Context, _ *struct{}) ([]consent.Tenant, error) {
			all, err := s.service.ConsentTenants(ctx)
			for i := range all {
				all[i].Connectors = listed(all[i].Connectors)
			}
			return listed(all), err
		})
	handle(s, api, operation("confirm-consent", http.MethodPost, "/consent/tenants", tag,
		"Record a tenant whose administrator consented elsewhere; a token of the tenant has to prove it"),
		func(ctx context.Context, in *confirmInput) (consent.Result, error) {
			return s.service.ConfirmConsent(ctx, in.Body)
		})
	handle(s, api, operation("create-tenant-connectors", http.MethodPost, "/consent/tenants/{id}/connectors", tag, "Create the connectors of a tenant that consented"),
		func(ctx context.Context, in *createInput) (CreateResult, error) {
			result, err := s.service.CreateConnectors(ctx, CreateRequest{Tenants: []string{in.ID}, DryRun: in.Body != nil && in.Body.DryRun})
			if err == nil {
				err = refusedDocument(result.Problems)
			}
			result.Entries, result.Skipped = listed(result.Entries), listed(result.Skipped)
			return result, err
		})
}
