package main

import (
	"context"

	"github.com/spf13/cobra"

	"sluice/internal/client"
)

func (c *cli) upCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything: collecting, the lake, the API",
		Long: `Run the server in the foreground until it is interrupted. What is going on is written to standard error.

With --demo it also runs a simulated Microsoft tenant with live traffic and a connector that collects it; without --data
the demo keeps its data in a temporary folder that is removed at the end.`,
		Example: "  sluice up --demo\n  sluice up --config sluice.yaml\n  sluice up --data /var/lib/sluice --listen 127.0.0.1:9000",
		Args:    cobra.NoArgs,
		RunE: c.action(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if c.parts.up == nil {
				return errNotInBuild
			}
			o.Data = c.data
			if o.Data == "" {
				o.Data = c.getenv("SLUICE_DATA")
			}
			o.Version, o.Stdout, o.Stderr = c.version, c.out, c.err
			return c.parts.up(ctx, o)
		}),
	}
	cmd.Flags().StringVar(&o.Config, "config", "", "configuration `file` (sluice.yaml)")
	cmd.Flags().StringVar(&o.Listen, "listen", "", "`address` of the API (default 127.0.0.1:8365)")
	cmd.Flags().BoolVar(&o.Demo, "demo", false, "add a simulated Microsoft tenant with live traffic")
	_ = cmd.RegisterFlagCompletionFunc("config", files("yaml", "yml"))
	return cmd
}

func (c *cli) simCommand() *cobra.Command {
	var o simOptions
	cmd := &cobra.Command{
		Use:     "sim",
		Short:   "Run the simulator of Microsoft's endpoints alone",
		Long:    "Run the simulator of Microsoft's endpoints in the foreground until it is interrupted. A scenario says which tenants, volumes and faults it has.",
		Example: "  sluice sim\n  sluice sim --listen 127.0.0.1:9443 --scenario throttled.yaml",
		Args:    cobra.NoArgs,
		RunE: c.action(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if c.parts.sim == nil {
				return errNotInBuild
			}
			o.Stdout, o.Stderr = c.out, c.err
			return c.parts.sim(ctx, o)
		}),
	}
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:0", "`address` to listen on; port 0 chooses a free one")
	cmd.Flags().StringVar(&o.Scenario, "scenario", "", "scenario `file` (default: a small tenant)")
	cmd.Flags().StringVar(&o.CAFile, "ca-file", "", "`file` to write the certificate of the simulator's authority to (default: a temporary file)")
	_ = cmd.RegisterFlagCompletionFunc("scenario", files("yaml", "yml"))
	return cmd
}

// queryWorkerCommand is the child process in which a running server executes queries. People do not call it.
func (c *cli) queryWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "query-worker",
		Short:  "Execute queries for a running server",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: c.action(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if c.parts.queryWorker == nil {
				return errNotInBuild
			}
			return c.parts.queryWorker(ctx)
		}),
	}
}

func (c *cli) versionCommand() *cobra.Command {
	var withServer bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  sluice version\n  sluice version --server",
		Args:    cobra.NoArgs,
	}
	ask := c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
		info, err := server.Info(ctx)
		if err != nil {
			return err
		}
		return c.printf("sluice %s\nserver %s at %s, data in %s, up since %s\n", c.version, info.Version, server.URL(), info.DataDir,
			info.Started.UTC().Format(stamp))
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if withServer {
			return ask(cmd, args)
		}
		c.started = true
		return c.printf("sluice %s\n", c.version)
	}
	cmd.Flags().BoolVar(&withServer, "server", false, "also ask the server for its version")
	return cmd
}
