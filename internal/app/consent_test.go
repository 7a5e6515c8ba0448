package app

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/vault/vaulttest"
)

const agency = `consent:
  - name: agency
    application_id: 88888888-8888-7777-6666-555555555555
    api_access_key: pl4nted~app+8Qx/7uZ
    connectors:
      - {type: office365, interval: 10m}
`

func consentNode(t *testing.T, s *service, text string) *yaml.Node {
	t.Helper()
	doc, err := config.ParseApply("doc", []byte(text), s.properties)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Consent
}

func TestApplyApplications(t *testing.T) {
	s := newService(t)
	dry := docOf(agency, noise)
	dry.DryRun = true
	result := s.mustApply(t, dry)
	wantLines(t, did(result), "filter noise created", "application agency created")
	if len(result.Warnings) != 1 || result.Warnings[0].Line != 2 || !strings.Contains(result.Warnings[0].Message, "prefer ${env:NAME}") {
		t.Errorf("warnings %+v", result.Warnings)
	}
	if all, err := s.Entries(t.Context(), ""); err != nil || len(all) != 0 {
		t.Fatalf("a dry run made %+v, %v", all, err)
	}
	wantLines(t, did(s.mustApply(t, docOf(agency))), "application agency created")
	wantLines(t, did(s.mustApply(t, docOf(agency))), "application agency unchanged")
	wantLines(t, did(s.mustApply(t, docOf(strings.Replace(agency, "10m", "20m", 1)))), "application agency updated connectors")

	entries, err := s.Entries(t.Context(), api.Consent)
	if err != nil || len(entries) != 1 || entries[0].Kind != api.Consent || entries[0].Name != "agency" || entries[0].Created.IsZero() || entries[0].Owner != "" {
		t.Fatalf("%+v, %v", entries, err)
	}
	for _, format := range []string{"yaml", "json"} {
		text, err := api.Document(entries, format)
		if err != nil || !strings.Contains(string(text), config.KeptSecret) {
			t.Errorf("%s, %v", text, err)
		}
		vaulttest.GrepText(t, "what get prints", string(text), plantedSecret)
		wantLines(t, did(s.mustApply(t, docOf(string(text)))), "application agency unchanged")
	}
	if a, err := s.consent.Applications(t.Context()); err != nil || len(a) != 1 || a[0].Secret.Text() != plantedSecret {
		t.Errorf("the secret is another: %v", err)
	}
	vaulttest.Grep(t, s.dataDir, plantedSecret)

	prune := docOf(connectorWith("contoso"))
	prune.Prune = true
	wantLines(t, did(s.mustApply(t, prune)), "connector contoso created", "application agency deleted")
	s.mustApply(t, docOf(agency))
	if _, err := s.Delete(t.Context(), api.Consent, "agency", api.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Delete(t.Context(), api.Consent, "agency", api.DeleteOptions{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

// TestMistakesInApplications: one of them keeps everything from being applied, and the rest is told at the same time.
func TestMistakesInApplications(t *testing.T) {
	s := newService(t)
	file := &config.File{Path: "sluice.yaml", Consent: consentNode(t, s, strings.NewReplacer("agency", "declared", "88888888", "77777777").Replace(agency))}
	if err := s.declareConsent(file); err != nil {
		t.Fatal(err)
	}
	s.mustApply(t, docOf(agency))
	for _, tt := range []struct{ name, text, want string }{
		{"a wrong option", strings.Replace(agency, "10m", "1s", 1), "doc.yaml:6: consent[0].connectors[0].interval"},
		{"no list", "consent: 5\n", "doc.yaml:1: consent: must be a list of applications"},
		{"of a file", strings.NewReplacer("agency", "declared", "88888888", "77777777").Replace(agency), "doc.yaml:2: application declared: is owned by the file sluice.yaml and read-only elsewhere; change it there"},
		{"the id of another", strings.Replace(agency, "agency", "another", 1), "belongs to agency already"},
		{"another id", strings.Replace(agency, "88888888", "66666666", 1), "application_id cannot be changed after creation"},
		{"kept for another host", strings.Replace(agency, plantedSecret, config.KeptSecret+"\n    authentication_endpoint: https://login.example", 1), "is not used with another authentication_endpoint; give the secret again"},
		{"kept by a new one", strings.NewReplacer("agency", "new", "88888888", "66666666", plantedSecret, config.KeptSecret).Replace(agency), "none is stored"},
		{"a secret in a template", strings.Replace(agency, "interval: 10m", "webhook_auth_id: "+plantedSecret, 1), "a secret of a template must be a reference"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result, err := s.Apply(t.Context(), docOf(tt.text, "filters:\n  - name: made\n    query: UserType:2\n"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, p := range result.Problems {
				line := fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Path, p.Message)
				found = found || strings.Contains(line, tt.want)
				vaulttest.GrepText(t, "a problem", line, plantedSecret)
			}
			if !found || len(result.Entries) > 0 {
				t.Errorf("entries %v, problems %+v, want %q", did(result), result.Problems, tt.want)
			}
		})
	}
	if filters, err := s.Entries(t.Context(), api.Filters); err != nil || len(filters) > 0 {
		t.Errorf("in spite of mistakes there are %+v, %v", filters, err)
	}

	file.Consent = consentNode(t, s, strings.Replace(agency, plantedSecret, config.KeptSecret, 1))
	if err := s.declareConsent(file); err == nil || !strings.Contains(err.Error(), "nothing is stored here") {
		t.Errorf("a file keeps a secret: %v", err)
	}
}
