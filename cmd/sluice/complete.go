package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
)

var tableOrJSON = []string{"table", "json"}

// completer proposes words for an argument or flag.
type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

func words(all ...string) completer {
	return cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
}

func files(extensions ...string) completer {
	return cobra.FixedCompletions(extensions, cobra.ShellCompDirectiveFilterFileExt)
}

func directories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// names proposes the names of entries of the given kinds, as the server knows them.
func (c *cli) names(kinds ...api.Kind) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.propose(cmd, func(ctx context.Context, server *client.Client) (found []cobra.Completion, err error) {
			for _, kind := range kinds {
				entries, err := server.Entries(ctx, kind)
				if err != nil {
					return nil, err
				}
				for _, e := range entries {
					found = append(found, cobra.CompletionWithDesc(e.Name, kind.Singular()+" "+e.Type))
				}
			}
			return found, nil
		})
	}
}

// types proposes connector types.
func (c *cli) types(cmd *cobra.Command) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.propose(cmd, func(ctx context.Context, server *client.Client) (found []cobra.Completion, err error) {
		all, err := server.Types(ctx)
		for _, t := range all {
			found = append(found, cobra.CompletionWithDesc(t.Type, t.Title))
		}
		return found, err
	})
}

// propose asks the server for words. One that does not answer soon proposes nothing.
func (c *cli) propose(cmd *cobra.Command, ask func(context.Context, *client.Client) ([]cobra.Completion, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	server, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer server.Close()
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, 2*time.Second)
	defer cancel()
	found, err := ask(ctx, server)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// outputFlag adds -o with a closed list of values, the first of which is the default.
func outputFlag(cmd *cobra.Command, into *string, allowed []string) {
	cmd.Flags().StringVarP(into, "output", "o", allowed[0], "`format` of the output: "+list(allowed))
	_ = cmd.RegisterFlagCompletionFunc("output", words(allowed...)) // fails only for an unknown flag
}
