package main

import (
	"bytes"
	"fmt"
	"strings"

	"sluice/internal/consent"
	"sluice/internal/option"
	"sluice/internal/source"
)

// typesPage is the page of connector types: the cards of the drivers.
func typesPage(drivers []source.Properties) []byte {
	var b bytes.Buffer
	b.WriteString("# Connector types\n\nThis page is generated from the cards that the connector types declare; `sluice get types TYPE` shows the same. " +
		"The options of a type are on its own page.\n\n| type | category | function | collects |\n| --- | --- | --- | --- |\n")
	for _, d := range drivers {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s |\n", d.Type, d.Type, cell(d.Card.Category), cell(d.Card.Function), cell(strings.Join(d.ContentTypes, ", ")))
	}
	for _, d := range drivers {
		typeSection(&b, d)
	}
	return b.Bytes()
}

func typeSection(b *bytes.Buffer, d source.Properties) {
	c := d.Card
	fmt.Fprintf(b, "\n## %s\n\n**%s.** %s\n\nOptions: [source-%s.md](source-%s.md). Name connectors %s, such as `%s`.\n", d.Type, d.Title, c.Summary, d.Type, d.Type, c.Naming, c.NamingSample)
	rows(b, "### Capabilities", "| capability | | |\n| --- | --- | --- |", c.Capabilities, func(x source.Capability) string {
		has := "no"
		if x.Has {
			has = "yes"
		}
		return fmt.Sprintf("| %s | %s | %s |", cell(x.Name), has, cell(x.Note))
	})
	rows(b, "### Collected data", "| content type | what | index | search | permission |\n| --- | --- | --- | --- | --- |", c.Collects, func(x source.Collected) string {
		return fmt.Sprintf("| `%s` | %s | `%s` | `%s` | %s |", x.ContentType, cell(x.What), x.Index, x.Query, cell(x.Permission))
	})
	rows(b, "### Hosts to allow", "HTTPS from the server to these hosts. A connector that overrides an address needs that host instead.\n\n| plan | host | port | for |\n| --- | --- | --- | --- |", c.Egress, func(x source.Egress) string {
		var lines []string
		for _, h := range x.Hosts {
			lines = append(lines, fmt.Sprintf("| `%s` | `%s` | %d | %s |", x.Plan, h.Name, h.Port, cell(h.Why)))
		}
		return strings.Join(lines, "\n")
	})
	rows(b, "### Licences", "", c.Licences, func(x string) string { return "* " + x })
	rows(b, "### Permissions", "Application permissions, with admin consent.\n\n| API | permission | id | needed for |\n| --- | --- | --- | --- |", c.Permissions, func(x source.Permission) string {
		return fmt.Sprintf("| %s (`%s`) | `%s` | `%s` | %s |", cell(x.API), x.APIID, x.Name, x.ID, cell(x.Why))
	})
	rows(b, "### Register the application", "", c.Register, func(x string) string { return "1. " + x })
	rows(b, "### Switch auditing on", "", c.Audit, func(x string) string { return "1. " + x })
	rows(b, "### Good to know", "", c.Notes, func(x string) string { return "* " + x })
}

// rows prints a heading, an introduction and a line per element; nothing without elements.
func rows[T any](b *bytes.Buffer, heading, intro string, list []T, line func(T) string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", heading)
	if intro != "" {
		b.WriteString(intro + "\n")
	}
	for _, x := range list {
		b.WriteString(line(x) + "\n")
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// consentPage is the page of the section `consent` of sluice.yaml.
func consentPage() []byte {
	var b bytes.Buffer
	b.WriteString(`# Multi-tenant applications (` + "`consent`" + `)

This page is generated from the options that an application declares. A provider registers one application for all customers
and lists it here; ` + "`sluice consent`" + ` makes the links with which customers consent.

` + "```yaml" + `
consent:
  - name: onboarding
    application_id: 99999999-8888-7777-6666-555555555555
    api_access_key: ${env:ONBOARDING_SECRET}
    redirect_uri: https://sluice.example/consent/callback
    connectors:                       # templates: made for each tenant that consents
      - type: office365
        interval: 5m
        content_types: [Audit.AzureActiveDirectory, Audit.Exchange, Audit.SharePoint, Audit.General]
` + "```" + `

| key | type | default | meaning |
| --- | --- | --- | --- |
`)
	for _, o := range consent.ApplicationOptions() {
		kind, value := string(o.Type), ""
		switch {
		case o.Secret:
			kind = "secret"
		case kind == "":
			kind = string(option.String)
		}
		switch {
		case o.Required:
			value = "**required**"
		case o.Default != nil:
			value = fmt.Sprintf("`%v`", o.Default)
		}
		help := o.Help
		if len(o.Choices) > 0 {
			help += " One of `" + strings.Join(o.Choices, "`, `") + "`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, kind, value, cell(help))
	}
	b.WriteString("| `connectors` | list | one `office365` | The connectors that are made for a tenant, at most one of each type. `name`, `tenant_name`, `directory_id`, `application_id` and the " +
		"credential are filled in: leave them out. Every other option of the type can be given. |\n\nOnly secrets can be references here. Connectors are named tenantname-connectortype.\n")
	return b.Bytes()
}
