package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
	"sluice/internal/source"
)

// kindNotifications is what `get` takes beside the kinds of entries, and `test` before a name.
const kindNotifications = "notifications"

// healthViews are the flags of status that show the conditions of one connector.
type healthViews struct{ conditions, history bool }

func (v healthViews) any() bool { return v.conditions || v.history }

// check demands one view of one connector.
func (v healthViews) check(queue bool, args []string) error {
	switch {
	case v.conditions && v.history, v.any() && queue:
		return usagef("--conditions, --history and --queue exclude one another")
	case v.any() && len(args) == 0:
		return usagef("--conditions and --history need the name of a connector")
	}
	return nil
}

// health prints the conditions of a connector, or how they changed.
func (c *cli) health(ctx context.Context, server *client.Client, name string, v healthViews, output string) error {
	changes := 0
	if v.history {
		changes = api.DefaultChanges
	}
	all, err := server.Conditions(ctx, name, changes)
	if err != nil {
		return err
	}
	switch {
	case output == "json" && v.history:
		return c.printJSON(all.History)
	case output == "json":
		return c.printJSON(all.Feeds)
	case v.history:
		return c.printConditionHistory(all)
	}
	return c.printConditions(all)
}

// printConditions prints what is known of each content type, and in full what somebody should read.
func (c *cli) printConditions(all api.Conditions) error {
	now := c.now()
	t := newTable(c.out, "CONTENT TYPE", "CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE")
	whole := map[string]bool{}
	var say []string
	for _, f := range all.Feeds {
		for _, x := range f.Conditions {
			contentType := f.ContentType
			if ofConnector(x.Type) {
				if contentType = ""; whole[x.Type] {
					continue
				}
			}
			if x.Status == "unknown" {
				continue
			}
			whole[x.Type] = true
			t.row(contentType, x.Type, x.Status, relative(now, x.Since), x.Reason, x.Message)
			if x.Status == "warning" || x.Status == "error" {
				say = append(say, fmt.Sprintf("%s %s: %s", strings.TrimSpace(all.Connector+" "+contentType), x.Type, x.Message))
				if x.Hint != "" {
					say = append(say, "hint: "+x.Hint)
				}
			}
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, line := range say {
		c.sayf("%s", clean(line))
	}
	return nil
}

// ofConnector tells the conditions that are the same for every content type of a connector.
func ofConnector(condition string) bool {
	return slices.Contains([]string{"running", "storage", "credential"}, condition)
}

func (c *cli) printConditionHistory(all api.Conditions) error {
	if len(all.History) == 0 {
		c.sayf("nothing was ever wrong with %s", clean(all.Connector))
		return nil
	}
	now := c.now()
	t := newTable(c.out, "WHEN", "AGO", "CONTENT TYPE", "CONDITION", "FROM", "TO", "REASON", "MESSAGE")
	for _, x := range all.History {
		t.row(x.At.UTC().Format(stamp), relative(now, &x.At), x.ContentType, x.Type, x.From, x.Status, x.Reason, x.Message)
	}
	return t.flush()
}

// getNotifications prints the targets of notifications, or one of them.
func (c *cli) getNotifications(ctx context.Context, server *client.Client, name, output string) error {
	if output == "yaml" {
		return usagef("get notifications is shown as table or json; notifications stand in the file of sluice up --config")
	}
	all, err := server.Notifications(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		all = slices.DeleteFunc(all, func(n api.Notification) bool { return n.Name != name })
		if len(all) == 0 {
			return noNotification(name)
		}
	}
	if output == "json" {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		c.sayf("no notifications; declare some in the file of sluice up --config and restart it")
		return nil
	}
	now := c.now()
	t := newTable(c.out, "NAME", "TYPE", "FROM SEVERITY", "TENANTS", "OPEN PROBLEMS", "OUTBOX", "DROPPED", "LAST DELIVERED", "NEXT TRY")
	for _, n := range all {
		t.row(n.Name, n.Type, n.MinSeverity, list(n.TenantNames), count(int64(n.Open)), count(int64(n.Outbox)), count(n.Dropped),
			relative(now, n.LastDelivered), relative(now, n.NextTry))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, n := range all {
		if e := n.LastError; e != nil {
			c.sayf("%s: %s: %s", clean(n.Name), clean(e.Kind), clean(e.Message))
			if e.Hint != "" {
				c.sayf("hint: %s", clean(e.Hint))
			}
		}
	}
	return nil
}

func noNotification(name string) error {
	return fault.Newf(fault.NotFound, "", "no notification is named %q", name).WithHint("sluice get notifications lists them")
}

// testOf finds what a name means for `test`: a connector or destination, else a target of notifications.
func testOf(ctx context.Context, server *client.Client, text string) (iter.Seq2[source.Check, error], error) {
	target, only := strings.CutPrefix(text, kindNotifications+"/")
	if !only {
		kind, name, err := resolve(ctx, server, text, api.Connectors, api.Destinations)
		if err == nil {
			return server.Test(ctx, kind, name), nil
		}
		if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		all, listErr := server.Notifications(ctx)
		if listErr != nil {
			return nil, listErr
		}
		if !slices.ContainsFunc(all, func(n api.Notification) bool { return n.Name == target }) {
			return nil, err
		}
	}
	return server.TestNotification(ctx, target), nil
}

// printChecks prints the steps of a test as they finish. It is an error when one failed.
func (c *cli) printChecks(checks iter.Seq2[source.Check, error], verbose bool) error {
	run, failed := 0, 0
	for check, err := range checks {
		if err != nil {
			return err
		}
		run++
		if check.Status == source.Failed {
			failed++
		}
		if err := source.RenderCheck(c.out, check, verbose); err != nil {
			return err
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %d checks failed", failed, run)
	case run == 0:
		return errors.New("nothing was checked")
	}
	return nil
}
