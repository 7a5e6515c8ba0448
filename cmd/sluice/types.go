package main

import (
	"context"
	"fmt"
	"strings"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/source"
)

// kindTypes is what `get` takes beside the kinds of entries.
const kindTypes = "types"

// getTypes prints the connector types: one line each, or the whole card of one.
func (c *cli) getTypes(ctx context.Context, server *client.Client, name, output string) error {
	if name != "" {
		t, err := server.Type(ctx, name)
		if err != nil {
			return err
		}
		if output == "json" {
			return c.printJSON(t)
		}
		return c.printCard(t)
	}
	all, err := server.Types(ctx)
	if err != nil {
		return err
	}
	if output == "json" {
		return c.printJSON(all)
	}
	t := newTable(c.out, "TYPE", "CATEGORY", "FUNCTION", "CONTENT TYPES", "TITLE")
	for _, info := range all {
		t.row(info.Type, info.Category, info.Function, strings.Join(info.ContentTypes, ", "), info.Title)
	}
	if err := t.flush(); err != nil {
		return err
	}
	c.sayf("hint: sluice get types TYPE shows what a type needs")
	return nil
}

// printCard prints what a person wants to know before creating a connector of a type.
func (c *cli) printCard(t api.TypeInfo) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n", t.Title, t.Type)
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if t.Summary != "" {
		line("%s", t.Summary)
	}
	line("")
	line("category: %s   function: %s", orDash(t.Category), orDash(t.Function))
	if t.Naming != "" {
		line("naming:   %s, such as %s", t.Naming, t.NamingSample)
	}
	section(&b, "Capabilities", t.Capabilities, func(x source.Capability) string {
		word := "no"
		if x.Has {
			word = "yes"
		}
		return noted(x.Name+": "+word, x.Note)
	})
	section(&b, "Collects", t.Collects, func(x source.Collected) string {
		return fmt.Sprintf("%s: %s\n  find it: sluice search '%s' --index %s", x.ContentType, x.What, x.Query, x.Index)
	})
	section(&b, "Hosts to allow, HTTPS", t.Egress, func(x source.Egress) string {
		var hosts []string
		for _, h := range x.Hosts {
			hosts = append(hosts, fmt.Sprintf("%s:%d (%s)", h.Name, h.Port, h.Why))
		}
		return x.Plan + ": " + strings.Join(hosts, ", ")
	})
	section(&b, "Licences", t.Licences, func(x string) string { return x })
	section(&b, "Permissions", t.Permissions, func(x source.Permission) string {
		return noted(x.API+" > "+x.Name, x.Why)
	})
	steps(&b, "Register the application", t.Register)
	steps(&b, "Switch auditing on", t.Audit)
	section(&b, "Good to know", t.Notes, func(x string) string { return x })
	return c.printf("%s", b.String())
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func noted(text, note string) string {
	if note == "" {
		return text
	}
	return text + ": " + note
}

// section prints a list below a heading; an empty one not at all.
func section[T any](b *strings.Builder, heading string, list []T, text func(T) string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", heading)
	for _, x := range list {
		fmt.Fprintf(b, "  - %s\n", strings.ReplaceAll(text(x), "\n", "\n    "))
	}
}

// steps prints numbered steps below a heading.
func steps(b *strings.Builder, heading string, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", heading)
	for i, step := range list {
		fmt.Fprintf(b, "  %d. %s\n", i+1, step)
	}
}
