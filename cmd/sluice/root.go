package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"sluice/internal/client"
	"sluice/internal/fault"
)

const rootHelp = `Sluice collects the security logs of Microsoft 365, proves that none is missing, keeps them in a searchable lake
and delivers them to the tools a security team already has.

"sluice up" is the server. All other commands are clients of its API. They find it through SLUICE_URL (default
` + client.DefaultURL + `), or through the server's data folder (--data or SLUICE_DATA); SLUICE_TOKEN, or the file
cli-token in that folder, is the key.

Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete or partly failed, 130 interrupted.`

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "Collect the security logs of Microsoft 365, completely",
		Long:          rootHelp,
		Example:       "  sluice up --demo                      # a server with a simulated Microsoft tenant\n  sluice status\n  sluice search 'Operation:UserLoggedIn'",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.CompletionOptions.DisableDescriptions = false
	root.PersistentFlags().StringVar(&c.data, "data", "", "data `folder` of the server (default $SLUICE_DATA, else ./data)")
	_ = root.RegisterFlagCompletionFunc("data", directories) // fails only for an unknown flag
	root.AddGroup(
		&cobra.Group{ID: "server", Title: "Server:"},
		&cobra.Group{ID: "entries", Title: "Connectors, destinations, filters:"},
		&cobra.Group{ID: "data", Title: "Collecting and searching:"})
	for group, commands := range map[string][]*cobra.Command{
		"server":  {c.upCommand(), c.simCommand(), c.statusCommand()},
		"entries": {c.applyCommand(), c.getCommand(), c.testCommand(), c.pauseCommand(), c.resumeCommand(), c.deleteCommand(), c.filterCommand(), c.historyCommand(), c.consentCommand()},
		"data":    {c.collectCommand(), c.verifyCommand(), c.retryCommand(), c.searchCommand(), c.importCommand(), c.lakeCommand(), c.eraseCommand()},
		"":        {c.versionCommand(), c.docsCommand(), c.queryWorkerCommand()},
	} {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	return root
}

// action makes the RunE of a command. What fails from here on is not wrong usage, unless it says so.
func (c *cli) action(run func(context.Context, *cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.started = true
		return run(cmd.Context(), cmd, args)
	}
}

// remote is action for commands that talk to the server.
func (c *cli) remote(run func(context.Context, *client.Client, []string) error) func(*cobra.Command, []string) error {
	return c.action(func(ctx context.Context, _ *cobra.Command, args []string) error {
		server, err := c.connect()
		if err != nil {
			return err
		}
		defer server.Close()
		return run(ctx, server, args)
	})
}

func (c *cli) connect() (*client.Client, error) {
	settings, err := client.Find(client.Sources{Getenv: c.getenv, DataDir: c.data})
	if err != nil {
		return nil, err
	}
	return client.New(settings), nil
}

// oneOf checks the value of a flag with a closed list of values.
func oneOf(flag, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usagef("--%s is %q; it must be one of %s", flag, value, list(allowed))
}

var errNotInBuild = fault.New(fault.Config, "", "this build of sluice does not contain that part").
	WithHint("use a release build")
