package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/consent"
	"sluice/internal/fault"
)

func (c *cli) consentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "consent",
		Short: "Onboard customers: admin consent for multi-tenant applications",
		Long: `A provider registers one multi-tenant application and declares it in the list consent of sluice.yaml, or of a document
that is applied; "sluice get consent" shows it. For each customer "consent url" makes a link; an administrator of the
customer opens it, signs in at Microsoft and presses Accept; Microsoft sends the browser back to this server, which records
the tenant after a token of that tenant proved it. "consent create" then creates the connectors of the application's
templates for it.`,
		Example: "  sluice consent url onboarding --label Contoso\n  sluice consent list\n  sluice consent create Contoso --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it a misspelt command would be help as well
	}
	cmd.AddCommand(c.consentURLCommand(), c.consentListCommand(), c.consentAddCommand(), c.consentCreateCommand(), c.consentApplicationsCommand())
	return cmd
}

func (c *cli) consentURLCommand() *cobra.Command {
	var r consent.Request
	var form, output string
	var forms []string
	for _, f := range consent.Forms() {
		forms = append(forms, string(f))
	}
	cmd := &cobra.Command{
		Use:   "url APPLICATION",
		Short: "Make a link with which an administrator of a customer consents",
		Long: `Print a link for an administrator of the customer. It is valid for ten minutes and for one answer; whoever has it can
answer it once, so send it to nobody else. With --tenant a consent of any other tenant is refused.

The browser comes back to redirect_uri of the application. If the administrator's browser cannot reach that address, the
last page stays empty although the consent was given: record the tenant with sluice consent add.`,
		Example:           "  sluice consent url onboarding --label Contoso\n  sluice consent url onboarding --tenant contoso.onmicrosoft.com --label Contoso --form code",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.applications,
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := oneOf("form", form, forms); err != nil {
				return err
			}
			if err := oneOf("output", output, textOrJSON); err != nil {
				return err
			}
			r.Application, r.Form = args[0], consent.Form(form)
			begun, err := server.BeginConsent(ctx, r)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(begun)
			}
			if err := c.printf("%s\n", clean(begun.URL)); err != nil {
				return err
			}
			c.sayf("Valid for %s. An administrator of the customer opens it and presses Accept; Microsoft then opens %s.",
				lasting(int64(begun.Expires.Sub(c.now())/time.Second)), clean(begun.RedirectURI))
			c.sayf("hint: sluice consent list shows the tenant as soon as it is recorded")
			return nil
		}),
	}
	cmd.Flags().StringVar(&r.Tenant, "tenant", "", "`hint`: Directory (tenant) ID or domain of the customer, when known")
	cmd.Flags().StringVar(&r.Label, "label", "", "your `name` for the customer, which becomes the tenant_name of the connectors")
	cmd.Flags().StringVar(&form, "form", forms[0], "`form` of consent: "+list(forms))
	_ = cmd.RegisterFlagCompletionFunc("form", words(forms...))
	outputFlag(cmd, &output, textOrJSON)
	return cmd
}

func (c *cli) consentListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the tenants that consented, and their connectors",
		Example: "  sluice consent list\n  sluice consent list -o json | jq '.[] | select(.connectors == [])'",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			all, err := server.ConsentTenants(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(all)
			}
			return c.printTenants(all)
		}),
	}
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

func (c *cli) printTenants(all []consent.Tenant) error {
	if len(all) == 0 {
		c.sayf("no tenant has consented yet; make a link with: sluice consent url APPLICATION")
		return nil
	}
	now := c.now()
	t := newTable(c.out, "TENANT", "DIRECTORY ID", "APPLICATION", "CONSENTED", "MISSING PERMISSIONS", "CONNECTORS")
	bare := 0
	for _, tenant := range all {
		var names []string
		for _, connector := range tenant.Connectors {
			names = append(names, connector.Name)
		}
		if len(names) == 0 {
			bare++
		}
		t.row(tenant.Name, tenant.ID, tenant.Application, relative(now, &tenant.ConsentedAt), strings.Join(tenant.Missing, ", "), strings.Join(names, ", "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if bare > 0 {
		c.sayf("%s no connector yet; create them with: sluice consent create TENANT", have(bare))
	}
	return nil
}

func have(n int) string {
	if n == 1 {
		return "1 tenant has"
	}
	return count(int64(n)) + " tenants have"
}

func (c *cli) consentAddCommand() *cobra.Command {
	var r api.ConfirmRequest
	cmd := &cobra.Command{
		Use:   "add APPLICATION TENANT",
		Short: "Record a tenant whose administrator consented elsewhere",
		Long: `Record a tenant without a redirect: because the administrator's browser cannot reach this server, or because the consent
was given in the customer's portal. TENANT is the Directory (tenant) ID or a domain. The application has to be able to
sign in to that tenant, which proves the consent.`,
		Example:           "  sluice consent add onboarding 11111111-2222-3333-4444-555555555555 --label Contoso",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.applications,
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			r.Application, r.Tenant = args[0], args[1]
			result, err := server.ConfirmConsent(ctx, r)
			if err != nil {
				return err
			}
			if e := result.Error; e != nil {
				return fault.New(e.Kind, "", e.Message).WithCode(e.Code).WithHint(strings.ReplaceAll(e.Hint, "; ", "\n"))
			}
			if len(result.Missing) > 0 {
				c.sayf("warning: permissions are missing: %s", clean(list(result.Missing)))
				c.sayf("hint: add them to the app registration and let the administrator consent again; a consent can take some minutes to arrive")
			}
			return c.printf("tenant %s (%s) recorded; create its connectors with: sluice consent create %s\n", clean(result.TenantName), clean(result.TenantID), clean(result.TenantID))
		}),
	}
	cmd.Flags().StringVar(&r.Label, "label", "", "your `name` for the customer, which becomes the tenant_name of the connectors")
	return cmd
}

func (c *cli) consentCreateCommand() *cobra.Command {
	var o api.CreateOptions
	cmd := &cobra.Command{
		Use:   "create TENANT...",
		Short: "Create the connectors of tenants that consented",
		Long: `Create a connector for each template of the application to which the tenant consented. TENANT is a name or Directory (tenant)
ID of sluice consent list. Connectors are named tenantname-connectortype. A type of which the tenant has a connector is
left alone. Tenants are created one after the other; exit code 3 says that some were not.`,
		Example:           "  sluice consent create Contoso --dry-run\n  sluice consent create Contoso Fabrikam",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.tenants,
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			t := newTable(c.out, "TENANT", "CONNECTOR", "ACTION")
			var failed error
			done := 0
			for _, tenant := range args {
				result, err := server.CreateConnectors(ctx, tenant, o)
				if err != nil && ctx.Err() == nil {
					failed = err
					c.explain(fault.Wrap("", tenant, err))
					continue
				}
				if err != nil {
					return err
				}
				done++
				c.mistakes("warning", result.Warnings)
				for _, e := range result.Entries {
					t.row(tenant, e.Name, string(e.Action))
				}
				for _, s := range result.Skipped {
					t.row(tenant, s.Existing, "exists")
				}
			}
			if done > 0 {
				if err := t.flush(); err != nil {
					return err
				}
			}
			if o.DryRun {
				c.sayf("dry run: nothing was created")
			}
			switch {
			case failed == nil:
				return nil
			case done > 0:
				return partlyf("%d of %d tenants failed", len(args)-done, len(args))
			}
			return fault.Newf(fault.KindOf(failed), "", "%d of %d tenants failed", len(args), len(args))
		}),
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be created")
	return cmd
}

func (c *cli) consentApplicationsCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "applications",
		Short:   "List the multi-tenant applications",
		Example: "  sluice consent applications",
		Args:    cobra.NoArgs,
		RunE: c.remote(func(ctx context.Context, server *client.Client, _ []string) error {
			if err := oneOf("output", output, tableOrJSON); err != nil {
				return err
			}
			all, err := server.ConsentApplications(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.printJSON(all)
			}
			if len(all) == 0 {
				c.sayf("no application yet; declare one in the list consent of sluice.yaml, or apply one")
				return nil
			}
			t := newTable(c.out, "NAME", "APPLICATION ID", "PLAN", "REDIRECT URI", "CONNECTOR TYPES", "OWNER")
			for _, a := range all {
				t.row(a.Name, a.ApplicationID, a.Plan, a.RedirectURI, strings.Join(a.Types, ", "), a.Owner)
			}
			return t.flush()
		}),
	}
	outputFlag(cmd, &output, tableOrJSON)
	return cmd
}

var textOrJSON = []string{"text", "json"}

// applications proposes the names of applications as the first argument.
func (c *cli) applications(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.propose(cmd, func(ctx context.Context, server *client.Client) (names []cobra.Completion, err error) {
		all, err := server.ConsentApplications(ctx)
		for _, a := range all {
			names = append(names, cobra.CompletionWithDesc(a.Name, a.ApplicationID))
		}
		return names, err
	})
}

// tenants proposes the names of tenants that are not given yet.
func (c *cli) tenants(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.propose(cmd, func(ctx context.Context, server *client.Client) (names []cobra.Completion, err error) {
		all, err := server.ConsentTenants(ctx)
		for _, t := range all {
			if !slices.Contains(args, t.Name) {
				names = append(names, cobra.CompletionWithDesc(t.Name, t.ID))
			}
		}
		return names, err
	})
}
