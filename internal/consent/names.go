package consent

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"sluice/internal/fault"
	"sluice/internal/option"
)

// maxName is the longest name of a tenant or connector, in characters.
const maxName = 64

var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$`)

// checkTenant accepts a GUID, a domain or nothing, and returns it in lower case.
func checkTenant(op, tenant string) (string, error) {
	tenant = strings.ToLower(strings.TrimSpace(tenant))
	if tenant == "" || option.IsGUID(tenant) || len(tenant) <= 253 && domain.MatchString(tenant) {
		return tenant, nil
	}
	return "", fault.Newf(fault.Config, op, "%q is neither a Directory (tenant) ID nor a domain", tenant).
		WithHint("entra.microsoft.com > Overview shows the Tenant ID; leave it out when it is not known")
}

// checkLabel accepts what a person calls a customer.
func checkLabel(op, label string) (string, error) {
	label = strings.TrimSpace(label)
	if len([]rune(label)) > maxName {
		return "", fault.Newf(fault.Config, op, "the label has more than %d characters", maxName).WithHint("choose a shorter one")
	}
	for _, r := range label {
		if !unicode.IsGraphic(r) {
			return "", fault.Newf(fault.Config, op, "the label holds the invisible character %U", r).WithHint("type it again")
		}
	}
	if label != "" && ascii(label) == "" {
		return "", fault.New(fault.Config, op, "the label has no Latin letter or digit, but names of tenants and connectors are printable ASCII").
			WithHint("choose a label in Latin letters")
	}
	return label, nil
}

// ascii writes a name in printable ASCII: accents are taken off, other characters become blanks, and "${" loses its
// meaning. It is at most maxName long.
func ascii(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		switch {
		case r == 'ß':
			b.WriteString("ss")
		case unicode.Is(unicode.Mn, r) || r == '$':
		case r < ' ' || r > '~':
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	if !strings.ContainsFunc(text, isWord) {
		return ""
	}
	if len(text) > maxName {
		text = strings.TrimSpace(text[:maxName])
	}
	return text
}

func isWord(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }

// slug is a name as a part of a connector's name: contoso-ltd.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(ascii(name)), func(r rune) bool { return !isWord(r) })
	return strings.Join(words, "-")
}

// connectorName follows the naming hint tenantname-connectortype. suffix is "" or what tells two of them apart.
func connectorName(tenant, connectorType, suffix string) string {
	end := "-" + connectorType
	if suffix != "" {
		end += "-" + suffix
	}
	begin := slug(tenant)
	if most := max(maxName-len(end), 1); len(begin) > most {
		begin = strings.Trim(begin[:most], "-")
	}
	return begin + end
}

// unique returns the first of name, "name 2", "name 3" ... that is not taken. Names that make the same slug count as one.
func unique(name string, taken func(slug string) bool) string {
	for n := 1; ; n++ {
		candidate := name
		if n > 1 {
			end := " " + strconv.Itoa(n)
			candidate = strings.TrimSpace(name[:min(len(name), maxName-len(end))]) + end
		}
		if !taken(slug(candidate)) {
			return candidate
		}
	}
}
