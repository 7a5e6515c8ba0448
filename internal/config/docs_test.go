package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"sluice/internal/option"
	"sluice/internal/webhook"
)

func TestDeclarations(t *testing.T) {
	t.Parallel()
	for _, d := range drivers() {
		if err := option.CheckDeclarations(ConnectorOptions(d)); err != nil {
			t.Errorf("%s: %v", d.Type, err)
		}
	}
	if err := option.CheckDeclarations(ServerOptions()); err != nil {
		t.Error(err)
	}
	for _, group := range [][]option.Option{LakeOptions(), SecretsOptions(), webhook.Options()} {
		if err := option.CheckDeclarations(group); err != nil {
			t.Error(err)
		}
	}
}

// Every declared option stands in the schema and on the reference page of its type.
func TestSchemaAndReferenceAreComplete(t *testing.T) {
	t.Parallel()
	var schema struct {
		Properties struct {
			Data       map[string]any
			Connectors struct {
				Items struct {
					OneOf []struct {
						Required             []string
						Properties           map[string]map[string]any
						AdditionalProperties *bool
					}
				}
			}
			Lake, Secrets, Webhook struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(JSONSchema(drivers()), &schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.Properties.Lake.Properties) != len(LakeOptions()) || len(schema.Properties.Secrets.Properties) != len(SecretsOptions()) ||
		len(schema.Properties.Webhook.Properties) != len(webhook.Options()) || schema.Properties.Data == nil {
		t.Errorf("server part: %+v", schema.Properties)
	}
	for i, d := range drivers() {
		one := schema.Properties.Connectors.Items.OneOf[i]
		if one.AdditionalProperties == nil || *one.AdditionalProperties {
			t.Errorf("%s: the schema accepts unknown keys", d.Type)
		}
		page := Reference(d)
		for _, o := range ConnectorOptions(d) {
			if one.Properties[o.Name]["description"] != o.Help {
				t.Errorf("%s: the schema lacks %s", d.Type, o.Name)
			}
			if !strings.Contains(page, "| `"+o.Name+"` |") {
				t.Errorf("%s: the page lacks %s", d.Type, o.Name)
			}
		}
		if one.Properties["type"]["const"] != d.Type {
			t.Errorf("%s: type is %v", d.Type, one.Properties["type"])
		}
	}
}

func TestReferencePage(t *testing.T) {
	t.Parallel()
	page := Reference(office365())
	for _, want := range []string{
		"# Office 365 Management Activity API (`office365`)\n",
		"| `interval` | duration | `5m` | Time between two looks for new content. Between 1m and 24h. |\n",
		"| `content_types` | list | all | What to collect. Default: everything that the type offers. Any of `Audit.AzureActiveDirectory`,",
		"| `directory_id` | guid | **required** | Directory (tenant) ID. Fixed after creation. |\n",
		"| `api_access_key` | secret |  | Value of the client secret. |\n",
		"| `requests_per_minute` | int | `1200` | Ceiling per Microsoft tenant \\| 0 is none. Between 0 and 100000. |\n",
		"    api_access_key: ${env:API_ACCESS_KEY}\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// The example on a reference page is a document that loads.
func TestReferenceExampleLoads(t *testing.T) {
	t.Parallel()
	for _, d := range drivers() {
		_, rest, _ := strings.Cut(Reference(d), "```yaml\n")
		example, _, _ := strings.Cut(rest, "```")
		if _, err := Load(d.Type, []byte(example), drivers(), nil); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
	}
}

func TestReferencePages(t *testing.T) {
	t.Parallel()
	pages := ReferencePages(drivers())
	names := slices.Sorted(maps.Keys(pages))
	if want := []string{"filters.md", "notifications.md", "server.md", "sluice.schema.json", "source-microsoft_defender_for_cloud_apps.md", "source-office365.md"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if !strings.Contains(string(pages["server.md"]), "| `retention` | duration | `365d` |") {
		t.Errorf("server.md:\n%s", pages["server.md"])
	}
	if string(pages["source-office365.md"]) != Reference(office365()) {
		t.Error("source-office365.md is not the page of office365")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"interval", "name", "type", "application_id", "api_access_key"}
	for word, want := range map[string]string{
		"intervall": "interval", "Interval": "interval", "namme": "name", "client-id": "application_id", "client_secret": "api_access_key",
		"zzzzzzzz": "", "x": "", "tpye": "type", "tenant": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
