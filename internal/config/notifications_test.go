package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sluice/internal/health"
	"sluice/internal/notify"
	"sluice/internal/option"
	"sluice/internal/webhook"
)

func TestNotifications(t *testing.T) {
	t.Parallel()
	file, err := Load("notifications.yaml", read(t, "testdata/good/notifications.yaml"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Notifications) != 3 {
		t.Fatalf("%d notifications, want 3", len(file.Notifications))
	}
	soc, chat, mail := file.Notifications[0], file.Notifications[1], file.Notifications[2]
	if soc.Name != "soc" || soc.Type != notify.TypeWebhook || soc.Pos.Line != 2 || soc.Pos.Column != 5 {
		t.Errorf("got %+v", soc)
	}
	if got := soc.Values.Secret("url").Text(); got != "${env:SOC_HOOK}" {
		t.Errorf("the address became %q: it is looked up at each use", got)
	}
	if chat.Type != notify.TypeWebhook || mail.Values.String("host") != "smtp.example" {
		t.Errorf("types and references: %q, host %q", chat.Type, mail.Values.String("host"))
	}
	p := notify.PolicyFrom(soc.Values)
	if p.MinSeverity != health.Warning || len(p.Tenants) != 1 || p.Wait != 0 || p.Repeat != 0 || !p.Resolved || p.Interval != 5*time.Minute {
		t.Errorf("policy %+v", p)
	}
	if got := notify.PolicyFrom(mail.Values).MinSeverity; got != health.Error {
		t.Errorf("severity %q", got)
	}
	for _, n := range file.Notifications {
		if _, err := notify.Build(n.Type, n.Name, n.Values, notify.Environment{Resolve: ResolveSecret}); err != nil {
			t.Error(err)
		}
	}
	if file.Consent == nil || len(file.Consent.Content) != 1 || file.Consent.Line != 22 {
		t.Errorf("consent is not kept: %+v", file.Consent)
	}
	if l := health.LimitsFrom(file.Connectors[0].Values); l.ErrorUnits != 100 || l.ErrorWindow != 10*time.Minute || l.Sensitivity != health.High ||
		l.SilenceAfter != 24*time.Hour || l.ExpiryWarning != 14*24*time.Hour {
		t.Errorf("limits %+v", l)
	}
	if file, err = Load("empty", nil, drivers(), nil); err != nil || file.Notifications != nil || file.Consent != nil {
		t.Errorf("an empty file has %+v, %v", file, err)
	}
}

func TestNotificationWarnsOfLiteralSecrets(t *testing.T) {
	t.Parallel()
	file, err := Load("f", []byte("notifications:\n- {name: a, type: webhook, url: https://x.example, signing_secret: hunter2}\n"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Warnings) != 1 || file.Warnings[0].Path != "notifications[0].signing_secret" || strings.Contains(file.Warnings.Error(), "hunter2") {
		t.Errorf("warnings: %v", file.Warnings)
	}
}

// What belongs to the server is refused by apply, alone or beside connectors.
func TestApplyRefusesWhatIsOfTheServer(t *testing.T) {
	t.Parallel()
	for _, key := range fileKeys() {
		for _, rest := range []string{"", "connectors: []\n"} {
			_, err := ParseApply("f", []byte(key+": []\n"+rest), drivers())
			want := "f:1:1: " + key + ": is a setting of the server and belongs into the file of sluice up --config"
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
}

func TestNotificationDeclarations(t *testing.T) {
	t.Parallel()
	var schema struct {
		Properties struct {
			Notifications struct {
				Items struct {
					OneOf []struct {
						Properties           map[string]map[string]any
						AdditionalProperties *bool
					}
				}
			}
			Consent map[string]any
		}
	}
	if err := json.Unmarshal(JSONSchema(drivers()), &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Properties.Consent == nil {
		t.Error("the schema lacks consent")
	}
	page := NotificationReference()
	for i, k := range notify.Kinds() {
		if err := option.CheckDeclarations(NotificationOptions(k)); err != nil {
			t.Errorf("%s: %v", k.Type, err)
		}
		one := schema.Properties.Notifications.Items.OneOf[i]
		if one.AdditionalProperties == nil || *one.AdditionalProperties || one.Properties["type"]["const"] != k.Type {
			t.Errorf("%s: schema %+v", k.Type, one)
		}
		for _, o := range NotificationOptions(k) {
			if one.Properties[o.Name]["description"] != o.Help {
				t.Errorf("%s: the schema lacks %s", k.Type, o.Name)
			}
			if !strings.Contains(page, "| `"+o.Name+"` |") {
				t.Errorf("%s: the page lacks %s", k.Type, o.Name)
			}
		}
	}
	_, rest, _ := strings.Cut(page, "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if _, err := Load("example", []byte(example), drivers(), nil); err != nil {
		t.Errorf("%v\n%s", err, example)
	}
}

func TestWebhookGroup(t *testing.T) {
	t.Parallel()
	file, err := Load("webhook.yaml", read(t, "testdata/good/webhook.yaml"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	if want := (webhook.Config{Listen: "0.0.0.0:8443", Address: "https://collector.example/sluice"}); file.Server.Webhook != want {
		t.Errorf("got %+v, want %+v", file.Server.Webhook, want)
	}
	if file, err = Load("f", []byte("webhook:\n"), drivers(), environment); err != nil || file.Server.Webhook != (webhook.Config{}) {
		t.Errorf("an empty group: %+v, %v", file, err)
	}
	// Without an environment references are not looked up, and what they stand for is not checked.
	if _, err = Load("f", []byte("webhook: {listen: '${env:HOOK}'}\n"), drivers(), nil); err != nil {
		t.Error(err)
	}
}
