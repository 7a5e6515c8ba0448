package consent_test

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/internal/config"
	"sluice/internal/consent"
	"sluice/internal/fault"
	"sluice/internal/vault"
)

const second = "- name: second\n  application_id: 88888888-8888-7777-6666-555555555555\n  api_access_key: ${env:OTHER}\n  connectors: [{type: office365, max_parallel_fetches: 4, enabled: false}]\n"

// put applies one application and checks what that did: created, or the changed options.
func (w *world) put(t *testing.T, a consent.Application, created bool, changed string, kind fault.Kind) {
	t.Helper()
	would, wouldErr := w.Compare(t.Context(), a)
	c, err := w.Put(t.Context(), a)
	if c.Created != created || strings.Join(c.Changed, " ") != changed || fault.KindOf(err) != kind {
		t.Errorf("put %s: created %v, changed %q, %v", a.Name, c.Created, c.Changed, err)
	}
	if would.Created != c.Created || !slices.Equal(would.Changed, c.Changed) || fault.KindOf(wouldErr) != kind {
		t.Errorf("compare said: created %v, changed %q, %v", would.Created, would.Changed, wouldErr)
	}
	if err != nil && fault.HintOf(err) == "" {
		t.Errorf("%v: no hint", err)
	}
}

// TestStoredApplications are made with apply: kept with references, hidden by the file, and round-trip.
func TestStoredApplications(t *testing.T) {
	w := newWorld(t)
	made := parse(t, second)[0]
	w.put(t, made, true, "", "")
	w.put(t, made, false, "", "")
	all, err := w.Applications(t.Context())
	if err != nil || len(all) != 2 || string(all[1].Spec) != string(made.Spec) || all[1].Owner != "" || all[0].Owner != "sluice.yaml" {
		t.Fatalf("%+v %v", all, err)
	}
	if !all[1].Created.Equal(w.clock.Now()) || !all[1].Updated.Equal(w.clock.Now()) || all[0].Updated.IsZero() {
		t.Errorf("times: %v %v %v", all[1].Created, all[1].Updated, all[0].Updated)
	}
	if again, err := consent.ParseSpec(made.Spec, drivers()); err != nil || string(again.Spec) != string(made.Spec) || again.Templates[0].Options[0].Value != int64(4) {
		t.Errorf("%s %+v %v", made.Spec, again, err)
	}
	created := w.clock.Now()
	w.clock.advance(consent.Lifetime)
	w.put(t, parse(t, strings.Replace(second, ": 4", ": 5", 1)+"  ca_file: /x\n")[0], false, "ca_file connectors", "")
	if all, err = w.Applications(t.Context()); err != nil || !all[1].Created.Equal(created) || !all[1].Updated.Equal(w.clock.Now()) {
		t.Errorf("times: %v %v, %v", all[1].Created, all[1].Updated, err)
	}
	w.put(t, made, false, "connectors ca_file", "")
	w.put(t, parse(t, strings.Replace(second, "88888888", "77777777", 1))[0], false, "", fault.Config)
	owned := all[0]
	w.put(t, owned, false, "", fault.Conflict)
	owned.Name = "third"
	w.put(t, owned, false, "", fault.Conflict)
	if err := w.Remove(t.Context(), "onboarding"); !fault.Is(err, fault.Conflict) {
		t.Errorf("removed what a file owns: %v", err)
	}
	if err := w.Remove(t.Context(), "second"); err != nil {
		t.Error(err)
	}
	if _, err := w.Begin(t.Context(), consent.Request{Application: "second"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("removed: %v", err)
	}
	if _, err := consent.ParseSpec([]byte("nonsense"), drivers()); err == nil {
		t.Error("nonsense was read")
	}
}

// sealing gives the world a manager that seals with the keys of a file, on the same store.
func (w *world) sealing(t *testing.T, key string) {
	t.Helper()
	keepers, err := vault.KeyFile(key, true)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := vault.NewSealer(keepers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sealer.Close() })
	w.Manager, err = consent.New(consent.Options{Store: w.store, SignIn: consent.MicrosoftSignIn{}, Sealer: sealer, Clock: w.clock, Drivers: drivers(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLiteralSecretsAreSealed: a secret that is written out is neither stored nor shown, stays when what was shown is
// applied again, and is not sent anywhere else.
func TestLiteralSecretsAreSealed(t *testing.T) {
	const planted = "pl4nted~app+8Qx/7uZ"
	literal := strings.Replace(second, "${env:OTHER}", planted, 1)
	w := newWorld(t)
	w.put(t, parse(t, literal)[0], false, "", fault.Config) // nothing can seal
	dir := t.TempDir()
	w.sealing(t, filepath.Join(dir, "key"))
	w.put(t, parse(t, literal)[0], true, "", "")
	w.put(t, parse(t, literal)[0], false, "", "")
	if text := w.store.text(); strings.Contains(text, planted) || !strings.Contains(text, "@Sluice.Sealed(") {
		t.Errorf("stored: %s", text)
	}
	found := func() consent.Application {
		t.Helper()
		all, err := w.Applications(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%v %v", all, err)
		}
		return all[0]
	}
	if got := found().Secret.Text(); got != planted {
		t.Errorf("the secret became another: %d characters", len(got))
	}
	shown := string(found().JSON())
	if !json.Valid([]byte(shown)) || strings.Contains(shown, planted) || !strings.Contains(shown, config.KeptSecret) {
		t.Errorf("shown: %s", shown)
	}
	w.put(t, parse(t, "["+shown+"]")[0], false, "", "")
	w.put(t, parse(t, "["+strings.Replace(shown, ":4", ":6", 1)+"]")[0], false, "connectors", "")
	for _, elsewhere := range []string{"authentication_endpoint: https://login.thief.example", "api_audience: https://thief.example", "subscription_plan: dod", "ca_file: /x"} {
		w.put(t, parse(t, "- "+strings.TrimSuffix(shown, "}")+", "+elsewhere+"}")[0], false, "", fault.Config)
	}
	w.put(t, parse(t, "["+strings.NewReplacer("second", "new", "88888888", "77777777").Replace(shown)+"]")[0], false, "", fault.Config)
	if found().Secret.Text() != planted {
		t.Error("the secret was lost on the way")
	}

	_, sealed, _ := strings.Cut(w.store.text(), `"@Sluice.Sealed(`)
	sealed, _, _ = strings.Cut(sealed, `"`)
	if _, err := consent.Parse("doc", node(t, strings.Replace(second, "${env:OTHER}", `"@Sluice.Sealed(`+sealed+`"`, 1)), drivers()); err == nil || !strings.Contains(err.Error(), "give the secret again") {
		t.Errorf("a sealed text was taken from a person: %v", err)
	}
	if n, err := w.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("sealed again %d with the same key, %v", n, err)
	}
	w.sealing(t, filepath.Join(dir, "another")) // the key is lost
	if text := found().Secret.Text(); strings.Contains(text, planted) {
		t.Error("opened with another key")
	}
	if n, err := w.Reseal(t.Context()); n != 0 || err == nil {
		t.Errorf("sealed again %d without the key, %v", n, err)
	}
	w.put(t, parse(t, strings.Replace(literal, ": 4", ": 6", 1))[0], false, "api_access_key", "")
	if found().Secret.Text() != planted {
		t.Error("applying again does not heal")
	}
}

// TestSecretsOfTemplates must be references, and are not shown when a file writes them out.
func TestSecretsOfTemplates(t *testing.T) {
	const planted = "pl4nted-in-a-template"
	text := strings.Replace(second, "enabled: false", "webhook_auth_id: "+planted, 1)
	w := newWorld(t)
	w.put(t, parse(t, text)[0], false, "", fault.Config)
	w.put(t, parse(t, strings.Replace(text, planted, `"${env:HOOK}"`, 1))[0], true, "", "")
	w.Declare("sluice.yaml", parse(t, text))
	all, err := w.Applications(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%v %v", all, err)
	}
	if shown := string(all[0].JSON()); strings.Contains(shown, planted) {
		t.Errorf("shown: %s", shown)
	}
}
