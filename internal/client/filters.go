package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/api"
)

// LogFilters lists log filters with the connectors that use them and what they dropped.
func (c *Client) LogFilters(ctx context.Context) ([]api.FilterInfo, error) {
	return ask[[]api.FilterInfo](ctx, c, http.MethodGet, "/filters", nil)
}

// FilterHistory returns who changed a log filter, oldest first.
func (c *Client) FilterHistory(ctx context.Context, name string) ([]api.Change, error) {
	return ask[[]api.Change](ctx, c, http.MethodGet, "/filters/"+url.PathEscape(name)+"/history", nil)
}

// TestFilters tries log filters on records of the lake. Mistakes in a filter are a *DocumentError.
func (c *Client) TestFilters(ctx context.Context, q api.FilterQuery) (api.FilterReport, error) {
	return ask[api.FilterReport](ctx, c, http.MethodPost, "/filters/test", q)
}
