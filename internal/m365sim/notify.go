package m365sim

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// How the service treats a webhook that does not answer with 200. Microsoft gives no numbers for it (spec/management-
// activity-api.md section 7); these are assumptions.
const (
	firstWebhookRetry  = time.Minute // doubles with every failure
	webhookFailures    = 6           // so many in a row disable the webhook
	notificationBatch  = 50          // blobs of one request
	keptNotifications  = 10_000      // attempts that a subscription remembers
	notificationRounds = 250 * time.Millisecond
)

// notified is one attempt to tell a webhook about a blob.
type notified struct {
	listed
	sent    time.Time
	success bool
	origin  string
}

// notifyWhile sends notifications until ctx ends. It looks for new content by the wall clock, whatever the service's
// clock does.
func (s *Sim) notifyWhile(ctx context.Context) {
	ticker := time.NewTicker(notificationRounds)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.Notify(ctx)
		}
	}
}

// Notify sends every notification that is due now and waits for the answers. A server does so by itself; tests that move
// the clock call it to be sure.
func (s *Sim) Notify(ctx context.Context) {
	s.rounds.Lock()
	defer s.rounds.Unlock()
	var posts sync.WaitGroup
	for _, d := range s.dueNotifications() {
		posts.Go(func() {
			status, err := s.postWebhook(ctx, &d.hook, http.Header{}, d.notifications(s.scenario.Expiry))
			if ctx.Err() == nil {
				s.settleNotification(d, err == nil && status == http.StatusOK)
			}
		})
	}
	posts.Wait()
}

// delivery is one request to a webhook.
type delivery struct {
	key   subscriptionKey
	from  *webhook // where the blobs were queued
	hook  webhook  // copy
	echo  string
	blobs []listed
}

// dueNotifications queues what has appeared and returns the requests to send now.
func (s *Sim) dueNotifications() (due []delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for key, sub := range s.subscriptions {
		hook := sub.webhook
		if !sub.enabled || hook == nil || hook.seen(now).Status != "enabled" {
			continue
		}
		s.queueNew(s.tenants[key.tenant].feed(key.contentType), sub)
		if len(hook.queue) == 0 || now.Before(hook.next) {
			continue
		}
		due = append(due, delivery{key, hook, *hook, sub.echo, append([]listed(nil), hook.queue[:min(len(hook.queue), notificationBatch)]...)})
	}
	return due
}

// queueNew queues the blobs that appeared since the last look. The caller holds mu.
func (s *Sim) queueNew(f *feed, sub *subscription) {
	hook, until := sub.webhook, s.produced()
	from := hook.since
	if until.Sub(from) < time.Second { // late content makes a look expensive
		return
	}
	if s.scenario.Late.Share > 0 {
		from = from.Add(-s.scenario.Late.Delay.std())
	}
	for i, p := range f.parts {
		for n, end := max(p.search(from), p.first), p.end(until); n < end; n++ {
			k := blobKey{f, i, n}
			if appears := k.appears(s.scenario.Late); appears.After(hook.since) && !appears.After(until) && !sub.covers(appears) {
				hook.queue = append(hook.queue, listed{k, whole})
			}
		}
	}
	hook.since = until
}

// settleNotification notes how a request went; a failure makes the webhook wait, and the last one of a row disables it.
// What was queued then is never told.
func (s *Sim) settleNotification(d delivery, success bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, now := s.subscriptions[d.key], s.now()
	for _, b := range d.blobs {
		sub.sent = append(sub.sent, notified{b, now, success, d.hook.origin})
	}
	if extra := len(sub.sent) - keptNotifications; extra > 0 {
		sub.sent = append([]notified(nil), sub.sent[extra:]...)
	}
	if sub.webhook != d.from { // another start came meanwhile
		return
	}
	hook := sub.webhook
	if success {
		hook.queue, hook.failures, hook.next = hook.queue[len(d.blobs):], 0, time.Time{}
		return
	}
	hook.next = now.Add(firstWebhookRetry << hook.failures)
	if hook.failures++; hook.failures == webhookFailures {
		hook.Status, hook.queue = "disabled", nil
		s.log.Info("webhook disabled", "tenant", d.key.tenant, "content_type", d.key.contentType)
	}
}

// notification is an element of what a webhook is sent.
type notification struct {
	TenantID          string `json:"tenantId"`
	ClientID          string `json:"clientId"`
	ContentType       string `json:"contentType"`
	ContentID         string `json:"contentId"`
	ContentURI        string `json:"contentUri"`
	ContentCreated    string `json:"contentCreated"`
	ContentExpiration string `json:"contentExpiration"`
}

// stampTime is the form of times in listings.
const stampTime = "2006-01-02T15:04:05.000Z"

func (d delivery) notifications(expiry Duration) []notification {
	out := make([]notification, 0, len(d.blobs))
	for _, b := range d.blobs {
		out = append(out, b.notification(d.key, d.echo, d.hook.origin, expiry))
	}
	return out
}

// notification tells of a blob. Its identifier ends in a way that those of listings do not (spec section 4.2).
func (b listed) notification(key subscriptionKey, echo, origin string, expiry Duration) notification {
	id := b.contentID(b.cut) + "$IsFromNotification"
	return notification{
		TenantID: key.tenant, ClientID: key.app, ContentType: echo, ContentID: id,
		ContentURI:        origin + "/api/v1.0/" + key.tenant + "/activity/feed/audit/" + id,
		ContentCreated:    b.created().Format(stampTime),
		ContentExpiration: b.expires(expiry).Format(stampTime),
	}
}

// listNotifications answers subscriptions/notifications: the attempts for content that was created in the window.
func (s *Sim) listNotifications(o *operation) *reply {
	w, refusal := s.readWindow(o)
	if refusal != nil {
		return refusal
	}
	if _, refusal = s.subscribed(o, w.feed); refusal != nil {
		return refusal
	}
	type element struct {
		notification
		NotificationSent   string `json:"notificationSent"`
		NotificationStatus string `json:"notificationStatus"`
	}
	items, next := []element{}, ""
	key, asOf := subscriptionKey{o.tenant.ID, o.appID, w.feed.contentType}, w.asOf.Truncate(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.subscriptions[key].sent
	for i := min(w.n, len(sent)); i < len(sent); i++ {
		a := sent[i]
		if created := a.created(); created.Before(w.from) || !created.Before(w.to) || a.sent.After(asOf) {
			continue
		}
		if len(items) == s.scenario.PageSize {
			next = o.origin + "/api/v1.0/" + o.tenant.ID + "/activity/feed/subscriptions/notifications?contentType=" + url.QueryEscape(w.echo) +
				"&startTime=" + url.QueryEscape(w.start) + "&endTime=" + url.QueryEscape(w.end) + "&nextPage=" + w.pageToken(s.scenario.Seed, 0, i)
			break
		}
		status := "failed"
		if a.success {
			status = "success"
		}
		items = append(items, element{a.notification(key, w.echo, a.origin, s.scenario.Expiry), a.sent.Format(stampTime), status})
	}
	r := jsonReply(http.StatusOK, items)
	if next != "" {
		r.set("NextPageUri", next)
	}
	return r
}
