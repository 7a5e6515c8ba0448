package movein

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/internal/option"
)

const (
	beatInput  = "o365audit" // type of an input
	beatModule = "o365"      // name of a module
)

// reasonRecord answers settings that shape what Filebeat sends.
const reasonRecord = "not taken over: the record is kept byte for byte, with normalised fields beside it"

// beatReasons say why settings of an input have no place. Those of x-pack/filebeat/input/o365audit are complete, the
// others belong to every input.
var beatReasons = map[string]string{
	"processors":               "not taken over: processors change or drop events; " + strings.TrimPrefix(reasonRecord, "not taken over: "),
	"tags":                     reasonRecord,
	"fields":                   reasonRecord,
	"fields_under_root":        reasonRecord,
	"keep_null":                reasonRecord,
	"preserve_original_event":  "not needed: the original record is always kept, byte for byte",
	"publisher_pipeline":       reasonRecord,
	"index":                    reasonDestination,
	"pipeline":                 reasonDestination,
	"id":                       "an identifier within Filebeat",
	"ssl":                      "not a setting of this input",
	"certificate_authorities":  "not a setting of this input; a proxy's authority goes into ca_file",
	"var":                      "not a setting of this place",
	"max_retention":            "not taken over: collecting begins when the connector is made; fetch what is older with sluice collect NAME --since 7d",
	"adjust_clock":             "not needed: Sluice asks for windows that a clock difference cannot break",
	"adjust_clock_warn":        "not needed: Sluice asks for windows that a clock difference cannot break",
	"set_id_from_audit_record": reasonExact,
	"error_retry_interval":     "not needed: what fails is tried again with growing waits, or when Microsoft says so",
	"max_query_size":           "not needed: no window is longer than the 24 hours that Microsoft allows",
	"input":                    "not taken over: it overrides settings of Filebeat's input",
	"paths":                    "not taken over: it reads files; use sluice import",
}

// isFilebeat recognises a document by an input of type o365audit or the module o365.
func isFilebeat(root *node) bool {
	root = expanded(root)
	if isBeat(root) {
		return true
	}
	beats := root.get("filebeat")
	for _, n := range []*node{root, beats.get("inputs"), beats.get("modules"), beats.get("prospectors")} {
		if n != nil && slices.ContainsFunc(n.items, isBeat) {
			return true
		}
	}
	return false
}

// isBeat recognises an input or a module.
func isBeat(n *node) bool {
	typ, module := n.get("type"), n.get("module")
	return typ.is(scalar) && typ.text == beatInput || module.is(scalar) && module.text == beatModule
}

// filebeat translates one document of Filebeat.
func (m *mover) filebeat(root *node) {
	root = expanded(root)
	if root.shape == list || isBeat(root) {
		items := root.items
		if root.shape == group {
			items = []*node{root}
		}
		m.beats(items)
		return
	}
	for _, f := range root.fields {
		switch f.name {
		case "filebeat":
			m.beatSection(f.value)
		case "output":
			m.leave(f.value, reasonDestination)
		case "processors":
			m.leave(f.value, beatReasons["processors"])
		default:
			m.leave(f.value, "a setting of Filebeat itself")
		}
	}
}

// beatSection reads what is below the key filebeat.
func (m *mover) beatSection(section *node) {
	for _, f := range section.fields {
		switch f.name {
		case "inputs", "modules", "prospectors":
			if f.value.shape == list {
				m.beats(f.value.items)
			} else {
				m.leave(f.value, reasonUnknown)
			}
		case "config":
			m.leave(f.value, "not taken over: files that it names are not read; apply them one by one, such as modules.d/o365.yml")
		case "registry":
			m.leave(f.value, reasonState)
		default:
			m.leave(f.value, "a setting of Filebeat itself")
		}
	}
}

func (m *mover) beats(items []*node) {
	for _, item := range items {
		switch {
		case item.get("module").is(scalar) && item.get("module").text == beatModule:
			m.beatModule(item)
		case isBeat(item):
			m.beatInput(item, item, newDraft(item))
		default:
			m.leave(item, "not an input of the Office 365 Management Activity API")
		}
	}
}

// beatModule reads the filesets of the module o365.
func (m *mover) beatModule(module *node) {
	for _, f := range module.fields {
		switch f.name {
		case "module":
		case "audit":
			m.beatFileset(f.value)
		case "enabled":
			m.leave(f.value, "not needed: filesets are switched on and off one by one")
		case "mailtrace":
			m.leave(f.value, "not taken over: message trace is another connector type than "+connectorType)
		default:
			m.leave(f.value, reasonUnknown)
		}
	}
}

// beatFileset reads the fileset audit, whose settings are in the group var.
func (m *mover) beatFileset(fileset *node) {
	if fileset.shape != group {
		m.report(fileset.pos, fileset.path, "must be a group with the settings var.application_id, var.tenants and a credential")
		return
	}
	d := newDraft(fileset)
	vars := fileset.get("var")
	if kind := vars.get("input"); kind.is(scalar) && kind.text != beatInput {
		m.leave(fileset, "not taken over: it reads from "+quoted(kind.text)+" and not from Microsoft; use sluice import for files")
		return
	}
	for _, f := range fileset.fields {
		switch f.name {
		case "var", "tenant_name":
		case "enabled":
			m.enabled(d, f.value)
		default:
			reason, ok := beatReasons[f.name]
			if !ok {
				reason = reasonUnknown
			}
			m.leave(f.value, reason)
		}
	}
	if vars == nil {
		vars = &node{shape: group, pos: fileset.pos, path: child(fileset.path, "var")}
	}
	if n := fileset.get("tenant_name"); n != nil {
		m.tenant(d, n)
	}
	m.beatInput(fileset, vars, d)
}

// beatInput makes a connector of each tenant of an input. Its settings are in g; d has what was read already.
func (m *mover) beatInput(at, g *node, d *draft) {
	for _, f := range g.fields {
		switch f.name {
		case "type", "application_id", "client_secret", "certificate", "key", "key_passphrase", "tenant_id", "tenants", "api", "input":
		case "enabled":
			m.enabled(d, f.value)
		case "tenant_name":
			m.tenant(d, f.value)
		case "content_type":
			m.contentTypes(d, f.value, m.texts(d, keyContentTypes, f.value, false))
		default:
			reason, ok := beatReasons[f.name]
			if !ok {
				reason = reasonUnknown
			}
			m.leave(f.value, reason)
		}
	}
	if n := g.get("application_id"); n == nil {
		m.missing(d, keyApplication, g, "application_id", "the application (client) id")
	} else {
		m.move(d, keyApplication, n, "")
	}
	m.beatCredential(d, g)
	m.beatAPI(d, g.get("api"))
	m.beatTenants(at, g, d)
}

// beatCredential moves the secret or the certificate.
func (m *mover) beatCredential(d *draft, g *node) {
	secret, certificate, key := g.get("client_secret"), g.get("certificate"), g.get("key")
	switch {
	case secret != nil && certificate != nil:
		d.broken[keyCertificate] = true
		m.wrong(d, keySecret, certificate, "give either client_secret or certificate, not both")
		return
	case secret == nil && certificate == nil:
		m.missing(d, keySecret, g, "client_secret", "give client_secret, or certificate and key")
		d.broken[keyCertificate] = true
		return
	case secret != nil:
		m.move(d, keySecret, secret, "")
		for _, n := range []*node{key, g.get("key_passphrase")} {
			if n != nil {
				m.leave(n, "not needed beside a client secret")
			}
		}
		return
	}
	if certificate.is(scalar) && strings.Contains(certificate.text, "-----BEGIN") {
		d.broken[keySecret] = true
		m.wrong(d, keyCertificate, certificate, "holds the certificate itself: save certificate and key in one file and give its path")
		return
	}
	m.move(d, keyCertificate, certificate, "one file with certificate and key, read by the server")
	if key != nil && (!key.is(scalar) || !certificate.is(scalar) || key.text != certificate.text) {
		m.leave(key, "Sluice reads the key from the same file as the certificate")
		m.warn(key, "certificate and key must be in one file: append the key to the file that certificate names, for example with `cat key.pem >> certificate.pem`")
	}
	if phrase := g.get("key_passphrase"); phrase != nil {
		switch strings.ToLower(filepath.Ext(certificate.text)) {
		case ".pfx", ".p12":
			m.move(d, "certificate_password", phrase, "")
		default:
			m.leave(phrase, "a key in PEM must not be encrypted")
			m.warn(phrase, "the key must not be encrypted: write it without a passphrase, for example with `openssl rsa -in key.pem -out plain.pem`, or give a PFX file")
		}
	}
}

// beatAPI reads the group api.
func (m *mover) beatAPI(d *draft, api *node) {
	if api == nil {
		return
	}
	if api.shape != group {
		m.report(api.pos, api.path, "must be a group of settings")
		return
	}
	for _, f := range api.fields {
		switch f.name {
		case "authentication_endpoint", "resource":
		case "poll_interval":
			if every, ok := m.beatDuration(d, keyInterval, f.value); ok {
				m.interval(d, f.value, every)
			}
		case "max_requests_per_minute":
			m.perMinute(d, f.value, 1)
		default:
			reason, ok := beatReasons[f.name]
			switch {
			case strings.HasPrefix(f.name, "adjust_clock"):
				reason = beatReasons["adjust_clock"]
			case !ok:
				reason = reasonUnknown
			}
			m.leave(f.value, reason)
		}
	}
	m.cloud(d, api.get("resource"), api.get("authentication_endpoint"))
}

// beatDuration reads a duration as Filebeat does: Go's notation, or a number of seconds.
func (m *mover) beatDuration(d *draft, key string, n *node) (time.Duration, bool) {
	text, ok := m.plain(d, key, n)
	if !ok {
		return 0, false
	}
	if strings.Trim(text, "0123456789.") == "" {
		return m.seconds(d, key, n)
	}
	every, err := time.ParseDuration(text)
	if err != nil || every <= 0 {
		m.wrong(d, key, n, "must be a duration such as 3m or 90s, or a number of seconds")
		return 0, false
	}
	return every, true
}

// beatTenants finishes the connectors: one for each tenant of tenant_id (a text or a list) or tenants (id and name).
func (m *mover) beatTenants(at, g *node, d *draft) {
	ids, pairs := g.get("tenant_id"), g.get("tenants")
	if ids == nil && pairs == nil {
		name, hint := "tenant_id", "the directory (tenant) id, or a list of them"
		if at != g {
			name, hint = "tenants", "a list of tenants with id and name"
		}
		m.missing(d, keyDirectory, g, name, hint)
		m.drafts = append(m.drafts, d)
		return
	}
	var tenants []*node
	for _, n := range []*node{ids, pairs} {
		switch {
		case n == nil:
		case n.shape == list:
			tenants = append(tenants, n.items...)
		default:
			tenants = append(tenants, n)
		}
	}
	if len(tenants) == 0 {
		m.wrong(d, keyDirectory, cmp.Or(ids, pairs), "names no tenant")
		m.drafts = append(m.drafts, d)
	}
	if n, ok := d.settings[keyTenantName]; ok && len(tenants) > 1 {
		m.wrong(d, keyTenantName, n.from, "cannot name several tenants: give tenants with id and name, or one input for each tenant")
		delete(d.settings, keyTenantName)
	}
	for _, t := range tenants {
		one := d.clone()
		one.at = t
		if len(tenants) == 1 {
			one.at = at
		}
		m.drafts = append(m.drafts, one)
		m.beatTenant(one, t)
	}
}

// beatTenant reads one tenant: an id, or a group with id and name.
func (m *mover) beatTenant(d *draft, t *node) {
	if t.shape != group {
		if t.shape == nothing || t.is(scalar) && strings.TrimSpace(t.text) == "" {
			m.wrong(d, keyDirectory, t, "must not be empty")
			return
		}
		m.move(d, keyDirectory, t, "")
		return
	}
	id, name := t.get("id"), t.get("name")
	if text, ok := m.plain(d, keyTenantName, name); ok {
		d.names = append(d.names, hint{text, name})
	}
	if n := t.get("tenant_name"); n != nil {
		m.tenant(d, n)
	}
	m.leaveAll(t, nil, "id", "name", "tenant_name")
	switch {
	case id != nil:
		m.move(d, keyDirectory, id, "")
	case name != nil && len(d.names) > 0 && isDomain(d.names[0].text):
		d.set(keyDirectory, d.names[0].text, name, "")
	default:
		m.missing(d, keyDirectory, t, "id", "the directory (tenant) id")
	}
}

// beatText turns Filebeat's references into Sluice's. ${NAME} is a value of Filebeat's keystore or else an environment
// variable, $$ stands for a dollar and $} for a brace (elastic/go-ucfg, variables.go).
func (m *mover) beatText(d *draft, key string, n *node, text string) (string, bool) {
	var out, literal strings.Builder
	flush := func() {
		out.WriteString(escaped(literal.String()))
		literal.Reset()
	}
	for rest := text; rest != ""; {
		i := strings.IndexByte(rest, '$')
		if i < 0 || i == len(rest)-1 {
			literal.WriteString(rest)
			break
		}
		literal.WriteString(rest[:i])
		switch rest[i+1] {
		case '$', '}':
			literal.WriteByte(rest[i+1])
			rest = rest[i+2:]
		case '{':
			inside, after, closed := strings.Cut(rest[i+2:], "}")
			ref, problem := beatReference(inside)
			if !closed {
				problem = "holds a reference without its closing brace"
			}
			if strings.HasSuffix(literal.String(), "$") {
				problem = "has a dollar before a reference, which Sluice cannot express: put the whole value into the variable"
			}
			if problem != "" {
				m.wrong(d, key, n, "%s", problem)
				return "", false
			}
			flush()
			out.WriteString(ref)
			m.beatDefault(n, inside)
			rest = after
		default:
			literal.WriteByte('$')
			rest = rest[i+1:]
		}
	}
	flush()
	return out.String(), true
}

// beatReference translates the inside of ${...}. problem is what is wrong with it.
func beatReference(inside string) (ref, problem string) {
	name, _, _ := strings.Cut(inside, ":")
	switch kind, place, _ := strings.Cut(inside, ":"); {
	case (kind == option.EnvRef || kind == option.FileRef) && place != "" && !strings.Contains(place, "${"):
		return "${" + inside + "}", "" // Sluice's own, added by the operator
	case strings.Contains(inside, "${"):
		return "", "holds a reference within a reference: write it out"
	case name == "":
		return "", "holds a reference that names nothing"
	case strings.ContainsAny(name, ". "):
		return "", "refers to another setting of Filebeat: write the value out, or give it as ${env:NAME}"
	}
	return "${env:" + name + "}", ""
}

// beatDefault warns of what follows the name of a reference: a default, an alternative or an error text.
func (m *mover) beatDefault(n *node, inside string) {
	name, tail, ok := strings.Cut(inside, ":")
	if !ok || tail == "" || name == option.EnvRef || name == option.FileRef {
		return
	}
	m.warn(n, "what follows the name in the reference to %s is not taken over: the variable must be set where the server runs", name)
}
