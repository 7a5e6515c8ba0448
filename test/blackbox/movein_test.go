package blackbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/m365sim"
)

// devoConfig is a configuration of Devo's collector with its values filled in. base_url and login_url are there because
// the tenant is a simulated one; Devo's own documents leave them out and mean Microsoft's worldwide hosts.
func devoConfig(sim *m365sim.Server) string {
	since := time.Now().Add(-25 * time.Hour).UTC().Format(time.RFC3339)
	return fmt.Sprintf(`{
  "inputs": {
    "office365": {
      "id": "48213",
      "enabled": true,
      "tenant_name": "Contoso",
      "base_url": %q,
      "login_url": %q,
      "credentials": {"tenant_id": %q, "client_id": %q, "client_secret": "${env:DEVO_SECRET}"},
      "services": {
        "azure_active_directory": {"start_time_in_utc": %q, "request_period_in_seconds": 60, "override_tag": "cloud.office365.x"},
        "exchange": {"bloom_filter_size": 100000},
        "sharepoint": {},
        "general_audit": {},
        "dlp": {},
        "uri_retry": {"request_period_in_seconds": 60}
      }
    }
  },
  "outputs": {"devo_us_1": {"type": "devo_platform", "config": {"address": "collector-us.devo.io"}}}
}
`, sim.URL(), sim.URL(), directory, application, since)
}

// TestMoveInFromDevo applies the configuration of another collector to a fresh server, once, and collects with it. Such a
// document cannot name a certificate authority, so the simulated Microsoft is trusted as an operator trusts a company's
// authority: through the environment of the server.
func TestMoveInFromDevo(t *testing.T) {
	t.Parallel()
	company := tenant(300)
	company.Audience = "self"
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 9, Tenants: []m365sim.Tenant{company}})
	p := newPlace(t)
	ca := p.path("simulator-ca.pem")
	if err := sim.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	p.extra = []string{"DEVO_SECRET=" + credential, "SSL_CERT_FILE=" + ca}
	p.start()
	const name = "contoso-office365"
	config := write(t, p.root, "config.json", devoConfig(sim))

	p.run("apply", "-f", config, "--dry-run").wants(t, 0, name, "created", "dry run: nothing was changed")
	if n := len(p.status()); n != 0 {
		t.Fatalf("%d lines in the status after a dry run", n)
	}
	got := p.run("apply", "-f", config)
	got.wants(t, 0, "Taken over from the Devo collector configuration:", "Not taken over:",
		"directory_id of "+name, "content_types of "+name, "start_time of "+name, "not taken over: a tag belongs to a destination", "inputs.office365.services.exchange.bloom_filter_size")
	if strings.Contains(got.out+got.errors, credential) {
		t.Error("the secret was printed")
	}

	sim.Freeze()
	p.must("collect", name, "--wait")
	truth, err := sim.Truth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.records("all")); n == 0 || n != truth.Totals.Distinct {
		t.Errorf("%d records in the lake, the truth is %d", n, truth.Totals.Distinct)
	}

	var again api.ApplyResult
	if err := json.Unmarshal([]byte(p.must("apply", "-f", config, "-o", "json")), &again); err != nil {
		t.Fatal(err)
	}
	if again.MovedIn == nil || again.MovedIn.Kind != "devo" || len(again.Entries) != 1 || again.Entries[0].Action != api.Unchanged {
		t.Errorf("applied again: %+v", again)
	}
}
