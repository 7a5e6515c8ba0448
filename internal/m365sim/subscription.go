package m365sim

import (
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// subscriptionKey: a subscription belongs to tenant, application and content type.
type subscriptionKey struct{ tenant, app, contentType string }

// subscription is the state of one content type for one application.
type subscription struct {
	enabled bool
	echo    string    // content type as the client wrote it
	ready   time.Time // content answers AF20023 until then
	gaps    []gap     // when it was stopped; content of that time is never listed
	webhook *webhook
	sent    []notified // attempts of its webhooks, oldest first
}

type gap struct{ from, to time.Time } // to is zero while the gap is open

// covers reports whether content that appeared at t fell into a gap.
func (s *subscription) covers(t time.Time) bool {
	for _, g := range s.gaps {
		if !t.Before(g.from) && (g.to.IsZero() || t.Before(g.to)) {
			return true
		}
	}
	return false
}

// view is the JSON of a subscription.
type view struct {
	ContentType string   `json:"contentType"`
	Status      string   `json:"status"`
	Webhook     *webhook `json:"webhook"`
}

func (s *subscription) view(now time.Time) view {
	v := view{s.echo, "disabled", s.webhook.seen(now)}
	if s.enabled {
		v.Status = "enabled"
	}
	return v
}

// contentTypeOf checks the parameter contentType.
func (o *operation) contentTypeOf() (*feed, *reply) {
	wanted := o.query["contenttype"]
	if wanted == "" {
		return nil, problemReply(http.StatusBadRequest, "AF20001", "Missing parameter: contentType.")
	}
	f := o.tenant.feed(wanted)
	if f == nil {
		return nil, problemReply(http.StatusBadRequest, "AF20020", "The specified content type is not valid.")
	}
	return f, nil
}

func (s *Sim) startSubscription(o *operation) *reply {
	f, refusal := o.contentTypeOf()
	if refusal != nil {
		return refusal
	}
	if o.tenant.AuditOff {
		return auditOff(o, f)
	}
	hook, refusal := s.readWebhook(o)
	if refusal != nil {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, now := subscriptionKey{o.tenant.ID, o.appID, f.contentType}, s.now()
	sub := s.subscriptions[key]
	switch {
	case sub == nil:
		sub = &subscription{}
		s.subscriptions[key] = sub
	case sub.enabled && sub.webhook.same(hook, now):
		return problemReply(http.StatusBadRequest, "AF20024", "The subscription is already enabled. No property change.")
	case !sub.enabled:
		sub.gaps[len(sub.gaps)-1].to = now
		sub.ready = now.Add(s.scenario.RestartDelay.std())
	}
	sub.enabled, sub.echo, sub.webhook = true, o.query["contenttype"], hook
	return jsonReply(http.StatusOK, sub.view(s.now()))
}

// auditOff is the malformed answer for a tenant without audit log (spec/management-activity-api.md section 8.2).
func auditOff(o *operation, f *feed) *reply {
	context := "[TenantId=" + o.tenant.ID + ",ContentType=" + f.contentType + ",ApplicationId=" + o.appID +
		",PublisherId=" + uuid.Nil.String() + "][AppId"
	return problemReply(http.StatusBadRequest, "StartSubscription [CorrId="+uuid.NewString()+"]"+context,
		"="+o.appID+"] failed. Exception: Microsoft.Office.Compliance.Audit.DataServiceException: Tenant "+o.tenant.ID+
			" does not exist.\r\n   at Microsoft.Office.Compliance.Audit.API.AzureManager.<GetSubscriptionTableClientForTenantAsync>d__52.MoveNext()\r\n--- End of stack trace from previous location where exception was thrown ---")
}

func (s *Sim) stopSubscription(o *operation) *reply {
	f, refusal := o.contentTypeOf()
	if refusal != nil {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[subscriptionKey{o.tenant.ID, o.appID, f.contentType}]
	if sub == nil {
		return noSubscription()
	}
	if sub.enabled {
		sub.enabled, sub.webhook = false, nil
		sub.gaps = append(sub.gaps, gap{from: s.now()})
	}
	return &reply{status: http.StatusNoContent}
}

func noSubscription() *reply {
	return problemReply(http.StatusBadRequest, "AF20022", "No subscription found for the specified content type.")
}

func (s *Sim) listSubscriptions(o *operation) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := []view{}
	for _, f := range o.tenant.feeds {
		if sub := s.subscriptions[subscriptionKey{o.tenant.ID, o.appID, f.contentType}]; sub != nil {
			views = append(views, sub.view(s.now()))
		}
	}
	return jsonReply(http.StatusOK, views)
}

// subscribed returns the gaps of an enabled subscription, or why content cannot be listed.
func (s *Sim) subscribed(o *operation, f *feed) (*subscription, *reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions[subscriptionKey{o.tenant.ID, o.appID, f.contentType}]
	switch {
	case sub == nil:
		return nil, noSubscription()
	case !sub.enabled, s.now().Before(sub.ready):
		return nil, problemReply(http.StatusBadRequest, "AF20023", "The subscription was disabled.")
	}
	return &subscription{gaps: append([]gap(nil), sub.gaps...)}, nil
}

// subscriptionsOf copies the subscriptions to a feed, of all applications.
func (s *Sim) subscriptionsOf(f *feed) []subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var subs []subscription
	for key, sub := range s.subscriptions {
		if key.tenant == f.tenant.ID && strings.EqualFold(key.contentType, f.contentType) {
			subs = append(subs, subscription{gaps: append([]gap(nil), sub.gaps...)})
		}
	}
	return subs
}
