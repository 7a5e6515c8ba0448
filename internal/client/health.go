package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"sluice/internal/api"
	"sluice/internal/source"
)

// Conditions returns the conditions of a connector, and at most so many changes of them, newest first.
func (c *Client) Conditions(ctx context.Context, name string, changes int) (api.Conditions, error) {
	return ask[api.Conditions](ctx, c, http.MethodGet, "/connectors/"+url.PathEscape(name)+"/conditions?changes="+strconv.Itoa(changes), nil)
}

// Notifications lists the targets of notifications.
func (c *Client) Notifications(ctx context.Context) ([]api.Notification, error) {
	return ask[[]api.Notification](ctx, c, http.MethodGet, "/notifications", nil)
}

// TestNotification tries a target out and yields each step as it finishes.
func (c *Client) TestNotification(ctx context.Context, name string) iter.Seq2[source.Check, error] {
	return c.checks(ctx, "/notifications/"+url.PathEscape(name)+"/test")
}

// checks asks for a test and yields its steps as they finish.
func (c *Client) checks(ctx context.Context, path string) iter.Seq2[source.Check, error] {
	return func(yield func(source.Check, error) bool) {
		err := frames(ctx, c, request{method: http.MethodPost, path: path}, func(f *api.CheckFrame) (bool, error) {
			switch {
			case f.Error != nil:
				return false, f.Error.Fault()
			case f.Check != nil:
				return yield(*f.Check, nil), nil
			}
			return !f.Done, nil
		})
		if err != nil {
			yield(source.Check{}, err)
		}
	}
}
