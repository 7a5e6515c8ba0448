package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/api"
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

// names proposes the names of entries of the given kinds, as the server knows them. A server that does not answer
// soon proposes nothing.
func (c *cli) names(kinds ...api.Kind) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
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
		var found []cobra.Completion
		for _, kind := range kinds {
			entries, err := server.Entries(ctx, kind)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			for _, e := range entries {
				found = append(found, cobra.CompletionWithDesc(e.Name, kind.Singular()+" "+e.Type))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// outputFlag adds -o with a closed list of values, the first of which is the default.
func outputFlag(cmd *cobra.Command, into *string, allowed []string) {
	cmd.Flags().StringVarP(into, "output", "o", allowed[0], "`format` of the output: "+list(allowed))
	_ = cmd.RegisterFlagCompletionFunc("output", words(allowed...)) // fails only for an unknown flag
}
