package apitest

import (
	"context"
	"iter"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/source"
)

// Conditions implements api.Watcher: "broken" may not read its content since three hours, everything else is well.
func (f *Fake) Conditions(_ context.Context, name string, changes int) (api.Conditions, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Connectors, name); err != nil {
		return api.Conditions{}, err
	}
	since := Now.Add(-3 * time.Hour)
	feed := api.FeedConditions{ContentType: "Audit.General", State: "ok", Conditions: []api.Condition{
		{Type: "running", Status: "ok", Reason: "ok", Message: "running", Since: &since},
		{Type: "listing", Status: "ok", Reason: "ok", Message: "listing content works", Since: &since},
		{Type: "credential", Status: "unknown", Reason: "not_yet", Message: "when the credential ends cannot be seen from here"},
	}}
	out := api.Conditions{Connector: name, TenantName: "Contoso", Feeds: []api.FeedConditions{feed}}
	if name != "broken" {
		return out, nil
	}
	feed.State, feed.StateSince = "needs attention", &since
	feed.Conditions[1] = api.Condition{
		Type: "listing", Status: "error", Reason: "permission", Since: &since, Hint: "grant ActivityFeed.Read",
		Message: "listing content fails: AF10001: permission set lacks ActivityFeed.Read. It is tried again slowly",
	}
	dlp := feed
	dlp.ContentType = "DLP.All"
	out.Feeds = []api.FeedConditions{feed, dlp}
	for i, status := range []string{"error", "ok", "warning"} {
		c := api.ConditionChange{
			At: since.Add(-time.Duration(i) * time.Hour), ContentType: "Audit.General", Type: "listing", From: "ok", Status: status, Reason: "permission",
			Message: "listing content fails: AF10001: permission set lacks ActivityFeed.Read",
		}
		if status == "ok" {
			c.From, c.Reason, c.Message = "warning", "ok", "listing content works"
		}
		if i < changes {
			out.History = append(out.History, c)
		}
	}
	return out, nil
}

// Notifications implements api.Watcher: "soc" works, "chat" does not.
func (f *Fake) Notifications(context.Context) ([]api.Notification, error) {
	delivered, next := Now.Add(-5*time.Minute), Now.Add(10*time.Minute)
	return []api.Notification{
		{Name: "soc", Type: "webhook", MinSeverity: "warning", Open: 2, Sent: 7, LastDelivered: &delivered},
		{
			Name: "chat", Type: "webhook", MinSeverity: "error", TenantNames: []string{"Contoso", "Fabrikam"}, Outbox: 3, Dropped: 1, Failures: 4, NextTry: &next,
			LastError: &api.Failure{Kind: "notfound", Message: "the receiver answered 404 Not Found", Hint: "check the address; the receiver may have removed this webhook"},
		},
	}, nil
}

// TestNotification implements api.Watcher. The last step fails for "chat".
func (f *Fake) TestNotification(_ context.Context, name string) iter.Seq2[source.Check, error] {
	return func(yield func(source.Check, error) bool) {
		if name != "soc" && name != "chat" {
			yield(source.Check{}, fault.Newf(fault.NotFound, "test notification", "there is no notification target %q", name))
			return
		}
		if !yield(source.Check{Name: "connection", Status: source.Passed, Message: "hooks.example:443 answers", Duration: 12 * time.Millisecond}, nil) {
			return
		}
		message := source.Check{Name: "message", Status: source.Passed, Message: "the receiver accepted a test message", Duration: 30 * time.Millisecond}
		if name == "chat" {
			message.Status, message.Message, message.Hint = source.Failed, "the receiver answered 404 Not Found", "check the address"
		}
		yield(message, nil)
	}
}
