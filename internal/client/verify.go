package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/internal/api"
)

// Verify runs a verification, calls each with its progress, and returns the report.
func (c *Client) Verify(ctx context.Context, q api.VerifyQuery, each func(api.VerifyProgress)) (api.VerifyReport, error) {
	var report api.VerifyReport
	text, err := json.Marshal(q)
	if err != nil {
		return report, err
	}
	r := request{method: http.MethodPost, path: "/verify", body: bytes.NewReader(text), contentType: "application/json"}
	err = frames(ctx, c, r, func(f *api.VerifyFrame) (bool, error) {
		switch {
		case f.Error != nil:
			return false, f.Error.Fault()
		case f.Report != nil:
			report = *f.Report
			return false, nil
		case f.Progress != nil:
			each(*f.Progress)
		}
		return true, nil
	})
	return report, err
}

// LastVerify has the latest report of every connector that has one.
func (c *Client) LastVerify(ctx context.Context) ([]api.VerifyReport, error) {
	return ask[[]api.VerifyReport](ctx, c, http.MethodGet, "/verify", nil)
}

func connectorPath(name string) string { return "/connectors/" + url.PathEscape(name) }

// Units returns a page of the units of a connector, oldest first.
func (c *Client) Units(ctx context.Context, r api.UnitsRequest) (api.UnitsPage, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"content_type": r.ContentType, "state": string(r.State), "since": stamp(r.Since), "until": stamp(r.Until), "after": r.After,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if r.Limit > 0 {
		query.Set("limit", strconv.Itoa(r.Limit))
	}
	var page api.UnitsPage
	resp, err := c.send(ctx, request{method: http.MethodGet, path: connectorPath(r.Connector) + "/units", query: query}) //nolint:bodyclose // decode closes it
	if err != nil {
		return page, err
	}
	err = c.decode(ctx, resp, &page)
	return page, err
}

// Retry forces waiting units of a connector to be tried now.
func (c *Client) Retry(ctx context.Context, connector string, o api.RetryOptions) (api.RetryResult, error) {
	return ask[api.RetryResult](ctx, c, http.MethodPost, connectorPath(connector)+"/retry", o)
}

// CheckLake looks for missing and damaged data files; with deep it reads every row.
func (c *Client) CheckLake(ctx context.Context, deep bool) (api.LakeCheck, error) {
	return ask[api.LakeCheck](ctx, c, http.MethodPost, "/lake/check", map[string]bool{"deep": deep})
}

// RepairLake removes references to missing files and moves damaged ones aside.
func (c *Client) RepairLake(ctx context.Context) (api.LakeRepair, error) {
	return ask[api.LakeRepair](ctx, c, http.MethodPost, "/lake/repair", nil)
}

// stamp writes a time as the API reads it; the zero time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
