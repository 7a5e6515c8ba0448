package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

func (c *cli) applyCommand() *cobra.Command {
	var file, output string
	var r api.ApplyRequest
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change connectors, destinations, filters and applications for consent from a file",
		Long: `Send a YAML or JSON document to the server, which makes its entries so: what is new is created, what differs is changed.
A document with a mistake changes nothing.

The configuration of another collector is taken as well: Devo's collector (JSON), Filebeat's o365audit input or o365 module,
the Sentinel "O365 Data" function app. What became of each of its settings is listed.

When the log filters of a connector would drop everything that it collected lately, the document is refused unless --confirm
says that this is meant.

Secrets belong into the document as references: ${env:NAME}, ${file:PATH} or @Microsoft.KeyVault(SecretUri=...).`,
		Example: "  sluice apply -f sluice.yaml\n  sluice apply -f sluice.yaml --dry-run\n  sluice get connectors -o yaml | sed s/5m/10m/ | sluice apply -f -",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			err := oneOf("output", output, tableOrJSON)
			if err != nil {
				return err
			}
			if r.Name, r.Document, err = c.readDocument(file); err != nil {
				return err
			}
			result, err := server.Apply(ctx, r)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(result)
			}
			return c.printApplied(result)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` to apply, - for standard input")
	cmd.Flags().BoolVar(&r.Prune, "prune", false, "delete entries that the file does not have, except those owned by another file")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be done")
	cmd.Flags().BoolVar(&r.Confirm, "confirm", false, "apply log filters even if they would drop everything")
	outputFlag(cmd, &output, tableOrJSON)
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
	if err == nil && len(text) == 0 {
		err = fault.New(fault.Config, "", file+" is empty")
	}
	return file, text, err
}

func (c *cli) getCommand() *cobra.Command {
	var output string
	formats := []string{"table", "yaml", "json"}
	kinds := []string{string(api.Connectors), string(api.Destinations), string(api.Filters), string(api.Consent), kindNotifications, kindTenants, kindTypes}
	cmd := &cobra.Command{
		Use:   "get connectors|destinations|filters|consent|notifications|tenants|types [NAME]",
		Short: "Show what is configured, and which types there are",
		Long: `Show the entries of a kind, or one of them. The yaml and json outputs can be applied again; secrets are shown as references.

"get consent" shows the multi-tenant applications, see "sluice consent".

"get notifications" shows the targets of notifications and how they do.

"get tenants" shows whose data are kept.

"get types" lists the connector types; with the name of one it shows what the type collects and where it is found, which
hosts have to be reachable, and how the application is registered and auditing switched on.`,
		Example: "  sluice get connectors\n  sluice get connectors contoso-office365 -o yaml\n  sluice get consent -o yaml\n  sluice get types office365",
		Args:    cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 && args[0] == kindTypes {
				return c.types(cmd)
			}
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
			if args[0] == kindTypes {
				if output == "yaml" {
					return usagef("get types is shown as table or json; types cannot be applied")
				}
				return c.getTypes(ctx, server, name, output)
			}
			if args[0] == kindTenants {
				return c.getTenants(ctx, server, name, output)
			}
			if args[0] == kindNotifications {
				return c.getNotifications(ctx, server, name, output)
			}
			if output != "table" {
				text, err := server.Document(ctx, api.Kind(args[0]), name, output)
				if err != nil {
					return err
				}
				return c.printf("%s", text)
			}
			if args[0] == string(api.Filters) {
				return c.printFilters(ctx, server, name)
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
	t := newTable(c.out, "NAME", "TYPE", "TENANT", "STATE", "SINCE", "OWNER", "UPDATED")
	found := 0
	for _, e := range all {
		if name != "" && e.Name != name {
			continue
		}
		found++
		t.row(e.Name, e.Type, e.TenantName, e.State, relative(c.now(), e.StateSince), e.Owner, relative(c.now(), &e.Updated))
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
	return "", "", ambiguous(text, found[0], found[1])
}

// ambiguous says that a name stands for entries of two kinds, and how to say which.
func ambiguous(name string, one, other api.Kind) error {
	return usagef("%s names %s and %s; write %s/%s", name, oneOfKind(one), oneOfKind(other), one, name)
}

// oneOfKind is "a filter" or "an application".
func oneOfKind(kind api.Kind) string {
	if kind == api.Consent {
		return "an " + kind.Singular()
	}
	return "a " + kind.Singular()
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
	verbose := false
	cmd := &cobra.Command{
		Use:   "test CONNECTOR|DESTINATION|NOTIFICATION",
		Short: "Check a connector, destination or notification step by step",
		Long: `Run the checks of a connector, a destination or a target of notifications and print each as it finishes, with what to do
about those that failed. The exit code is 0 only if none failed.

When all checks of a connector passed, what was wrong before no longer counts: the next attempt is made at once, and what
is still wrong is shown again within a minute. A target of notifications is sent a message that says that it is a test;
notifications/NAME names one where a connector has the same name.`,
		Example:           "  sluice test contoso-office365\n  sluice test contoso-office365 --verbose   # with request and answer\n  sluice test soc                           # a target of notifications",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors, api.Destinations),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			checks, err := testOf(ctx, server, args[0])
			if err != nil {
				return err
			}
			return c.printChecks(checks, verbose)
		}),
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show method, URL, status and body of the requests, without secrets")
	return cmd
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
