package app

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/source"
	"sluice/internal/state"
)

// Entries implements api.Entries.
func (s *service) Entries(ctx context.Context, kind api.Kind) ([]api.Entry, error) {
	if kind != "" && kind != api.Connectors {
		return nil, nil // destinations and filters cannot be configured yet
	}
	stored, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(stored, func(a, b state.Connector) int { return strings.Compare(a.Name, b.Name) })
	entries := make([]api.Entry, 0, len(stored))
	for _, c := range stored {
		e := api.Entry{
			Kind: api.Connectors, Name: c.Name, Type: c.Type, TenantName: c.TenantName, State: "active",
			Owner: c.Owner, Created: c.Created, Updated: c.Updated,
		}
		if c.Paused {
			e.State = "paused"
		}
		parsed, err := config.FromSpec(c.Spec, s.properties)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "read connector "+c.Name, err)
		}
		e.Spec = parsed.JSON()
		entries = append(entries, e)
	}
	return entries, nil
}

// Apply implements api.Entries.
func (s *service) Apply(ctx context.Context, r api.ApplyRequest) (api.ApplyResult, error) {
	name := r.Name
	if name == "" {
		name = "document"
	}
	doc, err := config.ParseApply(name, r.Document, s.properties)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return api.ApplyResult{Problems: mistakes(problems)}, nil
	}
	if err != nil {
		return api.ApplyResult{}, err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.applyConnectors(ctx, doc.Connectors, doc.Warnings, applyOptions{dryRun: r.DryRun, prune: r.Prune, actor: "apply"})
}

type applyOptions struct {
	dryRun bool
	prune  bool
	owner  string // file that owns the entries, "" for apply and API
	actor  string
}

// change is what apply does to one connector.
type change struct {
	action    api.Action
	entry     config.Connector
	directory string // of the entry, resolved
	stored    state.Connector
	changed   []string
}

// applyConnectors compares the wanted connectors with the stored ones and makes the difference so. Nothing is changed
// when one of them has a problem.
func (s *service) applyConnectors(ctx context.Context, wanted []config.Connector, warnings config.Problems, o applyOptions) (api.ApplyResult, error) {
	result := api.ApplyResult{DryRun: o.dryRun, Entries: []api.AppliedEntry{}, Warnings: mistakes(warnings)}
	stored, err := s.state.Connectors(ctx)
	if err != nil {
		return result, err
	}
	changes, problems := s.compare(wanted, stored, o)
	if len(problems) > 0 {
		result.Problems = mistakes(problems)
		return result, nil
	}
	for _, c := range changes {
		if !o.dryRun {
			if err := s.perform(ctx, c, o); err != nil {
				return result, err
			}
		}
		result.Entries = append(result.Entries, api.AppliedEntry{Kind: api.Connectors, Name: c.name(), Action: c.action, Changed: c.changed})
	}
	return result, nil
}

func (c change) name() string {
	if c.action == api.Deleted {
		return c.stored.Name
	}
	return c.entry.Name
}

func (s *service) compare(wanted []config.Connector, stored []state.Connector, o applyOptions) ([]change, config.Problems) {
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
			changes = append(changes, change{action: api.Created, entry: w, directory: directory})
			continue
		}
		have := stored[i]
		switch {
		case have.Owner != o.owner && have.Owner != "":
			report(w, "is owned by the file "+have.Owner+" and read-only elsewhere; change it there")
			continue
		case have.TenantName != w.TenantName:
			report(w, "tenant_name cannot be changed after creation (it is "+have.TenantName+"); create a connector with another name")
			continue
		case have.Type != w.Type:
			report(w, "type cannot be changed after creation (it is "+have.Type+"); create a connector with another name")
			continue
		}
		changed := s.changedOptions(have, w)
		if fixed := fixedOption(w, changed); fixed != "" {
			report(w, fixed+" cannot be changed after creation; create a connector with another name")
			continue
		}
		action := api.Updated
		if len(changed) == 0 && have.Owner == o.owner {
			action = api.Unchanged
		}
		changes = append(changes, change{action: action, entry: w, directory: directory, stored: have, changed: changed})
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

// fixedOption returns the first of the changed options that is fixed at creation, "" when there is none.
func fixedOption(c config.Connector, changed []string) string {
	for _, o := range c.Values.Options() {
		if o.Fixed && slices.Contains(changed, o.Name) {
			return o.Name
		}
	}
	return ""
}

// changedOptions names the options in which the stored and the wanted connector differ.
func (s *service) changedOptions(have state.Connector, want config.Connector) []string {
	if bytes.Equal(have.Spec, want.SpecJSON()) {
		return nil
	}
	old, err := config.FromSpec(have.Spec, s.properties)
	if err != nil {
		return []string{"all options"}
	}
	return old.Diff(want)
}

func (s *service) perform(ctx context.Context, c change, o applyOptions) error {
	switch c.action {
	case api.Unchanged:
		return nil
	case api.Deleted:
		return s.remove(ctx, c.stored, o.actor)
	case api.Created:
		created, err := s.state.CreateConnector(ctx, state.Connector{
			Name: c.entry.Name, TenantName: c.entry.TenantName, Type: c.entry.Type,
			DirectoryID: c.directory, Spec: c.entry.SpecJSON(), Owner: o.owner,
		}, o.actor)
		if err != nil {
			return err
		}
		return s.startConnector(ctx, created)
	case api.Updated:
		next := c.stored
		next.Spec, next.Owner, next.DirectoryID = c.entry.SpecJSON(), o.owner, c.directory
		if err := s.state.UpdateConnector(ctx, next, o.actor, strings.Join(c.changed, ", ")); err != nil {
			return err
		}
		return s.startConnector(ctx, next)
	}
	return fault.Newf(fault.Internal, "apply", "unknown action %q", c.action)
}

// applyFile makes the connectors of sluice.yaml so, at start. Those that were in the file before and are not any more
// are deleted; their data stay.
func (s *service) applyFile(ctx context.Context, file *config.File) error {
	result, err := s.applyConnectors(ctx, file.Connectors, nil, applyOptions{owner: file.Path, prune: true, actor: file.Path})
	if err != nil {
		return err
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

func (s *service) remove(ctx context.Context, c state.Connector, actor string) error {
	if err := s.state.DeleteConnector(ctx, c.Name, actor); err != nil {
		return err
	}
	s.manager.Stop(c.ID)
	s.failures.clear(c.ID)
	return nil
}

func ownedBy(c state.Connector) error {
	return fault.Newf(fault.Conflict, "", "connector %s is owned by the file %s and read-only elsewhere", c.Name, c.Owner).
		WithHint("change it in that file and restart the server")
}

// SetPaused implements api.Entries.
func (s *service) SetPaused(ctx context.Context, kind api.Kind, name string, paused bool) error {
	c, err := s.connector(ctx, kind, name)
	if err != nil {
		return err
	}
	if c.Paused == paused {
		return nil
	}
	if err := s.state.SetPaused(ctx, name, paused, "api"); err != nil {
		return err
	}
	c.Paused = paused
	if paused {
		s.manager.Stop(c.ID)
		return nil
	}
	return s.startConnector(ctx, c)
}

// Test implements api.Entries.
func (s *service) Test(ctx context.Context, kind api.Kind, name string) iter.Seq2[source.Check, error] {
	return func(yield func(source.Check, error) bool) {
		c, err := s.connector(ctx, kind, name)
		if err != nil {
			yield(source.Check{}, err)
			return
		}
		if !s.testing.begin(c.ID) {
			yield(source.Check{}, fault.Newf(fault.Conflict, "test", "connector %s is being tested already", name).WithHint("wait for that test to end"))
			return
		}
		defer s.testing.end(c.ID)
		cfg, err := s.build(ctx, c)
		if err != nil {
			yield(source.Failure("configuration", err), nil)
			return
		}
		for check := range cfg.Source.Test(ctx) {
			if !yield(check, nil) {
				return
			}
		}
	}
}

func (s *service) connector(ctx context.Context, kind api.Kind, name string) (state.Connector, error) {
	if kind != api.Connectors {
		return state.Connector{}, fault.Newf(fault.NotFound, "", "no %s is named %q", kind.Singular(), name)
	}
	return s.state.Connector(ctx, name)
}

// build makes the runner configuration of a stored connector: settings, secrets, source.
func (s *service) build(ctx context.Context, stored state.Connector) (cfg runnerWithState, err error) {
	parsed, err := config.FromSpec(stored.Spec, s.properties)
	if err != nil {
		return cfg, fault.Wrap(fault.Config, "read connector "+stored.Name, err)
	}
	resolved, err := parsed.Resolve(os.LookupEnv)
	if err != nil {
		return cfg, err
	}
	d, err := driverFor(stored.Type)
	if err != nil {
		return cfg, err
	}
	src, err := d.build(ctx, resolved, s.shared)
	if err != nil {
		return cfg, err
	}
	return runnerWithState{RunnerConfig: runnerConfig(stored, resolved, d, src), enabled: resolved.Enabled && !stored.Paused}, nil
}

// startConnector runs a connector with its present settings, or stops it when it is paused. Settings that cannot be
// used (an unreadable CA, a missing secret) are shown in the connector's status and do not fail the call.
func (s *service) startConnector(ctx context.Context, stored state.Connector) error {
	cfg, err := s.build(ctx, stored)
	if err != nil {
		s.manager.Stop(stored.ID)
		s.failures.set(stored.ID, err)
		s.log.Warn("connector does not start", "connector", stored.Name, "error", err.Error(), "hint", fault.HintOf(err))
		return nil
	}
	s.failures.clear(stored.ID)
	if !cfg.enabled {
		s.manager.Stop(stored.ID)
		return nil
	}
	s.manager.Start(cfg.RunnerConfig) //nolint:contextcheck // the runner outlives the request
	return nil
}

func mistakes(problems config.Problems) []api.Mistake {
	var out []api.Mistake
	for _, p := range problems {
		out = append(out, api.Mistake{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Message: p.Text})
	}
	return out
}
