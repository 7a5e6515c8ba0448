package activity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/secret"
	"sluice/internal/source"
)

// hookTimeout bounds a start with a webhook: the service answers it only after it has called the webhook.
const hookTimeout = 20 * time.Second

// hook is the webhook of a subscription, as it is listed and as it is sent.
type hook struct {
	Status     string `json:"status,omitempty"` // enabled, disabled, expired
	Address    string `json:"address"`
	AuthID     string `json:"authId"`
	Expiration string `json:"expiration"` // empty: never
}

func (h *hook) enabled() bool { return h != nil && strings.EqualFold(h.Status, "enabled") }

// hook reads the webhook of a listed subscription, nil when there is none. One that cannot be read counts as somebody
// else's that works: it must not keep the subscriptions from being read, and is left alone.
func (s subscription) hook() *hook {
	if text := strings.TrimSpace(string(s.Webhook)); text == "" || text == "null" {
		return nil
	}
	var h hook
	if json.Unmarshal(s.Webhook, &h) != nil {
		return &hook{Status: "enabled"}
	}
	return &h
}

// newHook is the webhook of a connector, nil when none is wanted.
func newHook(address string, authID secret.Secret) (*hook, error) {
	if address == "" {
		return nil, nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("must be an address such as https://collector.example/sluice, without user name and fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return nil, errors.New("must begin with https://, because Microsoft calls nothing else")
	}
	if strings.ContainsFunc(authID.Reveal(), func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("needs a webhook_auth_id of plain ASCII characters, because it travels in a header")
	}
	return &hook{Address: address, AuthID: authID.Reveal()}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// host is the part of the address that may be shown: the rest is known to Microsoft only.
func (h *hook) host() string {
	u, err := url.Parse(h.Address)
	if err != nil || u.Host == "" {
		return "an address that cannot be read"
	}
	return u.Scheme + "://" + u.Host
}

// hookState is what is remembered of the webhook of a content type.
type hookState struct {
	tried   time.Time // last start that carried it
	set     bool      // this process has set it
	warning *source.Check
}

// verdict is what to do about the webhook of an enabled subscription.
type verdict int

const (
	hookGood    verdict = iota
	hookMissing         // it must be set, or set again
	hookForeign         // somebody else's works there: it is left alone
)

// judge compares the webhook of an enabled subscription with the connector's own. A webhook of another address is the
// connector's own former one when it has the same AuthID; that is believed once, because two connectors with the same
// AuthID would otherwise take it from each other for ever. One that the service has given up on brings nobody anything.
func (s *Source) judge(name string, listed *hook) verdict {
	s.mu.Lock()
	set := s.hooks[name].set
	s.mu.Unlock()
	switch {
	case listed == nil || !listed.enabled():
		return hookMissing
	case listed.Address == s.webhook.Address:
		if listed.AuthID != "" && listed.AuthID != s.webhook.AuthID && !set {
			return hookMissing
		}
		return hookGood
	case listed.AuthID != "" && listed.AuthID == s.webhook.AuthID && !set:
		return hookMissing
	}
	return hookForeign
}

// hookToStart is the webhook with which a subscription that is not enabled is started: the connector's own; but somebody else's
// that works is kept, since a start without it would remove it.
func (s *Source) hookToStart(name string, listed *hook) *hook {
	switch {
	case s.webhook == nil, listed != nil && s.judge(name, listed) == hookForeign:
		if !listed.enabled() || listed.Address == "" {
			return nil
		}
		return &hook{Address: listed.Address, AuthID: listed.AuthID, Expiration: listed.Expiration}
	case s.hookWait(name) > 0: // it was refused a moment ago
		return nil
	}
	return s.webhook
}

// Tend looks after the webhooks of content types whose subscription is enabled: one that is missing, disabled or expired is
// set again, at most every 15 minutes. Collecting does not depend on it and must not wait for it: a start with a webhook takes
// as long as the webhook. What it could not mend is in Warnings. Without webhook_address it does nothing.
func (s *Source) Tend(ctx context.Context, contentTypes []string) {
	if s.webhook == nil {
		return
	}
	present, err := s.subscriptions(ctx)
	if err != nil {
		return // the listing of content fails in the same way and says so
	}
	for _, name := range contentTypes {
		if ct, ok := findContentType(name); ok && present[ct.name].enabled() {
			s.tendHook(ctx, ct, present[ct.name].hook())
		}
	}
}

// tendHook looks after one webhook.
func (s *Source) tendHook(ctx context.Context, ct contentType, listed *hook) {
	switch s.judge(ct.name, listed) {
	case hookGood:
		s.hookWarning(ctx, ct, nil)
	case hookForeign:
		s.hookWarning(ctx, ct, foreignHook(ct, listed))
	case hookMissing:
		if s.hookWait(ct.name) > 0 {
			return
		}
		if listed != nil && listed.Address != s.webhook.Address {
			s.log.WarnContext(ctx, "replacing a webhook", slog.String("content_type", ct.name), slog.String("was_at", listed.host()), slog.String("status", listed.Status))
		}
		_ = s.setHook(ctx, ct, s.webhook) // the warning tells
	}
}

// setHook starts a subscription with a webhook, the connector's own or one that must be kept. The error is that of the
// service; "already enabled" is none.
func (s *Source) setHook(ctx context.Context, ct contentType, h *hook) error {
	began := s.clock.Now()
	s.updateHook(ct.name, func(state *hookState) { state.tried = began })
	limited, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	err := s.callStart(limited, "set webhook of "+ct.name, ct, h)
	switch {
	case err != nil:
		if h == s.webhook && byHook(err) && ctx.Err() == nil {
			s.hookWarning(ctx, ct, refusedHook(ct, h, err))
		}
		return err
	case h == s.webhook:
		s.updateHook(ct.name, func(state *hookState) { state.set = true })
		s.hookWarning(ctx, ct, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started[ct.name] = lastStart{at: began}
	return nil
}

// hookWait is how long the service wants to wait before the next start of a content type.
func (s *Source) hookWait(name string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.hooks[name].tried
	if at := s.started[name].at; at.After(last) {
		last = at
	}
	if last.IsZero() {
		return 0
	}
	wait := startInterval - s.clock.Now().Sub(last)
	if wait > startInterval { // the clock was set back
		return 0
	}
	return wait
}

func (s *Source) updateHook(name string, change func(*hookState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.hooks[name]
	change(&state)
	s.hooks[name] = state
}

// hookWarning notes what is wrong with a webhook, nil for nothing. The log has every change.
func (s *Source) hookWarning(ctx context.Context, ct contentType, warning *source.Check) {
	var before *source.Check
	s.updateHook(ct.name, func(state *hookState) { before, state.warning = state.warning, warning })
	switch {
	case warning != nil && (before == nil || before.Message != warning.Message):
		s.log.WarnContext(ctx, "webhook does not work; content is found by polling", slog.String("content_type", ct.name),
			slog.String("problem", warning.Message), slog.String("hint", warning.Hint))
	case warning == nil && before != nil:
		s.log.InfoContext(ctx, "webhook works", slog.String("content_type", ct.name))
	}
}

// Warnings are things that an operator should look at although collecting works, in the order of the content types: webhooks
// that could not be set. It asks nobody.
func (s *Source) Warnings() []source.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []source.Check
	for _, ct := range contentTypes() {
		if w := s.hooks[ct.name].warning; w != nil {
			all = append(all, *w)
		}
	}
	return all
}

// pollingGoesOn is what Sluice does without a webhook.
const pollingGoesOn = "; nothing is lost, content is found by polling"

func foreignHook(ct contentType, listed *hook) *source.Check {
	return &source.Check{
		Name: stepWebhook + " " + ct.name, Status: source.Skipped,
		Message: fmt.Sprintf("the subscription of %s has a webhook at %s that is not of this connector, and Sluice leaves it alone%s", ct.name, listed.host(), pollingGoesOn),
		Hint: "find out whose it is: another program or server that uses the same application; give this connector an application of its own, or let that program remove its webhook; " +
			"if the address is a former one of this server, nothing to do: Sluice sets its own when Microsoft has given that one up; or clear the webhook settings of the connector",
	}
}

// refusedHook explains a start that the service refused because of the webhook (spec/management-activity-api.md section 7).
func refusedHook(ct contentType, h *hook, err error) *source.Check {
	c := source.Failure(stepWebhook+" "+ct.name, err)
	c.Status = source.Skipped
	if fault.CodeOf(err) != "AF20021" {
		c.Message = fmt.Sprintf("the webhook of %s could not be set: %s%s", ct.name, c.Message, pollingGoesOn)
		c.Hint = first(c.Hint, "nothing to do at first: Sluice tries again every 15 minutes")
		return &c
	}
	c.Message = fmt.Sprintf("Microsoft called the webhook of %s at %s and did not get HTTP 200 (AF20021)%s", ct.name, h.host(), pollingGoesOn)
	c.Hint = "check that " + h.host() + " reaches the listener of this server from the internet: public DNS name, port, and a proxy that passes POST requests and their path on; " +
		"check that it has a certificate of a public authority with its whole chain; " +
		"let Microsoft through the firewall (service tags AzureFrontDoor.MicrosoftSecurity and M365ManagementActivityApiWebhook); " +
		"Sluice tries again every 15 minutes; or clear the webhook settings of the connector"
	return &c
}

// webhook is the step about the webhooks of the enabled subscriptions. One that is missing is set, just as the connector does
// when it runs, because only that tells whether Microsoft gets through. It never fails: collecting does not need webhooks.
func (t *tester) webhook(ctx context.Context) (result, error) {
	s, set, enabled := t.s, 0, 0
	var problem *source.Check
	for _, name := range s.types {
		ct, _ := findContentType(name)
		if !t.present[name].enabled() || t.failed[stepPermission+name] {
			continue
		}
		enabled++
		if problem == nil {
			s.tendHook(ctx, ct, t.present[name].hook())
		}
		state, listed := s.hookStateOf(name), t.present[name].hook()
		switch {
		case state.warning != nil && problem == nil:
			problem = state.warning
		case state.set || s.judge(name, listed) == hookGood:
			set++
		}
	}
	r := result{message: fmt.Sprintf("Microsoft calls %s when there is new content, for %d of %d content types", s.webhook.host(), set, enabled)}
	switch {
	case enabled == 0:
		return skipped("it is set when a subscription is started")
	case problem != nil:
		r.message, r.hint = problem.Message, problem.Hint
	case set < enabled:
		r.message += "; the others are set within 15 minutes"
	}
	return r, nil
}

func (s *Source) hookStateOf(name string) hookState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hooks[name]
}

// byHook reports whether a start failed in a way that a start without a webhook may not.
func byHook(err error) bool {
	never := []fault.Kind{fault.Conflict, fault.Auth, fault.Permission, fault.Throttled, fault.Canceled}
	return err != nil && !errors.Is(err, m365.ErrAuditOff) && !slices.Contains(never, fault.KindOf(err))
}
