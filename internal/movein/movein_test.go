package movein

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/source"
	"sluice/internal/source/activity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

func drivers() []source.Properties { return []source.Properties{activity.Properties()} }

// book is a Resolver that knows some domains.
type book map[string]string

func (b book) DirectoryID(_ context.Context, authority, domain string) (string, error) {
	id, ok := b[domain]
	if !ok {
		return "", fault.New(fault.NotFound, lookupOp, authority+" knows no tenant with this domain").WithHint("check the domain")
	}
	return id, nil
}

func domains() book {
	return book{
		"contoso.onmicrosoft.com":  "11111111-2222-3333-4444-555555555555",
		"contoso.onmicrosoft.us":   "c0c0c0c0-2222-3333-4444-555555555555",
		"fabrikam.onmicrosoft.com": "22222222-2222-3333-4444-555555555555",
		"litware.onmicrosoft.com":  "33333333-2222-3333-4444-555555555555",
	}
}

func options() Options { return Options{Drivers: drivers(), Resolver: domains()} }

// shown writes a result for people to compare.
func shown(r Result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n%s\ntaken\n", r.Kind, r.Document)
	for _, t := range r.Taken {
		fmt.Fprintf(&b, "  %d:%d %s -> %s", t.Line, t.Column, t.From, t.To)
		if t.Note != "" {
			fmt.Fprintf(&b, " (%s)", t.Note)
		}
		b.WriteByte('\n')
	}
	b.WriteString("left\n")
	for _, l := range r.Left {
		fmt.Fprintf(&b, "  %d:%d %s: %s\n", l.Line, l.Column, l.From, l.Reason)
	}
	b.WriteString("warnings\n")
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "  %s\n", w)
	}
	return b.Bytes()
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	path = strings.TrimSuffix(path, filepath.Ext(path)) + ".golden"
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func fixtures(t testing.TB, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return filepath.Ext(p) == ".golden" })
	if len(paths) == 0 {
		t.Fatalf("no fixtures in testdata/%s", folder)
	}
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTranslate(t *testing.T) {
	for _, path := range fixtures(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			doc := read(t, path)
			kind, ok := Detect(doc)
			if want, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), "-"); !ok || string(kind) != want {
				t.Errorf("Detect: got %q, %t, want %q", kind, ok, want)
			}
			result, err := Translate(t.Context(), filepath.Base(path), doc, options())
			if err != nil {
				t.Fatal(err)
			}
			accepted(t, result)
			noSecrets(t, result)
			golden(t, path, shown(result))
		})
	}
}

// accepted checks that package config takes the document, with the connectors that the result promises.
func accepted(t *testing.T, r Result) {
	t.Helper()
	apply, err := config.ParseApply("translated", r.Document, drivers())
	if err != nil {
		t.Fatalf("config refuses the document: %v\n%s", err, r.Document)
	}
	if len(apply.Connectors) == 0 || len(apply.Connectors) != len(r.Connectors) {
		t.Fatalf("got %d connectors, the result has %d", len(apply.Connectors), len(r.Connectors))
	}
	names := map[string]bool{}
	for i, c := range apply.Connectors {
		if !bytes.Equal(c.SpecJSON(), r.Connectors[i].SpecJSON()) {
			t.Errorf("connector %d: document and result differ", i)
		}
		if err := config.CheckName(c.Name); err != nil || names[c.Name] || !strings.Contains(c.Name, "-office365") {
			t.Errorf("name %q: %v, taken %t", c.Name, err, names[c.Name])
		}
		names[c.Name] = true
		if r.Connectors[i].Pos.Line < 1 {
			t.Errorf("connector %s has no place in the original", c.Name)
		}
	}
}

// noSecrets checks that nothing but the document holds the secrets of the fixtures.
func noSecrets(t *testing.T, r Result) {
	t.Helper()
	r.Document = nil
	for _, secret := range []string{"not-to-be-seen", "abc~DEF", "a$b}c$d", "a$$b"} {
		if bytes.Contains(shown(r), []byte(secret)) {
			t.Errorf("the result shows %q", secret)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, path := range fixtures(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			result, err := Translate(t.Context(), filepath.Base(path), read(t, path), options())
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, %s, want Problems", err, result.Document)
			}
			if fault.KindOf(err) != fault.Config || result.Document != nil {
				t.Errorf("kind %s, document %q", fault.KindOf(err), result.Document)
			}
			seen := map[string]bool{}
			for _, p := range problems {
				if p.File != filepath.Base(path) || p.Line < 1 || p.Column < 1 || seen[p.String()] {
					t.Errorf("without a place, or twice: %s", p)
				}
				seen[p.String()] = true
			}
			if strings.Contains(err.Error(), "secret-in-here") {
				t.Error("a secret is shown")
			}
			golden(t, path, []byte(err.Error()+"\n"))
		})
	}
}

func TestDetectLeavesOthersAlone(t *testing.T) {
	for name, doc := range map[string]string{
		"empty":            "",
		"null":             "null",
		"text":             "hello",
		"not YAML":         "{{{",
		"not UTF-8":        "inputs: \xff",
		"Sluice group":     "connectors:\n- {name: a, type: office365}",
		"Sluice list":      "- {name: a, tenant_name: A, type: office365, application_id: x}",
		"Sluice connector": `{"name":"a","tenant_name":"A","type":"office365","directory_id":"x"}`,
		"other Devo input": `{"inputs":{"okta":{"services":{"logs":{}}}}}`,
		"message trace":    `{"inputs":{"office365_exchange_message_service":{"services":{"message_trace":{}}}}}`,
		"other Filebeat":   "filebeat.inputs:\n- type: log\n",
		"other module":     "- module: nginx\n",
		"other app":        `{"Values":{"clientID":"x","FUNCTIONS_WORKER_RUNTIME":"node"}}`,
		"other az":         `[{"name":"clientID","value":"x"},{"name":"publisher","value":"y"}]`,
	} {
		if kind, ok := Detect([]byte(doc)); ok {
			t.Errorf("%s: detected as %s", name, kind)
		}
		if _, err := Translate(t.Context(), "f", []byte(doc), options()); fault.KindOf(err) != fault.Config {
			t.Errorf("%s: got %v, want a mistake", name, err)
		}
	}
}

const devoInput = `{"inputs":{"office365":{"credentials":{"tenant_id":%q,"client_id":"99999999-8888-7777-6666-555555555555","client_secret":%q%s},"services":{"dlp":{}}}}}`

func one(t *testing.T, o Options, format string, args ...any) config.Connector {
	t.Helper()
	r, err := Translate(t.Context(), "f", fmt.Appendf(nil, format, args...), o)
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, r)
	return r.Connectors[0]
}

func TestSecretsAreKeptAsGiven(t *testing.T) {
	for given, want := range map[string]string{
		"abc~D.E-_1":     "abc~D.E-_1",
		"${env:X}":       "${env:X}",
		"${file:/run/x}": "${file:/run/x}",
		"${X}":           "${env:X}",
		"a${b":           "a$${b",
		"a${X}":          "a$${X}",
		"a$b$$c":         "a$b$$c",
		"yes":            "yes",
		"1234":           "1234",
		"null":           "null",
		"@Microsoft.KeyVault(SecretUri=https://v/secrets/s)": "@Microsoft.KeyVault(SecretUri=https://v/secrets/s)",
	} {
		c := one(t, options(), devoInput, "11111111-2222-3333-4444-555555555555", given, "")
		if got := c.Values.Secret("api_access_key").Text(); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestFilebeatReferences(t *testing.T) {
	const input = "- type: o365audit\n  application_id: 99999999-8888-7777-6666-555555555555\n  tenant_id: 11111111-2222-3333-4444-555555555555\n  client_secret: '%s'\n"
	for given, want := range map[string]string{
		"plain":          "plain",
		"${X}":           "${env:X}",
		"${X:default}":   "${env:X}",
		"${X:?needed}":   "${env:X}",
		"${env:X}":       "${env:X}",
		"a-${X}-${Y}":    "a-${env:X}-${env:Y}",
		"a$$b":           "a$b",
		"a$}b":           "a}b",
		"a$b":            "a$b",
		"$":              "$",
		"$${X}":          "$${X}",
		"${file:/run/x}": "${file:/run/x}",
	} {
		if got := one(t, options(), input, given).Values.Secret("api_access_key").Text(); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
	for _, bad := range []string{"${X", "${}", "${a.b}", "${A:${B}}", "$$${X}"} {
		if _, err := Translate(t.Context(), "f", fmt.Appendf(nil, input, bad), options()); fault.KindOf(err) != fault.Config {
			t.Errorf("%q: got %v, want a mistake", bad, err)
		}
	}
}

func TestTenantNames(t *testing.T) {
	known := options()
	known.TenantName = func(id string) string {
		return map[string]string{"11111111-2222-3333-4444-555555555555": "Known"}[id]
	}
	for _, c := range []struct {
		name          string
		o             Options
		tenant, extra string
		tenantName    string
		connector     string
		warns         bool
	}{
		{"made up", options(), "11111111-2222-3333-4444-555555555555", "", "tenant-11111111", "tenant-11111111-office365", true},
		{"domain", options(), "Contoso.onmicrosoft.com", "", "contoso", "contoso-office365", false},
		{"known", known, "contoso.onmicrosoft.com", "", "Known", "known-office365", false},
		{"explicit", known, "contoso.onmicrosoft.com", `,"tenant_name":"My Name!"`, "My Name!", "my-name-office365", false},
		{"variable", options(), "${env:TENANT_ID}", "", "tenant-tenant_id", "tenant-tenant_id-office365", true},
		{"long", options(), "11111111-2222-3333-4444-555555555555", `,"tenant_name":"` + strings.Repeat("x", 64) + `"`, strings.Repeat("x", 64), strings.Repeat("x", 54) + "-office365", false},
		{"no word", options(), "11111111-2222-3333-4444-555555555555", `,"tenant_name":"--"`, "--", "tenant-office365", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Translate(t.Context(), "f", fmt.Appendf(nil, devoInput, c.tenant, "${env:X}", c.extra), c.o)
			if err != nil {
				t.Fatal(err)
			}
			accepted(t, r)
			if got := r.Connectors[0]; got.TenantName != c.tenantName || got.Name != c.connector {
				t.Errorf("got %q, %q, want %q, %q", got.TenantName, got.Name, c.tenantName, c.connector)
			}
			if (len(r.Warnings) > 0) != c.warns {
				t.Errorf("warnings: %v", r.Warnings)
			}
		})
	}
}

func TestDirectoriesShareAndKeepNames(t *testing.T) {
	r, err := Translate(t.Context(), "f", []byte(`
- {type: o365audit, application_id: 99999999-8888-7777-6666-555555555555, client_secret: "${S}", tenant_id: contoso.onmicrosoft.com}
- {type: o365audit, application_id: 99999999-8888-7777-6666-555555555555, client_secret: "${S}", tenant_id: 11111111-2222-3333-4444-555555555555}
- {type: o365audit, application_id: 99999999-8888-7777-6666-555555555555, client_secret: "${S}", tenant_id: contoso.onmicrosoft.us}
`), options())
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, r)
	var got []string
	for _, c := range r.Connectors {
		got = append(got, c.TenantName+"/"+c.Name)
	}
	want := []string{"contoso/contoso-office365", "contoso/contoso-office365-2", "contoso-c0c0c0c0/contoso-c0c0c0c0-office365"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDomainsNeedAResolver(t *testing.T) {
	o := options()
	o.Resolver = nil
	_, err := Translate(t.Context(), "f", fmt.Appendf(nil, devoInput, "contoso.onmicrosoft.com", "s", ""), o)
	if err == nil || !strings.Contains(err.Error(), "f:1:52: inputs.office365.credentials.tenant_id: is a domain") {
		t.Errorf("got %v", err)
	}
}

// counting counts lookups and fails them.
type counting struct {
	asked []string
	err   error
}

func (c *counting) DirectoryID(_ context.Context, authority, domain string) (string, error) {
	c.asked = append(c.asked, authority+" "+domain)
	return "", c.err
}

func TestAuthorityThatIsDownIsAskedOnce(t *testing.T) {
	o, down := options(), &counting{err: fault.New(fault.Unavailable, "", "no answer")}
	o.Resolver = down
	_, err := Translate(t.Context(), "f", []byte(`
type: o365audit
application_id: 99999999-8888-7777-6666-555555555555
client_secret: x
tenant_id: [a.example, b.example, a.example]
api.resource: manage.office365.us
`), o)
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("got %v, want a mistake for each tenant", err)
	}
	if want := []string{"https://login.microsoftonline.us a.example"}; !slices.Equal(down.asked, want) {
		t.Errorf("asked %v, want %v", down.asked, want)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options()
	o.Resolver = &counting{err: context.Canceled}
	if _, err := Translate(ctx, "f", fmt.Appendf(nil, devoInput, "contoso.onmicrosoft.com", "s", ""), o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAliasesThatRepeatThemselves(t *testing.T) {
	doc := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for _, c := range "bcdefgh" {
		doc += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	_, err := Translate(t.Context(), "f", []byte(doc+"type: o365audit\nself: &s [*s]\n"), options())
	if err == nil || !strings.Contains(err.Error(), "repeats itself too often") {
		t.Errorf("got %v", err)
	}
}

func TestEverySettingHasALine(t *testing.T) {
	doc := []byte(`{"inputs":{"office365":{"a":1,"credentials":{"tenant_id":"contoso.onmicrosoft.com","client_id":"99999999-8888-7777-6666-555555555555","client_secret":"${env:X}","b":1},"services":{"dlp":{"c":1},"uri_retry":{"d":1}}},"e":{}},"f":1}`)
	r, err := Translate(t.Context(), "f", doc, options())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range r.Left {
		got = append(got, l.From[strings.LastIndex(l.From, ".")+1:])
	}
	for _, x := range r.Taken {
		got = append(got, x.From[strings.LastIndex(x.From, ".")+1:])
	}
	slices.Sort(got)
	if want := []string{"a", "b", "c", "client_id", "client_secret", "d", "dlp", "e", "f", "tenant_id", "uri_retry"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
