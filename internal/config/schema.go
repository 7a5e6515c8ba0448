package config

import (
	"bytes"
	"encoding/json"
	"time"

	"sluice/internal/notify"
	"sluice/internal/option"
	"sluice/internal/source"
	"sluice/internal/webhook"
)

type object = map[string]any

// JSONSchema returns a JSON Schema (draft 2020-12) of sluice.yaml and of what `sluice apply` takes, for the completion
// and checking of editors. It is looser than Load: what one key means for another is checked only there.
func JSONSchema(drivers []source.Properties) []byte {
	kinds := make([]any, 0, len(drivers))
	for _, d := range drivers {
		kinds = append(kinds, groupSchema(d.Title, ConnectorOptions(d)))
	}
	items := object{"type": "object"}
	if len(kinds) > 0 {
		items = object{"oneOf": kinds}
	}
	root := groupSchema("sluice.yaml", ServerOptions())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	properties, _ := root["properties"].(object)
	properties[keyLake] = groupSchema("The tables of records.", LakeOptions())
	properties[keySecrets] = groupSchema("How secrets are kept and found.", SecretsOptions())
	properties[keyConnectors] = object{"type": []string{"array", "null"}, "description": "What to collect.", "items": items}
	properties[keyFilters] = object{"type": []string{"array", "null"}, "description": "Which records are not kept.", "items": filterSchema()}
	properties[keyWebhook] = groupSchema("The listener for notifications of Microsoft.", webhook.Options())
	properties[keyNotifications] = object{
		"type": []string{"array", "null"}, "description": "Who is told when something turns bad and when it is over. Only in the file of the server.", "items": notificationSchema(),
	}
	properties[keyConsent] = object{
		"type": []string{"array", "null"}, "description": "Multi-tenant applications that customers consent to.", "items": object{"type": "object"},
	}
	for _, key := range []string{keyDestinations} {
		properties[key] = object{"type": []string{"array", "null"}, "description": "Not available in this version.", "maxItems": 0}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(root) // texts, numbers and lists always encode, to a buffer
	return b.Bytes()
}

func notificationSchema() object {
	kinds := []any{}
	for _, k := range notify.Kinds() {
		kinds = append(kinds, groupSchema(k.Title, NotificationOptions(k)))
	}
	return object{"oneOf": kinds}
}

func groupSchema(title string, options []option.Option) object {
	properties := object{}
	required := []string{}
	for _, o := range options {
		properties[o.Name] = optionSchema(o)
		if o.Required {
			required = append(required, o.Name)
		}
	}
	return object{"title": title, "type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// optionSchema is the schema of one option. Every text may hold a reference and may be empty, which means not given.
func optionSchema(o option.Option) object {
	s := object{"description": o.Help}
	if d := plain(o.Default); d != nil {
		s["default"] = d
	}
	if o.Example != "" {
		s["examples"] = []string{o.Example}
	}
	switch o.Type {
	case option.Int:
		s["type"] = []string{"integer", "null"}
		if o.Min != 0 || o.Max != 0 {
			s["minimum"], s["maximum"] = o.Min, o.Max
		}
	case option.Bool:
		s["type"] = []string{"boolean", "null"}
	case option.Duration:
		s["type"] = []string{"string", "integer", "null"}
		s["pattern"] = `^$|^[0-9]`
	case option.Time:
		s["type"] = []string{"string", "null"}
		s["pattern"] = `^$|^[0-9]{4}-[0-9]{2}-[0-9]{2}T`
	case option.StringList:
		s["type"] = []string{"array", "null"}
		s["minItems"], s["uniqueItems"] = 1, true
		item := object{"type": "string"}
		if len(o.Choices) > 0 {
			item["enum"] = o.Choices
		}
		s["items"] = item
	default:
		textSchema(o, s)
	}
	return s
}

func textSchema(o option.Option, s object) {
	reference := object{"type": "string", "pattern": `\$\{(env|file):`}
	switch {
	case len(o.Choices) == 1 && o.Fixed: // the type: tells the kinds of connector apart
		s["const"] = o.Choices[0]
	case len(o.Choices) > 0:
		s["anyOf"] = []any{object{"enum": o.Choices}, reference, object{"enum": []any{"", nil}}}
	case o.Type == option.GUID:
		s["type"] = []string{"string", "null"}
		s["pattern"] = `^$|^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$|\$\{(env|file):`
	case o.Type == option.URL:
		s["type"] = []string{"string", "null"}
		s["pattern"] = `^$|^https?://|\$\{(env|file):`
	case o.Required:
		s["type"], s["minLength"] = "string", 1
	default:
		s["type"] = []string{"string", "null"}
	}
}

// plain turns a default into what a document holds; nil when there is nothing to show.
func plain(v any) any {
	switch v := v.(type) {
	case time.Duration:
		return option.FormatDuration(v)
	case time.Time:
		return v.Format(time.RFC3339)
	case []string:
		if len(v) == 0 {
			return nil
		}
		return v
	case string:
		if v == "" {
			return nil
		}
		return v
	}
	return v
}
