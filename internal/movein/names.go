package movein

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"sluice/internal/fault"
	"sluice/internal/option"
)

// maxName is the longest name of a connector or tenant (package config).
const maxName = 64

// maxLookups is how many domains of a document are looked up.
const maxLookups = 100

// domainPattern is a host name with at least one dot.
var domainPattern = regexp.MustCompile(`^(?i:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+)$`)

func isDomain(text string) bool { return len(text) <= 253 && domainPattern.MatchString(text) }

// directories replaces domains by directory ids. The error is the context's.
func (m *mover) directories(ctx context.Context) error {
	type question struct{ authority, domain string }
	type answer struct {
		id  string
		err error
	}
	answers := map[question]answer{}
	down := map[string]error{} // authorities that do not answer are not asked again
	for _, d := range m.drafts {
		s := d.settings[keyDirectory]
		domain, _ := s.value.(string)
		if !isDomain(domain) {
			continue // a GUID, a reference, or wrong: the check of the whole tells
		}
		d.names = append(d.names, hint{text: domain})
		if m.opts.Resolver == nil {
			m.wrong(d, keyDirectory, s.from, "is a domain: give the directory id (a GUID, on the Overview page of the app registration)")
			continue
		}
		q := question{d.authority(), strings.ToLower(domain)}
		a, known := answers[q]
		if !known {
			a.err = down[q.authority]
			switch {
			case a.err != nil:
			case len(answers) >= maxLookups:
				a.err = fault.Newf(fault.Config, "", "only %d domains of a document are looked up", maxLookups)
			default:
				a.id, a.err = m.opts.Resolver.DirectoryID(ctx, q.authority, q.domain)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if fault.KindOf(a.err) == fault.Unavailable {
				down[q.authority] = a.err
			}
			answers[q] = a
		}
		if a.err == nil && !option.IsGUID(a.id) {
			a.err = errors.New("the answer is not a directory id")
		}
		if a.err != nil {
			m.wrong(d, keyDirectory, s.from, "the directory id of %s could not be found: %s; give the directory id (a GUID) instead of the domain%s",
				domain, strings.TrimPrefix(oneLine(a.err.Error()), lookupOp+": "), hintOf(a.err))
			continue
		}
		d.set(keyDirectory, strings.ToLower(a.id), s.from, "looked up for "+domain)
	}
	return nil
}

func hintOf(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return ", or " + hint
	}
	return ""
}

// oneLine makes one line of a message.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// names gives each draft a tenant_name, one for each directory, and a connector name of its own.
func (m *mover) names() {
	byDirectory := map[string]string{}
	byTenant := map[string]string{} // tenant_name in lower case to directory
	hints := map[string][]hint{}    // by directory: one input may know what another does not
	used := map[string]bool{}
	for _, d := range m.drafts {
		directory := strings.ToLower(d.text(keyDirectory))
		hints[directory] = append(hints[directory], d.names...)
		d.set(keyType, connectorType, nil, "")
		m.explicitName(d, byDirectory, byTenant)
	}
	for _, d := range m.drafts {
		if _, ok := d.settings[keyTenantName]; !ok {
			m.tenantName(d, hints[strings.ToLower(d.text(keyDirectory))], byDirectory, byTenant)
		}
		m.unusedHints(d)
		d.set(keyName, connectorName(d.text(keyTenantName), used), nil, "")
	}
}

// explicitName checks a tenant_name that the operator wrote into the document.
func (m *mover) explicitName(d *draft, byDirectory, byTenant map[string]string) {
	s, ok := d.settings[keyTenantName]
	if !ok {
		return
	}
	name, _ := s.value.(string)
	directory := strings.ToLower(d.text(keyDirectory))
	if directory == "" {
		return
	}
	if other, known := byDirectory[directory]; known && other != name {
		m.wrong(d, keyTenantName, s.from, "the directory %s is called %s further up, and can have only one name", directory, quoted(other))
		return
	}
	byDirectory[directory], byTenant[strings.ToLower(name)] = name, directory
}

// tenantName names a draft that the operator did not name.
func (m *mover) tenantName(d *draft, hints []hint, byDirectory, byTenant map[string]string) {
	directory := strings.ToLower(d.text(keyDirectory))
	if name, ok := byDirectory[directory]; ok {
		d.set(keyTenantName, name, nil, "")
		return
	}
	name, from := "", (*node)(nil)
	if m.opts.TenantName != nil && option.IsGUID(directory) {
		name = m.opts.TenantName(directory)
	}
	madeUp := false
	for _, h := range hints {
		if name == "" {
			name, from = cleanName(shortDomain(h.text)), h.from
		}
	}
	if name == "" {
		name, madeUp = nameOf(directory), true
	}
	if other, taken := byTenant[strings.ToLower(name)]; taken && other != directory {
		name = clipped(name, maxName-10) + "-" + firstOf(directory)
	}
	byDirectory[directory], byTenant[strings.ToLower(name)] = name, directory
	d.set(keyTenantName, name, from, "")
	if madeUp && !d.broken[keyDirectory] && directory != "" {
		m.warn(d.at, "the document does not name the tenant: it becomes %s, and cannot be renamed once the connector exists; add the key tenant_name here to choose", quoted(name))
	}
}

// unusedHints answers the names in the document that did not become the tenant's.
func (m *mover) unusedHints(d *draft) {
	for _, h := range d.names {
		if h.from != nil && d.settings[keyTenantName].from != h.from && d.settings[keyDirectory].from != h.from {
			m.leave(h.from, "not needed: the tenant has the name "+quoted(d.text(keyTenantName)))
		}
	}
}

// shortDomain makes contoso of contoso.onmicrosoft.com and leaves other texts as they are.
func shortDomain(text string) string {
	lower := strings.ToLower(strings.TrimSpace(text))
	if !isDomain(lower) {
		return text
	}
	for _, suffix := range []string{".onmicrosoft.com", ".onmicrosoft.us", ".onmicrosoft.de", ".partner.onmschina.cn"} {
		if first, ok := strings.CutSuffix(lower, suffix); ok && !strings.Contains(first, ".") {
			return first
		}
	}
	return lower
}

// cleanName makes printable ASCII of a text, "" when nothing is left.
func cleanName(text string) string {
	var b strings.Builder
	for _, c := range norm.NFKD.String(text) {
		switch {
		case unicode.IsSpace(c):
			b.WriteByte(' ')
		case c > ' ' && c <= '~':
			b.WriteRune(c)
		}
	}
	return clipped(oneLine(strings.ReplaceAll(b.String(), "$", "")), maxName) // a name cannot hold a reference
}

// nameOf makes a name of a directory id or of a reference to one.
func nameOf(directory string) string {
	parts, err := option.ParseReferences(directory)
	if err == nil && len(parts) == 1 && parts[0].Kind == option.EnvRef {
		return clipped("tenant-"+slug(parts[0].Text), maxName)
	}
	return "tenant-" + firstOf(directory)
}

// firstOf returns the first group of a GUID, or something like it of another text.
func firstOf(directory string) string {
	first, _, _ := strings.Cut(slug(directory), "-")
	return clipped(first, 8)
}

// connectorName returns tenant-type in lower case, with a number behind it when that name is used.
func connectorName(tenant string, used map[string]bool) string {
	base := slug(tenant)
	if base == "" {
		base = "tenant"
	}
	for i := 1; ; i++ {
		end := "-" + connectorType
		if i > 1 {
			end += "-" + strconv.Itoa(i)
		}
		name := strings.TrimRight(clipped(base, maxName-len(end)), "-.") + end
		if !used[name] {
			used[name] = true
			return name
		}
	}
}

// slug makes a word for command lines of a text: lower case letters, digits, dots, underscores and single hyphens.
func slug(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-.")
}

func clipped(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.TrimSpace(text)
}
