package option

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// CheckDeclarations tells the mistakes of the developer in a list of options: a name that is not a lower-case key or
// stands twice, a missing help, an unknown type, a default of another Go type than Decode returns or outside of the
// bounds or choices, a secret or required option with a default. Tests of drivers call it.
func CheckDeclarations(options []Option) error {
	var errs []error
	seen := map[string]bool{}
	for _, o := range options {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("option %q: %s", o.Name, fmt.Sprintf(format, args...)))
		}
		if !namePattern.MatchString(o.Name) {
			fail("the name must be lower case with underscores")
		}
		if seen[o.Name] {
			fail("is declared twice")
		}
		seen[o.Name] = true
		if strings.TrimSpace(o.Help) == "" {
			fail("has no help")
		}
		if !slices.Contains(Types(), o.kind()) {
			fail("unknown type %q", o.Type)
		}
		if o.Default != nil && (o.Secret || o.Required) {
			fail("has a default although it is secret or required")
		}
		if o.Secret && o.kind() != String {
			fail("is a secret and must be a text")
		}
		if err := o.checkDefault(); err != nil {
			fail("default: %v", err)
		}
	}
	return errors.Join(errs...)
}

// Types lists every type, in the order of the constants.
func Types() []Type {
	return []Type{String, Int, Bool, Duration, Time, GUID, URL, File, StringList}
}

// checkDefault decodes the default as if it came out of a document.
func (o Option) checkDefault() error {
	if o.Default == nil || o.Default == "" && o.kind() != Int && o.kind() != Bool {
		return nil
	}
	v := o.Default
	switch d := v.(type) {
	case int:
		v = int64(d)
	case time.Duration:
		v = FormatDuration(d)
	case time.Time:
		v = d.Format(time.RFC3339Nano)
	case []string:
		items := make([]any, len(d))
		for i, s := range d {
			items[i] = s
		}
		v = items
	}
	_, isText := o.Default.(string)
	if isText && (o.kind() == Duration || o.kind() == Time) {
		return fmt.Errorf("must be of the Go type of a %s", o.kind())
	}
	_, err := o.Decode(v)
	return err
}
