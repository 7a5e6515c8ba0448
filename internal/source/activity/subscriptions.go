package activity

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/m365"
)

// startInterval is the wait that the service wants between two starts of one content type.
const startInterval = 15 * time.Minute

// maxSmallBody bounds the answers that are not content.
const maxSmallBody = 1 << 20

// subscription is one element of subscriptions/list. status can be absent, which counts as not enabled.
type subscription struct {
	ContentType string          `json:"contentType"`
	Status      string          `json:"status"`
	Webhook     json.RawMessage `json:"webhook"`
}

func (s subscription) enabled() bool { return strings.EqualFold(s.Status, "enabled") }

// Prepare implements source.Preparer: it starts the subscriptions that are missing or disabled, with the connector's webhook if
// there is one. An enabled one is left alone, since a start without a body would probably remove a webhook that somebody
// set on it; Tend looks after its webhook. Nothing is ever stopped.
func (s *Source) Prepare(ctx context.Context, names []string) (started []string, failed map[string]error) {
	failed = map[string]error{}
	present, err := s.subscriptions(ctx)
	for _, name := range names {
		ct, ok := findContentType(name)
		switch {
		case !ok:
			failed[name] = fault.Newf(fault.Config, "start subscription", "%q is not a content type", name)
		case err != nil:
			failed[name] = err
		case present[ct.name].enabled():
		default:
			if e := s.start(ctx, ct, s.hookToStart(ct.name, present[ct.name].hook())); e != nil {
				failed[name] = e
			} else {
				started = append(started, name)
			}
		}
	}
	return started, failed
}

// subscriptions lists what exists for this application, by canonical content type.
func (s *Source) subscriptions(ctx context.Context) (map[string]subscription, error) {
	const op = "list subscriptions"
	resp, err := s.client.Do(ctx, m365.Request{Op: op, Target: s.feed + "/subscriptions/list", MaxBody: maxSmallBody})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var listed []subscription
	if json.Unmarshal(body, &listed) != nil {
		return nil, resp.Fault(fault.New(fault.Unavailable, op, "the answer is not a list of subscriptions").
			WithHint(notTheService))
	}
	found := map[string]subscription{}
	for _, sub := range listed {
		if ct, ok := findContentType(sub.ContentType); ok {
			found[ct.name] = sub
		}
	}
	return found, nil
}

// notTheService is what to do when something else than the service answered with success.
const notTheService = "a captive portal or a proxy answers in the place of the service: let Sluice through it without a login page, and check api_endpoint; " +
	"Sluice tries again by itself"

// lastStart is what is remembered of a start call.
type lastStart struct {
	at  time.Time
	err error // nil: accepted
}

// start starts one subscription, unless that was tried less than 15 minutes ago. When that fails because of the webhook, it
// is started without: content that appears while there is no subscription can never be read.
func (s *Source) start(ctx context.Context, ct contentType, h *hook) error {
	op := "start subscription " + ct.name
	if last, wait := s.claimStart(ct.name); wait > 0 {
		if last.err != nil {
			return last.err
		}
		return fault.Newf(fault.Unavailable, op, "started less than %v ago and not enabled yet", startInterval).
			WithRetryAfter(wait).
			WithHint("nothing to do: Microsoft needs a while; Sluice starts it again after 15 minutes")
	}
	var err error
	if h != nil {
		err = s.setHook(ctx, ct, h)
	}
	if h == nil || byHook(err) {
		err = s.callStart(ctx, op, ct, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Throttled, fault.Canceled, fault.Auth:
		delete(s.started, ct.name) // it never took effect, so it may be repeated
	default:
		s.started[ct.name] = lastStart{at: s.started[ct.name].at, err: err}
	}
	return err
}

// callStart starts a subscription, with a webhook unless that is nil.
func (s *Source) callStart(ctx context.Context, op string, ct contentType, h *hook) error {
	var content []byte
	if h != nil {
		var err error
		if content, err = json.Marshal(map[string]*hook{"webhook": h}); err != nil {
			return fault.Wrap(fault.Internal, op, err)
		}
	}
	resp, err := s.client.Do(ctx, m365.Request{
		Op: op, Method: http.MethodPost, Target: s.feed + "/subscriptions/start", Body: content,
		Query: url.Values{"contentType": {ct.name}}, MaxBody: maxSmallBody,
	})
	if err != nil {
		return startError(s.app, ct, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer subscription
	if body, err := io.ReadAll(resp.Body); err == nil && json.Unmarshal(body, &answer) == nil && answer.Status != "" && !answer.enabled() {
		return fault.Newf(fault.Conflict, op, "the service answers with the status %q", answer.Status).
			WithHint("an administrator or Microsoft may have switched the subscription off: check at purview.microsoft.com > Solutions > Audit that auditing is on")
	}
	s.log.InfoContext(ctx, "subscription started", slog.String("content_type", ct.name), slog.Bool("webhook", h != nil))
	return nil
}

// claimStart notes that a start is made now, or returns the last one and how long the next has to wait.
func (s *Source) claimStart(name string) (last lastStart, wait time.Duration) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.started[name]; ok {
		if wait = startInterval - now.Sub(last.at); wait > 0 && wait <= startInterval { // else the clock was set back
			return last, wait
		}
	}
	s.started[name] = lastStart{at: now}
	return lastStart{}, 0
}

// startError explains a refused start. "Already enabled" is success. A 401 after a listing that worked is not about the
// credential but about this type's permission.
func startError(app string, ct contentType, err error) error {
	switch fault.KindOf(err) {
	case fault.Conflict:
		return nil
	case fault.Auth, fault.Permission:
		return &fault.Error{
			Op: "prepare " + ct.name, Kind: fault.Permission, Err: err, Message: "the application lacks the permission " + ct.role,
			Hint: "grant the application permission " + ct.role + " of the Office 365 Management APIs and give admin consent; " + m365.GrantHint(app, ct.role) + "; if it is granted already, wait: it can take up to an hour to reach the service; other content types go on",
		}
	default:
		return err
	}
}

// unready heals a listing that failed because the subscription is missing or was disabled: it is started, within the
// service's 15 minutes, and the error says so. The start carries no webhook, which could only delay it; Tend sets it later. Content of the time without subscription cannot be fetched by anybody.
func (s *Source) unready(ctx context.Context, name string, err error) error {
	code := fault.CodeOf(err)
	ct, ok := findContentType(name)
	if !ok || (code != "AF20022" && code != "AF20023") {
		return err
	}
	e := &fault.Error{Op: "list " + name, Kind: fault.Unavailable, Code: code, Err: err, Hint: fault.HintOf(err)}
	if startErr := s.start(ctx, ct, nil); startErr != nil {
		e.Message, e.Kind, e.RetryAfter = "the subscription could not be started", fault.KindOf(startErr), fault.RetryAfterOf(startErr)
		e.Err = startErr
		if hint := fault.HintOf(startErr); hint != "" {
			e.Hint = hint
		}
		return e
	}
	s.log.WarnContext(ctx, "a subscription was not active and has been started again", slog.String("content_type", name), slog.String("code", code))
	e.Message = "the subscription was not active and has been started again"
	return e
}
