package filter

import (
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/query"
)

// Options are what a filter is compiled with. The zero value is usable.
type Options struct {
	// Columns are the columns that the lake has so far. They are used to point out fields that nobody has seen; nil is
	// the fields that every record of the Management Activity API has.
	Columns []query.Column
	// Lookups finds the lookups of in_lookup; without it there are none.
	Lookups Lookups
	// Now is the clock for queries that say now; time.Now when nil.
	Now func() time.Time
}

// Filter is a compiled filter. It is safe for concurrent use.
type Filter struct {
	spec       Spec
	conditions []condition
	query      *lq // nil for none
	notices    []string
}

// Name returns the name of the filter.
func (f *Filter) Name() string { return f.spec.Name }

// Spec returns a copy of what the filter was compiled from, with its mode.
func (f *Filter) Spec() Spec {
	s := f.spec
	s.Conditions = slices.Clone(s.Conditions)
	return s
}

// Notices returns what is odd about the filter and does not hinder it, in sentences for the operator: a field that no
// record has had so far, a query that depends on the time.
func (f *Filter) Notices() []string { return slices.Clone(f.notices) }

// Mistakes is the error of Compile: everything that is wrong with a filter.
type Mistakes struct {
	Name string // of the filter
	List []Mistake
}

// Error returns one line per mistake.
func (m *Mistakes) Error() string {
	lines := make([]string, len(m.List))
	for i, mistake := range m.List {
		lines[i] = "filter " + quote(m.Name) + ": " + mistake.String()
	}
	return strings.Join(lines, "\n")
}

// As makes errors.As find a *fault.Error of kind fault.Config.
func (m *Mistakes) As(target any) bool {
	f, ok := target.(**fault.Error)
	if ok {
		*f = fault.New(fault.Config, "compile filter", m.Error())
	}
	return ok
}

// Check returns every mistake of a filter that its text shows, in the order of its keys. Whether a lookup exists is
// only known to Compile.
func Check(s Spec) []Mistake {
	_, mistakes := build(s, Options{})
	return mistakes
}

// Compile makes a filter. The error is *Mistakes with every mistake. A field that does not exist is none: see Notices
// and Test.
func Compile(s Spec, opt Options) (*Filter, error) {
	if opt.Lookups == nil {
		opt.Lookups = func(name string) (Lookup, error) {
			return Lookup{}, fault.Newf(fault.NotFound, "read lookup", "there is no lookup %s", name)
		}
	}
	f, mistakes := build(s, opt)
	if len(mistakes) > 0 {
		return nil, &Mistakes{s.Name, mistakes}
	}
	return f, nil
}

// build compiles what can be compiled and gathers the mistakes.
func build(s Spec, opt Options) (*Filter, []Mistake) {
	mistakes := checkSpec(s)
	if s.Mode == "" {
		s.Mode = Exclude
	}
	s.Conditions = slices.Clone(s.Conditions)
	f := &Filter{spec: s}
	for i, spec := range s.Conditions[:min(len(s.Conditions), MaxConditions)] {
		c, wrong := compileCondition(spec, opt.Lookups)
		for _, m := range wrong {
			mistakes = append(mistakes, Mistake{append(at(KeyConditions, i), m.Path...), m.Text})
		}
		f.conditions = append(f.conditions, c)
	}
	mistakes = append(mistakes, f.compileQuery(opt)...)
	if len(mistakes) == 0 {
		f.notices = append(f.unknownFields(opt), f.notices...)
	}
	return f, mistakes
}

// compileQuery parses the query and compiles it once for the columns that are known, to find what is wrong with it
// before a record comes.
func (f *Filter) compileQuery(opt Options) []Mistake {
	if strings.TrimSpace(f.spec.Query) == "" {
		return nil
	}
	wrong := func(text string) []Mistake { return []Mistake{{at(KeyQuery), text}} }
	parsed, err := query.Parse(f.spec.Query)
	if err != nil {
		return wrong(explain(err))
	}
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	f.query = &lq{parsed: parsed, now: now}
	catalogue := query.NewCatalogue(append(coreColumns(), vendorColumns(opt)...))
	compiled, err := parsed.Compile(catalogue, query.Options{Now: now()})
	if err != nil {
		return wrong(explain(err))
	}
	if compiled.Where == "true" {
		return wrong("matches every record")
	}
	for _, n := range compiled.Notices {
		if n.Kind == query.Rewrite {
			return wrong("can match no record: " + strings.TrimSuffix(n.Text, ", run as OR") + "; write OR")
		}
		f.notices = append(f.notices, "query: "+n.String())
	}
	f.query.moves = nowWord.MatchString(f.spec.Query) // on which field it stands is only known with the record
	if f.query.moves && changes(parsed, catalogue, now()) {
		f.notices = append(f.notices, "query: it says now, so what it decides about a record changes with the time; now is taken to the minute")
	}
	return nil
}

// explain is an error of package query without the operation, which the reader of a filter does not care for.
func explain(err error) string {
	text := err.Error()
	for _, op := range []string{"parse query: ", "compile query: "} {
		text = strings.TrimPrefix(text, op)
	}
	return text
}

// vendorColumns are the vendor's columns among those that are known.
func vendorColumns(opt Options) []query.Column {
	if opt.Columns == nil {
		return commonColumns()
	}
	var columns []query.Column
	for _, c := range opt.Columns {
		if c.Vendor {
			columns = append(columns, c)
		}
	}
	return columns
}

// commonColumns are the fields of the common schema of the Management Activity API
// (spec/management-activity-api.md section 12).
func commonColumns() []query.Column {
	var columns []query.Column
	for _, name := range []string{
		"Id", "CreationTime", "Operation", "OrganizationId", "UserKey", "Workload", "ResultStatus", "ObjectId", "UserId", "ClientIP",
	} {
		columns = append(columns, vendorColumn("office365."+name, query.Text))
	}
	for _, name := range []string{"RecordType", "UserType"} {
		columns = append(columns, vendorColumn("office365."+name, query.Long))
	}
	return columns
}

// unknownFields points out the conditions on fields that no column has. It says nothing when the columns of the lake
// are not known.
func (f *Filter) unknownFields(opt Options) []string {
	if opt.Columns == nil {
		return nil
	}
	known := knownFields(opt.Columns)
	var notices []string
	for i, c := range f.conditions {
		if !c.field.isCore() && !c.field.among(known) {
			text := Mistake{at(KeyConditions, i, KeyField), "no record so far has the field " + quote(f.spec.Conditions[i].Field)}.String()
			if near := nearest(f.spec.Conditions[i].Field, known); near != "" {
				text += ", did you mean " + quote(near) + "?"
			}
			notices = append(notices, text)
		}
	}
	return notices
}

// knownFields are the names that a condition may use: core fields, and vendor fields without the vendor's key.
func knownFields(columns []query.Column) []string {
	var names []string
	for _, c := range coreColumns() {
		names = append(names, c.Name)
	}
	for _, c := range columns {
		name := c.Name
		if _, bare, ok := strings.Cut(name, "."); ok && c.Vendor {
			name = bare
		}
		names = append(names, name)
	}
	return names
}

// match reports whether all conditions hold and the query, if there is one, matches.
func (f *Filter) match(v *View) decision {
	for i := range f.conditions {
		if !f.conditions[i].holds(v) {
			return unmatched
		}
	}
	if f.query == nil {
		return matched
	}
	return f.query.match(v)
}
