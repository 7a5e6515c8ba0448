package app

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/api"
	"sluice/internal/clock"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/state"
	"sluice/internal/vault"
	"sluice/internal/vault/vaulttest"
)

const plantedSecret = "pl4nted~app+8Qx/7uZ"

// withSecrets is a service that can seal, with its key in a folder.
func withSecrets(t *testing.T, dir string, settings config.Secrets) *application {
	t.Helper()
	a := &application{
		Options: Options{Clock: clock.Real{}}, log: slog.New(slog.DiscardHandler), dir: &dataDir{path: dir}, settings: config.Server{Secrets: settings},
	}
	t.Cleanup(a.close)
	if err := a.openSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.svc = &service{nodeGroup: config.DefaultNodeGroup, properties: driverProperties(), life: t.Context(), shared: sharedDeps{sealer: a.sealer, secrets: a.secrets}}
	return a
}

func storedAs(t *testing.T, s *service, id, text string) state.Connector {
	t.Helper()
	c := parse(t, s, text)
	spec, err := s.sealed(t.Context(), id, c)
	if err != nil {
		t.Fatal(err)
	}
	vaulttest.GrepText(t, "the stored form", string(spec), plantedSecret)
	return state.Connector{ID: id, Name: c.Name, TenantName: c.TenantName, Type: c.Type, DirectoryID: c.DirectoryID(), Spec: spec}
}

func TestStoredSecretsAreComparedAndKept(t *testing.T) {
	dir := t.TempDir()
	s := withSecrets(t, dir, config.Secrets{}).svc
	literal := strings.Replace(document, "${env:SOME_SECRET}", plantedSecret, 1)
	kept := strings.Replace(document, "${env:SOME_SECRET}", config.KeptSecret, 1)
	have := storedAs(t, s, "1", literal)
	for _, tt := range []struct {
		name, text string
		none       bool // nothing is stored
		action     api.Action
		changed    string
		problem    string
	}{
		{name: "the same secret", text: literal, action: api.Unchanged},
		{name: "another secret", text: strings.Replace(literal, plantedSecret, "another", 1), action: api.Updated, changed: "api_access_key"},
		{name: "a reference instead", text: document, action: api.Updated, changed: "api_access_key"},
		{name: "kept", text: kept, action: api.Unchanged},
		{name: "kept with another interval", text: strings.Replace(kept, "5m", "10m", 1), action: api.Updated, changed: "interval"},
		{name: "kept, for another host", text: kept + "authentication_endpoint: https://login.example\n", problem: "is not used with another authentication_endpoint"},
		{name: "kept, for another cloud", text: kept + "subscription_plan: dod\n", problem: "is not used with another subscription_plan"},
		{name: "kept, for anybody on the way", text: kept + "disable_ssl_verification: true\n", problem: "is not used with another disable_ssl_verification"},
		{name: "a new secret for another host", text: literal + "authentication_endpoint: https://login.example\n", action: api.Updated, changed: "authentication_endpoint"},
		{name: "kept by a new connector", text: kept, none: true, problem: "none is stored"},
		{name: "a secret kept that was not given", text: kept + "webhook_auth_id: ${sealed}\n", problem: "webhook_auth_id is ${sealed}, which keeps a stored secret, and none is stored"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := []state.Connector{have}
			if tt.none {
				all = nil
			}
			changes, problems := s.compare(t.Context(), []config.Connector{parse(t, s, tt.text)}, all, applyOptions{})
			if tt.problem != "" {
				if len(problems) == 0 || !strings.Contains(problems.Error(), tt.problem) || strings.Contains(problems.Error(), plantedSecret) {
					t.Errorf("problems %v, want %q", problems, tt.problem)
				}
				return
			}
			if len(problems) > 0 || len(changes) != 1 || changes[0].action != tt.action || strings.Join(changes[0].changed, " ") != tt.changed {
				t.Fatalf("changes %+v, problems %v, want %s of %q", changes, problems, tt.action, tt.changed)
			}
			spec, err := s.sealed(t.Context(), have.ID, changes[0].entry)
			if err != nil || strings.Contains(string(spec), config.KeptSecret) {
				t.Errorf("stored would be %s, %v", spec, err)
			}
			vaulttest.GrepText(t, "what would be stored", string(spec), plantedSecret)
			if strings.HasPrefix(tt.name, "kept") {
				back, err := s.opened(t.Context(), state.Connector{ID: have.ID, Type: have.Type, Spec: spec})
				if err != nil || back.Values.Secret("api_access_key").Text() != plantedSecret {
					t.Errorf("the secret is not the same any more: %v", err)
				}
			}
		})
	}
	vaulttest.Grep(t, dir, plantedSecret)
}

func TestALostKeyHealsByApplyingAgain(t *testing.T) {
	literal := strings.Replace(document, "${env:SOME_SECRET}", plantedSecret, 1)
	have := storedAs(t, withSecrets(t, t.TempDir(), config.Secrets{}).svc, "1", literal)
	s := withSecrets(t, t.TempDir(), config.Secrets{}).svc // another key
	secrets := s.secretsOf(have.ID, mustRead(t, s, have).Values)
	if _, err := secrets.option(t.Context(), "api_access_key"); !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "apply the entry again") {
		t.Errorf("looking it up: %v", err)
	}
	changes, problems := s.compare(t.Context(), []config.Connector{parse(t, s, literal)}, []state.Connector{have}, applyOptions{})
	if len(problems) > 0 || len(changes) != 1 || changes[0].action != api.Updated || len(changes[0].changed) != 1 {
		t.Fatalf("changes %+v, problems %v", changes, problems)
	}
	spec, err := s.sealed(t.Context(), have.ID, changes[0].entry)
	if err != nil {
		t.Fatal(err)
	}
	have.Spec = spec
	secrets = s.secretsOf(have.ID, mustRead(t, s, have).Values)
	if v, err := secrets.option(t.Context(), "api_access_key"); err != nil || v.Reveal() != plantedSecret {
		t.Errorf("after applying again: %v", err)
	}
}

func mustRead(t *testing.T, s *service, c state.Connector) config.Connector {
	t.Helper()
	parsed, err := config.FromSpec(c.Spec, s.properties)
	if err != nil {
		t.Fatal(err)
	}
	if shown := string(parsed.JSON()); !strings.Contains(shown, `"api_access_key":"${sealed}"`) || strings.Contains(shown, option.SealedPrefix) {
		t.Errorf("it is shown as %s", shown)
	}
	return parsed
}

// TestFromAnOldDatabaseToAKeyService takes a database through an upgrade, a new key, and a key service.
func TestFromAnOldDatabaseToAKeyService(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	store, err := state.Open(t.Context(), filepath.Join(dir, "state.db"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // a second Close does nothing
	plain := parse(t, &service{nodeGroup: config.DefaultNodeGroup, properties: driverProperties()}, strings.Replace(document, "${env:SOME_SECRET}", plantedSecret, 1))
	if _, err := store.CreateConnector(t.Context(), state.Connector{
		Name: plain.Name, TenantName: plain.TenantName, Type: plain.Type, DirectoryID: plain.DirectoryID(), Spec: plain.SpecJSON(),
	}, "an older version"); err != nil {
		t.Fatal(err)
	}
	if hits, _, err := vaulttest.Find(dir, plantedSecret); err != nil || len(hits) == 0 {
		t.Fatalf("the test is blind: %v", err)
	}
	file := filepath.Join(keys, vault.KeyFileName)
	address := "base64key://" + base64.URLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	updates := 0
	for _, step := range []struct {
		name     string
		prepare  func() config.Secrets
		rewrites bool
	}{
		{"an upgrade", func() config.Secrets { return config.Secrets{} }, true},
		{"another start", func() config.Secrets { return config.Secrets{} }, false},
		{"a new line in the key file", func() config.Secrets {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append([]byte(vault.NewKey()+"\n"), old...), 0o600); err != nil {
				t.Fatal(err)
			}
			return config.Secrets{KeyFile: file}
		}, true},
		{"a key service", func() config.Secrets { return config.Secrets{Key: option.NewRef(address)} }, true},
		{"without the key file", func() config.Secrets {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			return config.Secrets{Key: option.NewRef(address)}
		}, false},
	} {
		a := withSecrets(t, keys, step.prepare())
		a.svc.state = store
		if err := a.openConsent(); err != nil {
			t.Fatal(err)
		}
		if err := a.sealStored(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.svc.mustApply(t, docOf(agency)) // once created, and the same ever after
		if all, err := a.svc.consent.Applications(t.Context()); err != nil || len(all) != 1 || all[0].Secret.Text() != plantedSecret {
			t.Errorf("%s: the application lost its secret: %v", step.name, err)
		}
		if step.rewrites {
			updates++
		}
		vaulttest.Grep(t, dir, plantedSecret)
		c, err := store.Connector(t.Context(), plain.Name)
		if err != nil {
			t.Fatal(err)
		}
		secrets := a.svc.secretsOf(c.ID, mustRead(t, a.svc, c).Values)
		if v, err := secrets.option(t.Context(), "api_access_key"); err != nil || v.Reveal() != plantedSecret {
			t.Errorf("%s: %v", step.name, err)
		}
		history, err := store.History(t.Context(), plain.Name)
		if err != nil || len(history) != 1+updates {
			t.Errorf("%s: the history is %+v, %v", step.name, history, err)
		}
	}
}

func TestKeysThatCannotBeOpened(t *testing.T) {
	for name, settings := range map[string]config.Secrets{
		"a file that is missing":     {KeyFile: filepath.Join(t.TempDir(), "absent")},
		"an address that is none":    {Key: option.NewRef("https://" + plantedSecret)},
		"a variable that is not set": {Key: option.NewRef("${env:SLUICE_TEST_NO_SUCH_KEY}")},
		"a missing file beside a key": {
			KeyFile: filepath.Join(t.TempDir(), "absent"), Key: option.NewRef("base64key://" + base64.URLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))),
		},
	} {
		a := &application{Options: Options{Clock: clock.Real{}}, log: slog.New(slog.DiscardHandler), dir: &dataDir{path: t.TempDir()}, settings: config.Server{Secrets: settings}}
		if err := a.openSecrets(t.Context()); !fault.Is(err, fault.Config) || fault.HintOf(err) == "" || strings.Contains(err.Error(), plantedSecret) {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
		a.close()
	}
}
