package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

func (c *cli) lakeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lake",
		Short:   "Look after the lake",
		Example: "  sluice lake stats\n  sluice lake check --deep",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it a misspelt command would be help as well
	}
	cmd.AddCommand(c.lakeStatsCommand(), c.lakeCompactCommand(), c.lakeCheckCommand(), c.lakeRepairCommand())
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
			if err := c.checkTimes(timeFlag{"before", before}); err != nil {
				return err
			}
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

func (c *cli) lakeCheckCommand() *cobra.Command {
	var output string
	var deep bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for missing and damaged data files",
		Long: `Look at every data file that the tables of the lake refer to: is it there, with its size and an intact footer? With --deep
every row is read as well, which takes as long as reading the whole lake. Nothing is changed. Exit code 0: every file is
as it was written. 3: files are missing or damaged.`,
		Example: "  sluice lake check\n  sluice lake check --deep -o json",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			check, err := server.CheckLake(ctx, deep)
			if err != nil {
				return err
			}
			if output == "json" {
				err = c.printJSON(check)
			} else {
				err = c.printLakeCheck(check)
			}
			if err != nil || check.Missing+check.Damaged == 0 {
				return err
			}
			return &partError{fault.Newf(fault.Malformed, "", "the lake is damaged: %s in %s cannot be read", plural(check.Rows, "row"), plural(check.Missing+check.Damaged, "file")).
				WithHint("run `sluice lake repair`, then `sluice verify --repair` to fetch again what Microsoft still serves; older files can come back from a backup")}
		}),
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read every row")
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

func (c *cli) printLakeCheck(check api.LakeCheck) error {
	if err := c.printFiles(check.Problems, check.Omitted); err != nil {
		return err
	}
	how := "size and footer are right"
	if check.Deep {
		how = "every row was read"
	}
	if check.Missing+check.Damaged == 0 {
		return c.printf("%s: all there, %s\n", plural(check.OK, "file"), how)
	}
	return c.printf("%s: %s ok (%s), %s missing, %s damaged; %s and %s bytes concerned\n", plural(check.OK+check.Missing+check.Damaged, "file"), count(check.OK), how,
		count(check.Missing), count(check.Damaged), plural(check.Rows, "row"), count(check.Bytes))
}

// printFiles tells what is wrong with which file. Names are never cut.
func (c *cli) printFiles(files []api.FileProblem, omitted int64) error {
	for _, f := range files {
		if err := c.printf("%s: %s: %s: %s (%s, %s bytes)\n", clean(string(f.State)), clean(f.Table), clean(f.File), clean(f.Reason), plural(f.Rows, "row"), count(f.Bytes)); err != nil {
			return err
		}
	}
	if omitted > 0 {
		return c.printf("and %s more\n", plural(omitted, "file"))
	}
	return nil
}

func (c *cli) lakeRepairCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Take missing and damaged data files out of the tables",
		Long: `Make the lake readable again: references to missing files are removed from the tables, and damaged files are moved aside,
not deleted. The records in them are then missing from the lake; sluice verify --repair fetches again what Microsoft
still serves. To get files back from a backup instead, do that before the repair.`,
		Example: "  sluice lake repair && sluice verify --repair",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			repair, err := server.RepairLake(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(repair)
			}
			return c.printRepair(repair)
		}),
	}
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

func (c *cli) printRepair(r api.LakeRepair) error {
	if r.Removed+r.Moved == 0 {
		return c.printf("nothing to repair: every file is as it was written\n")
	}
	if err := c.printFiles(r.Problems, r.Omitted); err != nil {
		return err
	}
	if r.Removed > 0 {
		if err := c.printf("%s to missing files removed\n", plural(r.Removed, "reference")); err != nil {
			return err
		}
	}
	if r.Moved > 0 {
		if err := c.printf("%s moved to %s\n", plural(r.Moved, "damaged file"), clean(r.Aside)); err != nil {
			return err
		}
	}
	c.sayf("warning: %s missing from the lake now", rowsAre(r.Rows))
	c.sayf("hint: run `sluice verify --repair` to fetch again what Microsoft still serves")
	return nil
}

func rowsAre(n int64) string {
	if n == 1 {
		return "1 row is"
	}
	return count(n) + " rows are"
}
