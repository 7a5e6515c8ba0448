package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"sluice/internal/api"
	"sluice/internal/source"
)

// Info describes the server.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	return ask[api.Info](ctx, c, http.MethodGet, "/info", nil)
}

// Status has one element per connector and content type.
func (c *Client) Status(ctx context.Context) ([]api.Status, error) {
	return ask[[]api.Status](ctx, c, http.MethodGet, "/status", nil)
}

// LakeStats has one element per table of the lake.
func (c *Client) LakeStats(ctx context.Context) ([]api.TableStats, error) {
	return ask[[]api.TableStats](ctx, c, http.MethodGet, "/lake/stats", nil)
}

// CompactLake rewrites small files of days that ended before the given time: an age, a date, or "" for all closed days.
func (c *Client) CompactLake(ctx context.Context, before string) (api.Compaction, error) {
	return ask[api.Compaction](ctx, c, http.MethodPost, "/lake/compact", map[string]string{"before": before})
}

// Entries lists the entries of a kind, or all when kind is empty.
func (c *Client) Entries(ctx context.Context, kind api.Kind) ([]api.Entry, error) {
	path := "/entries"
	if kind != "" {
		path += "/" + string(kind)
	}
	return ask[[]api.Entry](ctx, c, http.MethodGet, path, nil)
}

// Document returns entries as a document that Apply takes, in "yaml" or "json". Name may be empty: all of the kind.
func (c *Client) Document(ctx context.Context, kind api.Kind, name, format string) ([]byte, error) {
	query := url.Values{"kind": {string(kind)}, "format": {format}}
	if name != "" {
		query.Set("name", name)
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/document", query: query})
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, c.cut(ctx, err)
	}
	return text, nil
}

// Apply sends a document. Mistakes in it are a *DocumentError.
func (c *Client) Apply(ctx context.Context, r api.ApplyRequest) (api.ApplyResult, error) {
	query := url.Values{"name": {r.Name}, "dry_run": {strconv.FormatBool(r.DryRun)}, "prune": {strconv.FormatBool(r.Prune)}, "confirm": {strconv.FormatBool(r.Confirm)}}
	var out api.ApplyResult
	resp, err := c.send(ctx, request{ //nolint:bodyclose // decode closes it
		method: http.MethodPost, path: "/apply", query: query,
		body: bytes.NewReader(r.Document), contentType: "application/yaml",
	})
	if err != nil {
		return out, err
	}
	err = c.decode(ctx, resp, &out)
	return out, err
}

func entryPath(kind api.Kind, name string) string {
	return "/entries/" + string(kind) + "/" + url.PathEscape(name)
}

// Delete removes an entry.
func (c *Client) Delete(ctx context.Context, kind api.Kind, name string, o api.DeleteOptions) (api.DeleteResult, error) {
	path := entryPath(kind, name)
	if o.StopSubscriptions {
		path += "?stop_subscriptions=true"
	}
	return ask[api.DeleteResult](ctx, c, http.MethodDelete, path, nil)
}

// History returns who changed a connector, oldest first.
func (c *Client) History(ctx context.Context, name string) ([]api.Change, error) {
	return ask[[]api.Change](ctx, c, http.MethodGet, "/connectors/"+url.PathEscape(name)+"/history", nil)
}

// Tenants lists whose data are kept.
func (c *Client) Tenants(ctx context.Context) ([]api.Tenant, error) {
	return ask[[]api.Tenant](ctx, c, http.MethodGet, "/tenants", nil)
}

// EraseTenant removes everything that was collected or imported for a tenant, which may take minutes.
func (c *Client) EraseTenant(ctx context.Context, name string) (api.Erasure, error) {
	return ask[api.Erasure](ctx, c, http.MethodDelete, "/tenants/"+url.PathEscape(name), nil)
}

// Types describes the connector types.
func (c *Client) Types(ctx context.Context) ([]api.TypeInfo, error) {
	return ask[[]api.TypeInfo](ctx, c, http.MethodGet, "/types", nil)
}

// Type describes one connector type.
func (c *Client) Type(ctx context.Context, name string) (api.TypeInfo, error) {
	return ask[api.TypeInfo](ctx, c, http.MethodGet, "/types/"+url.PathEscape(name), nil)
}

// SetPaused pauses or resumes an entry.
func (c *Client) SetPaused(ctx context.Context, kind api.Kind, name string, paused bool) error {
	verb := "/resume"
	if paused {
		verb = "/pause"
	}
	return c.call(ctx, http.MethodPost, entryPath(kind, name)+verb, nil, nil)
}

// Test runs the checks of an entry and yields each as it finishes.
func (c *Client) Test(ctx context.Context, kind api.Kind, name string) iter.Seq2[source.Check, error] {
	return c.checks(ctx, entryPath(kind, name)+"/test")
}

// Collect starts a run of a connector, or a back-fill.
func (c *Client) Collect(ctx context.Context, connector string, r api.CollectRange) (api.Job, error) {
	return ask[api.Job](ctx, c, http.MethodPost, entryPath(api.Connectors, connector)+"/collect", r)
}

// Watch calls each with the job now and after each change, until it is done, and returns it.
func (c *Client) Watch(ctx context.Context, id string, each func(api.Job)) (api.Job, error) {
	var last api.Job
	err := frames(ctx, c, request{method: http.MethodGet, path: "/jobs/" + url.PathEscape(id) + "/progress"}, func(f *api.JobFrame) (bool, error) {
		if f.Error != nil {
			return false, f.Error.Fault()
		}
		if f.Job != nil {
			last = *f.Job
			each(last)
		}
		return !last.Done, nil
	})
	return last, err
}

// SearchFrames runs a search and calls each with every frame that is not the end, which is returned.
func (c *Client) SearchFrames(ctx context.Context, q api.SearchQuery, each func(*api.Frame) error) (api.End, error) {
	q.Format = api.Frames
	r, err := searchRequest(q)
	if err != nil {
		return api.End{}, err
	}
	var end api.End
	err = frames(ctx, c, r, func(f *api.Frame) (bool, error) {
		switch {
		case f.Error != nil:
			return false, f.Error.Fault()
		case f.End != nil:
			end = *f.End
			return false, nil
		}
		return true, each(f)
	})
	return end, err
}

// SearchInto runs a search and copies the answer in q.Format to w. An error may come after a part was written.
func (c *Client) SearchInto(ctx context.Context, q api.SearchQuery, w io.Writer) (api.End, error) {
	var end api.End
	r, err := searchRequest(q)
	if err != nil {
		return end, err
	}
	resp, err := c.send(ctx, r)
	if err != nil {
		return end, err
	}
	defer func() { _ = resp.Body.Close() }()
	target := &writeErrors{w: w}
	if _, err := io.Copy(target, resp.Body); err != nil {
		if target.err != nil {
			return end, target.err
		}
		return end, c.cut(ctx, err)
	}
	if text := resp.Trailer.Get("Sluice-Error"); text != "" {
		var p api.Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return end, c.cut(ctx, err)
		}
		return end, p.Fault()
	}
	if err := json.Unmarshal([]byte(resp.Trailer.Get("Sluice-End")), &end); err != nil {
		return end, c.cut(ctx, io.ErrUnexpectedEOF)
	}
	return end, nil
}

// writeErrors tells errors of the writer from those of the connection.
type writeErrors struct {
	w   io.Writer
	err error
}

func (w *writeErrors) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

func searchRequest(q api.SearchQuery) (request, error) {
	text, err := json.Marshal(q)
	return request{method: http.MethodPost, path: "/search", body: bytes.NewReader(text), contentType: "application/json"}, err
}

// CreateImport opens an import.
func (c *Client) CreateImport(ctx context.Context, r api.ImportRequest) (api.Import, error) {
	return ask[api.Import](ctx, c, http.MethodPost, "/imports", r)
}

// ImportFile sends one file. Size is -1 when unknown; body is read once.
func (c *Client) ImportFile(ctx context.Context, id, name string, body io.Reader, size int64) (api.FileResult, error) {
	var out api.FileResult
	if size == 0 {
		body = http.NoBody
	}
	resp, err := c.send(ctx, request{ //nolint:bodyclose // decode closes it
		method: http.MethodPut, path: "/imports/" + url.PathEscape(id) + "/files",
		query: url.Values{"name": {name}}, body: io.NopCloser(body), contentType: "application/octet-stream", size: size,
	})
	if err != nil {
		return out, err
	}
	err = c.decode(ctx, resp, &out)
	return out, err
}

// FinishImport closes an import and waits until its records can be searched.
func (c *Client) FinishImport(ctx context.Context, id string) (api.Import, error) {
	return ask[api.Import](ctx, c, http.MethodPost, "/imports/"+url.PathEscape(id)+"/finish", nil)
}

// Imports lists imports, newest first.
func (c *Client) Imports(ctx context.Context) ([]api.Import, error) {
	return ask[[]api.Import](ctx, c, http.MethodGet, "/imports", nil)
}
