package movein

import (
	"slices"
	"strings"
)

// The service names of Devo's collector with their content types. The first five are documented; the others are
// accepted aliases, as is the name of a content type itself.
var devoServices = map[string]string{
	"azure_active_directory": "Audit.AzureActiveDirectory",
	"exchange":               "Audit.Exchange",
	"sharepoint":             "Audit.SharePoint",
	"general_audit":          "Audit.General",
	"dlp":                    "DLP.All",

	"active_directory":     "Audit.AzureActiveDirectory",
	"azureactivedirectory": "Audit.AzureActiveDirectory",
	"audit_general":        "Audit.General",
	"general":              "Audit.General",
	"dlp_all":              "DLP.All",
}

// uriRetry is the service that fetches what failed again.
const uriRetry = "uri_retry"

const (
	reasonTag   = "not taken over: a tag belongs to a destination; give it to the one that delivers to Devo"
	reasonPaces = "not needed: Sluice paces its requests itself, per tenant"
)

// devoReasons say why settings of an input or a service have no place.
var devoReasons = map[string]string{
	"id":                      "an identifier within Devo's collector",
	"override_tag":            reasonTag,
	"tag":                     reasonTag,
	"requests_limits":         reasonPaces,
	"reset_persistence_auth":  reasonState,
	"persistence":             reasonState,
	"obfuscation_data":        "not taken over: records are kept byte for byte",
	"autoreconfigure":         "a setting of Devo's collector",
	"environment":             "not the name of a subscription plan",
	"module_properties":       "a setting of Devo's collector",
	"collector_globals":       "a setting of Devo's collector",
	"input_process_globals":   "a setting of Devo's collector",
	"username":                "not taken over: Sluice signs in as an application and needs no user",
	"user":                    "not taken over: Sluice signs in as an application and needs no user",
	"password":                "not taken over: Sluice signs in as an application and needs no user",
	"grant_type":              "not needed: Sluice signs in as an application",
	"scope":                   "not needed: it follows from subscription_plan",
	"resource":                "not needed: it follows from subscription_plan",
	"use_time_slots":          reasonPaces,
	"retry_on_error":          "not needed: what fails is tried again until it succeeds or expires",
	"max_retries":             "not needed: what fails is tried again until it succeeds or expires",
	"time_delta_in_seconds":   "not needed: Sluice looks back by itself for content that appears late",
	"historic_date_utc":       "not taken over: see start_time_in_utc, or back-fill with sluice collect --since",
	"wait_time_in_seconds":    reasonPaces,
	"request_timeout":         "not needed: Sluice has time limits of its own",
	"request_timeout_seconds": "not needed: Sluice has time limits of its own",
}

// isExact recognises the options of filters that guess whether a record was seen.
func isExact(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "bloom") || strings.Contains(name, "dedup") || strings.Contains(name, "duplicate")
}

// isDevo recognises a document by its inputs.
func isDevo(root *node) bool {
	return slices.ContainsFunc(devoInputs(root), isDevoInput)
}

// devoInputs returns the inputs by name, from a group or from a list of groups.
func devoInputs(root *node) []field {
	inputs := root.get("inputs")
	if inputs == nil || root.shape != group {
		return nil
	}
	return append(slices.Clone(inputs.fields), slicesOfGroups(inputs)...)
}

// isDevoInput recognises an input for this API by its name, or by a service that only this API has.
func isDevoInput(f field) bool {
	if f.value.shape != group {
		return false
	}
	name := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(f.name))
	if hasPrefix(name, "office365", "o365", "microsoft365", "msoffice365") && !strings.Contains(name, "exchangemessage") && !strings.Contains(name, "messagetrac") {
		return true
	}
	for _, s := range devoServiceFields(f.value.get("services")) {
		if strings.EqualFold(s.name, "azure_active_directory") || strings.EqualFold(s.name, "general_audit") || strings.EqualFold(s.name, uriRetry) {
			return true
		}
	}
	return false
}

// devo translates one document of Devo's collector.
func (m *mover) devo(root *node) {
	for _, f := range root.fields {
		switch strings.ToLower(f.name) {
		case "inputs":
		case "outputs", "collector_outputs":
			m.leave(f.value, reasonDestination)
		default:
			m.leave(f.value, "a setting of Devo's collector")
		}
	}
	for _, f := range devoInputs(root) {
		if isDevoInput(f) {
			m.devoInput(f.value)
		} else {
			m.leave(f.value, "not an input of the Office 365 Management Activity API")
		}
	}
}

// devoInput makes a connector of each of the input's tenants.
func (m *mover) devoInput(input *node) {
	base := newDraft(input)
	var rest []field
	var api, login *node
	for _, f := range input.fields {
		switch name := strings.ToLower(f.name); name {
		case "credentials", "services":
		case "tenant_id", "directory_id", "client_id", "application_id", "client_secret":
			rest = append(rest, f) // beside the group that they belong into
		case "enabled":
			m.enabled(base, f.value)
		case "tenant_name":
			m.tenant(base, f.value)
		case "environment": // accepted where it names a plan
			m.devoEnvironment(base, f.value)
		case "base_url", "api_base_url", "override_base_url", "management_api": // aliases
			api = f.value
		case "login_url", "auth_url", "override_login_url", "authentication_endpoint": // aliases
			login = f.value
		default:
			m.devoCommon(base, f)
		}
	}
	m.cloud(base, api, login)
	m.devoServices(base, input)
	sets := []*node{{shape: group, pos: input.pos, path: input.path, fields: rest}}
	if c := input.get("credentials"); c != nil {
		switch c.shape {
		case group:
			sets = []*node{{shape: group, pos: c.pos, path: c.path, fields: append(slices.Clone(c.fields), rest...)}}
		case list:
			sets = c.items
		default:
			m.report(c.pos, c.path, "must be a group with tenant_id, client_id and client_secret")
			return
		}
	}
	for _, c := range sets {
		m.devoCredentials(base.clone(), c)
	}
}

// tenant reads the name that the operator added.
func (m *mover) tenant(d *draft, n *node) {
	if text, ok := m.plain(d, keyTenantName, n); ok {
		d.set(keyTenantName, text, n, "")
	}
}

func (m *mover) devoEnvironment(d *draft, n *node) {
	plan := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(n.text))
	switch plan {
	case "enterprise", "gcc", "gcc_high", "dod":
		d.set(keyPlan, plan, n, "")
	default:
		m.leave(n, devoReasons["environment"])
	}
}

// devoCommon reads a setting that an input or one of its services can have.
func (m *mover) devoCommon(d *draft, f field) {
	name := strings.ToLower(f.name)
	switch {
	case name == "start_time_in_utc":
		m.startTime(d, f.value)
	case name == "request_period_in_seconds":
		if every, ok := m.seconds(d, keyInterval, f.value); ok {
			m.interval(d, f.value, every)
		}
	case name == "requests_per_second":
		m.perMinute(d, f.value, 60)
	case isExact(name):
		m.leave(f.value, reasonExact)
	case devoReasons[name] != "":
		m.leave(f.value, devoReasons[name])
	default:
		m.leave(f.value, reasonUnknown)
	}
}

// devoCredentials finishes a connector.
func (m *mover) devoCredentials(d *draft, c *node) {
	m.drafts = append(m.drafts, d)
	if c.shape != group {
		m.report(c.pos, c.path, "must be a group with tenant_id, client_id and client_secret")
		d.broken[keyDirectory], d.broken[keyApplication], d.broken[keySecret] = true, true, true
		return
	}
	for _, need := range []struct {
		key, hint string
		names     []string
	}{
		{keyDirectory, "the directory (tenant) id", []string{"tenant_id", "directory_id", "tenantid"}},
		{keyApplication, "the application (client) id", []string{"client_id", "application_id", "clientid"}},
		{keySecret, "the value of a client secret of the application", []string{"client_secret", "clientsecret"}},
	} {
		if n := c.get(need.names...); n == nil || n.shape == scalar && strings.TrimSpace(n.text) == "" {
			m.missing(d, need.key, c, need.names[0], need.hint)
		} else {
			m.move(d, need.key, n, "")
		}
	}
	if n := c.get("tenant_name"); n != nil {
		m.tenant(d, n)
	}
	m.leaveAll(c, devoReasons, "tenant_id", "directory_id", "tenantid", "client_id", "application_id", "clientid", "client_secret", "clientsecret", "tenant_name")
}

// devoServiceFields returns the services by name: from a group, or from a list of names or of groups.
func devoServiceFields(services *node) []field {
	if services == nil {
		return nil
	}
	out := slices.Clone(services.fields)
	for _, item := range services.items {
		if item.shape == scalar {
			out = append(out, field{name: item.text, pos: item.pos, value: item})
		}
		out = append(out, item.fields...)
	}
	return out
}

// devoServices makes content types of the services.
func (m *mover) devoServices(d *draft, input *node) {
	var found []string
	var from []*node
	services := devoServiceFields(input.get("services"))
	for _, f := range services {
		at := *f.value
		if at.shape == nothing {
			at.pos = f.pos
		}
		name := strings.ToLower(strings.TrimSpace(f.name))
		if name == uriRetry {
			m.take(&at, "built in", "Sluice fetches what failed again until it succeeds or expires, for every connector")
			m.leaveAll(f.value, retryReasons(f.value))
			continue
		}
		known, ok := devoServices[name]
		if !ok {
			known, ok = contentType(name)
		}
		if !ok {
			m.wrong(d, keyContentTypes, &at, "unknown service, known are azure_active_directory, dlp, exchange, general_audit, sharepoint, uri_retry")
			continue
		}
		if off := m.devoService(d, f.value); off {
			m.leave(&at, "switched off there: its content type is not collected")
			continue
		}
		if from = append(from, &at); !slices.Contains(found, known) {
			found = append(found, known)
		}
	}
	if len(found) == 0 {
		if !d.broken[keyContentTypes] {
			m.missing(d, keyContentTypes, input, "services", "name at least one service that is switched on, such as azure_active_directory or general_audit")
		}
		return
	}
	ordered := slices.DeleteFunc(contentTypeNames(), func(name string) bool { return !slices.Contains(found, name) })
	d.settings[keyContentTypes] = setting{value: ordered, from: from[0], also: from[1:]}
}

// retryReasons answers the settings of the service uri_retry.
func retryReasons(service *node) map[string]string {
	reasons := map[string]string{}
	for _, f := range service.fields {
		name := strings.ToLower(f.name)
		switch {
		case isExact(name):
			reasons[name] = reasonExact
		case name == "override_tag":
			reasons[name] = reasonTag
		default:
			reasons[name] = "not needed: the queue of failed fetches is built in and paces itself"
		}
	}
	return reasons
}

// devoService reads the settings of one service and tells whether it is switched off.
func (m *mover) devoService(d *draft, service *node) (off bool) {
	if service.shape == scalar {
		switch strings.ToLower(service.text) {
		case "false", "no", "off":
			return true
		}
		return false // a name in a list, or true
	}
	if service.shape == list {
		m.wrong(d, keyContentTypes, service, "must be a group of settings, may be empty: {}")
		return false
	}
	if n := service.get("enabled"); n != nil {
		if on, ok := m.truth(d, keyContentTypes, n); ok && !on {
			return true
		}
	}
	for _, f := range service.fields {
		if !strings.EqualFold(f.name, "enabled") {
			m.devoCommon(d, f)
		}
	}
	return false
}
