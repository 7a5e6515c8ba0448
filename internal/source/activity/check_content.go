package activity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/source"
)

// service asks the API for the subscriptions and finds out whether the tenant audits at all.
func (t *tester) service(ctx context.Context) {
	t.step(stepAPI, []string{stepAPINetwork, stepAPITLS, stepToken}, func() (result, error) {
		present, err := t.s.subscriptions(ctx)
		if t.listErr = auditOff(err); t.listErr != nil {
			return passed("the API accepts the token")
		}
		if err != nil {
			return result{}, err
		}
		t.present = present
		return passed("the API accepts the token and knows %s of this application", counted(len(present), "subscription"))
	})
	t.step(stepAudit, []string{stepAPI}, func() (result, error) { return t.audit(ctx) })
	for _, name := range t.s.types {
		t.step(stepSubscription+name, []string{stepAPI, stepAudit}, func() (result, error) { return t.subscription(name) })
	}
	if t.s.webhook != nil {
		t.step(stepWebhook, []string{stepAPI, stepAudit}, func() (result, error) { return t.webhook(ctx) })
	}
}

// audit concludes from the subscriptions whether audit logging is on, and starts one when there is none.
func (t *tester) audit(ctx context.Context) (result, error) {
	if t.listErr != nil {
		return result{}, t.listErr
	}
	var candidates []string
	for _, name := range t.s.types {
		switch {
		case t.present[name].enabled():
			return passed("on: the service has accepted subscriptions of this tenant")
		case !t.failed[stepPermission+name]:
			candidates = append(candidates, name)
		}
	}
	if len(candidates) == 0 {
		return skipped("it shows only when a subscription is started, for which the permission is missing")
	}
	ct, _ := findContentType(candidates[0])
	if err := t.s.start(ctx, ct, t.s.hookToStart(ct.name, t.present[ct.name].hook())); err != nil {
		return result{}, err
	}
	t.present[ct.name] = subscription{ContentType: ct.name, Status: "enabled"}
	return passed("on: the subscription of %s was started and accepted; first content can take up to 12 hours", ct.name)
}

func (t *tester) subscription(name string) (result, error) {
	switch sub, ok := t.present[name]; {
	case sub.enabled():
		return passed("enabled")
	case !ok:
		return skipped("not there yet: Sluice starts it when the connector runs")
	default:
		return result{
			message: "listed as " + first(sub.Status, "neither enabled nor disabled") + ": Sluice starts it again when the connector runs",
			hint: "if it stays so after 15 minutes, an administrator or Microsoft has switched it off: check at purview.microsoft.com > Solutions > Audit that auditing is on, " +
				"and ask whether another program stops the subscriptions of application " + t.s.app,
			skip: true,
		}, nil
	}
}

// content lists the last day of the first content type that has something, and reads one record.
func (t *tester) content(ctx context.Context) {
	t.step(stepListing, []string{stepAPI, stepAudit}, func() (result, error) { return t.listing(ctx) })
	t.step(stepSample, []string{stepListing}, func() (result, error) {
		if t.sample == nil {
			return skipped("there is no content to read yet")
		}
		for item, err := range t.s.Fetch(ctx, *t.sample) {
			if err != nil {
				return result{}, err
			}
			if item.Malformed != "" {
				return result{}, fault.Newf(fault.Malformed, "", "the first record of a blob of %s is unusable: %s", t.sample.ContentType, item.Malformed).
					WithHint("nothing to do if it happens once: Sluice keeps the record aside and goes on; if it is frequent, open a case with Microsoft support")
			}
			return passed("read a record of %s with %d bytes", t.sample.ContentType, len(item.Raw))
		}
		return passed("the blob is empty")
	})
}

// The bounds of what a connection test lists.
const (
	sampleUnits = 100
	sampleHours = 24
)

func (t *tester) listing(ctx context.Context) (result, error) {
	var looked []string
	for _, name := range t.s.types {
		if !t.present[name].enabled() || t.failed[stepPermission+name] {
			continue
		}
		looked = append(looked, name)
		units, err := t.list(ctx, name)
		switch {
		case err != nil:
			return result{}, err
		case len(units) == sampleUnits:
			t.sample = &units[0]
			return passed("%d or more blobs of %s in the last %d hours", sampleUnits, name, sampleHours)
		case len(units) > 0:
			t.sample = &units[0]
			return passed("%s of %s in the last %d hours", counted(len(units), "blob"), name, sampleHours)
		}
	}
	if len(looked) == 0 {
		return skipped("no content type has both its permission and its subscription")
	}
	return passed("it works, but there is nothing of the last %d hours in %s, which is normal on a new or quiet tenant", sampleHours, strings.Join(looked, ", "))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// list reads the first units of the last day. Other than List it does not start a subscription that is missing.
func (t *tester) list(ctx context.Context, name string) (units []record.Unit, err error) {
	now := t.s.clock.Now().Add(t.s.Skew()).UTC().Truncate(time.Second)
	w := source.Window{ContentType: name, From: now.Add(-sampleHours * time.Hour), To: now}
	l := listing{s: t.s, op: fmt.Sprintf("list %s of the last %d hours", name, sampleHours), contentType: name}
	err = l.window(ctx, w.From, w.To, func(u record.Unit, _ error) bool {
		units = append(units, u)
		return len(units) < sampleUnits
	})
	if err == nil && len(units) == 0 {
		err = l.damaged
	}
	return units, err
}
