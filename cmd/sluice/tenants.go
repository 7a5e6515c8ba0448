package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
)

// kindTenants is what `get` takes beside the kinds of entries.
const kindTenants = "tenants"

// getTenants prints whose data are kept.
func (c *cli) getTenants(ctx context.Context, server *client.Client, name, output string) error {
	if output == "yaml" {
		return usagef("get tenants is shown as table or json; tenants come with their connectors")
	}
	all, err := server.Tenants(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		all = slices.DeleteFunc(all, func(t api.Tenant) bool { return t.TenantName != name })
		if len(all) == 0 {
			return fmt.Errorf("there is no tenant named %q", name)
		}
	}
	if output == "json" {
		return c.printJSON(all)
	}
	t := newTable(c.out, "TENANT", "DIRECTORIES", "CONNECTORS", "ERASED")
	for _, tenant := range all {
		erased := relative(c.now(), tenant.ErasedAt)
		if tenant.Erasing {
			erased = "going on"
		}
		t.row(tenant.TenantName, orDash(list(tenant.DirectoryIDs)), orDash(list(tenant.Connectors)), erased)
	}
	return t.flush()
}

func (c *cli) eraseCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase TENANT",
		Short: "Erase everything that was collected or imported for a tenant",
		Long: `Erase the data of a tenant, as when a customer leaves: its records in all tables of the lake, malformed ones included, its
ledger, its imports, and which directory belongs to it. The history of its connectors stays. This cannot be undone. On a
terminal it asks first; elsewhere --yes is needed.

The connectors of the tenant have to be deleted before. When one is made again it collects everything that Microsoft still
keeps, and files can be imported again.

The files that had the records are deleted an hour after the last query can have begun to read them; a copy of the records
may stay in the journal until it is trimmed. Copies and backups of the data folder are yours to erase.`,
		Example:           "  sluice get tenants\n  sluice erase 'Former customer'",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.tenantNames,
	}
	cmd.RunE = c.remote(func(ctx context.Context, server *client.Client, args []string) error {
		name := args[0]
		if !yes && !c.terminal {
			return usagef("nobody can be asked here; add --yes to erase the data of %s", name)
		}
		if !yes {
			sure, err := c.confirm(ctx, fmt.Sprintf("Erase all data of the tenant %s? This cannot be undone.", clean(name)))
			if err != nil {
				return err
			}
			if !sure {
				return errors.New("not erased")
			}
		}
		erased, err := server.EraseTenant(ctx, name)
		if err != nil {
			return err
		}
		return c.printf("erased %s of the tenant %s\n", plural(erased.Records, "record"), clean(erased.TenantName))
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// tenantNames proposes tenant names.
func (c *cli) tenantNames(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.propose(cmd, func(ctx context.Context, server *client.Client) (found []cobra.Completion, err error) {
		all, err := server.Tenants(ctx)
		for _, t := range all {
			found = append(found, t.TenantName)
		}
		return found, err
	})
}
