package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	base  string
	token secret.Secret
	http  *http.Client
}

// New returns a client of the server in s. It opens connections when they are needed; Close drops idle ones.
func New(s Settings) *Client {
	return &Client{base: s.URL, token: s.Token, http: &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true, // byte for byte
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token stays with its host
	}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL is where the server is.
func (c *Client) URL() string { return c.base }

// request is one call: method and path below api.Prefix, and what goes with them.
type request struct {
	method, path string
	query        url.Values
	body         io.Reader
	contentType  string
	size         int64 // of body, -1 when unknown
}

// send sends r and returns the answer when its status says success.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	target := c.base + api.Prefix + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "ask the server", err)
	}
	if r.size != 0 {
		req.ContentLength = r.size
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if !c.token.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer drain(resp)
	return nil, c.failure(resp)
}

// unreachable explains why no answer came.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err // the URL is told by us, without its query
	}
	hint := "start a server with `sluice up`, or set SLUICE_URL to the address of a running one"
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fault.New(fault.Unavailable, "", "no server answers at "+c.base).WithHint(hint)
	}
	return fault.New(fault.Unavailable, "", "no answer from "+c.base+": "+err.Error()).WithHint(hint)
}

// failure reads the problem out of an answer.
func (c *Client) failure(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	var p api.Problem
	if err == nil && json.Unmarshal(body, &p) == nil && p.Kind != "" {
		return problemError(&p)
	}
	return fault.Newf(fault.Unavailable, "", "%s answered %s, which is not an answer of Sluice", c.base, resp.Status).
		WithHint("check SLUICE_URL").WithStatus(resp.StatusCode)
}

// problemError keeps the mistakes of a document with the error.
func problemError(p *api.Problem) error {
	if len(p.Problems) > 0 {
		return &DocumentError{Mistakes: p.Problems, Err: p.Fault()}
	}
	return p.Fault()
}

// DocumentError says that a document was not applied and where its mistakes are.
type DocumentError struct {
	Mistakes []api.Mistake
	Err      *fault.Error
}

// Error implements error.
func (e *DocumentError) Error() string { return e.Err.Error() }

// Unwrap returns the fault.
func (e *DocumentError) Unwrap() error { return e.Err }

func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the connection be used again
	_ = resp.Body.Close()
}

// ask is call for an answer of type T.
func ask[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	err := c.call(ctx, method, path, in, &out)
	return out, err
}

// call sends a request with a JSON body (nil: none) and reads a JSON answer (into nil: none).
func (c *Client) call(ctx context.Context, method, path string, in, into any) error {
	r := request{method: method, path: path}
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.body, r.contentType = bytes.NewReader(text), "application/json"
	}
	resp, err := c.send(ctx, r) //nolint:bodyclose // decode closes it
	if err != nil {
		return err
	}
	return c.decode(ctx, resp, into)
}

func (c *Client) decode(ctx context.Context, resp *http.Response, into any) error {
	defer drain(resp)
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return c.cut(ctx, err)
	}
	return nil
}

// cut explains an answer that broke off.
func (c *Client) cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fault.New(fault.Unavailable, "", "the answer of "+c.base+" broke off").WithCause(err).
		WithHint("look at the log of the server")
}

// frames reads an NDJSON answer line by line. next is called with a decoder positioned at each line and says whether
// to go on.
func frames[T any](ctx context.Context, c *Client, r request, each func(*T) (bool, error)) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/x-ndjson") {
		return fault.Newf(fault.Unavailable, "", "%s answered with %q, which is not an answer of Sluice", c.base, ct)
	}
	dec := json.NewDecoder(resp.Body)
	for {
		frame := new(T)
		if err := dec.Decode(frame); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("end of stream: %w", io.ErrUnexpectedEOF)
			}
			return c.cut(ctx, err)
		}
		more, err := each(frame)
		if err != nil || !more {
			return err
		}
	}
}
