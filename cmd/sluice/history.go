package main

import (
	"context"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
)

func (c *cli) historyCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "history CONNECTOR",
		Short: "Show who changed a connector, and when",
		Long: `Show what happened to a connector, oldest first: who created, changed, paused, resumed or deleted it. Of a change the names
of the options are kept, never values. The history of a deleted connector stays.`,
		Example:           "  sluice history contoso-office365\n  sluice history contoso-office365 -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			all, err := server.History(ctx, args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(all)
			}
			now := c.now()
			t := newTable(c.out, "WHEN", "AGO", "WHO", "WHAT", "OPTIONS")
			for _, change := range all {
				t.row(change.At.UTC().Format(stamp), relative(now, &change.At), change.Actor, change.What, change.Detail)
			}
			return t.flush()
		}),
	}
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}
