package config

import (
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/option"
	"sluice/internal/source"
)

// Connector is a checked connector. It is immutable by convention: change Values only through a new document.
type Connector struct {
	Name         string        // unique
	TenantName   string        // the operator's name for the Microsoft tenant
	Type         string        // connector type: office365
	Interval     time.Duration // between two looks for new content
	ContentTypes []string      // what to collect, in the service's spelling; never empty for types that have any
	StartTime    time.Time     // UTC; zero: the driver's default
	RunOn        string        // node group
	Enabled      bool
	Values       option.Values // every option, common and of the driver, with defaults
	Pos          Position      // of the entry in its document; the zero Position after FromSpec

	spec option.Values // as given: references kept
	at   place         // for messages about several connectors; empty after FromSpec
}

// place is where the identity of a connector stands in its document.
type place struct {
	path                  string
	name, tenant, filters *yaml.Node
}

// newConnector builds a connector from decoded options. What could not be decoded has its zero value.
func newConnector(spec, values option.Values) Connector {
	return Connector{
		Name:         values.String(keyName),
		TenantName:   values.String(keyTenantName),
		Type:         values.String(keyType),
		Interval:     values.Duration(keyInterval),
		ContentTypes: values.List(keyContentTypes),
		StartTime:    values.Time(keyStartTime),
		RunOn:        values.String(keyRunOn),
		Enabled:      values.Bool(keyEnabled),
		Values:       values,
		spec:         spec,
	}
}

// DirectoryID returns Microsoft's id of the tenant in lower case, "" when the connector's type has none.
func (c Connector) DirectoryID() string { return c.Values.String(keyDirectoryID) }

// Diff names the options that are configured differently in c and other, in canonical order and without values. It is
// empty exactly when their SpecJSON is equal.
func (c Connector) Diff(other Connector) []string {
	mine, theirs := c.pairs(false), other.pairs(false)
	have := make(map[string]any, len(theirs))
	for _, p := range theirs {
		have[p.name] = p.value
	}
	var names []string
	for _, p := range mine {
		if !reflect.DeepEqual(have[p.name], p.value) {
			names = append(names, p.name)
		}
		delete(have, p.name)
	}
	for _, p := range theirs {
		if _, only := have[p.name]; only {
			names = append(names, p.name)
		}
	}
	return names
}

// Resolve returns a copy of c in whose Values the references of options that are no secrets are replaced by what they
// name, looked up with env, and checked. Secrets and SpecJSON stay as they are. The error is Problems.
func (c Connector) Resolve(env Lookup) (Connector, error) {
	var problems Problems
	resolved := map[string]any{}
	for _, name := range c.spec.Names() {
		o, _ := findOption(c.spec.Options(), name)
		if o.Secret {
			continue
		}
		v, err := resolveOption(o, c.spec.Get(name), env)
		if err != nil {
			problems = append(problems, problemf(c.Pos, "connector "+c.Name+": "+name, "%v", err))
			continue
		}
		resolved[name] = v
	}
	if err := problems.sorted(); err != nil {
		return Connector{}, err
	}
	next := newConnector(c.spec, c.spec.With(resolved))
	next.Pos, next.at = c.Pos, c.at
	return next, nil
}

// connectors reads a list of connectors.
func (r *reader) connectors(n *yaml.Node, path string) []Connector {
	return readList(r, n, path, "connectors", r.connector)
}

// connector reads one connector. It is false when n is nothing that can be looked into; after other mistakes the
// connector holds what could be read, for the checks across connectors.
func (r *reader) connector(n *yaml.Node, path string) (Connector, bool) {
	fields, ok := r.mapping(n, path, "a connector")
	if !ok {
		return Connector{}, false
	}
	driver, known := r.driver(fields, path)
	options := ConnectorOptions(driver)
	var also []string
	if !known {
		also = r.everyDriverOption()
	}
	r.keeps = !r.stored
	e := r.options(n, fields, path, options, also...)
	r.keeps = false
	r.checkConnector(&e, driver)
	c := newConnector(option.NewValues(options, e.spec), option.NewValues(options, e.values))
	c.Pos = r.position(n)
	c.at = place{path: path, name: e.nodes[keyName], tenant: e.nodes[keyTenantName], filters: e.nodes[keyLogFilters]}
	return c, true
}

// driver finds the driver that the key `type` names. It reports an unknown one; a missing one is the business of
// required options.
func (r *reader) driver(fields []field, path string) (source.Properties, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == keyType })
	if i < 0 {
		return source.Properties{}, false
	}
	o := option.Option{Name: keyType, Choices: typeNames(r.drivers)}
	v, err := o.Decode(fields[i].value.Value)
	if name, ok := v.(string); ok && err == nil {
		if d, ok := findDriver(r.drivers, name); ok {
			return d, true
		}
	}
	if n := fields[i].value; n.ShortTag() == "!!str" && n.Value != "" {
		r.report(n, join(path, keyType), "%s", unknownType(n.Value, typeNames(r.drivers)))
	}
	return source.Properties{}, false
}

// everyDriverOption names the options of all drivers: without a type, a key of any of them may be right.
func (r *reader) everyDriverOption() []string {
	var names []string
	for _, d := range r.drivers {
		names = append(names, optionNames(d.Options)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
