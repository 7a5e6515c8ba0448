package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/notify"
	"sluice/internal/option"
)

// Notification is a checked target of notifications. It is immutable by convention. What one option means for another
// is checked by notify.Build.
type Notification struct {
	Name   string // unique among the notifications
	Type   string // one of notify.Kinds
	Values option.Values
	Pos    Position // of the entry in its document

	at place // for messages about several targets
}

// NotificationOptions declares every key of a notification of a kind, in canonical order. For the zero Kind the choices
// are open.
func NotificationOptions(k notify.Kind) []option.Option {
	var types []string
	if k.Type != "" {
		types = []string{k.Type}
	}
	return append([]option.Option{
		{Name: keyName, Required: true, Fixed: true, Example: "soc", Help: "Name of the target, unique among the notifications. Printable ASCII, at most 64 characters. What it was told is kept under this name."},
		{Name: keyType, Required: true, Fixed: true, Choices: types, Example: k.Type, Help: "Type of the target: how it is told."},
	}, k.Options...)
}

// notifications reads the list of targets and checks them together.
func (r *reader) notifications(n *yaml.Node, path string) []Notification {
	list := readList(r, n, path, "notifications", r.notification)
	for i, t := range list {
		if taken := slices.IndexFunc(list[:i], func(o Notification) bool { return o.Name == t.Name && t.Name != "" }); taken >= 0 {
			r.report(t.at.name, join(t.at.path, keyName), "the name %q is taken by the notification on line %d", t.Name, list[taken].Pos.Line)
		}
	}
	return list
}

// notification reads one target. It is false when n is nothing that can be looked into.
func (r *reader) notification(n *yaml.Node, path string) (Notification, bool) {
	fields, ok := r.mapping(n, path, "a notification")
	if !ok {
		return Notification{}, false
	}
	kind, known := r.notificationKind(fields, path)
	options := NotificationOptions(kind)
	var also []string
	if !known {
		also = everyNotificationOption()
	}
	e := r.options(n, fields, path, options, also...)
	r.checkName(&e, keyName)
	for _, o := range options {
		// The address of a receiver is often no secret, and then best read where it stands.
		if text, ok := e.spec[o.Name].(string); ok && o.Secret && o.Name != keyURL && option.NewRef(text).Literal() {
			r.warn(e.nodes[o.Name], join(path, o.Name), "the secret stands in the document: prefer ${env:NAME} or ${file:PATH}")
		}
	}
	v := option.NewValues(options, e.values)
	return Notification{
		Name: v.String(keyName), Type: kind.Type, Values: v, Pos: r.position(n), at: place{path: path, name: e.nodes[keyName]},
	}, true
}

// notificationKind finds the kind that the key `type` names. It reports an unknown one; a missing one is the business
// of required options.
func (r *reader) notificationKind(fields []field, path string) (notify.Kind, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == keyType })
	if i < 0 {
		return notify.Kind{}, false
	}
	n := fields[i].value
	var names []string
	for _, k := range notify.Kinds() {
		if strings.EqualFold(k.Type, n.Value) {
			return k, true
		}
		names = append(names, k.Type)
	}
	if n.ShortTag() == "!!str" && n.Value != "" {
		text := fmt.Sprintf("unknown notification type %q, known are %s", n.Value, strings.Join(names, ", "))
		if near := nearest(n.Value, names); near != "" {
			text = fmt.Sprintf("unknown notification type %q, did you mean %q?", n.Value, near)
		}
		r.report(n, join(path, keyType), "%s", text)
	}
	return notify.Kind{}, false
}

// everyNotificationOption names the options of all kinds: without a type, a key of any of them may be right.
func everyNotificationOption() []string {
	var names []string
	for _, k := range notify.Kinds() {
		names = append(names, optionNames(k.Options)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NotificationReference returns the reference page, in Markdown, of the notifications: an example and every option of
// each type.
func NotificationReference() string {
	var b strings.Builder
	b.WriteString("# Notifications\n\nThis page is generated from the options that the targets declare. " +
		"Notifications stand in the file of `sluice up --config`; `sluice get notifications` shows how they do, `sluice test NAME` tries one out.\n\n" +
		"```yaml\nnotifications:\n")
	for _, k := range notify.Kinds() {
		indent := "  - "
		for _, o := range NotificationOptions(k) {
			if o.Required {
				fmt.Fprintf(&b, "%s%s: %s\n", indent, o.Name, notificationExample(k, o))
				indent = "    "
			}
		}
	}
	b.WriteString("```\n")
	policy := notify.PolicyOptions()
	for _, k := range notify.Kinds() {
		own := slices.DeleteFunc(NotificationOptions(k), func(o option.Option) bool {
			_, common := findOption(policy, o.Name)
			return common
		})
		fmt.Fprintf(&b, "\n## %s (`%s`)\n\n", k.Title, k.Type)
		optionTable(&b, own)
	}
	b.WriteString("\n## What is told, and when\n\nEvery target has these options too.\n\n")
	optionTable(&b, policy)
	return b.String()
}

func notificationExample(k notify.Kind, o option.Option) string {
	switch {
	case o.Name == keyName:
		return "soc-" + k.Type
	case o.Name == keyType:
		return k.Type
	case o.Type == option.StringList:
		return "[soc@example.com]"
	}
	return exampleOf(o)
}
