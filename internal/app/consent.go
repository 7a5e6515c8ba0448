package app

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"go.yaml.in/yaml/v3"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/consent"
	"sluice/internal/fault"
)

// openConsent makes the manager of multi-tenant applications.
func (a *application) openConsent() error {
	var err error
	a.svc.consent, err = consent.New(consent.Options{
		Store: a.svc.state, Sealer: a.sealer, Clock: a.Clock, Log: a.log, Drivers: a.svc.properties, Connectors: a.svc.consentConnectors,
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
	for _, a := range applications {
		if kept := a.Kept(); len(kept) > 0 {
			return config.Problems{applicationProblem(a, kept[0]+" is "+config.KeptSecret+", which stands for a stored secret, and nothing is stored here: give the secret again")}
		}
	}
	s.consent.Declare(file.Path, applications)
	return nil
}

// applicationChange is what apply does to one application.
type applicationChange struct {
	action  api.Action
	entry   consent.Application
	changed []string
}

// applicationChanges is what apply does to applications.
type applicationChanges struct {
	changes            []applicationChange
	problems, warnings config.Problems
}

func applicationProblem(a consent.Application, text string) config.Problem {
	return config.Problem{Position: a.Pos, Path: "application " + a.Name, Text: text}
}

// compareApplications compares the applications of a document with those that are stored. Those of sluice.yaml are no
// business of apply: see declareConsent.
func (s *service) compareApplications(ctx context.Context, list *yaml.Node, o applyOptions) (all applicationChanges, err error) {
	if o.owner != "" || list == nil && !o.prune {
		return all, nil
	}
	wanted, err := consent.Parse(o.document, list, s.properties)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		all.problems = problems
		return all, nil
	}
	if err != nil {
		return all, err
	}
	for _, w := range wanted {
		c, err := s.consent.Compare(ctx, w)
		if err != nil {
			if !fault.Is(err, fault.Config) && !fault.Is(err, fault.Conflict) {
				return all, err
			}
			all.problems = append(all.problems, applicationProblem(w, err.Error()+"; "+fault.HintOf(err)))
			continue
		}
		for _, name := range w.Literals() {
			all.warnings = append(all.warnings, applicationProblem(w, "the secret "+name+" stands in the document: prefer ${env:NAME} or ${file:PATH}"))
		}
		change := applicationChange{action: api.Unchanged, entry: w, changed: c.Changed}
		switch {
		case c.Created:
			change.action = api.Created
		case len(c.Changed) > 0:
			change.action = api.Updated
		}
		all.changes = append(all.changes, change)
	}
	if !o.prune {
		return all, nil
	}
	have, err := s.consent.Applications(ctx)
	for _, a := range have {
		if a.Owner == "" && !slices.ContainsFunc(wanted, func(w consent.Application) bool { return w.Name == a.Name }) {
			all.changes = append(all.changes, applicationChange{action: api.Deleted, entry: a})
		}
	}
	return all, err
}

// performApplications makes changes so.
func (s *service) performApplications(ctx context.Context, all applicationChanges) error {
	for _, c := range all.changes {
		var err error
		switch c.action {
		case api.Created, api.Updated:
			_, err = s.consent.Put(ctx, c.entry)
		case api.Deleted:
			err = s.consent.Remove(ctx, c.entry.Name)
		case api.Unchanged:
		}
		if err != nil {
			return fault.Wrap("", "apply application "+c.entry.Name, err)
		}
	}
	return nil
}

// applicationEntries lists the applications by name.
func (s *service) applicationEntries(ctx context.Context) ([]api.Entry, error) {
	all, err := s.consent.Applications(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]api.Entry, 0, len(all))
	for _, a := range all {
		entries = append(entries, api.Entry{
			Kind: api.Consent, Name: a.Name, State: "active", Owner: a.Owner, Created: a.Created, Updated: a.Updated, Spec: a.JSON(),
		})
	}
	return entries, nil
}

// deleteApplication forgets an application; tenants that consented to it, and their connectors, stay.
func (s *service) deleteApplication(ctx context.Context, name string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.consent.Remove(ctx, name)
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
		return nil, fault.Newf(fault.NotFound, "", "nothing is known of a connector named %q", name)
	}
	out := make([]api.Change, 0, len(changes))
	for _, c := range changes {
		out = append(out, api.Change{At: c.At.UTC(), Actor: c.Actor, What: c.What, Detail: c.Detail})
	}
	slices.SortStableFunc(out, func(a, b api.Change) int { return a.At.Compare(b.At) })
	return out, nil
}
