package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

// maxTold is how many problems or gaps a table output tells. JSON has all that the server names.
const maxTold = 20

func (c *cli) verifyCommand() *cobra.Command {
	var q api.VerifyQuery
	var output string
	var hours bool
	cmd := &cobra.Command{
		Use:   "verify [CONNECTOR]",
		Short: "Prove that nothing is missing, or say what is",
		Long: `Ask Microsoft again what it lists, and compare that with the records that are in the lake, counted one by one. The result
is one line per connector and content type, what is wrong with which unit, and a verdict. LISTED to WAITING count units:

  LANDED   all their records are in the lake
  MISSING  they are not in the lake, or not with all their records
  LOST     Microsoft no longer serves them
  SURPLUS  the lake has more of them than it should
  WAITING  listed a moment ago or still tried again: no verdict yet

RECORDS counts the records that are in the lake, DROPPED those that landed and were removed by its retention since: they are
not missing. COVERAGE is the share that landed of all that landed, is missing or is lost. It is 100.00% only when nothing is missing.

With --repair what is missing is queued to be fetched again, as far as Microsoft still serves it. A running server verifies
by itself once a day; sluice status has the result. Exit code 0: complete. 3: not complete.`,
		Example:           "  sluice verify\n  sluice verify contoso-office365 --since 24h --hours\n  sluice verify --since 2026-01-01 --until 2026-01-03 -o json\n  sluice verify contoso-office365 --repair",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.names(api.Connectors),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			if err := c.checkInterval(q.Since, q.Until); err != nil {
				return err
			}
			var err error
			if q.Connector, err = optionalConnector(ctx, server, args); err != nil {
				return err
			}
			report, err := c.runVerify(ctx, server, q)
			if err != nil {
				return err
			}
			if output == "json" {
				if err := c.printJSON(report); err != nil {
					return err
				}
				return incomplete(report, q.Repair)
			}
			return c.printVerify(report, hours, q.Repair)
		}),
	}
	cmd.Flags().StringVar(&q.Since, "since", api.VerifySince, "units that Microsoft made at or after: an age (7d), RFC 3339, a date or all")
	cmd.Flags().StringVar(&q.Until, "until", "", "units that Microsoft made before (default now)")
	cmd.Flags().BoolVar(&q.Repair, "repair", false, "fetch again what is missing")
	cmd.Flags().BoolVar(&hours, "hours", false, "also show each hour")
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

// optionalConnector is the connector that a command line names, "" for none.
func optionalConnector(ctx context.Context, server *client.Client, args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	_, name, err := resolve(ctx, server, args[0], api.Connectors)
	return name, err
}

// runVerify runs a verification and shows people how far it is.
func (c *cli) runVerify(ctx context.Context, server *client.Client, q api.VerifyQuery) (api.VerifyReport, error) {
	bar := c.bar(1, "verifying", false)
	defer bar.close()
	var at atomic.Pointer[string] // the connector that is being verified
	at.Store(&q.Connector)
	hinders := func() (*api.Failure, error) { return collecting(ctx, server, *at.Load()) }
	return waitingFor(c, hinders, func() (api.VerifyReport, error) {
		return server.Verify(ctx, q, func(p api.VerifyProgress) {
			at.Store(&p.Connector)
			bar.describe(strings.TrimRight(fmt.Sprintf("%s %s %s", p.Phase, p.Connector, p.ContentType), " "))
			bar.limit(max(p.Total, p.Done, 1))
			bar.set(p.Done)
		})
	})
}

// printVerify prints a report for people. The verdict comes last; what is not complete is an error.
func (c *cli) printVerify(r api.VerifyReport, hours, repair bool) error {
	if len(r.Feeds) > 0 {
		t := newTable(c.out, verifyHeader("CONNECTOR", "CONTENT TYPE")...)
		for _, f := range r.Feeds {
			t.row(verifyCells(f.VerifyCounts, f.CoveragePercent, f.Connector, f.ContentType)...)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if hours {
		if err := c.printHours(r.Feeds); err != nil {
			return err
		}
	}
	if err := c.printProblems(r); err != nil {
		return err
	}
	for _, f := range r.Feeds {
		if err := c.printGaps(c.printf, f.Connector, f.ContentType, f.Gaps); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		c.sayf("note: %s", clean(note))
	}
	if err := incomplete(r, repair); err != nil {
		return err
	}
	return c.printf("%s\n", clean(verdict(r)))
}

func verifyHeader(first ...string) []string {
	return append(first, "LISTED", "LANDED", "MISSING", "LOST", "SURPLUS", "WAITING", "RECORDS", "DROPPED", "COVERAGE")
}

func verifyCells(n api.VerifyCounts, coverage float64, first ...string) []string {
	share := percent(coverage, n.Whole())
	if n.Undecided() {
		share = "-"
	}
	return append(first, count(n.Listed), count(n.Landed), count(n.Missing), count(n.Lost), count(n.Surplus), count(n.Waiting), count(n.Records),
		count(n.DroppedRecords), share)
}

// percent prints a coverage with two digits, rounded down; what is not whole never reads as 100.00%.
func percent(coverage float64, whole bool) string {
	const unit = 100 // hundredths of a percent
	n := math.Floor(coverage*unit + 1e-9)
	if !whole || coverage < 100 {
		n = min(n, 100*unit-1)
	}
	return fmt.Sprintf("%.2f%%", max(n, 0)/unit)
}

func (c *cli) printHours(feeds []api.VerifyFeed) error {
	if err := c.printf("\n"); err != nil {
		return err
	}
	t := newTable(c.out, verifyHeader("HOUR", "CONNECTOR", "CONTENT TYPE")...)
	for _, f := range feeds {
		for _, h := range f.Hours {
			t.row(verifyCells(h.VerifyCounts, h.CoveragePercent, h.Hour.UTC().Format("2006-01-02 15:04"), f.Connector, f.ContentType)...)
			if t.full() {
				if err := t.flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return c.printf("\n")
}

// printProblems tells what is wrong with which unit.
func (c *cli) printProblems(r api.VerifyReport) error {
	told := r.Problems[:min(len(r.Problems), maxTold)]
	for _, p := range told {
		line := fmt.Sprintf("%s: %s %s, unit %s of %s: %s", p.State, p.Connector, p.ContentType, p.Unit, p.Created.UTC().Format(stamp), p.Reason)
		if p.Expected > 0 {
			line += fmt.Sprintf(" (%s expected, %s found)", plural(p.Expected, "record"), count(p.Found))
		}
		if p.State == api.UnitMissing && !p.Repairable {
			line += "; it cannot be fetched again"
		}
		if err := c.printf("%s\n", clean(line)); err != nil {
			return err
		}
	}
	if more := int64(len(r.Problems)-len(told)) + r.Omitted; more > 0 {
		return c.printf("and %s more; -o json lists the first %s\n", plural(more, "problem"), count(int64(len(r.Problems))))
	}
	return nil
}

// printGaps tells the intervals of a feed that are not whole, the newest ones when there are many.
func (c *cli) printGaps(printf func(string, ...any) error, connector, contentType string, gaps []api.Gap) error {
	if more := len(gaps) - maxTold; more > 0 {
		if err := printf("gap: %s %s: %s before these; -o json lists all\n", clean(connector), clean(contentType), plural(int64(more), "gap")); err != nil {
			return err
		}
		gaps = gaps[more:]
	}
	for _, g := range gaps {
		if err := printf("gap: %s %s: %s to %s: %s (noticed %s)\n", clean(connector), clean(contentType), g.From.UTC().Format(stamp), g.To.UTC().Format(stamp),
			clean(g.Reason), relative(c.now(), &g.Noticed)); err != nil {
			return err
		}
	}
	return nil
}

// plural prints a number with its noun: "1 unit", "2,000 units".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// interval prints what a report is about.
func interval(r api.VerifyReport) string {
	if r.Since.IsZero() {
		return "until " + r.Until.UTC().Format(stamp)
	}
	return "from " + r.Since.UTC().Format(stamp) + " to " + r.Until.UTC().Format(stamp)
}

// verdict is the sentence under a complete report.
func verdict(r api.VerifyReport) string {
	n := r.Totals
	switch {
	case len(r.Feeds) == 0:
		return "nothing to verify: there is no connector that collects"
	case n.Listed == 0:
		return "complete: Microsoft lists nothing " + interval(r)
	case n.Waiting == 0:
		return fmt.Sprintf("complete: everything that Microsoft lists %s is in the lake: %s with %s", interval(r), plural(n.Landed, "unit"), plural(n.Records, "record"))
	}
	return fmt.Sprintf("complete so far: nothing that Microsoft lists %s is missing; %s landed with %s, %s: see sluice status --queue",
		interval(r), plural(n.Landed, "unit"), plural(n.Records, "record"), waits(n.Waiting))
}

func waits(n int64) string {
	if n == 1 {
		return "1 unit still waits"
	}
	return count(n) + " units still wait"
}

// incomplete is the verdict on a report that is not complete, with what to do next; nil when it is.
func incomplete(r api.VerifyReport, repair bool) error {
	if r.Complete {
		return nil
	}
	n := r.Totals
	var what, next []string
	for _, part := range []struct {
		n    int64
		text string
	}{{n.Missing, "missing"}, {n.Lost, "lost"}, {n.Surplus, "surplus"}} {
		if part.n > 0 {
			what = append(what, plural(part.n, "unit")+" "+part.text)
		}
	}
	if n.MissingRecords > 0 {
		what = append(what, plural(n.MissingRecords, "record")+" missing")
	}
	if n.SurplusRecords > 0 {
		what = append(what, plural(n.SurplusRecords, "record")+" surplus")
	}
	message := "not complete " + interval(r) + ": " + strings.Join(what, ", ")
	if len(what) == 0 {
		message = "no verdict on everything " + interval(r) + ": a part could not be looked at"
		next = append(next, "see the notes for the reason, and run the command again when it is gone")
	}
	name := ""
	if r.Connector != "" {
		name = " " + r.Connector
	}
	switch {
	case r.Repaired > 0:
		next = append(next, fmt.Sprintf("%s fetched again now; run `sluice verify%s` when sluice status --queue shows nothing", are(r.Repaired), name))
	case repairable(r) && !repair:
		next = append(next, fmt.Sprintf("run `sluice verify%s --repair` to fetch again what is missing", name))
	case n.Missing > 0:
		next = append(next, "what is missing cannot be fetched again; import an export of that time if there is one (sluice import)")
	}
	if n.Lost > 0 {
		next = append(next, "lost units are gone at Microsoft; import an export of that time if there is one (sluice import)")
	}
	if n.Surplus > 0 || n.SurplusRecords > 0 {
		next = append(next, "surplus is a mistake of Sluice; nothing is missing because of it, please report it with the output of -o json")
	}
	return &partError{fault.New(fault.Gone, "", message).WithHint(strings.Join(next, "\n"))}
}

func are(n int64) string {
	if n == 1 {
		return "1 unit is"
	}
	return count(n) + " units are"
}

func repairable(r api.VerifyReport) bool {
	for _, p := range r.Problems {
		if p.Repairable {
			return true
		}
	}
	return r.Omitted > 0 && r.Totals.Missing > 0
}
