package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/client"
)

func (c *cli) lakeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lake",
		Short:   "Look after the lake",
		Example: "  sluice lake stats\n  sluice lake compact",
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(c.lakeStatsCommand(), c.lakeCompactCommand())
	return cmd
}

func (c *cli) lakeStatsCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "stats",
		Short:   "Count rows, files and bytes per table",
		Example: "  sluice lake stats\n  sluice lake stats -o json",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			all, err := server.LakeStats(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(all)
			}
			t := newTable(c.out, "TABLE", "ROWS", "FILES", "BYTES", "BYTES/ROW", "DAYS", "FIRST", "LAST")
			for _, s := range all {
				perRow := "-"
				if s.Rows > 0 {
					perRow = count(s.Bytes / s.Rows)
				}
				t.row(s.Table, count(s.Rows), count(int64(s.Files)), count(s.Bytes), perRow, count(int64(s.Days)), dayOf(s.First), dayOf(s.Last))
			}
			return t.flush()
		}),
	}
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

func dayOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

func (c *cli) lakeCompactCommand() *cobra.Command {
	var before string
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Rewrite the small files of closed days into larger ones",
		Long: `Rewrite the small files of closed days into larger ones, sorted by action and time. A running server does this by itself
every hour. Replaced files stay readable for an hour.`,
		Example: "  sluice lake compact\n  sluice lake compact --before 7d",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			r, err := server.CompactLake(ctx, before)
			if err != nil {
				return err
			}
			if r.FilesBefore == 0 {
				return c.printf("nothing to compact\n")
			}
			return c.printf("%s rows: %s files of %s bytes became %s of %s\n", count(r.Rows), count(int64(r.FilesBefore)), count(r.BytesBefore),
				count(int64(r.FilesAfter)), count(r.BytesAfter))
		}),
	}
	cmd.Flags().StringVar(&before, "before", "", "`time`: only days that ended before (default: every closed day)")
	return cmd
}
