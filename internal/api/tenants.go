package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// TenantKeeper knows whose data are kept.
type TenantKeeper interface {
	// Tenants lists the tenants that have connectors, directories or imports, or had their data erased, by name.
	Tenants(ctx context.Context) ([]Tenant, error)
	// EraseTenant removes everything that was collected or imported for a tenant from the lake and the ledger, and returns
	// when it is done; it goes on when the caller does not wait. A tenant with connectors is fault.Conflict, an unknown
	// one fault.NotFound.
	EraseTenant(ctx context.Context, name string) (Erasure, error)
}

// Tenant is whose data are kept.
type Tenant struct {
	TenantName   string     `json:"tenant_name"`
	DirectoryIDs []string   `json:"directory_ids" nullable:"false" doc:"Directory ids that belong to the tenant name"`
	Connectors   []string   `json:"connectors" nullable:"false" doc:"Names of its connectors"`
	ErasedAt     *time.Time `json:"erased_at" doc:"When its data were last erased; null when they never were"`
	Erasing      bool       `json:"erasing" doc:"The lake still has rows that are to go"`
}

// Erasure is what an erasure removed.
type Erasure struct {
	TenantName string `json:"tenant_name"`
	Records    int64  `json:"records" doc:"Records that were removed from the lake, malformed ones included"`
}

type tenantInput struct {
	Name string `path:"name"`
}

func (s *server) tenantRoutes(api huma.API) {
	handle(s, api, operation("list-tenants", http.MethodGet, "/tenants", "Lake", "Whose data are kept"),
		func(ctx context.Context, _ *struct{}) ([]Tenant, error) {
			all, err := s.service.Tenants(ctx)
			for i := range all {
				all[i].DirectoryIDs, all[i].Connectors = listed(all[i].DirectoryIDs), listed(all[i].Connectors)
			}
			return listed(all), err
		})
	handle(s, api, operation("erase-tenant", http.MethodDelete, "/tenants/{name}", "Lake",
		"Remove everything that was collected or imported for a tenant; it must have no connectors"),
		func(ctx context.Context, in *tenantInput) (Erasure, error) {
			return s.service.EraseTenant(ctx, in.Name)
		})
}
