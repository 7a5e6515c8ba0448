package app

import (
	"strings"
	"testing"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/state"
)

const document = `
name: contoso
tenant_name: Contoso
type: office365
directory_id: 11111111-2222-3333-4444-555555555555
application_id: 99999999-8888-7777-6666-555555555555
api_access_key: ${env:SOME_SECRET}
interval: 5m
`

func parse(t *testing.T, s *service, text string) config.Connector {
	t.Helper()
	doc, err := config.ParseApply("test.yaml", []byte(text), s.properties)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Connectors[0]
}

func TestCompare(t *testing.T) {
	s := &service{nodeGroup: config.DefaultNodeGroup, properties: driverProperties()}
	stored := func(owner string) state.Connector {
		c := parse(t, s, document)
		return state.Connector{
			ID: "1", Name: c.Name, TenantName: c.TenantName, Type: c.Type, DirectoryID: c.DirectoryID(), Spec: c.SpecJSON(), Owner: owner,
		}
	}
	tests := []struct {
		name    string
		have    []state.Connector
		text    string
		options applyOptions
		action  api.Action
		problem string
	}{
		{name: "new", text: document, action: api.Created},
		{name: "the same", have: []state.Connector{stored("")}, text: document, action: api.Unchanged},
		{name: "another interval", have: []state.Connector{stored("")}, text: strings.Replace(document, "5m", "10m", 1), action: api.Updated},
		{name: "another directory", have: []state.Connector{stored("")}, text: strings.Replace(document, "11111111", "21111111", 1), problem: "directory_id cannot be changed after creation"},
		{name: "another tenant name", have: []state.Connector{stored("")}, text: strings.Replace(document, "Contoso", "Fabrikam", 1), problem: "belongs to tenant_name Contoso"},
		{name: "a directory of another tenant", have: []state.Connector{stored("")}, text: strings.NewReplacer("name: contoso", "name: second", "Contoso", "Fabrikam").Replace(document), problem: "belongs to tenant_name Contoso (connector contoso)"},
		{name: "owned by a file", have: []state.Connector{stored("/etc/sluice.yaml")}, text: document, problem: "owned by the file /etc/sluice.yaml"},
		{name: "its own file", have: []state.Connector{stored("/etc/sluice.yaml")}, text: document, options: applyOptions{owner: "/etc/sluice.yaml"}, action: api.Unchanged},
		{name: "taken over by a file", have: []state.Connector{stored("")}, text: document, options: applyOptions{owner: "/etc/sluice.yaml"}, action: api.Updated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes, problems := s.compare(t.Context(), []config.Connector{parse(t, s, tt.text)}, tt.have, tt.options)
			if tt.problem != "" {
				if len(problems) == 0 || !strings.Contains(problems.Error(), tt.problem) {
					t.Errorf("problems %v, want %q", problems, tt.problem)
				}
				return
			}
			if len(problems) > 0 || len(changes) != 1 || changes[0].action != tt.action {
				t.Errorf("changes %+v, problems %v, want %s", changes, problems, tt.action)
			}
		})
	}
}

func TestPruneLeavesOtherOwnersAlone(t *testing.T) {
	s := &service{nodeGroup: config.DefaultNodeGroup, properties: driverProperties()}
	have := []state.Connector{{Name: "mine"}, {Name: "of-a-file", Owner: "/etc/sluice.yaml"}}
	changes, problems := s.compare(t.Context(), nil, have, applyOptions{prune: true})
	if len(problems) > 0 || len(changes) != 1 || changes[0].name() != "mine" || changes[0].action != api.Deleted {
		t.Errorf("changes %+v, problems %v", changes, problems)
	}
}

func TestConnectorsOfAnotherNodeGroupDoNotRunHere(t *testing.T) {
	stored := state.Connector{ID: "c", Name: "far", Type: "office365", TenantName: "Far", Spec: []byte(`{"name":"far","tenant_name":"Far","type":"office365","run_on":"frankfurt",
		"directory_id":"11111111-2222-3333-4444-555555555555","application_id":"99999999-8888-7777-6666-555555555555","api_access_key":"x"}`)}
	for group, runs := range map[string]bool{config.DefaultNodeGroup: false, "frankfurt": true} {
		s := newService(t)
		s.nodeGroup = group
		cfg, err := s.build(t.Context(), stored)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.enabled != runs {
			t.Errorf("on a server of %s it runs: %v, want %v", group, cfg.enabled, runs)
		}
	}
}

func TestAnUnusualCloudIsAWarning(t *testing.T) {
	apply, err := config.ParseApply("far.yaml", []byte(`{name: far, tenant_name: Far, type: office365, subscription_plan: gcc_high,
  authentication_endpoint: "https://login.microsoftonline.com", directory_id: 11111111-2222-3333-4444-555555555555,
  application_id: 99999999-8888-7777-6666-555555555555, api_access_key: x}`), driverProperties())
	if err != nil {
		t.Fatal(err)
	}
	warnings := cloudWarnings(apply.Connectors)
	if len(warnings) != 1 || !strings.Contains(warnings[0].Text, "login.microsoftonline.us") {
		t.Errorf("%v, want one that names the usual pair", warnings)
	}
}
