package sourcetest

import (
	"slices"

	"sluice/internal/source"
)

// steps runs the connection test and checks the texts.
func (s *subject) steps() []source.Check {
	var all []source.Check
	for c := range s.src.Test(s.Context()) {
		s.checkText(c.Name + c.Message + c.Hint + c.Detail)
		if c.Name == "" || c.Duration < 0 {
			s.Errorf("step %+v has no name or a negative duration", c)
		}
		all = append(all, c)
	}
	return all
}

func connectionTest(s *subject) {
	units, _ := content(3)
	s.server.Serve(units, 2)
	all := s.steps()
	if len(all) < 3 {
		s.Errorf("only %d steps", len(all))
	}
	for _, c := range all {
		if c.Status == source.Failed {
			s.Errorf("step %s failed on a healthy service: %s", c.Name, c.Message)
		}
	}
	for range s.src.Test(s.Context()) {
		break // stopping must work at any step
	}
}

func connectionTestFails(s *subject) {
	c := Case{SignIn, Unauthorized}
	if slices.Contains(s.h.Lacks, c) {
		s.Skip("the driver does not sign in")
	}
	for _, f := range []Fault{Throttle, ServerError, GatewayPage, PageInstead} { // every failure says what to do
		if c := (Case{SignIn, f}); !slices.Contains(s.h.Lacks, c) {
			s.server.Break(c, 0)
			if !slices.ContainsFunc(s.steps(), func(c source.Check) bool { return c.Status == source.Failed && c.Hint != "" }) {
				s.Errorf("%s: no step fails with a hint", c)
			}
		}
	}
	s.server.Break(c, 0)
	var failed, skipped bool
	for _, c := range s.steps() {
		switch c.Status {
		case source.Failed:
			failed = true
			if c.Hint == "" {
				s.Errorf("failed step %s has no hint", c.Name)
			}
		case source.Skipped:
			skipped = skipped || failed
		case source.Passed:
			if failed {
				s.Logf("step %s passes after the failure", c.Name)
			}
		}
	}
	if !failed || !skipped {
		s.Errorf("failed %v, skipped afterwards %v; want both", failed, skipped)
	}
}
