package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/m365sim"
	"sluice/internal/state"
)

// shows waits until the status of a content type has the state, and an error that says every text.
func (p *place) shows(key, wantState string, texts ...string) {
	p.t.Helper()
	eventually(p.t, settleLimit, func() (bool, string) {
		s := p.status()[key]
		said := ""
		if s.LastError != nil {
			said = s.LastError.Message + "\n" + s.LastError.Hint
		}
		for _, text := range texts {
			if !strings.Contains(said, text) {
				return false, fmt.Sprintf("%s is %q and says %q, want %q", key, s.State, said, text)
			}
		}
		return s.State == wantState, fmt.Sprintf("%s is %q, want %q; it says %q", key, s.State, wantState, said)
	})
}

const (
	noConsent   = "00000000-aaaa-4bbb-8ccc-000000000001" // application without any permission
	withoutDLP  = "00000000-aaaa-4bbb-8ccc-000000000002" // application that may not read DLP.All
	nobody      = "00000000-aaaa-4bbb-8ccc-000000000003" // no application or directory at all
	attention   = "needs attention"
	anyCT       = " Audit.General"
	wrongSecret = "not~the~secret"
)

// TestCredentialMistakes: what an operator reads in `sluice test` and `sluice status`.
func TestCredentialMistakes(t *testing.T) {
	t.Parallel()
	company := tenant(200)
	company.Apps = append(company.Apps, m365sim.App{ID: noConsent, Secret: credential, Roles: []string{}},
		m365sim.App{ID: withoutDLP, Secret: credential, Roles: []string{"ActivityFeed.Read"}})
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 5, Tenants: []m365sim.Tenant{company}})
	p := newPlace(t)
	p.start()
	for _, changes := range []map[string]string{
		{"name": "wrong-secret", "api_access_key": wrongSecret},
		{"name": "wrong-tenant", "directory_id": nobody, "tenant_name": "Nobody"},
		{"name": "wrong-app", "application_id": nobody},
		{"name": "no-consent", "application_id": noConsent},
		{"name": "no-dlp", "application_id": withoutDLP},
		{"name": "no-variable", "api_access_key": "${env:SLUICE_NOT_SET}"},
		{"name": "no-ca", "ca_file": p.path("absent.pem")},
		{"name": "bad-ca", "ca_file": write(t, p.root, "text.pem", "this is no certificate\n")},
	} {
		p.apply(sim, changes)
	}
	for _, tt := range []struct {
		name, contentType string
		inStatus, inTest  []string
	}{
		{"wrong-secret", anyCT, []string{"AADSTS7000215", "the client secret is wrong", "the secret's value, not its ID"}, nil},
		{"wrong-tenant", anyCT, []string{"AADSTS90002", "the tenant does not exist", "compare directory_id"}, nil},
		{"wrong-app", anyCT, []string{"AADSTS700016", "the application is unknown in this tenant", "compare directory_id and application_id"}, nil},
		{"no-consent", anyCT, []string{"admin consent"}, []string{"ActivityFeed.Read", "give admin consent"}},
		{"no-dlp", " DLP.All", []string{"ActivityFeed.ReadDlp"}, []string{"failed  permission DLP.All", "passed  permission Audit.General", "add ActivityFeed.ReadDlp"}},
		{"no-variable", anyCT, []string{"SLUICE_NOT_SET", "not set"}, nil},
		{"no-ca", anyCT, []string{"ca_file cannot be read", "absent.pem", "no such file"}, nil},
		{"bad-ca", anyCT, []string{"ca_file", "holds no PEM certificate"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := *p
			p.t = t
			p.shows(tt.name+tt.contentType, attention, tt.inStatus...)
			p.run("status").wants(t, 0, tt.inStatus...)
			if tt.inTest == nil {
				tt.inTest = tt.inStatus
			}
			p.run("test", tt.name).wants(t, 1, append(tt.inTest, "checks failed")...)
		})
	}
	// The other content types go on without the missing permission.
	eventually(t, settleLimit, func() (bool, string) {
		status := p.status()
		for _, contentType := range m365sim.ContentTypes() {
			if s := status["no-dlp "+contentType]; contentType != m365sim.DLP && (s.State != "ok" || s.Records+s.Duplicates == 0 || s.LastError != nil) {
				return false, fmt.Sprintf("%+v %+v", s, s.LastError)
			}
		}
		return true, ""
	})
	// So does their verification, which repairs what it finds.
	p.run("verify", "no-dlp").wants(t, 3, "no-dlp DLP.All could not be verified", "ActivityFeed.ReadDlp", "Audit.General", "a part could not be looked at")
}

// TestDeleteKeepsWhatOthersUse: two connectors share an application, and so its subscriptions. Stopping them with one would
// lose content of the other for good.
func TestDeleteKeepsWhatOthersUse(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Tenants: []m365sim.Tenant{tenant(50)}})
	p := newPlace(t)
	p.start()
	p.apply(sim, nil)
	p.apply(sim, map[string]string{"name": "second", "content_types": "[Audit.General]"})
	p.works()
	p.run("delete", "second", "--yes", "--stop-subscription").wants(t, 3, "the subscription Audit.General goes on", "connector "+connector+" collects with the same subscription")
	p.run("test", connector).wants(t, 0, "subscription Audit.General", "enabled")
	p.run("delete", connector, "--yes", "--stop-subscription").wants(t, 0, "subscriptions stopped", "Audit.General")
}

// TestSubscriptionStoppedElsewhere: another server stops the subscriptions of the application. What appeared until they were
// started again is a gap, also when a verification starts them.
func TestSubscriptionStoppedElsewhere(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Tenants: []m365sim.Tenant{tenant(50)}})
	p, elsewhere := newPlace(t), newPlace(t)
	for _, p := range []*place{p, elsewhere} {
		p.start()
		p.apply(sim, nil)
		p.works()
	}
	elsewhere.run("delete", connector, "--yes", "--stop-subscription").wants(t, 0, "subscriptions stopped")
	report := p.verify(3)
	for _, f := range report.Feeds {
		if len(f.Gaps) != 1 || !strings.Contains(f.Gaps[0].Reason, "the subscription was off") {
			t.Errorf("%s: %+v, want one gap", f.ContentType, f.Gaps)
		}
	}
	p.run("test", connector).wants(t, 0, "subscription Audit.General", "enabled")
}

// TestDocumentMistakes: a document with a mistake changes nothing and says where the mistake is.
func TestDocumentMistakes(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Tenants: []m365sim.Tenant{tenant(10)}})
	p := newPlace(t)
	p.start()
	good := p.document(sim, nil)
	for _, tt := range []struct {
		name, document string
		says           []string
	}{
		{"unknown key", strings.Replace(good, "interval:", "intervall:", 1), []string{"unknown key", `did you mean "interval"?`, "document.yaml:9:5: error: connectors[0].intervall"}},
		{"one name twice", good + strings.TrimPrefix(p.document(sim, map[string]string{"directory_id": nobody, "tenant_name": "Other"}), "connectors:\n"), []string{"document.yaml:14:11", "name"}},
		{"name", strings.Replace(good, "name: contoso", "name: contoso-süd", 1), []string{"document.yaml:2:11", "must be printable ASCII, found 'ü'"}},
		{"no YAML", "connectors: [\n", []string{"document.yaml:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := *p
			p.t = t
			p.run("apply", "-f", write(t, p.root, "document.yaml", tt.document)).wants(t, 1, tt.says...)
			if n := len(p.status()); n != 0 {
				t.Errorf("%d entries in the status after a refused document", n)
			}
		})
	}
	p.run("apply", "-f", p.path("absent.yaml")).wants(t, 1, "absent.yaml", "no such file")
	p.run("apply").wants(t, 2, `required flag(s) "file" not set`)
	p.run("collect", "contoso", "--since", "yesterdayish").wants(t, 2, "--since")
	p.run("search", "Operation:(").wants(t, 1, "error: ")
	p.run("search", "two", "words").wants(t, 2, "put the query in quotes")
	p.run("search", "x", "--index", "windos").wants(t, 2, "windows_events")
	p.must("apply", "-f", write(t, p.root, "document.yaml", good))
	p.run("collect", "contso").wants(t, 1, `no connector is named "contso"`, "did you mean contoso?")
	p.run("apply", "-f", write(t, p.root, "document.yaml", strings.Replace(good, "tenant_name: Contoso", "tenant_name: Fabrikam", 1))).
		wants(t, 1, "tenant_name")
}

// TestServerMistakes: why a server does not start.
func TestServerMistakes(t *testing.T) {
	t.Parallel()
	first := newPlace(t)
	first.run("status").wants(t, 1, "no server answers at http://127.0.0.1:8365", "start a server with `sluice up`")
	running := first.start()

	second := newPlace(t)
	address := strings.TrimPrefix(running.url, "http://")
	second.launch("--data", second.data, "--listen", address).failure().
		wants(t, 1, "listen on "+address, "another program uses the port", "choose another address with --listen")
	first.launch("--data", first.data).failure().
		wants(t, 1, fmt.Sprintf("is in use by another Sluice (process %d)", running.cmd.Process.Pid), "choose another folder with --data")
	second.launch("--config", second.path("absent.yaml")).failure().wants(t, 1, "absent.yaml", "no such file", "--config")
	second.launch("--config", write(t, second.root, "bad.yaml", "data: ./d\nlistn: 127.0.0.1:1\n")).failure().
		wants(t, 1, "bad.yaml:2:1", `did you mean "listen"?`)
	file := write(t, second.root, "file", "")
	second.launch("--data", file).failure().wants(t, 1, file, "choose another folder with --data")
	first.must("status") // the first one runs on

	// Versions. What a newer Sluice wrote is not touched.
	running.interrupt()
	format := filepath.Join(first.data, "sluice.json")
	before, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	write(t, first.data, "sluice.json", `{"format": 999}`)
	first.launch("--data", first.data).failure().wants(t, 1, "was written by a newer version of Sluice (format 999", "install that version")
	write(t, first.data, "sluice.json", "not JSON")
	first.launch("--data", first.data).failure().wants(t, 1, "sluice.json is unreadable", "is this really a data folder of Sluice?")
	write(t, first.data, "sluice.json", string(before))
	newerSchema(t, filepath.Join(first.data, "state.db"))
	first.launch("--data", first.data).failure().wants(t, 1, "was written by a newer version of Sluice (schema 999", "install that version")
}

// newerSchema makes a state database look like that of a later version.
func newerSchema(t *testing.T, path string) {
	t.Helper()
	store, err := state.Open(t.Context(), path, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.DB().ExecContext(t.Context(), "INSERT INTO schema_version (version, applied) VALUES (999, ?)", time.Now().UnixMicro())
	if err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
