package option

import (
	"maps"
	"slices"
	"time"
)

// Values are the decoded settings of one entry together with their declarations. They are immutable and safe for
// concurrent use. The typed getters answer what was given, else the default, else the zero value; a name that is not
// declared, or declared with another type, also answers the zero value.
type Values struct {
	options []Option
	given   map[string]any
}

// NewValues combines declarations with given values, which must come from Decode or Parse. Values that are nil or not
// declared are left out.
func NewValues(options []Option, given map[string]any) Values {
	v := Values{options: options, given: make(map[string]any, len(given))}
	for _, o := range options {
		if g := given[o.Name]; g != nil {
			v.given[o.Name] = g
		}
	}
	return v
}

// Options returns the declarations, in their order. The slice must not be changed.
func (v Values) Options() []Option { return v.options }

// Given reports whether the operator gave the option.
func (v Values) Given(name string) bool { return v.given[name] != nil }

// Names returns the names of the given options in the order of their declarations.
func (v Values) Names() []string {
	names := make([]string, 0, len(v.given))
	for _, o := range v.options {
		if v.Given(o.Name) {
			names = append(names, o.Name)
		}
	}
	return names
}

// Get returns the given value or the default; nil when there is neither. Callers must not change a list. A secret comes
// as Ref.
func (v Values) Get(name string) any {
	i := slices.IndexFunc(v.options, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return nil
	}
	value := v.given[name]
	if value == nil {
		value = v.options[i].Default
	}
	if s, ok := value.(string); ok && v.options[i].Secret {
		return NewRef(s)
	}
	return value
}

// With returns Values in which given replaces the values of the same names.
func (v Values) With(given map[string]any) Values {
	all := maps.Clone(v.given)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, given)
	return NewValues(v.options, all)
}

// String returns a String, GUID, URL or File option that is not a secret.
func (v Values) String(name string) string {
	s, _ := v.Get(name).(string)
	return s
}

// Secret returns a secret option as it was given: a reference that is resolved at use.
func (v Values) Secret(name string) Ref {
	r, _ := v.Get(name).(Ref)
	return r
}

// Int returns an Int option.
func (v Values) Int(name string) int64 {
	switch n := v.Get(name).(type) {
	case int64:
		return n
	case int: // a default
		return int64(n)
	}
	return 0
}

// Bool returns a Bool option.
func (v Values) Bool(name string) bool {
	b, _ := v.Get(name).(bool)
	return b
}

// Duration returns a Duration option.
func (v Values) Duration(name string) time.Duration {
	d, _ := v.Get(name).(time.Duration)
	return d
}

// Time returns a Time option, in UTC.
func (v Values) Time(name string) time.Time {
	t, _ := v.Get(name).(time.Time)
	return t
}

// List returns a copy of a StringList option.
func (v Values) List(name string) []string {
	l, _ := v.Get(name).([]string)
	return slices.Clone(l)
}
