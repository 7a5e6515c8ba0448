package config

import (
	"fmt"
	"strings"
	"time"

	"sluice/internal/option"
	"sluice/internal/source"
	"sluice/internal/webhook"
)

// Reference returns the reference page, in Markdown, of the connectors of driver d: an example and every option.
func Reference(d source.Properties) string {
	var b strings.Builder
	options := ConnectorOptions(d)
	fmt.Fprintf(&b, "# %s (`%s`)\n\n", d.Title, d.Type)
	b.WriteString("This page is generated from the options that the connector type declares.\n\n")
	if len(d.ContentTypes) > 0 {
		fmt.Fprintf(&b, "Content types: %s.\n\n", codeList(d.ContentTypes))
	}
	b.WriteString("```yaml\nconnectors:\n")
	indent := "  - "
	for _, o := range options {
		if o.Required || o.Name == keyAPIAccessKey {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, o.Name, exampleOf(o))
			indent = "    "
		}
	}
	b.WriteString("```\n\n## Every connector\n\n")
	optionTable(&b, CommonOptions(d))
	if len(d.Options) > 0 {
		fmt.Fprintf(&b, "\n## Options of `%s`\n\n", d.Type)
		optionTable(&b, d.Options)
	}
	b.WriteString("\nA duration is written `90s`, `5m`, `1h30m` or `7d`; a bare number is a number of minutes. A text may name a place instead of a value: " +
		"`${env:NAME}` is an environment variable and `${file:PATH}` the content of a file; `$${` stands for a literal `${`.\n\n" +
		"A secret can also be `@Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/NAME)`. Secrets are looked up when they are used, and the connector starts over by itself when one has changed. " +
		"A secret that is written out is sealed before it is stored, and `sluice get` shows it as `" + KeptSecret + "`; applied to the same connector, that leaves it as it is.\n")
	return b.String()
}

// ServerReference returns the reference page, in Markdown, of the server's own settings in sluice.yaml.
func ServerReference() string {
	var b strings.Builder
	b.WriteString("# Server settings (`sluice.yaml`)\n\nThis page is generated from the options that the server declares.\n\n")
	optionTable(&b, ServerOptions())
	b.WriteString("\n## `lake`\n\n")
	optionTable(&b, LakeOptions())
	b.WriteString("\n## `webhook`\n\nThe listener for notifications of Microsoft. It is off unless `listen` is given.\n\n")
	optionTable(&b, webhook.Options())
	b.WriteString("\n## `secrets`\n\n")
	optionTable(&b, SecretsOptions())
	b.WriteString("\nThe entries of `connectors` are described on the page of their type, those of `filters` on the page of log filters, " +
		"those of `notifications` on the page of notifications, those of `consent` on the page of consent.\n")
	return b.String()
}

// ReferencePages returns the files of the folder docs/reference that follow from declarations, by file name: a page for
// the server's settings, one for log filters, one for notifications, one for each connector type, and the JSON Schema.
func ReferencePages(drivers []source.Properties) map[string][]byte {
	pages := map[string][]byte{
		"server.md":          []byte(ServerReference()),
		"filters.md":         []byte(FilterReference()),
		"notifications.md":   []byte(NotificationReference()),
		"sluice.schema.json": JSONSchema(drivers),
	}
	for _, d := range drivers {
		pages["source-"+d.Type+".md"] = []byte(Reference(d))
	}
	return pages
}

func optionTable(b *strings.Builder, options []option.Option) {
	b.WriteString("| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, o := range options {
		kind := string(o.Type)
		if kind == "" {
			kind = string(option.String)
		}
		if o.Secret {
			kind = "secret"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", o.Name, kind, defaultOf(o), meaningOf(o))
	}
}

func defaultOf(o option.Option) string {
	d := plain(o.Default)
	if list, ok := d.([]string); ok && len(list) == len(o.Choices) {
		return "all"
	}
	switch {
	case o.Required:
		return "**required**"
	case d == nil:
		return ""
	}
	return fmt.Sprintf("`%v`", d)
}

func meaningOf(o option.Option) string {
	text := strings.ReplaceAll(strings.Join(strings.Fields(o.Help), " "), "|", `\|`)
	if len(o.Choices) > 0 {
		text += " One of " + codeList(o.Choices) + "."
	}
	if o.Type == option.StringList && len(o.Choices) > 0 {
		text = strings.Replace(text, " One of ", " Any of ", 1)
	}
	if o.Min != 0 || o.Max != 0 {
		low, high := fmt.Sprint(o.Min), fmt.Sprint(o.Max)
		if o.Type == option.Duration {
			low, high = secondsText(o.Min), secondsText(o.Max)
		}
		text += fmt.Sprintf(" Between %s and %s.", low, high)
	}
	if o.Fixed {
		text += " Fixed after creation."
	}
	return text
}

func exampleOf(o option.Option) string {
	switch {
	case o.Example != "":
		return o.Example
	case o.Secret:
		return "${env:" + strings.ToUpper(o.Name) + "}"
	case len(o.Choices) > 0:
		return o.Choices[0]
	case o.Name == keyApplicationID:
		return "99999999-8888-7777-6666-555555555555"
	case o.Type == option.GUID:
		return "11111111-2222-3333-4444-555555555555"
	case o.Type == option.URL:
		return "https://host.example"
	}
	return "..."
}

func codeList(words []string) string {
	return "`" + strings.Join(words, "`, `") + "`"
}

func secondsText(n int64) string { return option.FormatDuration(time.Duration(n) * time.Second) }
