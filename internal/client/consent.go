package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/api"
	"sluice/internal/consent"
)

// ConsentApplications lists the multi-tenant applications.
func (c *Client) ConsentApplications(ctx context.Context) ([]consent.Info, error) {
	return ask[[]consent.Info](ctx, c, http.MethodGet, "/consent/applications", nil)
}

// BeginConsent makes a link with which an administrator of a customer consents.
func (c *Client) BeginConsent(ctx context.Context, r consent.Request) (consent.Begun, error) {
	return ask[consent.Begun](ctx, c, http.MethodPost, "/consent", r)
}

// ConfirmConsent records a tenant whose administrator consented elsewhere. Why it was not recorded is in the result.
func (c *Client) ConfirmConsent(ctx context.Context, r api.ConfirmRequest) (consent.Result, error) {
	return ask[consent.Result](ctx, c, http.MethodPost, "/consent/tenants", r)
}

// ConsentTenants lists the tenants that consented.
func (c *Client) ConsentTenants(ctx context.Context) ([]consent.Tenant, error) {
	return ask[[]consent.Tenant](ctx, c, http.MethodGet, "/consent/tenants", nil)
}

// CreateConnectors creates the connectors of a tenant that consented, given by id or name. Mistakes are a *DocumentError.
func (c *Client) CreateConnectors(ctx context.Context, tenant string, o api.CreateOptions) (api.CreateResult, error) {
	return ask[api.CreateResult](ctx, c, http.MethodPost, "/consent/tenants/"+url.PathEscape(tenant)+"/connectors", o)
}
