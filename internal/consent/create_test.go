package consent_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/config"
	"sluice/internal/consent"
	"sluice/internal/fault"
	"sluice/internal/option"
)

// consented lets tenants consent under labels.
func (w *world) consented(t *testing.T, labels map[string]string) {
	t.Helper()
	for _, tenant := range []string{tenantA, tenantB} {
		if label, ok := labels[tenant]; ok {
			if r := w.callback(t, w.authority.accept(w.begin(t, consent.Request{Label: label}).URL, tenant, read, dlp)); r.Error != nil {
				t.Fatalf("%+v", r.Error)
			}
		}
	}
}

// TestCreateFrom makes connectors that apply accepts, once.
func TestCreateFrom(t *testing.T) {
	w := newWorld(t)
	w.consented(t, map[string]string{tenantA: "Müller & Söhne", tenantB: "Fabrikam"})
	draft, err := w.CreateFrom(t.Context(), tenantA, "fabrikam", tenantA)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`connectors:
  - name: muller-sohne-office365
    tenant_name: Muller & Sohne
    type: office365
    interval: 10m
    content_types: [Audit.General, Audit.Exchange]
    subscription_plan: enterprise
    authentication_endpoint: %[1]s
    directory_id: %[2]s
    application_id: %[4]s
    api_access_key: ${env:SECRET}
  - name: fabrikam-office365
    tenant_name: Fabrikam
    type: office365
    interval: 10m
    content_types: [Audit.General, Audit.Exchange]
    subscription_plan: enterprise
    authentication_endpoint: %[1]s
    directory_id: %[3]s
    application_id: %[4]s
    api_access_key: ${env:SECRET}
`, w.authority.URL, tenantA, tenantB, appID)
	if string(draft.Document) != want {
		t.Errorf("got\n%s\nwant\n%s", draft.Document, want)
	}
	apply, err := config.ParseApply("draft", draft.Document, drivers())
	if err != nil || len(apply.Connectors) != 2 || strings.Join(draft.Names, " ") != apply.Connectors[0].Name+" "+apply.Connectors[1].Name {
		t.Fatalf("apply refuses it: %v", err)
	}

	for _, c := range apply.Connectors {
		w.connectors = append(w.connectors, consent.Connector{Name: c.Name, Type: c.Type, TenantName: c.TenantName, DirectoryID: c.DirectoryID()})
	}
	draft, err = w.CreateFrom(t.Context(), tenantA, tenantB)
	if err != nil || draft.Document != nil || len(draft.Skipped) != 2 || draft.Skipped[0] != (consent.Skip{TenantID: tenantA, Type: "office365", Existing: "muller-sohne-office365"}) {
		t.Errorf("again: %+v %v", draft, err)
	}
	tenants, err := w.Tenants(t.Context())
	if err != nil || len(tenants) != 2 || len(tenants[0].Connectors) != 1 || tenants[0].Connectors[0].Name != "fabrikam-office365" {
		t.Errorf("tenants %+v %v", tenants, err)
	}
	if _, err := w.CreateFrom(t.Context(), "nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown tenant: %v", err)
	}
}

// TestNamesAreUnique: two customers of one name, a connector that has the name already, a tenant that is known.
func TestNamesAreUnique(t *testing.T) {
	w := newWorld(t)
	w.consented(t, map[string]string{tenantA: "Contoso", tenantB: "contoso"})
	tenants, err := w.Tenants(t.Context())
	if err != nil || tenants[0].Name != "Contoso" || tenants[1].Name != "contoso 2" {
		t.Fatalf("%+v %v", tenants, err)
	}
	w.connectors = []consent.Connector{{Name: "contoso-office365", Type: "office365", TenantName: "Old", DirectoryID: "cccccccc-1111-2222-3333-444444444444"}}
	draft, err := w.CreateFrom(t.Context(), tenantA, tenantB)
	if err != nil || strings.Join(draft.Names, " ") != "contoso-office365-aaaaaaaa contoso-2-office365" {
		t.Errorf("names %v %v", draft.Names, err)
	}
	w.connectors = append(w.connectors, consent.Connector{Name: "contoso-office365-aaaaaaaa", Type: "office365", DirectoryID: tenantB})
	if _, err := w.CreateFrom(t.Context(), tenantA); !fault.Is(err, fault.Conflict) {
		t.Errorf("no name is left: %v", err)
	}

	// A directory that has connectors keeps its tenant_name, and a second consent keeps the name of the first.
	w = newWorld(t)
	w.connectors = []consent.Connector{{Name: "x", Type: "other", TenantName: "Contoso GmbH", DirectoryID: tenantA}, {Name: "y", Type: "other", TenantName: "Fabrikam", DirectoryID: "cccccccc-1111-2222-3333-444444444444"}}
	w.consented(t, map[string]string{tenantA: "Contoso", tenantB: "Fabrikam"})
	tenants, err = w.Tenants(t.Context())
	if err != nil || tenants[0].Name != "Contoso GmbH" || tenants[1].Name != "Fabrikam 2" {
		t.Errorf("%+v %v", tenants, err)
	}
	w.consented(t, map[string]string{tenantB: "Another"})
	if tenants, _ = w.Tenants(t.Context()); tenants[1].Name != "Fabrikam 2" {
		t.Errorf("%+v", tenants)
	}

	// Without a label the id is the name until there is a label.
	w = newWorld(t)
	w.consented(t, map[string]string{tenantA: ""})
	draft, err = w.CreateFrom(t.Context(), tenantA)
	if err != nil || draft.Names[0] != tenantA+"-office365" {
		t.Errorf("%v %v", draft.Names, err)
	}
	w.consented(t, map[string]string{tenantA: "Contoso"})
	if tenants, _ = w.Tenants(t.Context()); tenants[0].Name != "Contoso" {
		t.Errorf("%+v", tenants)
	}
}

// TestLongLabels: any label of a person ends in names that apply accepts.
func TestLongLabels(t *testing.T) {
	for _, label := range []string{strings.Repeat("Ü", 64), strings.Repeat("w", 64), "${env:HOME}", "a/b\\c:d", " x ", "Straße & Co. KG", "-", "1"} {
		w := newWorld(t)
		begun, err := w.Begin(t.Context(), consent.Request{Application: "onboarding", Label: label})
		if err != nil {
			if label != "-" {
				t.Errorf("%q: %v", label, err)
			}
			continue
		}
		if r := w.callback(t, w.authority.accept(begun.URL, tenantA, read)); r.Error != nil {
			t.Fatalf("%q: %+v", label, r.Error)
		}
		draft, err := w.CreateFrom(t.Context(), tenantA)
		if err != nil {
			t.Errorf("%q: %v", label, err)
			continue
		}
		if _, err := config.ParseApply("draft", draft.Document, drivers()); err != nil {
			t.Errorf("%q: %v\n%s", label, err, draft.Document)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	head := "- name: a\n  application_id: " + appID + "\n"
	for _, tc := range []struct{ name, text, want string }{
		{"no list", "a: b", "s.yaml:1:1: consent: must be a list of applications"},
		{"no mapping", "- a", "s.yaml:1:3: consent[0]: must be keys and values"},
		{"nothing in it", "- {}", "consent[0].name: is missing\ns.yaml:1:3: consent[0].application_id: is missing\ns.yaml:1:3: consent[0].api_access_key: give either"},
		{"unknown key", head + "  api_access_key: x\n  colour: red", `s.yaml:4:3: consent[0].colour: unknown key`},
		{"no GUID", "- name: a\n  application_id: contoso\n  api_access_key: x", "s.yaml:2:19: consent[0].application_id: must be a GUID"},
		{"both credentials", head + "  api_access_key: x\n  certificate_file: y", "give either api_access_key or certificate_file"},
		{"redirect over http", head + "  api_access_key: x\n  redirect_uri: http://sluice.example/consent/callback", "consent[0].redirect_uri: must be https"},
		{"a reference where it is not looked up", head + "  api_access_key: x\n  ca_file: ${env:CA}", "consent[0].ca_file: must be written out"},
		{"a key twice", head + "  api_access_key: x\n  api_access_key: y", "stands once"},
		{"two of one application", head + "  api_access_key: x\n" + strings.Replace(head, "name: a", "name: b", 1) + "  api_access_key: x\n", "application_id of another application"},
		{"templates are no list", head + "  api_access_key: x\n  connectors: {}", "consent[0].connectors: must be a list"},
		{"a template of no type", head + "  api_access_key: x\n  connectors: [{interval: 5m}]", "consent[0].connectors[0].type: must be one of office365"},
		{"a template with a tenant", head + "  api_access_key: x\n  connectors: [{type: office365, directory_id: x}]", "consent[0].connectors[0].directory_id: is filled in"},
		{"a template with a wrong value", head + "  api_access_key: x\n  connectors:\n    - type: office365\n      interval: often", `s.yaml:5:7: consent[0].connectors[0].interval: must be a duration`},
		{"a template with an unknown option", head + "  api_access_key: x\n  connectors: [{type: office365, intervall: 5m}]", `consent[0].connectors[0].intervall: unknown key, did you mean "interval"?`},
		{"a template with a group", head + "  api_access_key: x\n  connectors: [{type: office365, interval: {a: b}}]", "consent[0].connectors[0].interval"},
		{"two templates of a type", head + "  api_access_key: x\n  connectors: [{type: office365}, {type: office365}]", "consent[0].connectors[1]: is the second template"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := consent.Parse("s.yaml", node(t, tc.text), drivers())
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.KindOf(err) != fault.Config {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestParseDefaults(t *testing.T) {
	all := parse(t, "- name: a\n  application_id: "+strings.ToUpper(appID)+"\n  certificate_file: x.pem\n  subscription_plan: gcc_high\n")
	a := all[0]
	if a.RedirectURI != consent.DefaultRedirect || a.LoginURL != "https://login.microsoftonline.us" || a.Audience != "https://manage.office365.us" || a.ApplicationID != appID ||
		len(a.Templates) != 1 || a.Templates[0].Type != "office365" {
		t.Errorf("%+v", a)
	}
	if forms := a.Info().Forms; len(forms) != 2 {
		t.Errorf("with a certificate: %v", forms)
	}
	if all, err := consent.Parse("s.yaml", nil, drivers()); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
	if err := option.CheckDeclarations(consent.ApplicationOptions()); err != nil {
		t.Error(err)
	}
	w := newWorld(t)
	w.Declare("f", all)
	if _, err := w.Begin(t.Context(), consent.Request{Application: "a", Form: consent.Code}); !fault.Is(err, fault.Config) {
		t.Errorf("the code form needs a secret: %v", err)
	}
}
