package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/notify"
	"sluice/internal/source"
	"sluice/internal/state"
)

// serverName is how this server is called in messages.
func serverName() string {
	name, err := os.Hostname()
	if err != nil {
		return "this server"
	}
	return name
}

// readNotifications makes the targets of the configuration, so that a mistake in one stops the start.
func (a *application) readNotifications() error {
	env := notify.Environment{Clock: a.Clock, Resolve: a.lookUp, Server: serverName()}
	var problems config.Problems
	for _, n := range a.file.Notifications {
		r, err := notify.Build(n.Type, n.Name, n.Values, env)
		if err != nil {
			problems = append(problems, config.Problem{Position: n.Pos, Path: "notification " + n.Name, Text: cause(err)})
			continue
		}
		a.routes = append(a.routes, r)
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// cause is the text of an error without its outermost part, which says what the position says already.
func cause(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

// openNotifications makes the notifier.
func (a *application) openNotifications(ctx context.Context) error {
	m := &a.svc.monitoring
	m.targets = a.file.Notifications
	var err error
	m.notifier, err = notify.New(ctx, notify.Settings{
		Routes: a.routes, Store: notify.NewValueStore(a.svc.state), Clock: a.Clock, Log: a.log.With("component", "notify"), Server: serverName(),
	})
	return err
}

// Conditions implements api.Watcher.
func (s *service) Conditions(ctx context.Context, name string, changes int) (api.Conditions, error) {
	c, err := s.connector(ctx, api.Connectors, name)
	if err != nil {
		return api.Conditions{}, err
	}
	l, err := s.ledger(ctx)
	if err != nil {
		return api.Conditions{}, err
	}
	out := api.Conditions{Connector: c.Name, TenantName: c.TenantName, Feeds: []api.FeedConditions{}}
	for _, v := range s.viewsOf(c, l, health.Trouble{Err: s.publisher.Problem()}) {
		r := s.monitoring.monitor.Report(v.input)
		out.Feeds = append(out.Feeds, api.FeedConditions{
			ContentType: v.input.Feed.ContentType, State: string(r.State), StateSince: timeOrNil(stateSince(r)), Conditions: conditions(r),
		})
	}
	out.History, err = s.conditionHistory(ctx, c, changes)
	return out, err
}

// conditionHistory is the record of a connector together with that of the server, newest first.
func (s *service) conditionHistory(ctx context.Context, c state.Connector, limit int) ([]api.ConditionChange, error) {
	var all []health.Change
	for _, f := range []health.Feed{{ConnectorID: c.ID}, {}} {
		list, err := s.monitoring.monitor.History(ctx, f, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, slices.DeleteFunc(list, func(x health.Change) bool { return x.At.Before(c.Created) })...)
	}
	slices.SortStableFunc(all, func(a, b health.Change) int { return b.At.Compare(a.At) })
	out := []api.ConditionChange{}
	for _, x := range all[:min(len(all), limit)] {
		out = append(out, api.ConditionChange{
			At: x.At.UTC(), ContentType: x.Feed.ContentType, Type: string(x.Condition.Type), From: string(x.From), Status: string(x.Condition.Status),
			Reason: string(x.Condition.Reason), Message: x.Condition.Message, Hint: x.Condition.Hint,
		})
	}
	return out, nil
}

// Notifications implements api.Watcher.
func (s *service) Notifications(context.Context) ([]api.Notification, error) {
	m := &s.monitoring
	out := []api.Notification{}
	for i, st := range m.notifier.Status() { // in the order of the targets
		t := m.targets[i]
		policy := notify.PolicyFrom(t.Values)
		out = append(out, api.Notification{
			Name: st.Name, Type: t.Type, MinSeverity: string(policy.MinSeverity), TenantNames: policy.Tenants,
			Open: st.Open, Outbox: st.Outbox, Sent: st.Sent, Dropped: st.Dropped, Failures: st.Failures,
			LastDelivered: timeOrNil(st.Delivered), NextTry: timeOrNil(st.NextTry), LastError: failure(st.Error),
		})
	}
	return out, nil
}

// TestNotification implements api.Watcher.
func (s *service) TestNotification(ctx context.Context, name string) iter.Seq2[source.Check, error] {
	return func(yield func(source.Check, error) bool) {
		if !s.testing.begin("notification " + name) {
			yield(source.Check{}, fault.Newf(fault.Conflict, "test", "notification %s is being tested already", name).WithHint("wait for that test to end"))
			return
		}
		defer s.testing.end("notification " + name)
		checks, err := s.monitoring.notifier.Test(ctx, name)
		if err != nil {
			yield(source.Check{}, err)
			return
		}
		for check := range checks {
			if !yield(check, nil) {
				return
			}
		}
	}
}

// maxConditionSeries bounds the series of sluice_condition. Beyond it only conditions that are bad are shown.
const maxConditionSeries = 20_000

// healthMetrics shows the latest look at the health, and what the notifier did.
type healthMetrics struct{ m *monitoring }

func conditionDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_condition", "Condition of a connector or content type, 1 for its present status: ok, info, warning, error. Unknown ones are left out.",
		[]string{"connector", "content_type", "type", "status"}, nil)
}

func notificationDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_notifications_total", "Messages to targets of notifications: delivered, attempts that failed, dropped for good.",
		[]string{"target", "result"}, nil)
}

// Describe implements prometheus.Collector.
func (h *healthMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- conditionDesc()
	out <- notificationDesc()
}

// Collect implements prometheus.Collector.
func (h *healthMetrics) Collect(out chan<- prometheus.Metric) {
	h.m.mu.Lock()
	reports := h.m.reports
	h.m.mu.Unlock()
	for _, c := range shownConditions(reports, maxConditionSeries) {
		out <- prometheus.MustNewConstMetric(conditionDesc(), prometheus.GaugeValue, 1, c.connector, c.contentType, string(c.Type), string(c.Status))
	}
	for _, st := range h.m.notifier.Status() {
		for result, n := range map[string]int64{"delivered": st.Sent, "failed": st.Failed, "dropped": st.Dropped} {
			out <- prometheus.MustNewConstMetric(notificationDesc(), prometheus.CounterValue, float64(n), st.Name, result)
		}
	}
}

type shownCondition struct {
	connector, contentType string
	health.Condition
}

// shownConditions are the conditions for metrics: each once, the worst verdict where a condition is about more than one
// feed, and only bad ones when there are more than limit.
func shownConditions(reports []health.Report, limit int) []shownCondition {
	worst := map[string]shownCondition{}
	bad := 0
	for _, r := range reports {
		for _, c := range r.Conditions {
			f := c.Type.Scope(r.Feed)
			key := fmt.Sprintf("%s/%s", f.Key(), c.Type)
			have, ok := worst[key]
			if c.Status == health.Unknown || ok && have.Status.Rank() >= c.Status.Rank() {
				continue
			}
			worst[key] = shownCondition{f.Connector, f.ContentType, c}
		}
	}
	list := make([]shownCondition, 0, len(worst))
	for _, c := range worst {
		list = append(list, c)
		if c.Status.Bad() {
			bad++
		}
	}
	if len(list) <= limit {
		return list
	}
	slices.SortFunc(list, func(a, b shownCondition) int {
		return cmp.Or(-cmp.Compare(a.Status.Rank(), b.Status.Rank()), cmp.Compare(a.connector, b.connector), cmp.Compare(a.contentType, b.contentType), cmp.Compare(a.Type, b.Type))
	})
	return list[:min(bad, limit)]
}
