package app

import (
	"context"
	"net/url"
	"slices"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/consent"
	"sluice/internal/fault"
)

// openConsent makes the manager of multi-tenant applications.
func (a *application) openConsent() error {
	var err error
	a.svc.consent, err = consent.New(consent.Options{
		Store: a.svc.state, Clock: a.Clock, Log: a.log, Drivers: a.svc.properties, Connectors: a.svc.consentConnectors,
		SignIn: consent.MicrosoftSignIn{Resolve: a.lookUp, Clock: a.Clock, Log: a.log},
	})
	return err
}

// declareConsent takes over the applications of sluice.yaml.
func (s *service) declareConsent(file *config.File) error {
	applications, err := consent.Parse(file.Path, file.Consent, s.properties)
	if err != nil {
		return err
	}
	s.consent.Declare(file.Path, applications)
	return nil
}

// consentConnectors tells the manager which connectors exist.
func (s *service) consentConnectors(ctx context.Context) ([]consent.Connector, error) {
	stored, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]consent.Connector, 0, len(stored))
	for _, c := range stored {
		list = append(list, consent.Connector{Name: c.Name, Type: c.Type, TenantName: c.TenantName, DirectoryID: c.DirectoryID})
	}
	return list, nil
}

// ConsentApplications implements api.Consenter.
func (s *service) ConsentApplications(ctx context.Context) ([]consent.Info, error) {
	all, err := s.consent.Applications(ctx)
	infos := make([]consent.Info, 0, len(all))
	for _, a := range all {
		infos = append(infos, a.Info())
	}
	return infos, err
}

// BeginConsent implements api.Consenter.
func (s *service) BeginConsent(ctx context.Context, r consent.Request) (consent.Begun, error) {
	return s.consent.Begin(ctx, r)
}

// FinishConsent implements api.Consenter.
func (s *service) FinishConsent(ctx context.Context, query url.Values) (consent.Result, error) {
	return s.consent.Callback(ctx, query)
}

// ConfirmConsent implements api.Consenter.
func (s *service) ConfirmConsent(ctx context.Context, r api.ConfirmRequest) (consent.Result, error) {
	return s.consent.Confirm(ctx, r.Application, r.Tenant, r.Label)
}

// ConsentTenants implements api.Consenter.
func (s *service) ConsentTenants(ctx context.Context) ([]consent.Tenant, error) {
	return s.consent.Tenants(ctx)
}

// CreateConnectors implements api.Consenter.
func (s *service) CreateConnectors(ctx context.Context, r api.CreateRequest) (api.CreateResult, error) {
	draft, err := s.consent.CreateFrom(ctx, r.Tenants...)
	if err != nil {
		return api.CreateResult{}, err
	}
	result := api.CreateResult{Skipped: draft.Skipped, ApplyResult: api.ApplyResult{DryRun: r.DryRun, Entries: []api.AppliedEntry{}}}
	if len(draft.Document) == 0 {
		return result, nil
	}
	request := api.ApplyRequest{Document: draft.Document, Name: "templates of the application", DryRun: true}
	if result.ApplyResult, err = s.Apply(ctx, request); err != nil || len(result.Problems) > 0 || r.DryRun {
		return result, err
	}
	request.DryRun = false
	result.ApplyResult, err = s.Apply(ctx, request)
	return result, err
}

// Types implements api.Catalog.
func (s *service) Types(context.Context) ([]api.TypeInfo, error) {
	return api.TypesOf(s.properties), nil
}

// History implements api.Entries.
func (s *service) History(ctx context.Context, name string) ([]api.Change, error) {
	changes, err := s.state.History(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, fault.Newf(fault.NotFound, "", "no connector was ever named %q", name)
	}
	out := make([]api.Change, 0, len(changes))
	for _, c := range changes {
		out = append(out, api.Change{At: c.At.UTC(), Actor: c.Actor, What: c.What, Detail: c.Detail})
	}
	slices.SortStableFunc(out, func(a, b api.Change) int { return a.At.Compare(b.At) })
	return out, nil
}
