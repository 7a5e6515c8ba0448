package movein

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/option"
)

// sentinelReasons say why settings of the function app have no place (Azure/Azure-Sentinel, DataConnectors/O365 Data).
var sentinelReasons = map[string]string{
	"workspaceid":     reasonDestination,
	"workspacekey":    reasonDestination,
	"customlogname":   reasonDestination,
	"lauri":           reasonDestination,
	"loganalyticsuri": reasonDestination,

	"timediff":            reasonState,
	"azurewebjobsstorage": reasonState,
	"website_contentazurefileconnectionstring": reasonState,
	"website_contentshare":                     reasonState,

	"numberoftenants": "not needed: every tenant becomes a connector",
	"schedule":        "not taken over: the time between two looks is the connector's interval",
}

// tenantSetting is a setting of the edition for several tenants: tenant2_clientID.
var tenantSetting = regexp.MustCompile(`^tenant(\d{1,4})_(.+)$`)

// appSettings are the settings of a function app, by name.
type appSettings struct {
	at       *node
	settings []field          // names as given
	beside   []field          // what stands beside them in the same file
	deployed map[string]*node // parameters of a template, in lower case; nil when the settings are no part of one
	coded    bool             // the values are encrypted
}

// get finds a setting without letter case: PowerShell reads them from the environment that way.
func (a appSettings) get(prefix string, names ...string) *node {
	for _, name := range names {
		for _, f := range a.settings {
			if strings.EqualFold(f.name, prefix+name) && f.value.shape != nothing {
				return f.value
			}
		}
	}
	return nil
}

// isSentinel recognises the settings by a client id together with another name that only this function app has.
func isSentinel(root *node) bool {
	_, ok := findAppSettings(root)
	return ok
}

// looksLikeSentinel tells whether fields are the settings of this function app.
func looksLikeSentinel(fields []field) bool {
	a := appSettings{settings: fields}
	has := func(names ...string) bool {
		return slices.ContainsFunc(a.settings, func(f field) bool {
			return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(f.name, name) })
		})
	}
	if has("tenant1_clientID") {
		return true
	}
	marks := 0
	for _, names := range [][]string{
		{"tenantGuid", "tenantGUIDs"}, {"domain", "tenantDomain"}, {"contentTypes"}, {"recordTypes"}, {"publisher"}, {"clientSecret"},
	} {
		if has(names...) {
			marks++
		}
	}
	return has("clientID") && marks >= 2
}

// findAppSettings finds the settings in any of the forms in which they are written down:
//
//	{"Values": {...}}                          local.settings.json
//	[{"name": ..., "value": ...}]              az functionapp config appsettings list
//	{"parameters": {"clientID": {"value": ..}}}  parameters of the template
//	{"resources": [...]}                       the template itself, or what az exports
//	{"properties": {...}}                      az rest .../config/appsettings/list
//	{"clientID": ...}                          a plain object
func findAppSettings(root *node) (appSettings, bool) {
	var parameters map[string]*node
	if root.get("parameters", "resources", "$schema") != nil {
		parameters = map[string]*node{}
	}
	for _, f := range root.get("parameters").children() {
		if v := f.value.get("value", "defaultValue"); v != nil {
			parameters[strings.ToLower(f.name)] = v
		}
	}
	candidates := [][]field{namedValues(root)}
	if root.shape == group {
		values := root.get("Values")
		if looksLikeSentinel(values.children()) {
			coded := root.get("IsEncrypted")
			return appSettings{at: values, settings: values.fields, beside: root.fields, coded: coded.is(scalar) && strings.EqualFold(coded.text, "true")}, true
		}
		candidates = append(candidates, siteSettings(root, 0)...)
		candidates = append(candidates, root.fields, parameterFields(root.get("parameters")))
	}
	for _, fields := range candidates {
		if looksLikeSentinel(fields) {
			return appSettings{at: root, settings: fields, deployed: parameters}, true
		}
	}
	return appSettings{}, false
}

// children returns the fields of a group, none of anything else.
func (n *node) children() []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// namedValues reads a list of name and value.
func namedValues(n *node) []field {
	if !n.is(list) {
		return nil
	}
	var fields []field
	for _, item := range n.items {
		name := item.get("name")
		if !name.is(scalar) {
			continue
		}
		value := &node{pos: item.pos}
		for _, f := range item.fields {
			if strings.EqualFold(f.name, "value") {
				value = f.value
			}
		}
		at := *value
		at.path = child("", name.text) // the name says more than the number of the item
		fields = append(fields, field{name: name.text, pos: name.pos, value: &at})
	}
	return fields
}

// parameterFields reads the parameters of a template as settings: their names are nearly the same.
func parameterFields(parameters *node) []field {
	var fields []field
	for _, f := range parameters.children() {
		if v := f.value.get("value", "defaultValue"); v != nil {
			name := f.name
			if strings.EqualFold(name, "office365Environment") {
				name = "managementApi"
			}
			fields = append(fields, field{name: name, pos: f.pos, value: v})
		}
	}
	return fields
}

// siteSettings finds app settings below n: properties of a resource appsettings, or siteConfig.appSettings of a site.
func siteSettings(n *node, depth int) [][]field {
	if n == nil || depth > 8 {
		return nil
	}
	var found [][]field
	for _, place := range []*node{n, n.get("properties"), n.get("siteConfig"), n.get("properties").get("siteConfig")} {
		settings := place.get("appSettings")
		found = append(found, namedValues(settings), settings.children())
	}
	found = append(found, n.get("properties").children())
	for _, resource := range n.get("resources").list() {
		found = append(found, siteSettings(resource, depth+1)...)
	}
	return found
}

// list returns the items of a list, none of anything else.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// sentinel translates the settings of a function app: one connector for each tenant.
func (m *mover) sentinel(root *node) {
	a, ok := findAppSettings(root)
	if !ok {
		return
	}
	if a.coded {
		m.report(a.at.pos, a.at.path, "the values are encrypted: decrypt them with `func settings decrypt`, or print those of the deployed app with `az functionapp config appsettings list`")
		return
	}
	base := newDraft(a.at)
	if n := m.given(base, keyPublisher, a, "", "publisher", "publisherIdentifier"); n != nil {
		m.move(base, keyPublisher, n, "")
	}
	if n := m.given(base, keyContentTypes, a, "", "contentTypes"); n != nil {
		m.contentTypes(base, n, m.texts(base, keyContentTypes, n, true))
	}
	m.cloud(base, m.given(base, keyEndpoint, a, "", "managementApi"), m.given(base, keyAuthority, a, "", "loginEndpoint"))
	if n := a.get("", "AzureWebJobs.TimerTrigger.Disabled"); n != nil {
		if off, ok := m.truth(base, keyEnabled, n); ok {
			base.set(keyEnabled, !off, n, "")
		}
	}
	m.sentinelFilter(a)
	for _, prefix := range a.prefixes() {
		m.sentinelTenants(base, a, prefix)
	}
	m.sentinelRest(a)
}

// prefixes returns the beginnings of the names of tenants' settings: "" and tenant1_, tenant2_, ... in order.
func (a appSettings) prefixes() []string {
	numbers := map[int]string{}
	for _, f := range a.settings {
		if t := tenantSetting.FindStringSubmatch(strings.ToLower(f.name)); t != nil {
			if n, err := strconv.Atoi(t[1]); err == nil {
				numbers[n] = "tenant" + t[1] + "_"
			}
		}
	}
	var prefixes []string
	if len(numbers) == 0 || a.get("", "domain", "tenantDomain", "tenantGuid", "tenantGUIDs") != nil {
		prefixes = append(prefixes, "")
	}
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		prefixes = append(prefixes, numbers[n])
	}
	return prefixes
}

// given returns a setting whose value is there, looking parameters of a template up. It reports a value that only a
// deployment can compute.
func (m *mover) given(d *draft, key string, a appSettings, prefix string, names ...string) *node {
	n := a.get(prefix, names...)
	if n == nil || n.shape == scalar && strings.TrimSpace(n.text) == "" {
		return nil
	}
	n, ok := a.computed(n)
	if !ok {
		m.wrong(d, key, n, "is computed when the template is deployed: print the settings of the deployed app with `az functionapp config appsettings list` and apply those")
		return nil
	}
	return n
}

var parameterExpression = regexp.MustCompile(`^\[\s*parameters\(\s*'([^']+)'\s*\)\s*\]$`)

// computed looks up an expression of a template that names a parameter. It is false for other expressions.
func (a appSettings) computed(n *node) (*node, bool) {
	if a.deployed == nil || n.shape != scalar || !strings.HasPrefix(n.text, "[") || !strings.HasSuffix(n.text, "]") {
		return n, true
	}
	if literal, ok := strings.CutPrefix(n.text, "[["); ok {
		c := *n
		c.text = "[" + literal
		return &c, true
	}
	p := parameterExpression.FindStringSubmatch(n.text)
	if p == nil {
		return n, false
	}
	value := a.deployed[strings.ToLower(p[1])]
	return cmp.Or(value, n), value != nil
}

// sentinelTenants makes the connectors of one client id, which can be used for several directories.
func (m *mover) sentinelTenants(base *draft, a appSettings, prefix string) {
	d := base.clone()
	if prefix != "" {
		d.at = a.get(prefix, "clientID", "domain", "tenantGuid", "clientSecret")
		if d.at == nil {
			return // settings with this number hold nothing
		}
	}
	for _, need := range []struct{ key, name, hint string }{
		{keyApplication, "clientID", "the application (client) id"},
		{keySecret, "clientSecret", "the value of a client secret, or a reference to it"},
	} {
		if n := m.given(d, need.key, a, prefix, need.name); n != nil {
			m.move(d, need.key, n, "")
		} else if !d.broken[need.key] {
			m.missing(d, need.key, a.at, prefix+need.name, need.hint)
		}
	}
	if n := m.given(d, keyTenantName, a, prefix, "tenant_name", "tenantName"); n != nil {
		m.tenant(d, n)
	}
	domains := m.sentinelDomains(d, a, prefix)
	var ids []*node
	if n := a.get(prefix, "tenantGuid", "tenantGUIDs", "tenantID"); n != nil {
		if _, ok := a.computed(n); !ok && len(domains) > 0 {
			m.leave(n, "computed when the template is deployed; the domain is looked up instead")
		} else if n = m.given(d, keyDirectory, a, prefix, "tenantGuid", "tenantGUIDs", "tenantID"); n != nil {
			ids = m.sentinelIDs(d, n)
		}
	}
	if len(ids) == 0 && len(domains) == 0 && !d.broken[keyDirectory] {
		m.missing(d, keyDirectory, a.at, prefix+"domain", "the tenant's domain, or its directory id as "+prefix+"tenantGuid")
	}
	m.sentinelDirectories(d, ids, domains)
}

// sentinelIDs reads the directory ids: one, a list, several with commas, or a reference.
func (m *mover) sentinelIDs(d *draft, n *node) []*node {
	if n.is(scalar) && strings.Contains(n.text, "${") {
		return []*node{n}
	}
	return m.texts(d, keyDirectory, n, true)
}

// sentinelDomains reads the tenant's domains. Older versions take the part before .onmicrosoft.com alone.
func (m *mover) sentinelDomains(d *draft, a appSettings, prefix string) []*node {
	n := m.given(d, keyDirectory, a, prefix, "domain", "tenantDomain", "tenantDomains")
	domains := m.texts(d, keyDirectory, n, true)
	for _, one := range domains {
		if !strings.Contains(one.text, ".") && !option.IsGUID(one.text) {
			one.text += ".onmicrosoft.com"
		}
	}
	return domains
}

// sentinelDirectories finishes the connectors: one for each id, or for each domain where there is no id.
func (m *mover) sentinelDirectories(d *draft, ids, domains []*node) {
	places := ids
	if len(ids) == 0 {
		places = domains
	}
	if len(places) == 0 {
		m.drafts = append(m.drafts, d)
		return
	}
	if s, ok := d.settings[keyTenantName]; ok && len(places) > 1 {
		m.wrong(d, keyTenantName, s.from, "cannot name several tenants")
		delete(d.settings, keyTenantName)
	}
	for i, n := range places {
		one := d.clone()
		if len(ids) > 0 && len(domains) == len(ids) {
			one.names = append(one.names, hint{domains[i].text, domains[i]})
		}
		switch {
		case len(ids) > 0:
			m.move(one, keyDirectory, n, "")
		default:
			one.set(keyDirectory, n.text, n, "")
		}
		m.drafts = append(m.drafts, one)
	}
	if len(ids) > 0 && len(domains) > 0 && len(domains) != len(ids) {
		for _, n := range domains {
			m.leave(n, "not needed: the directory ids are given")
		}
	}
}

// sentinelFilter answers what the function app drops and Sluice keeps.
func (m *mover) sentinelFilter(a appSettings) {
	n := a.get("", "recordTypes")
	if n == nil {
		return
	}
	if text := strings.TrimSpace(n.text); n.is(scalar) && (text == "0" || text == "") {
		m.take(n, "built in", "0 stands for all record types, which is what Sluice keeps; also the alerts of Cloud App Security that the function app drops")
		return
	}
	m.leave(n, "not taken over: Sluice keeps records of all types; choose in the search or in what is delivered")
	m.warn(n, "more records arrive than with the function app, which kept some record types only and no alerts of Cloud App Security")
}

// sentinelRest answers the settings that were not looked at.
func (m *mover) sentinelRest(a appSettings) {
	for _, f := range a.beside {
		if f.value != a.at && !strings.EqualFold(f.name, "IsEncrypted") {
			m.leave(f.value, "a setting of the Azure Functions tools")
		}
	}
	known := []string{
		"clientid", "clientsecret", "domain", "tenantdomain", "tenantdomains", "tenantguid", "tenantguids", "tenantid", "tenant_name", "tenantname",
		"publisher", "publisheridentifier", "contenttypes", "managementapi", "loginendpoint", "recordtypes", "azurewebjobs.timertrigger.disabled",
	}
	for _, f := range a.settings {
		name := strings.ToLower(f.name)
		if t := tenantSetting.FindStringSubmatch(name); t != nil {
			name = t[2]
		}
		reason, ok := sentinelReasons[name]
		switch {
		case slices.Contains(known, name):
			continue
		case ok:
		case hasPrefix(name, "website_", "functions_", "appinsights_", "applicationinsights_", "azurewebjobs", "scm_", "wefunctions_"):
			reason = "a setting of the Azure Functions host"
		case hasPrefix(name, "$schema", "contentversion", "resources", "variables", "parameters", "outputs"):
			continue
		default:
			reason = reasonUnknown
		}
		m.leave(f.value, reason)
	}
}

func hasPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
}
