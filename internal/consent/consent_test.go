package consent_test

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/consent"
	"sluice/internal/fault"
)

const read, dlp = "ActivityFeed.Read", "ActivityFeed.ReadDlp"

func TestApproved(t *testing.T) {
	for _, form := range consent.Forms() {
		t.Run(string(form), func(t *testing.T) {
			w := newWorld(t)
			b := w.begin(t, consent.Request{Form: form, Label: "Contoso Ltd."})
			if got := b.Expires.Sub(w.clock.Now()); got != 10*time.Minute {
				t.Errorf("valid for %v", got)
			}
			if strings.Contains(w.store.text(), b.State) || len(b.State) < 22 {
				t.Errorf("the state is short or stored in clear: %s", w.store.text())
			}
			r := w.callback(t, w.authority.accept(b.URL, tenantA, read))
			if r.Error != nil || r.TenantID != tenantA || r.TenantName != "Contoso Ltd." || !r.AdminConsent || r.Label != "Contoso Ltd." ||
				strings.Join(r.Roles, " ") != read || strings.Join(r.Missing, " ") != dlp {
				t.Fatalf("result %+v %+v", r, r.Error)
			}
			tenants, err := w.Tenants(t.Context())
			if err != nil || len(tenants) != 1 {
				t.Fatalf("%v %v", tenants, err)
			}
			if got := tenants[0]; got.ID != tenantA || got.Application != "onboarding" || got.Form != string(form) || !got.ConsentedAt.Equal(w.clock.Now()) || len(got.Connectors) != 0 {
				t.Errorf("tenant %+v", got)
			}
			if strings.Contains(w.store.text(), password) {
				t.Error("the secret is in the store")
			}
		})
	}
}

func TestDeclined(t *testing.T) {
	w := newWorld(t)
	b := w.begin(t, consent.Request{Label: "Contoso"})
	r := w.callback(t, w.authority.decline(b.URL))
	if r.Error == nil || r.Error.Code != "AADSTS65004" || r.Error.Kind != fault.Permission || !strings.Contains(r.Error.Message, "Cancel") ||
		!strings.Contains(r.Error.Hint, "sluice consent url onboarding") || r.TenantID != "" {
		t.Errorf("result %+v %+v", r, r.Error)
	}
	if tenants, _ := w.Tenants(t.Context()); len(tenants) != 0 {
		t.Errorf("tenants %+v", tenants)
	}
	if len(w.authority.asked) != 0 {
		t.Errorf("a refused consent asked for tokens of %v", w.authority.asked)
	}
}

// TestStateIsGoodOnce refuses answers without a state of ours, twice the same, late, and for another form.
func TestStateIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	refused := func(name string, q url.Values, kind fault.Kind, word string) {
		t.Helper()
		r := w.callback(t, q)
		if r.Error == nil || r.Error.Kind != kind || !strings.Contains(r.Error.Message, word) || r.TenantID != "" {
			t.Errorf("%s: %+v %+v", name, r, r.Error)
		}
	}
	b := w.begin(t, consent.Request{})
	good := w.authority.accept(b.URL, tenantA, read)

	refused("no state", url.Values{"admin_consent": {"True"}, "tenant": {tenantA}}, fault.Conflict, "no consent link")
	refused("foreign state", url.Values{"admin_consent": {"True"}, "tenant": {tenantA}, "state": {"x"}}, fault.Conflict, "no consent link")
	refused("two states", url.Values{"admin_consent": {"True"}, "tenant": {tenantA}, "state": {b.State, b.State}}, fault.Conflict, "no consent link")
	refused("huge state", url.Values{"state": {strings.Repeat("x", 5000)}}, fault.Conflict, "no consent link")
	refused("prefix of a state", url.Values{"admin_consent": {"True"}, "tenant": {tenantA}, "state": {b.State[:20]}}, fault.Conflict, "no consent link")
	if r := w.callback(t, good); r.Error != nil {
		t.Fatalf("the good answer: %+v", r.Error)
	}
	refused("replay", good, fault.Conflict, "already")

	late := w.begin(t, consent.Request{})
	answer := w.authority.accept(late.URL, tenantA, read)
	w.clock.advance(10 * time.Minute)
	refused("late", answer, fault.Gone, "ten minutes")

	other := w.begin(t, consent.Request{Form: consent.Code})
	refused("another form", url.Values{"admin_consent": {"True"}, "tenant": {tenantA}, "state": {other.State}}, fault.Malformed, "form")
	refused("another form used the state up", w.authority.accept(other.URL, tenantA, read), fault.Conflict, "already")
	other = w.begin(t, consent.Request{})
	refused("a code for a consent", url.Values{"code": {"c"}, "tenant": {tenantA}, "admin_consent": {"True"}, "state": {other.State}}, fault.Malformed, "form")
	other = w.begin(t, consent.Request{})
	refused("no GUID", url.Values{"tenant": {"contoso.example"}, "admin_consent": {"True"}, "state": {other.State}}, fault.Malformed, "form")

	// What ended long ago is forgotten.
	w.clock.advance(25 * time.Hour)
	w.begin(t, consent.Request{})
	if n := strings.Count(w.store.text(), "consent/state/"); n != 1 {
		t.Errorf("%d states are kept, want 1", n)
	}
	refused("forgotten", answer, fault.Conflict, "no consent link")
}

func TestConcurrentAnswersCountOnce(t *testing.T) {
	w := newWorld(t)
	answer := w.authority.accept(w.begin(t, consent.Request{}).URL, tenantA, read)
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range 8 {
		wg.Go(func() {
			if r, err := w.Callback(t.Context(), answer); err == nil && r.Error == nil {
				mu.Lock()
				good++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if good != 1 {
		t.Errorf("%d of 8 answers were taken", good)
	}
}

// TestTenantIsProved lets the redirect, the service and the hint disagree.
func TestTenantIsProved(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request consent.Request
		arrange func(w *world, q url.Values)
		want    string // in the message
	}{
		{"the redirect names a tenant that did not consent", consent.Request{}, func(_ *world, q url.Values) { q.Set("tenant", tenantB) }, "not known"},
		{"the token is of another tenant", consent.Request{}, func(w *world, _ url.Values) { w.authority.lie = tenantB }, "token is of tenant " + tenantB},
		{"another tenant than the link was for", consent.Request{Tenant: tenantB}, nil, "made for the tenant " + tenantB},
		{"another domain than the link was for", consent.Request{Tenant: "fabrikam.example"}, nil, "made for the tenant fabrikam.example"},
		{"the secret is wrong", consent.Request{}, func(w *world, _ url.Values) {
			w.Declare("sluice.yaml", []consent.Application{wrongSecret(t, w)})
		}, "secret of the application is wrong"},
		{"the code is used", consent.Request{Form: consent.Code}, func(w *world, _ url.Values) { clear(w.authority.codes) }, "code was used already"},
		{"the code cannot be exchanged", consent.Request{Form: consent.Code}, func(w *world, _ url.Values) { w.authority.broken = true }, "not with a token"},
		{"the code brings an opaque token", consent.Request{Form: consent.Code}, func(w *world, _ url.Values) { w.authority.opaque = true }, "does not tell the tenant"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			b := w.begin(t, tc.request)
			q := w.authority.accept(b.URL, tenantA, read)
			if tc.arrange != nil {
				tc.arrange(w, q)
			}
			r := w.callback(t, q)
			if r.Error == nil || !strings.Contains(r.Error.Message, tc.want) || r.Error.Hint == "" || r.TenantID != "" {
				t.Errorf("%+v %+v", r, r.Error)
			}
			if tenants, _ := w.Tenants(t.Context()); len(tenants) != 0 {
				t.Errorf("recorded %+v", tenants)
			}
			if r.Error != nil && strings.Contains(r.Error.Message+r.Error.Hint, password) {
				t.Error("the secret is in the message")
			}
		})
	}
}

func wrongSecret(t *testing.T, w *world) consent.Application {
	t.Helper()
	return parse(t, strings.NewReplacer("LOGIN", w.authority.URL, "${env:SECRET}", "wrong").Replace(section))[0]
}

func TestHintThatFits(t *testing.T) {
	for _, hint := range []string{tenantA, "contoso.example", strings.ToUpper(tenantA)} {
		w := newWorld(t)
		b := w.begin(t, consent.Request{Tenant: hint})
		if !strings.HasPrefix(b.URL, w.authority.URL+"/"+strings.ToLower(hint)+"/") {
			t.Errorf("link %s", b.URL)
		}
		if r := w.callback(t, w.authority.accept(b.URL, tenantA, read)); r.Error != nil {
			t.Errorf("%s: %+v", hint, r.Error)
		}
	}
}

// TestConsentTakesAMoment: the sign-in service learns of a consent a little later, or gives a token without roles first.
func TestConsentTakesAMoment(t *testing.T) {
	w := newWorld(t)
	q := w.authority.accept(w.begin(t, consent.Request{}).URL, tenantA, read, dlp)
	w.authority.late = 2
	r := w.callback(t, q)
	if r.Error != nil || len(r.Missing) != 0 || len(w.authority.asked) != 3 || w.clock.slept != 6*time.Second {
		t.Errorf("%+v %+v, asked %d times, waited %v", r, r.Error, len(w.authority.asked), w.clock.slept)
	}

	w = newWorld(t)
	r = w.callback(t, w.authority.accept(w.begin(t, consent.Request{}).URL, tenantA))
	if r.Error != nil || r.AdminConsent || r.TenantID != tenantA || strings.Join(r.Missing, " ") != read+" "+dlp {
		t.Errorf("no roles: %+v %+v", r, r.Error)
	}

	w = newWorld(t)
	w.authority.opaque = true
	r = w.callback(t, w.authority.accept(w.begin(t, consent.Request{}).URL, tenantA, read))
	if r.Error != nil || !r.AdminConsent || r.TenantID != tenantA {
		t.Errorf("opaque token: %+v %+v", r, r.Error)
	}
}

func TestConfirm(t *testing.T) {
	w := newWorld(t)
	if r, err := w.Confirm(t.Context(), "onboarding", tenantA, "Contoso"); err != nil || r.Error == nil || r.Error.Code != "AADSTS700016" {
		t.Errorf("not consented: %+v %v", r, err)
	}
	w.authority.granted[tenantA] = []string{read}
	r, err := w.Confirm(t.Context(), appID, "Contoso.example", "")
	if err != nil || r.Error != nil || r.TenantID != tenantA || r.TenantName != "contoso" {
		t.Errorf("%+v %v", r, err)
	}
	for _, tenant := range []string{"", "contoso", "common", "a b.example", "https://x.example", "../" + tenantA} {
		if _, err := w.Confirm(t.Context(), "onboarding", tenant, ""); !fault.Is(err, fault.Config) {
			t.Errorf("tenant %q: %v", tenant, err)
		}
	}
}

func TestBeginRefuses(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		r    consent.Request
		kind fault.Kind
	}{
		{consent.Request{Application: "nobody"}, fault.NotFound},
		{consent.Request{Application: "onboarding", Form: "magic"}, fault.Config},
		{consent.Request{Application: "onboarding", Tenant: "organizations"}, fault.Config},
		{consent.Request{Application: "onboarding", Label: "\u202Eevil"}, fault.Config},
		{consent.Request{Application: "onboarding", Label: "東京"}, fault.Config},
		{consent.Request{Application: "onboarding", Label: strings.Repeat("x", 65)}, fault.Config},
	} {
		if _, err := w.Begin(t.Context(), tc.r); !fault.Is(err, tc.kind) || fault.HintOf(err) == "" {
			t.Errorf("%+v: %v", tc.r, err)
		}
	}
	w.store.fail = errors.New("disk")
	if _, err := w.Callback(t.Context(), url.Values{"state": {"x"}}); err == nil {
		t.Error("a failing store is an error of this side")
	}
}

// TestApplicationChanged: a link made for one redirect URI or application is not taken for another.
func TestApplicationChanged(t *testing.T) {
	w := newWorld(t)
	q := w.authority.accept(w.begin(t, consent.Request{}).URL, tenantA, read)
	w.Declare("sluice.yaml", nil)
	if r := w.callback(t, q); r.Error == nil || !strings.Contains(r.Error.Message, "changed or removed") {
		t.Errorf("%+v", r)
	}
}

// TestExplanations checks that Microsoft's refusals come out in plain words and never unprintable.
func TestExplanations(t *testing.T) {
	for _, tc := range []struct{ name, description, code, word string }{
		{"access_denied", "AADSTS90094: An administrator of X has set a policy.", "AADSTS90094", "may not consent"},
		{"consent_required", "AADSTS90095: Admin consent is required.", "AADSTS90095", "may not consent"},
		{"permission_denied", "The admin canceled the request", "", "consent was refused"},
		{"invalid_client", "AADSTS650052: The app needs access to a service.", "AADSTS650052", "does not have the service"},
		{"unauthorized_client", "AADSTS700016: Application not found", "AADSTS700016", "not known"},
		{"server_error", "AADSTS90033: A transient error has occurred.", "AADSTS90033", "has a problem; Microsoft says: AADSTS90033: A transient"},
		{"strange_new_thing", "AADSTS1234567: \x1b[31mred\u202e", "AADSTS1234567", "refused the consent; Microsoft says: AADSTS1234567: [31mred"},
		{strings.Repeat("x", 3000), strings.Repeat("<script>", 3000), "", "refused the consent"},
	} {
		w := newWorld(t)
		b := w.begin(t, consent.Request{})
		r := w.callback(t, url.Values{"state": {b.State}, "error": {tc.name}, "error_description": {tc.description}, "admin_consent": {"True"}, "tenant": {tenantA}})
		if r.Error == nil || r.Error.Code != tc.code || !strings.Contains(r.Error.Message, tc.word) || r.Error.Hint == "" || len(r.Error.Message) > 400 {
			t.Errorf("%.40s: %+v", tc.name, r.Error)
		}
		if strings.ContainsAny(r.Error.Message, "\x1b\u202e\n") {
			t.Errorf("unprintable: %q", r.Error.Message)
		}
	}
}
