package config

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/webhook"
)

// webhook reads the group of the listener for Microsoft's notifications.
func (r *reader) webhook(n *yaml.Node) webhook.Config {
	fields, ok := r.mapping(n, keyWebhook, "a group")
	if !ok {
		return webhook.Config{}
	}
	e := r.options(n, fields, keyWebhook, webhook.Options())
	c := webhook.ConfigOf(option.NewValues(webhook.Options(), e.values))
	if r.env != nil { // else there may be references in it
		r.checkWebhook(&e, c.Check())
	}
	return c
}

// checkWebhook reports what package webhook finds wrong, each at the option that it names.
func (r *reader) checkWebhook(e *entry, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			r.checkWebhook(e, one)
		}
		return
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return
	}
	name := strings.TrimPrefix(f.Op, keyWebhook+".")
	if e.given(name) && e.values[name] == nil {
		return // has been reported
	}
	n := e.nodes[name]
	if !e.given(name) {
		n = e.node
	}
	text := f.Message
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	r.report(n, join(keyWebhook, name), "%s", text)
}
