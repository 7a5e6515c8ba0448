package app

import (
	"context"
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
	var entries []api.Entry
	if kind == "" || kind == api.Connectors {
		connectors, err := s.connectorEntries(ctx)
		if err != nil {
			return nil, err
		}
		entries = connectors
	}
	if kind == "" || kind == api.Filters {
		filters, err := s.filterEntries(ctx)
		if err != nil {
			return nil, err
		}
		entries = append(entries, filters...)
	}
	if kind == "" || kind == api.Consent {
		applications, err := s.applicationEntries(ctx)
		if err != nil {
			return nil, err
		}
		entries = append(entries, applications...)
	}
	return entries, nil
}

func (s *service) connectorEntries(ctx context.Context) ([]api.Entry, error) {
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

func (s *service) remove(ctx context.Context, c state.Connector, actor string) error {
	if err := s.state.DeleteConnector(ctx, c.Name, actor); err != nil {
		return err
	}
	s.manager.Remove(ctx, c.ID)
	s.failures.clear(c.ID)
	s.shared.secrets.Forget(c.ID)
	if s.hooks != nil {
		s.hooks.Remove(c.ID)
	}
	return nil
}

func ownedBy(c state.Connector) error {
	return fault.Newf(fault.Conflict, "", "connector %s is owned by the file %s and read-only elsewhere", c.Name, c.Owner).
		WithHint("change it in that file and restart the server")
}

// SetPaused implements api.Entries.
func (s *service) SetPaused(ctx context.Context, kind api.Kind, name string, paused bool) error {
	s.applying.Lock() // nobody starts it again meanwhile
	defer s.applying.Unlock()
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
		run, failed := 0, 0
		for check := range cfg.Source.Test(ctx) {
			run++
			if check.Status == source.Failed {
				failed++
			}
			if !yield(check, nil) {
				return
			}
		}
		if run > 0 && failed == 0 && ctx.Err() == nil {
			s.testPassed(ctx, c)
		}
	}
}

func (s *service) connector(ctx context.Context, kind api.Kind, name string) (state.Connector, error) {
	if kind != api.Connectors {
		return state.Connector{}, fault.Newf(fault.NotFound, "", "no %s is named %q", kind.Singular(), name)
	}
	return s.state.Connector(ctx, name)
}

// build makes the runner configuration of a stored connector: settings, secrets, source, log filters.
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
	cfg.secrets = s.secretsOf(stored.ID, resolved.Values)
	if cfg.secrets.hookAddress, cfg.secrets.hookAuthID, err = s.hookFor(ctx, stored, resolved, cfg.secrets); err != nil {
		return cfg, err
	}
	src, err := d.build(ctx, resolved, cfg.secrets, s.shared)
	if err != nil {
		return cfg, err
	}
	run := runnerConfig(stored, resolved, d, src)
	if run.Filters, err = s.filterSet(ctx, resolved.LogFilters()); err != nil {
		return cfg, err
	}
	cfg.RunnerConfig, cfg.enabled = run, resolved.Enabled && !stored.Paused && resolved.RunOn == s.nodeGroup
	return cfg, nil
}

// startConnector runs a connector with its present settings, or stops it when it is paused. Settings that cannot be
// used (an unreadable CA, a missing secret) are shown in the connector's status and do not fail the call.
func (s *service) startConnector(ctx context.Context, stored state.Connector) error {
	cfg, err := s.build(ctx, stored)
	if cfg.secrets.Uses != nil {
		cfg.secrets.Keep() // of a connector that does not start too: it does when a missing secret is there
	}
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
