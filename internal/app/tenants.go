package app

import (
	"context"
	"slices"
	"strings"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/fault"
)

// Tenants implements api.TenantKeeper.
func (s *service) Tenants(ctx context.Context) ([]api.Tenant, error) {
	byName := map[string]*api.Tenant{}
	tenant := func(name string) *api.Tenant {
		if byName[name] == nil {
			byName[name] = &api.Tenant{TenantName: name}
		}
		return byName[name]
	}
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range connectors {
		t := tenant(c.TenantName)
		t.Connectors = append(t.Connectors, c.Name)
	}
	directories, err := s.state.TenantNames(ctx)
	if err != nil {
		return nil, err
	}
	for id, name := range directories {
		t := tenant(name)
		t.DirectoryIDs = append(t.DirectoryIDs, id)
	}
	totals, err := s.state.Totals(ctx)
	if err != nil {
		return nil, err
	}
	for _, total := range totals {
		if name, ok := collect.ImportTenant(total.ConnectorID); ok && total.Listed > 0 {
			tenant(name)
		}
	}
	erasures, err := s.state.Erasures(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range erasures {
		t := tenant(e.TenantName)
		t.ErasedAt, t.Erasing = timeOrNil(e.At), e.Pending
	}
	out := make([]api.Tenant, 0, len(byName))
	for _, t := range byName {
		slices.Sort(t.DirectoryIDs)
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b api.Tenant) int { return strings.Compare(a.TenantName, b.TenantName) })
	return out, nil
}

// EraseTenant implements api.TenantKeeper.
func (s *service) EraseTenant(ctx context.Context, name string) (api.Erasure, error) {
	op := "erase tenant " + name
	all, err := s.Tenants(ctx)
	if err != nil {
		return api.Erasure{}, err
	}
	if !slices.ContainsFunc(all, func(t api.Tenant) bool { return t.TenantName == name }) {
		return api.Erasure{}, fault.Newf(fault.NotFound, op, "there is no tenant of this name").WithHint("`sluice get tenants` lists them")
	}
	if _, err := s.publisher.BeginErasure(ctx, name); err != nil {
		return api.Erasure{}, err
	}
	type outcome struct {
		records int64
		err     error
	}
	done := make(chan outcome, 1)
	s.background.Go(func() {
		records, err := s.publisher.FinishErasures(s.life)
		done <- outcome{records, err}
	})
	select {
	case o := <-done:
		if o.err != nil {
			return api.Erasure{}, fault.Wrap("", op+": its data no longer count, but rows of them are still in the lake", o.err)
		}
		return api.Erasure{TenantName: name, Records: o.records}, nil
	case <-ctx.Done():
		return api.Erasure{}, ctx.Err()
	}
}
