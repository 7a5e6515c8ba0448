package consent

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/source"
)

// record stores a tenant and gives it its name: the one it has, else that of its connectors, else the label, else the
// domain of the link, else its id.
func (m *Manager) record(ctx context.Context, t Tenant, p pending) (Tenant, error) {
	existing, err := m.connectors(ctx)
	if err != nil {
		return t, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, err := m.tenants(ctx)
	if err != nil {
		return t, err
	}
	taken := map[string]bool{}
	for _, other := range known {
		if other.ID == t.ID {
			t.Name = other.Name
			continue
		}
		taken[slug(other.Name)] = true
	}
	own := ""
	for _, c := range existing {
		if strings.EqualFold(c.DirectoryID, t.ID) {
			own = c.TenantName // one directory has one tenant_name, for ever
			continue
		}
		taken[slug(c.TenantName)] = true
	}
	switch {
	case own != "":
		t.Name = own
	case t.Name == "" || t.Name == t.ID && p.Label != "":
		t.Name = unique(wanted(t, p), func(s string) bool { return taken[s] })
	}
	return t, m.put(ctx, tenantPrefix+t.ID, t)
}

// wanted is the name that a new tenant should have.
func wanted(t Tenant, p pending) string {
	if name := ascii(p.Label); name != "" {
		return name
	}
	if p.Tenant != "" && !option.IsGUID(p.Tenant) {
		first, _, _ := strings.Cut(p.Tenant, ".")
		return first
	}
	return t.ID
}

// tenants reads what is stored, by name, without connectors.
func (m *Manager) tenants(ctx context.Context) ([]Tenant, error) {
	all, err := m.store.Values(ctx, tenantPrefix)
	if err != nil {
		return nil, err
	}
	list := make([]Tenant, 0, len(all))
	for key, text := range all {
		var t Tenant
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, fault.Wrap(fault.Internal, "read "+key, err)
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Tenants lists the tenants that consented, by name, each with the connectors that exist for it now.
func (m *Manager) Tenants(ctx context.Context) ([]Tenant, error) {
	list, err := m.tenants(ctx)
	if err != nil {
		return nil, err
	}
	existing, err := m.connectors(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Connectors = []Connector{}
		for _, c := range existing {
			if strings.EqualFold(c.DirectoryID, list[i].ID) {
				list[i].Connectors = append(list[i].Connectors, c)
			}
		}
	}
	return list, nil
}

// CreateFrom writes the connectors of the templates for tenants that consented, given by id or name. A type of which the
// tenant has a connector is skipped, so that nothing that somebody changed is overwritten. The document still has to be
// tried: apply it with DryRun first. An empty Draft.Document means that there is nothing to do.
func (m *Manager) CreateFrom(ctx context.Context, tenants ...string) (Draft, error) {
	const op = "create connectors"
	var draft Draft
	all, err := m.Tenants(ctx)
	if err != nil {
		return draft, err
	}
	existing, err := m.connectors(ctx)
	if err != nil {
		return draft, err
	}
	names := map[string]bool{}
	for _, c := range existing {
		names[c.Name] = true
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	done := map[string]bool{}
	for _, word := range tenants {
		t, err := findTenant(op, all, word)
		if err != nil {
			return Draft{}, err
		}
		if done[t.ID] {
			continue
		}
		done[t.ID] = true
		a, err := m.application(ctx, t.Application)
		if err != nil {
			return Draft{}, err
		}
		for _, template := range a.Templates {
			i := slices.IndexFunc(t.Connectors, func(c Connector) bool { return c.Type == template.Type })
			if i >= 0 {
				draft.Skipped = append(draft.Skipped, Skip{TenantID: t.ID, Type: template.Type, Existing: t.Connectors[i].Name})
				continue
			}
			name := connectorName(t.Name, template.Type, "")
			if names[name] {
				name = connectorName(t.Name, template.Type, t.ID[:8])
			}
			if names[name] {
				return Draft{}, fault.Newf(fault.Conflict, op, "a connector named %s exists and belongs to another tenant", name).
					WithHint("delete it, or create the connector of this tenant by hand with sluice apply")
			}
			names[name] = true
			d, _ := driver(m.drivers, template.Type)
			node, err := render(a, template, d, name, t.Name, t.ID)
			if err != nil {
				return Draft{}, fault.Wrap(fault.Internal, op, err)
			}
			list.Content = append(list.Content, node)
			draft.Names = append(draft.Names, name)
		}
	}
	if len(draft.Names) == 0 {
		return draft, nil
	}
	draft.Document, err = document(list)
	return draft, err
}

func findTenant(op string, all []Tenant, word string) (Tenant, error) {
	for _, t := range all {
		if strings.EqualFold(t.ID, word) || strings.EqualFold(t.Name, word) {
			return t, nil
		}
	}
	return Tenant{}, fault.Newf(fault.NotFound, op, "no tenant %q has consented", word).
		WithHint("sluice consent list shows those that did; sluice consent url makes a link")
}

func document(list *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	root := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "connectors"}, list}}
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// render writes one connector: what consent fills in, then the template, then the credential. An option that the driver
// does not declare or the template gives itself is left out.
func render(a Application, t Template, d source.Properties, name, tenantName, tenantID string) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value any) error {
		var k, v yaml.Node
		k.SetString(key)
		if err := v.Encode(value); err != nil {
			return err
		}
		if v.Kind == yaml.SequenceNode {
			v.Style = yaml.FlowStyle
		}
		n.Content = append(n.Content, &k, &v)
		return nil
	}
	settings := []Setting{{keyName, name}, {keyTenantName, tenantName}, {keyType, t.Type}}
	settings = append(settings, t.Options...)
	for _, s := range []Setting{
		{keyPlan, a.Plan},
		{keyLogin, unless(a.LoginURL, planOf(a.Plan).LoginURL)},
		{keyDirectoryID, tenantID},
		{keyApplicationID, a.ApplicationID},
		{keySecret, a.Secret.Text()},
		{keyCertificate, a.CertificateFile},
		{keyCertificatePass, a.CertificatePass.Text()},
		{keyCAFile, a.CAFile},
	} {
		declared := slices.ContainsFunc(d.Options, func(o option.Option) bool { return o.Name == s.Name })
		given := slices.ContainsFunc(t.Options, func(o Setting) bool { return o.Name == s.Name })
		if declared && !given && s.Value != "" {
			settings = append(settings, s)
		}
	}
	for _, s := range settings {
		if err := add(s.Name, s.Value); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// unless is value, or "" when it is the usual one.
func unless(value, usual string) string {
	if value == usual {
		return ""
	}
	return value
}

func driver(drivers []source.Properties, name string) (source.Properties, bool) {
	i := slices.IndexFunc(drivers, func(d source.Properties) bool { return d.Type == name })
	if i < 0 {
		return source.Properties{}, false
	}
	return drivers[i], true
}
