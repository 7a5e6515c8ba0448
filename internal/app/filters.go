package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/filter"
	"sluice/internal/lake"
	"sluice/internal/record"
	"sluice/internal/state"
)

// lookupFolder holds, in the data folder, the lookups that filters compare with.
const lookupFolder = "lookups"

// filterEntries lists the filters by name.
func (s *service) filterEntries(ctx context.Context) ([]api.Entry, error) {
	stored, err := s.state.Filters(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]api.Entry, 0, len(stored))
	for _, f := range stored {
		parsed, err := parseFilter(f)
		if err != nil {
			return nil, err
		}
		entries = append(entries, api.Entry{
			Kind: api.Filters, Name: f.Name, State: "active", Owner: f.Owner, Created: f.Created, Updated: f.Updated, Spec: parsed.SpecJSON(),
		})
	}
	return entries, nil
}

func parseFilter(f state.Filter) (config.Filter, error) {
	parsed, err := config.FilterFromSpec(f.Spec)
	return parsed, fault.Wrap(fault.Internal, "read filter "+f.Name, err)
}

// LogFilters implements api.LogFilters.
func (s *service) LogFilters(ctx context.Context) ([]api.FilterInfo, error) {
	stored, err := s.state.Filters(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := s.state.FilterCounts(ctx)
	if err != nil {
		return nil, err
	}
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, c := range connectors {
		names[c.ID] = c.Name
	}
	list := make([]api.FilterInfo, 0, len(stored))
	for _, f := range stored {
		parsed, err := parseFilter(f)
		if err != nil {
			return nil, err
		}
		info := api.FilterInfo{
			Name: f.Name, Description: parsed.Spec.Description, Mode: string(parsed.Spec.Mode), Owner: f.Owner,
			Connectors: s.users(connectors, f.Name), Created: f.Created, Updated: f.Updated,
		}
		for _, c := range counts {
			if c.Filter != f.Name {
				continue
			}
			info.Dropped += c.Records
			name := names[c.ConnectorID]
			if name == "" {
				name = c.ConnectorID
			}
			info.Drops = append(info.Drops, api.FilterDrop{Connector: name, ContentType: c.ContentType, Records: c.Records})
		}
		list = append(list, info)
	}
	return list, nil
}

// FilterHistory implements api.LogFilters.
func (s *service) FilterHistory(ctx context.Context, name string) ([]api.Change, error) {
	changes, err := s.state.FilterHistory(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, fault.Newf(fault.NotFound, "", "nothing is known of a filter named %q", name)
	}
	out := make([]api.Change, 0, len(changes))
	for _, c := range changes {
		out = append(out, api.Change{At: c.At, Actor: c.Actor, What: c.What, Detail: c.Detail})
	}
	return out, nil
}

// users are the names of the connectors that refer to a filter.
func (s *service) users(connectors []state.Connector, filterName string) []string {
	var names []string
	for _, c := range connectors {
		if slices.Contains(s.logFilters(c), filterName) {
			names = append(names, c.Name)
		}
	}
	return names
}

// logFilters are the filters that a stored connector refers to.
func (s *service) logFilters(c state.Connector) []string {
	parsed, err := config.FromSpec(c.Spec, s.properties)
	if err != nil {
		return nil // a connector that cannot be read does not run; its status says so
	}
	return parsed.LogFilters()
}

// filterSet compiles the stored filters with the given names; nil without names.
func (s *service) filterSet(ctx context.Context, names []string) (*filter.Set, error) {
	if len(names) == 0 {
		return nil, nil
	}
	stored, err := s.state.Filters(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*filter.Filter, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(stored, func(f state.Filter) bool { return f.Name == name })
		if i < 0 {
			return nil, unknownFilter(name)
		}
		parsed, err := parseFilter(stored[i])
		if err != nil {
			return nil, err
		}
		compiled, err := s.compileFilter(parsed.Spec, false)
		if err != nil {
			return nil, err
		}
		list = append(list, compiled)
	}
	return filter.NewSet(list...), nil
}

func unknownFilter(name string) error {
	return fault.Newf(fault.NotFound, "", "no filter is named %q", name).WithHint("`sluice get filters` lists them")
}

// compileFilter compiles a filter; with columns its notices tell of fields that no record in the lake has.
func (s *service) compileFilter(spec filter.Spec, columns bool) (*filter.Filter, error) {
	o := filter.Options{Now: s.clock.Now, Lookups: s.lookup}
	if columns && s.lake != nil {
		known := s.lake.Columns(record.WindowsEvents)
		if slices.ContainsFunc(known, func(c lake.ColumnInfo) bool { return c.Vendor }) { // an empty lake knows no field
			o.Columns = queryColumns(known)
		}
	}
	return filter.Compile(spec, o)
}

// lookup reads a lookup and says where it would have to be.
func (s *service) lookup(name string) (filter.Lookup, error) {
	l, err := filter.FolderLookups(os.DirFS(filepath.Join(s.dataDir, lookupFolder)))(name)
	if fault.Is(err, fault.NotFound) {
		err = fault.Newf(fault.Config, "", "there is no file %s/%s.txt in the data folder", lookupFolder, name)
	}
	return l, err
}

// filterChange is what apply does to one filter.
type filterChange struct {
	action   api.Action
	entry    config.Filter
	compiled *filter.Filter
	stored   state.Filter
	changed  []string
}

func (c filterChange) name() string {
	if c.action == api.Deleted {
		return c.stored.Name
	}
	return c.entry.Spec.Name
}

// matters reports whether the change makes a difference to records.
func (c filterChange) matters() bool {
	return c.action == api.Created || slices.ContainsFunc(c.changed, func(key string) bool { return key != filter.KeyDescription })
}

// filterChanges is what apply does to filters.
type filterChanges struct {
	changes  []filterChange
	names    []string // of all filters, as they will be
	stored   []state.Filter
	problems config.Problems
	warnings config.Problems
}

// find returns what a filter will be.
func (f *filterChanges) find(name string) (filterChange, bool) {
	i := slices.IndexFunc(f.changes, func(c filterChange) bool { return c.name() == name })
	if i < 0 {
		return filterChange{}, false
	}
	return f.changes[i], true
}

// compareFilters compares the wanted filters with the stored ones.
func (s *service) compareFilters(ctx context.Context, wanted []config.Filter, o applyOptions) (filterChanges, error) {
	f := filterChanges{}
	var err error
	if f.stored, err = s.state.Filters(ctx); err != nil {
		return f, err
	}
	for _, w := range wanted {
		if c, ok := s.compareFilter(&f, w, o); ok {
			f.changes = append(f.changes, c)
		}
		f.names = append(f.names, w.Spec.Name)
	}
	for _, have := range f.stored {
		switch {
		case slices.Contains(f.names, have.Name):
		case o.prune && have.Owner == o.owner:
			f.changes = append(f.changes, filterChange{action: api.Deleted, stored: have})
		default:
			f.names = append(f.names, have.Name)
		}
	}
	return f, nil
}

func filterProblem(f config.Filter, text string) config.Problem {
	return config.Problem{Position: f.Pos, Path: "filter " + f.Spec.Name, Text: text}
}

// compileProblems tells why a filter of a document cannot be compiled.
func compileProblems(f config.Filter, err error) config.Problems {
	wrong, ok := errors.AsType[*filter.Mistakes](err)
	if !ok {
		return config.Problems{filterProblem(f, err.Error())}
	}
	var problems config.Problems
	for _, m := range wrong.List {
		problems = append(problems, filterProblem(f, m.String()))
	}
	return problems
}

// compareFilter compares one filter. It is false when there is a problem.
func (s *service) compareFilter(f *filterChanges, w config.Filter, o applyOptions) (filterChange, bool) {
	c := filterChange{action: api.Created, entry: w}
	var err error
	if c.compiled, err = s.compileFilter(w.Spec, true); err != nil {
		f.problems = append(f.problems, compileProblems(w, err)...)
		return c, false
	}
	if i := slices.IndexFunc(f.stored, func(have state.Filter) bool { return have.Name == w.Spec.Name }); i >= 0 {
		c.stored = f.stored[i]
		if c.stored.Owner != o.owner && c.stored.Owner != "" {
			f.problems = append(f.problems, filterProblem(w, "is owned by the file "+c.stored.Owner+" and read-only elsewhere; change it there"))
			return c, false
		}
		c.action, c.changed = api.Updated, filterDiff(c.stored, w.Spec)
		if len(c.changed) == 0 && c.stored.Owner == o.owner {
			c.action = api.Unchanged
			return c, true
		}
	}
	for _, notice := range c.compiled.Notices() {
		f.warnings = append(f.warnings, filterProblem(w, notice))
	}
	return c, true
}

// filterDiff names the keys in which a stored and a wanted filter differ.
func filterDiff(stored state.Filter, want filter.Spec) []string {
	old, err := config.FilterFromSpec(stored.Spec)
	if err != nil {
		return []string{"all keys"}
	}
	have := old.Spec
	var keys []string
	for _, d := range []struct {
		key  string
		same bool
	}{
		{filter.KeyDescription, have.Description == want.Description},
		{filter.KeyMode, have.Mode == want.Mode},
		{filter.KeyConditions, slices.EqualFunc(have.Conditions, want.Conditions, func(a, b filter.Condition) bool {
			return a.Field == b.Field && a.Operator == b.Operator && slices.Equal(a.Values, b.Values)
		})},
		{filter.KeyQuery, have.Query == want.Query},
	} {
		if !d.same {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// checkUses demands that every filter to which a connector refers will exist.
func (s *service) checkUses(wanted []config.Connector, stored []state.Connector, changes []change, f filterChanges, o applyOptions) config.Problems {
	var problems config.Problems
	if missing, ok := errors.AsType[config.Problems](config.CheckLogFilters(wanted, f.names)); ok {
		problems = missing
	}
	for _, c := range f.changes {
		if c.action != api.Deleted {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(stored), func(have state.Connector) bool {
			return slices.ContainsFunc(wanted, func(w config.Connector) bool { return w.Name == have.Name }) ||
				slices.ContainsFunc(changes, func(c change) bool { return c.action == api.Deleted && c.stored.Name == have.Name })
		})
		if users := s.users(others, c.stored.Name); len(users) > 0 {
			problems = append(problems, config.Problem{
				Position: config.Position{File: o.document}, Path: "filter " + c.stored.Name,
				Text: "is not in the document any more and would be deleted, but " + usedBy(users),
			})
		}
	}
	return problems
}

func usedBy(connectors []string) string {
	if len(connectors) == 1 {
		return "the connector " + connectors[0] + " uses it"
	}
	return "the connectors " + strings.Join(connectors, ", ") + " use it"
}

func (s *service) putFilters(ctx context.Context, f filterChanges, o applyOptions) error {
	for _, c := range f.changes {
		if c.action != api.Created && c.action != api.Updated {
			continue
		}
		stored := state.Filter{Name: c.entry.Spec.Name, Spec: c.entry.SpecJSON(), Owner: o.owner}
		if _, err := s.state.PutFilter(ctx, stored, o.actor, strings.Join(c.changed, ", ")); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) deleteFilters(ctx context.Context, f filterChanges, o applyOptions) error {
	for _, c := range f.changes {
		if c.action != api.Deleted {
			continue
		}
		if err := s.state.DeleteFilter(ctx, c.stored.Name, o.actor); err != nil {
			return err
		}
	}
	return nil
}

// restartUsers makes running connectors use the filters that changed. Those in started do already.
func (s *service) restartUsers(ctx context.Context, f filterChanges, started map[string]bool) error {
	if !slices.ContainsFunc(f.changes, filterChange.matters) {
		return nil
	}
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return err
	}
	for _, c := range connectors {
		if started[c.Name] || !slices.ContainsFunc(s.logFilters(c), func(name string) bool {
			changed, ok := f.find(name)
			return ok && changed.matters()
		}) {
			continue
		}
		if err := s.startConnector(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// deleteFilter deletes a filter that no connector uses.
func (s *service) deleteFilter(ctx context.Context, name string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	stored, err := s.state.Filters(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(stored, func(f state.Filter) bool { return f.Name == name })
	if i < 0 {
		return unknownFilter(name)
	}
	if owner := stored[i].Owner; owner != "" {
		return fault.Newf(fault.Conflict, "", "filter %s is owned by the file %s and read-only elsewhere", name, owner).
			WithHint("change it in that file and restart the server")
	}
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return err
	}
	if users := s.users(connectors, name); len(users) > 0 {
		return fault.Newf(fault.Conflict, "", "filter %s cannot be deleted: %s", name, usedBy(users)).
			WithHint("take it out of their log_filters first")
	}
	return s.state.DeleteFilter(ctx, name, "api")
}
