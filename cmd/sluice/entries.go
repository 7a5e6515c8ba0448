package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
	"sluice/internal/source"
)

func (c *cli) applyCommand() *cobra.Command {
	var file string
	var r api.ApplyRequest
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change connectors, destinations and filters from a file",
		Long: `Send a YAML or JSON document to the server, which makes its entries so: what is new is created, what differs is changed.
Devo's collector configuration (JSON) is taken as well. A document with a mistake changes nothing.

Secrets belong into the document as references: ${env:NAME}, ${file:PATH} or @Microsoft.KeyVault(SecretUri=...).`,
		Example: "  sluice apply -f sluice.yaml\n  sluice apply -f sluice.yaml --dry-run\n  sluice get connectors -o yaml | sed s/5m/10m/ | sluice apply -f -",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			var err error
			if r.Name, r.Document, err = c.readDocument(file); err != nil {
				return err
			}
			result, err := server.Apply(ctx, r)
			if err != nil {
				return err
			}
			c.mistakes("warning", result.Warnings)
			t := newTable(c.out, "KIND", "NAME", "ACTION", "CHANGED")
			for _, e := range result.Entries {
				t.row(e.Kind.Singular(), e.Name, string(e.Action), strings.Join(e.Changed, ", "))
			}
			if result.DryRun {
				c.sayf("dry run: nothing was changed")
			}
			return t.flush()
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` to apply, - for standard input")
	cmd.Flags().BoolVar(&r.Prune, "prune", false, "delete entries that the file does not have, except those owned by another file")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be done")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.RegisterFlagCompletionFunc("file", files("yaml", "yml", "json"))
	return cmd
}

func (c *cli) readDocument(file string) (name string, text []byte, err error) {
	if file == "-" {
		text, err = io.ReadAll(c.in)
		return "standard input", text, err
	}
	text, err = os.ReadFile(file)
	return file, text, err
}

func (c *cli) getCommand() *cobra.Command {
	var output string
	formats := []string{"table", "yaml", "json"}
	kinds := []string{string(api.Connectors), string(api.Destinations), string(api.Filters)}
	cmd := &cobra.Command{
		Use:     "get connectors|destinations|filters [NAME]",
		Short:   "Show what is configured",
		Long:    "Show the entries of a kind, or one of them. The yaml and json outputs can be applied again; secrets are shown as references.",
		Example: "  sluice get connectors\n  sluice get connectors contoso-office365 -o yaml",
		Args:    cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return c.names(api.Kind(args[0]))(cmd, nil, toComplete)
			}
			return words(kinds...)(cmd, args, toComplete)
		},
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := errors.Join(oneOf("output", output, formats), oneOfKinds(args[0], kinds)); err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			if output != "table" {
				text, err := server.Document(ctx, api.Kind(args[0]), name, output)
				if err != nil {
					return err
				}
				return c.printf("%s", text)
			}
			return c.printEntries(ctx, server, api.Kind(args[0]), name)
		}),
	}
	outputFlag(cmd, &output, formats)
	return cmd
}

func oneOfKinds(kind string, kinds []string) error {
	if slices.Contains(kinds, kind) {
		return nil
	}
	return usagef("%q is not a kind of entry; use one of %s", kind, list(kinds))
}

func (c *cli) printEntries(ctx context.Context, server *client.Client, kind api.Kind, name string) error {
	all, err := server.Entries(ctx, kind)
	if err != nil {
		return err
	}
	t := newTable(c.out, "NAME", "TYPE", "TENANT", "STATE", "OWNER", "UPDATED")
	found := 0
	for _, e := range all {
		if name != "" && e.Name != name {
			continue
		}
		found++
		t.row(e.Name, e.Type, e.TenantName, e.State, e.Owner, relative(c.now(), &e.Updated))
	}
	switch {
	case found == 0 && name != "":
		return unknown(all, name, kind)
	case found == 0:
		c.sayf("no %s yet; create one with: sluice apply -f FILE", kind.Singular())
		return nil
	}
	return t.flush()
}

// resolve finds the entry that a name means, among the given kinds. KIND/NAME chooses between two of one name.
func resolve(ctx context.Context, server *client.Client, text string, kinds ...api.Kind) (api.Kind, string, error) {
	all, err := server.Entries(ctx, "")
	if err != nil {
		return "", "", err
	}
	var found []api.Kind
	for _, kind := range kinds {
		for _, e := range all {
			if e.Kind != kind {
				continue
			}
			if text == string(kind)+"/"+e.Name {
				return kind, e.Name, nil
			}
			if text == e.Name {
				found = append(found, kind)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", "", unknown(all, text, kinds...)
	case 1:
		return found[0], text, nil
	}
	return "", "", usagef("%s names a %s and a %s; write %s/%s", text, found[0].Singular(), found[1].Singular(), found[0], text)
}

// unknown says that no entry has the name, and which one may be meant.
func unknown(all []api.Entry, name string, kinds ...api.Kind) error {
	var what []string
	best, distance := "", 4
	for _, kind := range kinds {
		what = append(what, kind.Singular())
		for _, e := range all {
			if e.Kind != kind {
				continue
			}
			if d := levenshtein.ComputeDistance(e.Name, name); d < distance {
				best, distance = e.Name, d
			}
		}
	}
	hint := "sluice get " + string(kinds[0]) + " lists them"
	if best != "" {
		hint = "did you mean " + best + "?"
	}
	return fault.Newf(fault.NotFound, "", "no %s is named %q", strings.Join(what, " or "), name).WithHint(hint)
}

func (c *cli) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "test CONNECTOR|DESTINATION",
		Short:             "Check a connector or destination step by step",
		Long:              "Run the checks of a connector or destination and print each as it finishes. The exit code is 0 only if none failed.",
		Example:           "  sluice test contoso-office365",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors, api.Destinations),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			kind, name, err := resolve(ctx, server, args[0], api.Connectors, api.Destinations)
			if err != nil {
				return err
			}
			run, failed := 0, 0
			for check, err := range server.Test(ctx, kind, name) {
				if err != nil {
					return err
				}
				run++
				if check.Status == source.Failed {
					failed++
				}
				if err := c.printCheck(check); err != nil {
					return err
				}
			}
			switch {
			case failed > 0:
				return fmt.Errorf("%d of %d checks failed", failed, run)
			case run == 0:
				return errors.New("nothing was checked")
			}
			return nil
		}),
	}
}

// printCheck prints a check on one line, and what to do about it on standard error.
func (c *cli) printCheck(check source.Check) error {
	line := fmt.Sprintf("%-8s%s", check.Status, clean(check.Name))
	if check.Message != "" {
		line += ": " + clean(check.Message)
	}
	if check.Duration > 0 {
		line += fmt.Sprintf(" (%s)", check.Duration.Round(time.Millisecond))
	}
	if err := c.printf("%s\n", line); err != nil {
		return err
	}
	if check.Status == source.Failed {
		for _, more := range []struct{ label, text string }{{"detail", check.Detail}, {"hint", check.Hint}} {
			if more.text != "" {
				c.sayf("%s: %s", more.label, clean(more.text))
			}
		}
	}
	return nil
}

func (c *cli) pauseCommand() *cobra.Command {
	return c.pausing("pause", true, "Stop the work of a connector or destination until it is resumed",
		"Nothing is lost by a pause that is shorter than what Microsoft still serves (7 days for audit content).")
}

func (c *cli) resumeCommand() *cobra.Command {
	return c.pausing("resume", false, "Continue the work of a paused connector or destination", "It catches up on what came in the meantime.")
}

func (c *cli) pausing(verb string, paused bool, short, more string) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " NAME",
		Short:             short,
		Long:              short + ". " + more,
		Example:           "  sluice " + verb + " contoso-office365",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors, api.Destinations),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			kind, name, err := resolve(ctx, server, args[0], api.Connectors, api.Destinations)
			if err != nil {
				return err
			}
			if err := server.SetPaused(ctx, kind, name, paused); err != nil {
				return err
			}
			return c.printf("%s %s %sd\n", kind.Singular(), name, verb)
		}),
	}
}

func (c *cli) deleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a connector, destination or filter",
		Long:              "Delete an entry. Data that were collected stay. On a terminal it asks first; elsewhere --yes is needed.",
		Example:           "  sluice delete contoso-office365\n  sluice delete filters/drop-noise --yes",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Kinds()...),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			kind, name, err := resolve(ctx, server, args[0], api.Kinds()...)
			if err != nil {
				return err
			}
			if !yes && !c.terminal {
				return usagef("nobody can be asked here; add --yes to delete %s %s", kind.Singular(), name)
			}
			if !yes && !c.confirm(fmt.Sprintf("Delete %s %s?", kind.Singular(), clean(name))) {
				return errors.New("not deleted")
			}
			if err := server.Delete(ctx, kind, name); err != nil {
				return err
			}
			return c.printf("%s %s deleted\n", kind.Singular(), name)
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm asks a yes-or-no question on the terminal.
func (c *cli) confirm(question string) bool {
	_, _ = fmt.Fprintf(c.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
