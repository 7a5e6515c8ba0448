package app

import (
	"context"
	"strings"
	"testing"

	"sluice/internal/api"
)

const devoDocument = `{
  "inputs": {"office365": {
    "id": "48213", "enabled": true,
    "credentials": {"tenant_id": "contoso.onmicrosoft.com", "client_id": "99999999-8888-7777-6666-555555555555", "client_secret": "very~secret~value"},
    "services": {"azure_active_directory": {}, "general_audit": {}}
  }},
  "outputs": {"devo_1": {"type": "devo_platform"}}
}`

// directories resolves every domain to one id.
type directories string

func (d directories) DirectoryID(context.Context, string, string) (string, error) {
	return string(d), nil
}

func TestApplyTakesOtherCollectors(t *testing.T) {
	const id = "aaaaaaaa-2222-3333-4444-555555555555"
	s := newService(t)
	s.resolver = directories(id)
	if err := s.state.BindDirectory(t.Context(), id, "Contoso EMEA"); err != nil {
		t.Fatal(err)
	}
	r := api.ApplyRequest{Name: "config.json", Document: []byte(devoDocument), DryRun: true}
	dry := s.mustApply(t, r)
	wantLines(t, did(dry), "connector contoso-emea-office365 created") // the name that Sluice knows the directory by
	if dry.MovedIn == nil || dry.MovedIn.Kind != "devo" || len(dry.MovedIn.Taken) == 0 || len(dry.MovedIn.Left) == 0 {
		t.Fatalf("%+v", dry.MovedIn)
	}
	for _, taken := range dry.MovedIn.Taken {
		if strings.Contains(taken.To+taken.Note+taken.From, "very~secret") {
			t.Errorf("%+v tells the secret", taken)
		}
	}
	if stored, err := s.state.Connectors(t.Context()); err != nil || len(stored) != 0 {
		t.Fatalf("a dry run stored %+v, %v", stored, err)
	}
	r.DryRun = false
	wantLines(t, did(s.mustApply(t, r)), "connector contoso-emea-office365 created")
	wantLines(t, did(s.mustApply(t, r)), "connector contoso-emea-office365 unchanged")
	c, err := s.state.Connector(t.Context(), "contoso-emea-office365")
	if err != nil || c.DirectoryID != id || c.TenantName != "Contoso EMEA" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestApplyTellsMistakesOfOtherCollectors(t *testing.T) {
	s := newService(t)
	s.resolver = directories("aaaaaaaa-2222-3333-4444-555555555555")
	text := strings.Replace(devoDocument, `"99999999-8888-7777-6666-555555555555"`, `"contoso-app"`, 1)
	result, err := s.Apply(t.Context(), api.ApplyRequest{Name: "config.json", Document: []byte(text)})
	if err != nil || len(result.Problems) != 1 || result.Problems[0].Line != 4 || result.MovedIn != nil {
		t.Errorf("%+v, %v", result, err)
	}
	own := s.mustApply(t, docOf(connectorWith("contoso")))
	if own.MovedIn != nil {
		t.Errorf("a document of Sluice's own was taken for %+v", own.MovedIn)
	}
}
