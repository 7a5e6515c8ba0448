package consent

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/option"
)

// Callback takes in the query with which Microsoft sent the browser back. Whatever is wrong with the answer is in
// Result.Error; an error means that this side failed.
func (m *Manager) Callback(ctx context.Context, q url.Values) (Result, error) {
	var state string
	if values := q["state"]; len(values) == 1 {
		state = values[0]
	}
	p, wrong, err := m.take(ctx, state)
	if err != nil {
		return Result{}, err
	}
	if wrong != nil {
		m.log.WarnContext(ctx, "consent answer refused", slog.String("reason", wrong.Message))
		return Result{Error: wrong}, nil
	}
	r := Result{Application: p.Application, Label: p.Label}
	a, err := m.application(ctx, p.Application)
	if fault.Is(err, fault.NotFound) || err == nil && a.RedirectURI != p.RedirectURI {
		r.Error = &Explained{Kind: fault.Conflict, Message: "the application was changed or removed since the link was made", Hint: "ask for a new link"}
		return r, nil
	}
	if err != nil {
		return Result{}, err
	}
	tenant, wrong := m.claimed(ctx, a, p, q)
	if wrong == nil {
		r, err = m.admit(ctx, a, p, tenant, string(p.Form))
		wrong = r.Error
	} else {
		r.Error = wrong
	}
	if wrong != nil {
		m.log.WarnContext(ctx, "consent not recorded", slog.String("application", a.Name), slog.String("label", p.Label),
			slog.String("code", wrong.Code), slog.String("reason", wrong.Message))
	}
	return r, err
}

// Confirm records a tenant whose administrator consented without coming back here. The proof is the same.
func (m *Manager) Confirm(ctx context.Context, application, tenant, label string) (Result, error) {
	const op = "confirm a consent"
	a, err := m.application(ctx, application)
	if err != nil {
		return Result{}, err
	}
	p := pending{Application: a.Name}
	if p.Tenant, err = checkTenant(op, tenant); err != nil {
		return Result{}, err
	}
	if p.Tenant == "" {
		return Result{}, fault.New(fault.Config, op, "the tenant is missing").WithHint("give the Directory (tenant) ID or a domain of the customer")
	}
	if p.Label, err = checkLabel(op, label); err != nil {
		return Result{}, err
	}
	return m.admit(ctx, a, p, p.Tenant, Confirmed)
}

// Confirmed is the Tenant.Form of tenants that came through Confirm.
const Confirmed = "confirmed"

// claimed reads from an answer which tenant consented. It is only a claim.
func (m *Manager) claimed(ctx context.Context, a Application, p pending, q url.Values) (string, *Explained) {
	if q.Get("error") != "" { // first: admin_consent=True is present on failure too
		return "", explainAnswer(a, q.Get("error"), q.Get("error_description"))
	}
	code, tenant := q.Get("code"), strings.ToLower(q.Get("tenant"))
	other := &Explained{
		Kind: fault.Malformed, Message: "the answer is not of the form that the link asked for",
		Hint: "ask for a new link, and do not change addresses by hand",
	}
	if p.Form == Code {
		if code == "" || q.Has("admin_consent") {
			return "", other
		}
		claims, err := m.signIn.Redeem(ctx, a, p.authority(), code)
		switch {
		case err != nil:
			return "", explainFault(a, err)
		case !claims.Decoded || !option.IsGUID(claims.TenantID):
			return "", &Explained{
				Kind: fault.Malformed, Message: "Microsoft accepted the code, but its token does not tell the tenant",
				Hint: "use the form admin_consent: sluice consent url " + a.Name + " --form admin_consent",
			}
		}
		return strings.ToLower(claims.TenantID), nil
	}
	if code != "" || !strings.EqualFold(q.Get("admin_consent"), "true") || !option.IsGUID(tenant) {
		return "", other
	}
	return tenant, nil
}

// attempts are the waits before each try of a proof: a consent needs a moment to reach the sign-in service.
func attempts() []time.Duration {
	return []time.Duration{0, 2 * time.Second, 4 * time.Second, 8 * time.Second}
}

// admit has a tenant proved and records it.
func (m *Manager) admit(ctx context.Context, a Application, p pending, tenant, form string) (Result, error) {
	r := Result{Application: a.Name, Label: p.Label}
	claims, wrong, err := m.prove(ctx, a, tenant)
	if err != nil || wrong != nil {
		r.Error = wrong
		return r, err
	}
	if p.Tenant != tenant {
		if wrong, err = m.sameTenant(ctx, a, p.Tenant, claims.TenantID); err != nil || wrong != nil {
			r.Error = wrong
			return r, err
		}
	}
	t := Tenant{
		ID: claims.TenantID, Application: a.Name, Form: form, ConsentedAt: m.clock.Now(),
		AdminConsent: !claims.Decoded || len(claims.Roles) > 0, Roles: claims.Roles, Missing: m.missing(a, claims),
	}
	if t, err = m.record(ctx, t, p); err != nil {
		return Result{}, err
	}
	r.TenantID, r.TenantName, r.AdminConsent, r.Roles, r.Missing = t.ID, t.Name, t.AdminConsent, t.Roles, t.Missing
	m.log.InfoContext(ctx, "tenant consented", slog.String("application", a.Name), slog.String("directory_id", t.ID),
		slog.String("tenant", t.Name), slog.Any("missing", t.Missing))
	return r, nil
}

// prove obtains a token of the tenant and compares what it says. The claims that it returns always name the tenant's id.
func (m *Manager) prove(ctx context.Context, a Application, tenant string) (claims Claims, wrong *Explained, err error) {
	for _, wait := range attempts() {
		if err := m.clock.Sleep(ctx, wait); err != nil {
			return claims, nil, fault.Wrap("", "confirm the consent", err)
		}
		claims, err = m.signIn.AppToken(ctx, a, tenant)
		if err == nil && (!claims.Decoded || len(claims.Roles) > 0) {
			break
		}
		if err != nil && !soon(err) {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return claims, nil, fault.Wrap("", "confirm the consent", ctx.Err())
	case err != nil:
		return claims, explainFault(a, err), nil
	case !claims.Decoded && option.IsGUID(tenant):
		claims.TenantID = tenant // the tenant's own address issued it
	case !option.IsGUID(claims.TenantID):
		return claims, &Explained{Kind: fault.Malformed, Message: "the token does not tell the tenant's id", Hint: "give the Directory (tenant) ID instead of a domain"}, nil
	case option.IsGUID(tenant) && !strings.EqualFold(claims.TenantID, tenant):
		return claims, &Explained{
			Kind: fault.Conflict, Message: "the answer names tenant " + tenant + ", but Microsoft's token is of tenant " + claims.TenantID,
			Hint: "do not trust this answer; ask for a new link",
		}, nil
	case claims.ApplicationID != "" && !strings.EqualFold(claims.ApplicationID, a.ApplicationID):
		return claims, &Explained{
			Kind: fault.Config, Message: "the token is of the application " + claims.ApplicationID + ", not of " + a.ApplicationID,
			Hint: "compare application_id of " + a.Name + " with the app registration",
		}, nil
	}
	claims.TenantID = strings.ToLower(claims.TenantID)
	return claims, nil, nil
}

// soon reports whether a failed proof may succeed in a moment: the application is not yet known in the tenant, or the
// service has a problem that passes.
func soon(err error) bool {
	switch fault.CodeOf(err) {
	case "AADSTS700016", "AADSTS7000112", "AADSTS65001":
		return true
	}
	return fault.Is(err, fault.Unavailable)
}

// sameTenant compares the tenant that consented with the one that the link was made for. A domain is looked up by a
// token, because only Microsoft knows whose it is.
func (m *Manager) sameTenant(ctx context.Context, a Application, hint, tenant string) (*Explained, error) {
	if hint == "" || strings.EqualFold(hint, tenant) {
		return nil, nil
	}
	if !option.IsGUID(hint) {
		claims, err := m.signIn.AppToken(ctx, a, hint)
		switch {
		case ctx.Err() != nil:
			return nil, fault.Wrap("", "confirm the consent", ctx.Err())
		case err == nil && strings.EqualFold(claims.TenantID, tenant), err == nil && !claims.Decoded:
			return nil, nil
		}
	}
	return &Explained{
		Kind: fault.Conflict, Message: "the link was made for the tenant " + hint + ", but the administrator who consented belongs to " + tenant,
		Hint: "sign out at Microsoft, or use a private window, and sign in with an administrator of " + hint +
			"; the other tenant can withdraw the consent at entra.microsoft.com > Enterprise applications > " + a.ApplicationID + " > Properties > Delete",
	}, nil
}

// missing names the permissions that the connectors of the templates need and the token lacks.
func (m *Manager) missing(a Application, claims Claims) []string {
	if !claims.Decoded {
		return nil
	}
	granted := func(role string) bool {
		return slices.ContainsFunc(claims.Roles, func(r string) bool { return strings.EqualFold(r, role) })
	}
	var missing []string
	for _, t := range a.Templates {
		d, _ := driver(m.drivers, t.Type)
		for _, role := range d.Card.Lacking(granted) {
			if !slices.Contains(missing, role) {
				missing = append(missing, role)
			}
		}
	}
	return missing
}

// explainFault puts an error of the sign-in service into plain words. An error of unknown origin keeps its text out.
func explainFault(a Application, err error) *Explained {
	if code := fault.CodeOf(err); code != "" {
		if e := explainCode(a, code); e != nil {
			return e
		}
	}
	e := &Explained{Kind: fault.KindOf(err), Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind == fault.Internal {
		e.Message, e.Hint = "the sign-in failed for a reason that is in the log of the server", "look into the log of the server"
	}
	return e
}
