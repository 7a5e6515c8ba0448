package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/state"
)

// Apply implements api.Entries.
func (s *service) Apply(ctx context.Context, r api.ApplyRequest) (api.ApplyResult, error) {
	name := r.Name
	if name == "" {
		name = "document"
	}
	doc, moved, err := s.readDocument(ctx, name, r.Document)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return api.ApplyResult{Problems: mistakes(problems)}, nil
	}
	if err != nil {
		return api.ApplyResult{}, err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	result, err := s.applyDocument(ctx, doc, applyOptions{document: name, dryRun: r.DryRun, prune: r.Prune, confirm: r.Confirm, actor: "apply"})
	result.MovedIn = moved
	return result, err
}

type applyOptions struct {
	document string // name of it, for messages
	dryRun   bool
	prune    bool
	confirm  bool   // log filters may drop everything
	owner    string // file that owns the entries, "" for apply and API
	actor    string
}

// change is what apply does to one connector.
type change struct {
	action    api.Action
	entry     config.Connector
	directory string // of the entry, resolved
	stored    state.Connector
	changed   []string
}

// applyDocument compares the wanted entries with the stored ones and makes the difference so. Nothing is changed when
// one of them has a problem. Filters are stored before the connectors that refer to them, and deleted after.
func (s *service) applyDocument(ctx context.Context, doc *config.Apply, o applyOptions) (api.ApplyResult, error) {
	result := api.ApplyResult{DryRun: o.dryRun, Entries: []api.AppliedEntry{}}
	stored, err := s.state.Connectors(ctx)
	if err != nil {
		return result, err
	}
	changes, problems := s.compare(ctx, doc.Connectors, stored, o)
	filters, err := s.compareFilters(ctx, doc.Filters, o)
	if err != nil {
		return result, err
	}
	applications, err := s.compareApplications(ctx, doc.Consent, o)
	if err != nil {
		return result, err
	}
	problems = append(append(problems, filters.problems...), applications.problems...)
	problems = append(problems, s.checkUses(doc.Connectors, stored, changes, filters, o)...)
	warnings := slices.Concat(doc.Warnings, filters.warnings, applications.warnings, cloudWarnings(doc.Connectors))
	if len(problems) == 0 && !o.confirm {
		silent, err := s.dropEverything(ctx, s.affected(stored, changes, filters), filters)
		if err != nil {
			return result, err
		}
		if o.dryRun {
			warnings = append(warnings, silent...)
		} else {
			problems = silent
		}
	}
	result.Warnings = mistakes(warnings)
	if len(problems) > 0 {
		result.Problems = mistakes(problems)
		return result, nil
	}
	if !o.dryRun {
		if err := s.performAll(ctx, changes, filters, o); err != nil {
			return result, err
		}
		if err := s.performApplications(ctx, applications); err != nil {
			return result, err
		}
	}
	for _, c := range changes {
		result.Entries = append(result.Entries, api.AppliedEntry{Kind: api.Connectors, Name: c.name(), Action: c.action, Changed: c.changed})
	}
	for _, c := range filters.changes {
		result.Entries = append(result.Entries, api.AppliedEntry{Kind: api.Filters, Name: c.name(), Action: c.action, Changed: c.changed})
	}
	for _, c := range applications.changes {
		result.Entries = append(result.Entries, api.AppliedEntry{Kind: api.Consent, Name: c.entry.Name, Action: c.action, Changed: c.changed})
	}
	return result, nil
}

// performAll makes changes so and restarts the other connectors whose filters changed.
func (s *service) performAll(ctx context.Context, changes []change, filters filterChanges, o applyOptions) error {
	if err := s.putFilters(ctx, filters, o); err != nil {
		return err
	}
	started := map[string]bool{}
	for _, c := range changes {
		if err := s.perform(ctx, c, o); err != nil {
			return err
		}
		started[c.name()] = c.action != api.Unchanged
	}
	if err := s.deleteFilters(ctx, filters, o); err != nil {
		return err
	}
	return s.restartUsers(ctx, filters, started)
}

// cloudWarnings tells of connectors whose plan and sign-in address do not usually go together.
func cloudWarnings(connectors []config.Connector) config.Problems {
	var warnings config.Problems
	for _, c := range connectors {
		if text := m365.CheckCloud(c.Values.String("subscription_plan"), c.Values.String("authentication_endpoint")); text != "" {
			warnings = append(warnings, config.Problem{Position: c.Pos, Path: "connector " + c.Name, Text: text})
		}
	}
	return warnings
}

func (c change) name() string {
	if c.action == api.Deleted {
		return c.stored.Name
	}
	return c.entry.Name
}

func (s *service) compare(ctx context.Context, wanted []config.Connector, stored []state.Connector, o applyOptions) ([]change, config.Problems) {
	var changes []change
	var problems config.Problems
	report := func(c config.Connector, text string) {
		problems = append(problems, config.Problem{Position: c.Pos, Path: "connector " + c.Name, Text: text})
	}
	for _, w := range wanted {
		// A directory id may be a reference; what it names decides.
		resolved, err := w.Resolve(os.LookupEnv)
		if err != nil {
			if unresolved, ok := errors.AsType[config.Problems](err); ok {
				problems = append(problems, unresolved...)
			} else {
				report(w, err.Error())
			}
			continue
		}
		directory := resolved.DirectoryID()
		i := slices.IndexFunc(stored, func(c state.Connector) bool { return c.Name == w.Name })
		for _, other := range stored {
			if directory != "" && other.DirectoryID == directory && other.TenantName != w.TenantName {
				report(w, "directory_id "+directory+" belongs to tenant_name "+other.TenantName+" (connector "+other.Name+"); one directory has one tenant_name")
				break
			}
		}
		if i < 0 {
			if kept := w.Kept(); len(kept) > 0 {
				report(w, nothingKept(kept))
				continue
			}
			changes = append(changes, change{action: api.Created, entry: w, directory: directory})
			continue
		}
		next, err := s.compareWith(ctx, w, stored[i], o)
		if err != nil {
			report(w, err.Error())
			continue
		}
		next.directory = directory
		changes = append(changes, next)
	}
	if o.prune {
		for _, have := range stored {
			if have.Owner == o.owner && !slices.ContainsFunc(wanted, func(w config.Connector) bool { return w.Name == have.Name }) {
				changes = append(changes, change{action: api.Deleted, stored: have})
			}
		}
	}
	return changes, problems
}

// compareWith compares a wanted connector with the stored one of its name. The error is what hinders the change.
func (s *service) compareWith(ctx context.Context, w config.Connector, have state.Connector, o applyOptions) (change, error) {
	const create = "; create a connector with another name"
	switch {
	case have.Owner != o.owner && have.Owner != "":
		return change{}, errors.New("is owned by the file " + have.Owner + " and read-only elsewhere; change it there")
	case have.TenantName != w.TenantName:
		return change{}, errors.New("tenant_name cannot be changed after creation (it is " + have.TenantName + ")" + create)
	case have.Type != w.Type:
		return change{}, errors.New("type cannot be changed after creation (it is " + have.Type + ")" + create)
	}
	w, changed, err := s.changedOptions(ctx, have, w)
	if err != nil {
		return change{}, err
	}
	if fixed := fixedOption(w, changed); fixed != "" {
		return change{}, errors.New(fixed + " cannot be changed after creation" + create)
	}
	action := api.Updated
	if len(changed) == 0 && have.Owner == o.owner {
		action = api.Unchanged
	}
	return change{action: action, entry: w, stored: have, changed: changed}, nil
}

// fixedOption returns the first of the changed options that is fixed at creation, "" when there is none.
func fixedOption(c config.Connector, changed []string) string {
	for _, o := range c.Values.Options() {
		if o.Fixed && slices.Contains(changed, o.Name) {
			return o.Name
		}
	}
	return ""
}

// changedOptions names the options in which the stored and the wanted connector differ, and puts the stored secrets into
// the wanted one where it keeps them.
func (s *service) changedOptions(ctx context.Context, have state.Connector, want config.Connector) (config.Connector, []string, error) {
	old, err := s.opened(ctx, have)
	if err != nil {
		if kept := want.Kept(); len(kept) > 0 {
			return want, nil, errors.New(nothingKept(kept))
		}
		return want, []string{"all options"}, nil // applying again heals it
	}
	next, missing := want.Keep(old)
	if len(missing) > 0 {
		return want, nil, errors.New(nothingKept(missing))
	}
	changed := old.Diff(next)
	if elsewhere := leadsElsewhere(next, changed); elsewhere != "" && len(want.Kept()) > 0 {
		return want, nil, fmt.Errorf("%s is %s, which is not used with another %s: give the secret again", want.Kept()[0], config.KeptSecret, elsewhere)
	}
	return next, changed, nil
}

func nothingKept(options []string) string {
	return options[0] + " is " + config.KeptSecret + ", which keeps a stored secret, and none is stored: give the secret, best as ${env:NAME} or ${file:PATH}"
}

func (s *service) perform(ctx context.Context, c change, o applyOptions) error {
	switch c.action {
	case api.Unchanged:
		return nil
	case api.Deleted:
		return s.remove(ctx, c.stored, o.actor)
	case api.Created:
		id := uuid.NewString() // sealed secrets belong to it
		spec, err := s.sealed(ctx, id, c.entry)
		if err != nil {
			return err
		}
		created, err := s.state.CreateConnector(ctx, state.Connector{
			ID: id, Name: c.entry.Name, TenantName: c.entry.TenantName, Type: c.entry.Type,
			DirectoryID: c.directory, Spec: spec, Owner: o.owner,
		}, o.actor)
		if err != nil {
			return err
		}
		return s.startConnector(ctx, created)
	case api.Updated:
		spec, err := s.sealed(ctx, c.stored.ID, c.entry)
		if err != nil {
			return err
		}
		next := c.stored
		next.Spec, next.Owner, next.DirectoryID = spec, o.owner, c.directory
		if err := s.state.UpdateConnector(ctx, next, o.actor, strings.Join(c.changed, ", ")); err != nil {
			return err
		}
		return s.startConnector(ctx, next)
	}
	return fault.Newf(fault.Internal, "apply", "unknown action %q", c.action)
}

// applyFile makes the entries of sluice.yaml so, at start. Those that were in the file before and are not any more
// are deleted; their data stay.
func (s *service) applyFile(ctx context.Context, file *config.File) error {
	doc := &config.Apply{Connectors: file.Connectors, Filters: file.Filters}
	// Nobody can be asked at a start, so filters that drop everything are not looked for: see sluice filter test.
	result, err := s.applyDocument(ctx, doc, applyOptions{document: file.Path, owner: file.Path, prune: true, confirm: true, actor: file.Path})
	if err != nil {
		return err
	}
	for _, w := range result.Warnings {
		s.log.Warn("configuration", "warning", w.Path+": "+w.Message)
	}
	if len(result.Problems) > 0 {
		lines := make([]string, 0, len(result.Problems))
		for _, p := range result.Problems {
			lines = append(lines, p.Path+": "+p.Message)
		}
		return fault.New(fault.Config, "apply "+file.Path, strings.Join(lines, "\n"))
	}
	return nil
}

func mistakes(problems config.Problems) []api.Mistake {
	var out []api.Mistake
	for _, p := range problems {
		out = append(out, api.Mistake{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Message: p.Text})
	}
	return out
}
