package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

func (c *cli) historyCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show who changed a connector or filter, and when",
		Long: `Show what happened to a connector or a filter, oldest first: who created, changed, paused, resumed or deleted it. Of a change
the names of the options are kept, never values. A change is kept for 400 days, also of what was deleted; the newest one of what
exists is kept for as long as it exists.

connectors/NAME and filters/NAME choose between the two where both have the name.`,
		Example:           "  sluice history contoso-office365\n  sluice history contoso-office365 -o json\n  sluice history filters/drop-noise",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors, api.Filters),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			all, err := historyOf(ctx, server, args[0])
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

// historyOf finds what a name means for `history`. Unlike resolve it asks for histories and not for entries, because what
// was deleted has a history too.
func historyOf(ctx context.Context, server *client.Client, text string) ([]api.Change, error) {
	if name, only := strings.CutPrefix(text, string(api.Connectors)+"/"); only {
		return server.History(ctx, name)
	}
	if name, only := strings.CutPrefix(text, string(api.Filters)+"/"); only {
		return server.FilterHistory(ctx, name)
	}
	connector, noConnector := server.History(ctx, text)
	if noConnector != nil && !fault.Is(noConnector, fault.NotFound) {
		return nil, noConnector
	}
	filter, noFilter := server.FilterHistory(ctx, text)
	switch {
	case noFilter != nil && !fault.Is(noFilter, fault.NotFound):
		return nil, noFilter
	case noConnector == nil && noFilter == nil:
		return nil, ambiguous(text, api.Connectors, api.Filters)
	case noConnector == nil:
		return connector, nil
	case noFilter == nil:
		return filter, nil
	}
	return nil, fault.Newf(fault.NotFound, "", "nothing is known of a connector or filter named %q", text).
		WithHint("sluice get connectors and sluice get filters list those that exist")
}
