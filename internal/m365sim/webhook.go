package m365sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// webhook is where the service says that content of a subscription became available.
type webhook struct {
	Status     string  `json:"status"` // enabled or disabled; seen makes it expired
	Address    string  `json:"address"`
	AuthID     *string `json:"authId"`
	Expiration *string `json:"expiration"`

	expires  time.Time // zero: never
	origin   string    // address of the service as the client knows it, for links
	since    time.Time // content that appeared until then was queued
	queue    []listed  // not accepted yet, oldest first
	failures int       // in a row
	next     time.Time // of the next attempt
}

// seen is a copy as listed at a time; nil stays nil.
func (h *webhook) seen(now time.Time) *webhook {
	if h == nil {
		return nil
	}
	c := *h
	if !c.expires.IsZero() && !now.Before(c.expires) {
		c.Status = "expired"
	}
	return &c
}

// same reports whether a start with the other hook changes nothing.
func (h *webhook) same(other *webhook, now time.Time) bool {
	if h == nil || other == nil {
		return h == nil && other == nil
	}
	return h.seen(now).Status == "enabled" && h.Address == other.Address && textOf(h.AuthID) == textOf(other.AuthID) && h.expires.Equal(other.expires)
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// webhookTimeout is how long a hook may take to answer.
const webhookTimeout = 10 * time.Second

// newWebhookClient follows no redirects: only status 200 counts.
func newWebhookClient() *http.Client {
	return &http.Client{
		Timeout:       webhookTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// readWebhook reads and validates the webhook of a start; nil without one.
func (s *Sim) readWebhook(o *operation) (*webhook, *reply) {
	body, err := io.ReadAll(io.LimitReader(o.req.Body, 1<<20))
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	var in struct {
		Webhook *struct{ Address, AuthID, Expiration string }
	}
	if json.Unmarshal(body, &in) != nil {
		return nil, problemReply(http.StatusBadRequest, "AF20002", "Invalid parameter type: webhook. Expected type: object")
	}
	if in.Webhook == nil {
		return nil, nil
	}
	hook := &webhook{Status: "enabled", Address: in.Webhook.Address, origin: o.origin, since: s.now()}
	if in.Webhook.AuthID != "" {
		hook.AuthID = &in.Webhook.AuthID
	}
	if in.Webhook.Expiration != "" {
		expires, ok := parseTime(in.Webhook.Expiration)
		if !ok || expires.Before(s.now()) {
			return nil, problemReply(http.StatusBadRequest, "AF20003", "Expiration "+clip(in.Webhook.Expiration)+" provided is set to past date and time.")
		}
		hook.Expiration, hook.expires = &in.Webhook.Expiration, expires
	}
	if why := s.validateWebhook(o.req.Context(), hook); why != "" {
		return nil, problemReply(http.StatusBadRequest, "AF20021", "The webhook endpoint {("+clip(hook.Address)+")} could not be validated. "+why)
	}
	return hook, nil
}

// validateWebhook sends the validation request; the result says why it failed. Plain http is accepted on the loopback
// interface only, for tests; Microsoft never does.
func (s *Sim) validateWebhook(ctx context.Context, hook *webhook) string {
	address, err := url.Parse(hook.Address)
	if err != nil || address.Host == "" || address.Scheme != "https" && (address.Scheme != "http" || !isLoopback(address.Hostname())) {
		return "The address must begin with HTTPS."
	}
	code := uuid.NewString()
	status, err := s.postWebhook(ctx, hook, http.Header{"Webhook-Validationcode": {code}}, map[string]string{"validationCode": code})
	switch {
	case err != nil:
		return "The request failed."
	case status != http.StatusOK:
		return "It did not return HTTP 200."
	}
	return ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// postWebhook sends a request to a hook and returns the status of its answer.
func (s *Sim) postWebhook(ctx context.Context, hook *webhook, header http.Header, content any) (int, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.Address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if hook.AuthID != nil {
		req.Header.Set("Webhook-AuthID", *hook.AuthID)
	}
	resp, err := s.webhooks.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
