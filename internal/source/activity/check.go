package activity

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/record"
	"sluice/internal/source"
)

// Test implements source.Source. Steps: network, tls, token, tenant, a permission per content type, a subscription per
// content type, a listing of the last hour per content type, and one sample record, of which only the size is shown.
// Steps whose prerequisite failed are skipped and say which. Nothing is started and nothing is stored.
func (s *Source) Test(ctx context.Context) iter.Seq[source.Check] {
	ctx = m365.Urgent(ctx)
	return func(yield func(source.Check) bool) {
		t := tester{s: s, yield: yield, failed: map[string]bool{}}
		t.connection(ctx)
		t.identity(ctx)
		t.content(ctx)
	}
}

// tester runs the steps in order and remembers which failed.
type tester struct {
	s       *Source
	yield   func(source.Check) bool
	stopped bool
	failed  map[string]bool // failed or skipped
	claims  m365.Claims
}

// errSkip makes a step skipped, with its text as the message.
type errSkip struct{ why string }

func (e errSkip) Error() string { return e.why }

// step runs one step unless a prerequisite failed. run returns the message of success.
func (t *tester) step(name string, needs []string, run func() (string, error)) {
	if t.stopped {
		return
	}
	check := source.Check{Name: name, Status: source.Passed}
	for _, n := range needs {
		if t.failed[n] {
			t.failed[name] = true
			check.Status, check.Message = source.Skipped, n+" failed"
			t.stopped = !t.yield(check)
			return
		}
	}
	begin := time.Now()
	message, err := run()
	check.Duration, check.Message = time.Since(begin), message
	var skip errSkip
	switch {
	case errors.As(err, &skip):
		check.Status, check.Message = source.Skipped, skip.why
	case err != nil:
		t.failed[name] = true
		check.Status, check.Message, check.Hint = source.Failed, err.Error(), fault.HintOf(err)
		check.Detail = detail(err)
	}
	t.stopped = !t.yield(check)
}

// detail adds what a support case needs.
func detail(err error) string {
	var parts []string
	if e, ok := errors.AsType[*fault.Error](err); ok {
		parts = append(parts, "kind "+string(e.Kind))
		if e.Status != 0 {
			parts = append(parts, fmt.Sprintf("HTTP status %d", e.Status))
		}
		if e.RetryAfter > 0 {
			parts = append(parts, fmt.Sprintf("wait %v", e.RetryAfter))
		}
	}
	if code := fault.CodeOf(err); code != "" {
		parts = append(parts, "code "+code)
	}
	return strings.Join(parts, ", ")
}

func (t *tester) connection(ctx context.Context) {
	t.step("network", nil, func() (string, error) { return t.s.client.ProbeTCP(ctx) })
	t.step("tls", []string{"network"}, func() (string, error) { return t.s.client.ProbeTLS(ctx) })
}

// identity asks for a new token, since consent reaches new tokens only, and looks into it. An opaque token is no failure.
func (t *tester) identity(ctx context.Context) {
	t.step("token", nil, func() (string, error) {
		token, err := t.s.client.Token(ctx, true)
		if err != nil {
			return "", err
		}
		t.claims = token.Claims
		if !t.claims.Decoded {
			return "signed in; the token is opaque", nil
		}
		if t.claims.AppID != "" && !strings.EqualFold(t.claims.AppID, t.s.app) {
			return "", fault.Newf(fault.Config, "read the token", "the token is for the application %s", t.claims.AppID).WithHint("compare application_id with the app registration")
		}
		if t.claims.Audience != "" && !strings.EqualFold(strings.TrimRight(t.claims.Audience, "/"), strings.TrimRight(t.s.audience, "/")) {
			return "", fault.Newf(fault.Config, "read the token", "the token is for %s, not for %s", t.claims.Audience, t.s.audience).WithHint("check subscription_plan and api_audience")
		}
		message := "signed in, token valid until " + token.Expires.UTC().Format(time.RFC3339)
		if cert, ok := t.s.client.Certificate(); ok {
			message += fmt.Sprintf("; certificate %s, thumbprint %s, valid until %s", cert.Subject, cert.SHA1, cert.Expires.Format(time.DateOnly))
			if left := cert.Expires.Sub(t.s.clock.Now()); left < 30*24*time.Hour {
				message += fmt.Sprintf(" (expires in %d days: replace it)", int(left.Hours()/24))
			}
		}
		return message, nil
	})
	t.step("tenant", []string{"token"}, func() (string, error) {
		switch tid := t.claims.TenantID; {
		case tid == "":
			return "", errSkip{"the token does not name its tenant"}
		case !strings.EqualFold(tid, t.s.directory):
			return "", fault.Newf(fault.Config, "compare tenants", "the token is for the tenant %s, but directory_id is %s", tid, t.s.directory).
				WithHint("set directory_id to the Directory (tenant) ID of the app registration")
		}
		return "the token is for this tenant", nil
	})
	for _, name := range t.s.types {
		ct, _ := findContentType(name)
		t.step("permission "+name, []string{"token"}, func() (string, error) { return t.permission(ct) })
	}
}

// permission compares the token's roles with what a content type needs (spec/entra-auth.md section 3.1).
func (t *tester) permission(ct contentType) (string, error) {
	const op = "read permissions"
	hint := "add " + ct.role + " of the Office 365 Management APIs as an application permission and give admin consent"
	switch {
	case !t.claims.Decoded:
		return "", errSkip{"the token is opaque"}
	case t.claims.HasRole(ct.role):
		return ct.role + " is granted", nil
	case t.claims.Scopes != "":
		return "", fault.New(fault.Permission, op, "a delegated permission was granted; application permissions are needed").WithHint(hint)
	case len(t.claims.Roles) == 0:
		return "", fault.New(fault.Permission, op, "no application permission of this API is granted").WithHint(hint)
	}
	return "", fault.Newf(fault.Permission, op, "%s is not granted; granted: %s", ct.role, strings.Join(t.claims.Roles, ", ")).WithHint(hint)
}

// content looks at subscriptions, lists the last hour and reads one record.
func (t *tester) content(ctx context.Context) {
	var present map[string]subscription
	t.step("subscriptions", []string{"network", "tls", "token"}, func() (message string, err error) {
		if present, err = t.s.subscriptions(ctx); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d listed", len(present)), nil
	})
	var sample *record.Unit
	for _, name := range t.s.types {
		t.step("subscription "+name, []string{"subscriptions"}, func() (string, error) {
			switch sub, ok := present[name]; {
			case sub.enabled():
				return "enabled", nil
			case !ok:
				return "", errSkip{"not there yet: Sluice starts it when the connector runs"}
			default:
				return "", errSkip{"listed as " + first(sub.Status, "without status") + ": Sluice starts it when the connector runs"}
			}
		})
		t.step("listing "+name, []string{"subscriptions"}, func() (string, error) {
			if !present[name].enabled() {
				return "", errSkip{"needs the subscription"}
			}
			units, err := t.list(ctx, name)
			if err == nil && len(units) > 0 && sample == nil {
				sample = &units[0]
			}
			return describe(units), err
		})
	}
	t.step("sample", []string{"subscriptions"}, func() (string, error) {
		if sample == nil {
			return "", errSkip{"nothing was listed in the last hour, which is normal on a quiet tenant"}
		}
		for item, err := range t.s.Fetch(ctx, *sample) {
			if err != nil {
				return "", err
			}
			if item.Malformed != "" {
				return "", fault.Newf(fault.Malformed, "read a record", "the first record of %s is unusable: %s", sample.ContentType, item.Malformed)
			}
			return fmt.Sprintf("read a record of %s with %d bytes", sample.ContentType, len(item.Raw)), nil
		}
		return "the content is empty", nil
	})
}

// list reads the first units of the last hour.
func (t *tester) list(ctx context.Context, name string) ([]record.Unit, error) {
	now := t.s.clock.Now().Add(t.s.Skew())
	var units []record.Unit
	for u, err := range t.s.List(ctx, source.Window{ContentType: name, From: now.Add(-time.Hour), To: now}) {
		if err != nil {
			return units, err
		}
		units = append(units, u)
		if len(units) == sampleUnits {
			break
		}
	}
	return units, nil
}

// sampleUnits bounds what a connection test reads of a listing.
const sampleUnits = 100

func describe(units []record.Unit) string {
	switch len(units) {
	case 0:
		return "nothing in the last hour, which is normal on a quiet tenant"
	case sampleUnits:
		return fmt.Sprintf("%d or more blobs in the last hour", sampleUnits)
	}
	return fmt.Sprintf("%d blobs in the last hour", len(units))
}
