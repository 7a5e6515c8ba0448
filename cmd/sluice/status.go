package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
)

func (c *cli) statusCommand() *cobra.Command {
	var output string
	var queue bool
	var views healthViews
	var limit int
	cmd := &cobra.Command{
		Use:   "status [CONNECTOR]",
		Short: "Show how collecting goes, per connector and content type",
		Long: `Show one line per connector and content type. SINCE says how long the state is what it is; sluice history shows what was
changed in the settings. LISTED to LOST count units (what Microsoft lists and serves as one thing):
every unit that was listed has landed, is pending with a next try, or is lost. RECORDS counts the records in the lake.
COVERAGE is that of the latest verification, see sluice verify; it is not shown before the first. Below the table are
the errors that hinder the work now, and the intervals of which something can no longer be had.

With --queue show the units that are pending instead, oldest first: in which state, after how many failed attempts, when
they are tried next, and how the last attempt failed. sluice retry forces them.

With --conditions show what the state of a connector is made of, with --history how it changed, newest first. The history is
damped: what comes and goes within minutes is not in it.`,
		Example: "  sluice status\n  sluice status contoso-office365 --queue\n  sluice status contoso-office365 --conditions\n  sluice status -o json | jq '.[] | select(.lost > 0)'",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: c.names(api.Connectors),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			if limit < 0 {
				return usagef("--limit is %d; it must be 0 or more", limit)
			}
			if err := views.check(queue, args); err != nil {
				return err
			}
			name, err := optionalConnector(ctx, server, args)
			if err != nil {
				return err
			}
			if queue {
				return c.queue(ctx, server, name, limit, output)
			}
			if views.any() {
				return c.health(ctx, server, name, views, output)
			}
			all, err := server.Status(ctx)
			if err != nil {
				return err
			}
			if name != "" {
				all = slices.DeleteFunc(all, func(s api.Status) bool { return s.Name != name })
			}
			if output == "json" {
				return c.printJSON(all)
			}
			return c.printStatus(all)
		}),
	}
	cmd.Flags().BoolVar(&queue, "queue", false, "show the units that are pending")
	cmd.Flags().BoolVar(&views.conditions, "conditions", false, "show the conditions that the state of a connector is made of")
	cmd.Flags().BoolVar(&views.history, "history", false, "show how the conditions of a connector changed")
	cmd.Flags().IntVar(&limit, "limit", api.DefaultUnits, "with --queue: at most so many units per connector, 0 for all")
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

func (c *cli) printStatus(all []api.Status) error {
	if len(all) == 0 {
		c.sayf("no connector yet; create one with: sluice apply -f FILE")
		return nil
	}
	now := c.now()
	header := []string{"CONNECTOR", "TENANT", "CONTENT TYPE", "STATE", "SINCE", "LISTED", "LANDED", "PENDING", "LOST", "RECORDS", "DUPLICATES", "BACKLOG", "NEWEST EVENT", "LAST SUCCESS", "NEXT RUN"}
	verified := slices.ContainsFunc(all, func(s api.Status) bool { return s.CoveragePercent != nil })
	if verified {
		header = append(header, "COVERAGE")
	}
	t := newTable(c.out, header...)
	for _, s := range all {
		cells := []string{
			s.Name, s.TenantName, s.ContentType, s.State, relative(now, s.StateSince), count(s.Listed), count(s.Landed), count(s.Pending), count(s.Lost),
			count(s.Records), count(s.Duplicates), lasting(s.BacklogSeconds), relative(now, s.NewestEvent), relative(now, s.LastSuccess), relative(now, s.NextRun),
		}
		if verified {
			cells = append(cells, coverageOf(s))
		}
		t.row(cells...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, s := range all {
		if e := s.LastError; e != nil {
			c.sayf("%s %s: %s: %s", clean(s.Name), clean(s.ContentType), clean(e.Kind), clean(e.Message))
			if e.Hint != "" {
				c.sayf("hint: %s", clean(e.Hint))
			}
		}
		_ = c.printGaps(c.notef, s.Name, s.ContentType, s.Gaps) // notef has no error
	}
	return nil
}

func coverageOf(s api.Status) string {
	if s.CoveragePercent == nil {
		return "-"
	}
	return percent(*s.CoveragePercent, *s.CoveragePercent >= 100)
}

// queue prints the pending units of a connector, or of all.
func (c *cli) queue(ctx context.Context, server *client.Client, name string, limit int, output string) error {
	names := []string{name}
	if name == "" {
		entries, err := server.Entries(ctx, api.Connectors)
		if err != nil {
			return err
		}
		names = nil
		for _, e := range entries {
			names = append(names, e.Name)
		}
	}
	q := &queuePrinter{c: c, json: output == "json", all: []api.Unit{}}
	for _, name := range names {
		if err := q.connector(ctx, server, name, limit); err != nil {
			return err
		}
	}
	return q.end()
}

// queuePrinter prints units page by page, or collects them for one JSON array.
type queuePrinter struct {
	c     *cli
	json  bool
	all   []api.Unit // for JSON
	table *table     // nil before the first unit
	cut   []string   // connectors that have more than was asked for
}

// connector prints the pending units of one connector.
func (q *queuePrinter) connector(ctx context.Context, server *client.Client, name string, limit int) error {
	r := api.UnitsRequest{Connector: name, State: api.UnitPending, Limit: api.MaxUnits}
	for left := limit; ; {
		if limit > 0 {
			r.Limit = min(left, api.MaxUnits)
		}
		page, err := server.Units(ctx, r)
		if err != nil {
			return err
		}
		if err := q.units(page.Units); err != nil {
			return err
		}
		left -= len(page.Units)
		switch {
		case page.Next == "":
			return nil
		case limit > 0 && left <= 0:
			q.cut = append(q.cut, name)
			return nil
		}
		r.After = page.Next
	}
}

func (q *queuePrinter) units(units []api.Unit) error {
	if q.json {
		q.all = append(q.all, units...)
		return nil
	}
	now := q.c.now()
	for _, u := range units {
		if q.table == nil {
			q.table = newTable(q.c.out, "CONNECTOR", "CONTENT TYPE", "UNIT", "CREATED", "STATE", "ATTEMPTS", "NEXT TRY", "EXPIRES", "LAST ERROR")
		}
		problem := ""
		if u.LastError != nil {
			problem = u.LastError.Kind + ": " + u.LastError.Message
		}
		q.table.row(u.Connector, u.ContentType, u.ID, u.Created.UTC().Format(stamp), string(u.State), count(int64(u.Attempt)),
			relative(now, u.NextTry), relative(now, u.Expires), problem)
	}
	if q.table != nil && q.table.full() {
		return q.table.flush()
	}
	return nil
}

func (q *queuePrinter) end() error {
	if q.json {
		if err := q.c.printJSON(q.all); err != nil {
			return err
		}
	} else if q.table == nil {
		return q.c.printf("nothing waits\n")
	} else if err := q.table.flush(); err != nil {
		return err
	}
	for _, name := range q.cut {
		q.c.sayf("%s has more pending units; --limit 0 shows all", clean(name))
	}
	return nil
}

func (c *cli) retryCommand() *cobra.Command {
	var o api.RetryOptions
	cmd := &cobra.Command{
		Use:   "retry CONNECTOR",
		Short: "Try waiting units now instead of when their turn comes",
		Long: `Try the units of a connector that wait for another attempt now. sluice status --queue shows them.

With --unit only one of them is tried: its id has 32 hexadecimal digits, and the first 6 or more are enough when no other
unit of the connector begins with them. With --lost units that were given up are asked for once more; Microsoft rarely
serves what it said was gone.`,
		Example:           "  sluice retry contoso-office365\n  sluice retry contoso-office365 --unit 1f0c2a\n  sluice retry contoso-office365 --lost",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if o.Unit != "" && !api.IsUnitID(o.Unit) {
				return usagef("--unit is %q; it must be 6 to 32 hexadecimal digits", o.Unit)
			}
			_, name, err := resolve(ctx, server, args[0], api.Connectors)
			if err != nil {
				return err
			}
			result, err := server.Retry(ctx, name, o)
			if err != nil {
				return err
			}
			if result.Queued == 0 {
				return c.printf("%s: no unit waits for another try\n", clean(name))
			}
			return c.printf("%s: %s tried again now\n", clean(name), are(result.Queued))
		}),
	}
	cmd.Flags().StringVar(&o.Unit, "unit", "", "`id` of one unit, or at least its first 6 digits")
	cmd.Flags().BoolVar(&o.Lost, "lost", false, "also units that were given up as lost")
	return cmd
}
