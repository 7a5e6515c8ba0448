package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
)

func (c *cli) filterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "filter",
		Short: "Try log filters on what was collected",
		Long: `Log filters say which records a connector does not keep. They are entries like connectors: made with apply, shown with
"get filters", deleted with delete.`,
		Example: "  sluice filter test drop-noise --connector contoso-office365\n  sluice filter test -f filters.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.filterTestCommand())
	return cmd
}

func (c *cli) filterTestCommand() *cobra.Command {
	var file, output string
	var q api.FilterQuery
	cmd := &cobra.Command{
		Use:   "test [NAME...]",
		Short: "Show what log filters would drop",
		Long: `Run log filters over the newest records of the lake and tell how many they would drop, with a few examples. Nothing is
changed. What is tried are filters that exist (NAME), or those of a file that was not applied yet (-f), or else the filters
of the connector that --connector names. Several are tried together, as one connector would use them.

Exit code 3: they would drop everything.`,
		Example:           "  sluice filter test drop-noise\n  sluice filter test -f filters.yaml --connector contoso-office365 --since 7d\n  sluice filter test --connector contoso-office365",
		ValidArgsFunction: c.names(api.Filters),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			if err := c.checkTimes(timeFlag{"since", q.Since}); err != nil {
				return err
			}
			if err := c.choose(&q, args, file); err != nil {
				return err
			}
			report, err := server.TestFilters(ctx, q)
			if err != nil {
				return err
			}
			if output == "json" {
				err = c.printJSON(report)
			} else {
				err = c.printFilterReport(report)
			}
			if err == nil && report.DropsEverything {
				err = partlyf("every one of %s would be dropped", plural(report.Seen, "record"))
			}
			return err
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` with the filters to try, - for standard input")
	cmd.Flags().StringVar(&q.Connector, "connector", "", "only records of this connector; without filters: try its own")
	cmd.Flags().StringVar(&q.Since, "since", api.FilterTestSince, "records from then on: an age (24h), RFC 3339 or a date")
	cmd.Flags().IntVar(&q.Limit, "limit", api.FilterTestLimit, "look at so many records, the newest first")
	_ = cmd.RegisterFlagCompletionFunc("file", files("yaml", "yml", "json"))
	_ = cmd.RegisterFlagCompletionFunc("connector", c.names(api.Connectors))
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

// choose puts what is to be tried into the query.
func (c *cli) choose(q *api.FilterQuery, names []string, file string) error {
	switch {
	case file != "" && len(names) > 0:
		return usagef("give either names of filters or --file, not both")
	case q.Limit < 1 || q.Limit > api.MaxFilterTest:
		return usagef("--limit must be from 1 to %s", count(api.MaxFilterTest))
	case file != "":
		name, text, err := c.readDocument(file)
		q.Name, q.Document = name, string(text)
		return err
	case len(names) == 0 && q.Connector == "":
		return usagef("name a filter, or a file with --file, or a connector with --connector")
	}
	for _, name := range names {
		text, err := json.Marshal(strings.TrimPrefix(name, string(api.Filters)+"/"))
		if err != nil {
			return err
		}
		q.Filters = append(q.Filters, text)
	}
	return nil
}

// printFilterReport prints for people what filters would drop.
func (c *cli) printFilterReport(r api.FilterReport) error {
	t := newTable(c.out, "FILTER", "WOULD DROP", "SHARE")
	for _, f := range r.ByFilter {
		t.row(f.Filter, count(f.Records), share(f.Records, r.Seen))
	}
	t.row("together", count(r.Dropped), share(r.Dropped, r.Seen))
	if err := t.flush(); err != nil {
		return err
	}
	of := ""
	if r.Connector != "" {
		of = " of " + r.Connector
	}
	c.sayf("looked at %s%s since %s", plural(r.Seen, "record"), clean(of), r.Since.UTC().Format(stamp))
	if r.More {
		c.sayf("note: these were the newest; there may be more (--limit)")
	}
	if r.Undecided > 0 {
		c.sayf("note: %s kept because a query means nothing for them", plural(r.Undecided, "record"))
	}
	for _, n := range r.Notices {
		c.sayf("note: filter %s: %s", clean(n.Filter), clean(n.Text))
	}
	for _, u := range r.UnknownFields {
		text := fmt.Sprintf("filter %s: %s: no record has the field %q", clean(u.Filter), clean(u.Path), clean(u.Field))
		if u.Suggest != "" {
			text += fmt.Sprintf(", did you mean %q?", clean(u.Suggest))
		}
		c.sayf("warning: %s", text)
	}
	if len(r.Examples) == 0 {
		return nil
	}
	if err := c.printf("\n"); err != nil {
		return err
	}
	t = newTable(c.out, "FILTER", "TIME", "OPERATION", "_ID")
	for _, e := range r.Examples {
		t.row(e.Filter, e.Timestamp.UTC().Format(stamp), e.Operation, e.ID)
	}
	return t.flush()
}

// share prints a part of a whole in percent; what is not all never reads as 100 %.
func share(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return percent(float64(part)/float64(whole)*100, part == whole)
}

// printFilters prints the log filters, or one of them by connector and content type.
func (c *cli) printFilters(ctx context.Context, server *client.Client, name string) error {
	all, err := server.LogFilters(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		return c.printFilter(all, name)
	}
	if len(all) == 0 {
		c.sayf("no filter yet; create one with: sluice apply -f FILE")
		return nil
	}
	t := newTable(c.out, "NAME", "MODE", "DROPPED", "CONNECTORS", "OWNER", "UPDATED")
	for _, f := range all {
		t.row(f.Name, f.Mode, count(f.Dropped), strings.Join(f.Connectors, ", "), f.Owner, relative(c.now(), &f.Updated))
	}
	return t.flush()
}

func (c *cli) printFilter(all []api.FilterInfo, name string) error {
	var entries []api.Entry
	for _, f := range all {
		if f.Name != name {
			entries = append(entries, api.Entry{Kind: api.Filters, Name: f.Name})
			continue
		}
		t := newTable(c.out, "NAME", "MODE", "DROPPED", "CONNECTORS", "OWNER", "UPDATED")
		t.row(f.Name, f.Mode, count(f.Dropped), strings.Join(f.Connectors, ", "), f.Owner, relative(c.now(), &f.Updated))
		if err := t.flush(); err != nil || len(f.Drops) == 0 {
			return err
		}
		if err := c.printf("\n"); err != nil {
			return err
		}
		t = newTable(c.out, "CONNECTOR", "CONTENT TYPE", "DROPPED")
		for _, d := range f.Drops {
			t.row(d.Connector, d.ContentType, count(d.Records))
		}
		return t.flush()
	}
	return unknown(entries, name, api.Filters)
}

// printApplied prints what apply did.
func (c *cli) printApplied(result api.ApplyResult) error {
	c.mistakes("warning", result.Warnings)
	t := newTable(c.out, "KIND", "NAME", "ACTION", "CHANGED")
	for _, e := range result.Entries {
		t.row(e.Kind.Singular(), e.Name, string(e.Action), strings.Join(e.Changed, ", "))
	}
	if result.DryRun {
		c.sayf("dry run: nothing was changed")
	}
	if err := t.flush(); err != nil || result.MovedIn == nil {
		return err
	}
	return c.printMovedIn(result.MovedIn)
}

// printMovedIn prints what became of every setting of another collector. Reasons are never cut.
func (c *cli) printMovedIn(m *api.MoveIn) error {
	sections := []struct {
		title, header string
		rows          []string
	}{{title: "Taken over from the " + m.Title + ":", header: "SETTING\tBECAME\tNOTE"}, {title: "Not taken over:", header: "SETTING\tREASON"}}
	for _, s := range m.Taken {
		note := s.Note
		if note == "" {
			note = "-"
		}
		sections[0].rows = append(sections[0].rows, clean(s.From)+"\t"+clean(s.To)+"\t"+clean(note))
	}
	for _, s := range m.Left {
		sections[1].rows = append(sections[1].rows, clean(s.From)+"\t"+clean(s.Reason))
	}
	for _, s := range sections {
		if len(s.rows) == 0 {
			continue
		}
		if err := c.printf("\n%s\n", s.title); err != nil {
			return err
		}
		t := newTable(c.out, strings.Split(s.header, "\t")...)
		for _, row := range s.rows {
			_, _ = io.WriteString(t.out, row+"\n") // tabwriter keeps the error for Flush
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}
