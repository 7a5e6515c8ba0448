package apitest

import (
	"context"

	"sluice/internal/api"
	"sluice/internal/fault"
)

// Tenants implements api.TenantKeeper.
func (f *Fake) Tenants(context.Context) ([]api.Tenant, error) {
	return []api.Tenant{
		{TenantName: "Contoso", DirectoryIDs: []string{"11111111-2222-3333-4444-555555555555"}, Connectors: []string{"contoso"}},
		{TenantName: "Former customer"},
	}, nil
}

// EraseTenant implements api.TenantKeeper. Contoso has a connector, the former customer has not.
func (f *Fake) EraseTenant(_ context.Context, name string) (api.Erasure, error) {
	switch name {
	case "Contoso":
		return api.Erasure{}, fault.New(fault.Conflict, "", "the tenant Contoso has connectors: contoso").WithHint("delete them first")
	case "Former customer":
		return api.Erasure{TenantName: name, Records: 1234}, nil
	}
	return api.Erasure{}, fault.Newf(fault.NotFound, "", "there is no tenant named %q", name)
}
