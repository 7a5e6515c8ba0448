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

// The names of the steps, in their order. Those that end in a blank are followed by a content type.
const (
	stepSettings      = "settings"
	stepCertificate   = "certificate" // only with a certificate
	stepSignInNetwork = "sign-in network"
	stepSignInTLS     = "sign-in tls"
	stepAPINetwork    = "api network"
	stepAPITLS        = "api tls"
	stepToken         = "token"
	stepClock         = "clock"
	stepPermission    = "permission "
	stepTenant        = "tenant"
	stepAPI           = "api"
	stepAudit         = "audit logging"
	stepSubscription  = "subscription "
	stepWebhook       = "webhook" // only with a webhook
	stepListing       = "listing"
	stepSample        = "sample"
)

// Test implements source.Source. It looks at the settings, opens a connection to both hosts, asks for a new token, reads
// from it what was granted and for which tenant, asks the API for the subscriptions, lists the last day of one content
// type and reads one record, of which only the size is shown. Steps whose prerequisite failed are skipped and say which.
//
// Nothing is stored. Whether audit logging is on is only said by the answer to a start, so when not one of the chosen
// content types has a subscription, the first that is permitted is started, just as the connector does when it runs.
func (s *Source) Test(ctx context.Context) iter.Seq[source.Check] {
	ctx = m365.Urgent(ctx)
	return func(yield func(source.Check) bool) {
		t := tester{s: s, yield: yield, failed: map[string]bool{}, explained: map[string]string{}}
		t.settings()
		t.connections(ctx)
		t.identity(ctx)
		t.service(ctx)
		t.content(ctx)
	}
}

// tester runs the steps in order and remembers which failed.
type tester struct {
	s       *Source
	yield   func(source.Check) bool
	stopped bool
	failed  map[string]bool // failed, or skipped because of a failure

	claims    m365.Claims
	explained map[string]string       // content type whose step said how a role is granted, by role
	listErr   error                   // of subscriptions, when it says that nothing is audited
	present   map[string]subscription // by content type
	sample    *record.Unit
}

// result is what a step that did not fail found.
type result struct {
	message string
	hint    string // makes it a warning
	skip    bool   // there was nothing to look at
}

func passed(format string, args ...any) (result, error) {
	return result{message: fmt.Sprintf(format, args...)}, nil
}

func skipped(why string) (result, error) {
	return result{message: why, skip: true}, nil
}

// step runs one step unless a prerequisite failed.
func (t *tester) step(name string, needs []string, run func() (result, error)) {
	if t.stopped || t.skips(name, needs) {
		return
	}
	begin := time.Now()
	r, err := run()
	t.report(name, r, err, time.Since(begin))
}

// skips reports a step as skipped when one that it needs did not pass.
func (t *tester) skips(name string, needs []string) bool {
	for _, n := range needs {
		if t.failed[n] {
			t.failed[name] = true
			t.stopped = !t.yield(source.Check{Name: name, Status: source.Skipped, Message: "because " + n + " did not pass"})
			return true
		}
	}
	return false
}

func (t *tester) report(name string, r result, err error, took time.Duration) {
	check := source.Check{Name: name, Status: source.Passed, Message: r.message, Hint: r.hint}
	switch {
	case err != nil:
		t.failed[name] = true
		check = source.Failure(name, err)
	case r.skip:
		check.Status = source.Skipped
	}
	if check.Status != source.Skipped {
		check.Duration = took
	}
	t.stopped = !t.yield(check)
}

// settings looks at what can be wrong before anything is sent. Mistakes that make a connector impossible were found by New.
func (t *tester) settings() {
	s := t.s
	t.step(stepSettings, nil, func() (result, error) {
		return result{
			message: fmt.Sprintf("plan %s, sign-in at %s, API at %s", s.plan.Name, hostOf(s.login), hostOf(s.endpoint)),
			hint:    strings.Join(s.doubts, "; "),
		}, nil
	})
	cert, ok := s.client.Certificate()
	if !ok {
		return
	}
	t.step(stepCertificate, nil, func() (result, error) {
		r := result{message: fmt.Sprintf("%s, thumbprint %s (SHA-1, as the portal shows it), valid until %s", cert.Subject, cert.SHA1, cert.Expires.Format(time.DateOnly))}
		switch left := cert.Expires.Sub(s.clock.Now()); {
		case left <= 0:
			return r, fault.Newf(fault.Auth, "", "%s, thumbprint %s, expired on %s", cert.Subject, cert.SHA1, cert.Expires.Format(time.DateOnly)).WithHint(renewCertificate)
		case left < m365.ExpiryNotice:
			r.hint = fmt.Sprintf("it expires in %d days; %s", int(left.Hours()/24), renewCertificate)
		}
		return r, nil
	})
}

const renewCertificate = "create a new certificate, upload it at entra.microsoft.com > App registrations > All applications > your application > Certificates & secrets > " +
	"Certificates beside the old one, then set certificate_file to the new file"

// connections opens a connection to the sign-in host and to the API's.
func (t *tester) connections(ctx context.Context) {
	for _, host := range []struct {
		network, session string
		probe            func(context.Context) (network, session m365.Stage)
	}{
		{stepSignInNetwork, stepSignInTLS, t.s.client.ProbeSignIn},
		{stepAPINetwork, stepAPITLS, t.s.client.ProbeAPI},
	} {
		if t.stopped {
			return
		}
		network, session := host.probe(ctx)
		t.report(host.network, result{message: network.Message, skip: network.Skipped}, network.Err, network.Duration)
		if !t.stopped && !t.skips(host.session, []string{host.network}) {
			t.report(host.session, result{message: session.Message, skip: session.Skipped}, session.Err, session.Duration)
		}
	}
}

// identity asks for a new token, since consent reaches new tokens only, and looks into it. An opaque token is no failure.
func (t *tester) identity(ctx context.Context) {
	t.step(stepToken, []string{stepSignInNetwork, stepSignInTLS}, func() (result, error) { return t.token(ctx) })
	t.step(stepClock, []string{stepSignInNetwork, stepSignInTLS}, t.clock)
	for _, name := range t.s.types {
		ct, _ := findContentType(name)
		t.step(stepPermission+name, []string{stepToken}, func() (result, error) { return t.permission(ct) })
	}
	t.step(stepTenant, []string{stepToken}, func() (result, error) {
		switch tid := t.claims.TenantID; {
		case tid == "":
			return skipped("the token does not name its tenant")
		case !strings.EqualFold(tid, t.s.directory):
			return result{}, fault.Newf(fault.Config, "", "the token is for the tenant %s, but directory_id is %s", tid, t.s.directory).
				WithHint("set directory_id to the Directory (tenant) ID of the app registration: entra.microsoft.com > App registrations > All applications > " + t.s.app + " > Overview")
		}
		return passed("the token is for the tenant %s, as configured", t.s.directory)
	})
}

func (t *tester) token(ctx context.Context) (result, error) {
	begin := t.s.clock.Now()
	token, err := t.s.client.Token(ctx, true)
	if err != nil {
		return result{}, err
	}
	t.claims = token.Claims
	minutes := token.Expires.Sub(begin).Round(time.Minute).Minutes()
	switch c := t.claims; {
	case !c.Decoded:
		return passed("signed in; the token is valid for %.0f minutes and opaque, so its permissions cannot be shown", minutes)
	case c.AppID != "" && !strings.EqualFold(c.AppID, t.s.app):
		return result{}, fault.Newf(fault.Config, "", "the token is for the application %s, but application_id is %s", c.AppID, t.s.app).
			WithHint("compare application_id with the app registration: entra.microsoft.com > App registrations > All applications > your application > Overview > Application (client) ID")
	case c.Audience != "" && !sameAudience(c.Audience, t.s.audience):
		return result{}, fault.Newf(fault.Config, "", "the token is for %s, but the API of this plan wants one for %s", c.Audience, t.s.audience).
			WithHint("check subscription_plan, and remove api_audience unless your cloud needs it")
	}
	return passed("signed in; the token is valid for %.0f minutes", minutes)
}

func sameAudience(a, b string) bool {
	return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}

// clock compares this machine's clock with the sign-in service's. With a client secret a wrong clock is only a nuisance,
// because windows are computed by the service's time; a request that is signed with a certificate is refused.
func (t *tester) clock() (result, error) {
	skew, known := t.s.client.SignInSkew()
	if !known {
		return skipped("the sign-in service has not told its time")
	}
	said := m365.DescribeSkew(skew)
	if skew.Abs() <= m365.ClockTolerance {
		return passed("%s", said)
	}
	hint := "set the clock of this machine and switch on time synchronisation (timedatectl set-ntp true on Linux, w32tm /resync on Windows)"
	if _, signs := t.s.client.Certificate(); signs {
		return result{}, fault.New(fault.Config, "", said+", so requests that are signed with a certificate are refused").WithHint(hint)
	}
	return result{message: said, hint: hint + "; collecting goes on by Microsoft's time meanwhile"}, nil
}

// permission compares the token's roles with what a content type needs (spec/entra-auth.md section 3.1).
func (t *tester) permission(ct contentType) (result, error) {
	hint := "add " + ct.role + " of the Office 365 Management APIs as an application permission and give admin consent; " + m365.GrantHint(t.s.app, ct.role) +
		"; run the test again: a new permission can take a few minutes to reach new tokens"
	missing := func(format string, args ...any) (result, error) {
		if before := t.explained[ct.role]; before != "" {
			hint = "as for " + before
		} else {
			t.explained[ct.role] = ct.name
		}
		return result{}, fault.Newf(fault.Permission, "", format, args...).WithHint(hint)
	}
	switch {
	case !t.claims.Decoded:
		return skipped("the token is opaque")
	case t.claims.HasRole(ct.role):
		return passed("%s is granted", ct.role)
	case t.claims.Scopes != "":
		return missing("%s is missing: only delegated permissions were granted (%s), but a program without a user needs application permissions", ct.role, t.claims.Scopes)
	case len(t.claims.Roles) == 0:
		return missing("%s is missing: the application has no permission of this API in tenant %s, or admin consent was never given", ct.role, first(t.claims.TenantID, t.s.directory))
	}
	return missing("%s is missing; granted: %s", ct.role, strings.Join(t.claims.Roles, ", "))
}

// auditOff is the part of err that says that nothing is audited in the tenant, or nil.
func auditOff(err error) error {
	if errors.Is(err, m365.ErrAuditOff) {
		return err
	}
	return nil
}
