package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/fault"
	"sluice/internal/option"
)

const whole = `name: a
tenant_name: Contoso
type: office365
directory_id: 11111111-2222-3333-4444-555555555555
application_id: 99999999-8888-7777-6666-555555555555
api_access_key: ${env:SLUICE_TEST_SECRET}
`

// one returns the only connector of an apply document.
func one(t *testing.T, document string) Connector {
	t.Helper()
	apply, err := ParseApply("apply.yaml", []byte(document), drivers())
	if err != nil {
		t.Fatal(err)
	}
	if len(apply.Connectors) != 1 {
		t.Fatalf("%d connectors, want 1", len(apply.Connectors))
	}
	return apply.Connectors[0]
}

func TestServerSettings(t *testing.T) {
	t.Parallel()
	file, err := Load("empty", nil, drivers(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := file.Server
	if s.Data != "./data" || s.Listen != "127.0.0.1:8365" || s.State.Reveal() != StateSQLite || s.Journal.Reveal() != JournalEmbedded {
		t.Errorf("defaults: %+v", s)
	}
	if want := (Lake{WarehouseLocal, 365 * 24 * time.Hour, 15 * time.Second}); s.Lake != want {
		t.Errorf("got %+v, want %+v", s.Lake, want)
	}
	file, err = Load("unusual.yaml", read(t, "testdata/good/unusual.yaml"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	s = file.Server
	if s.Data != "/var/lib/sluice" || s.Lake.Retention != 20*365*24*time.Hour || s.Lake.Warehouse != "s3://bucket/prefix" {
		t.Errorf("got %+v", s)
	}
	if text := fmt.Sprintf("%+v", s); strings.Contains(text, "secret@db") || strings.Contains(text, "user:pass") {
		t.Errorf("the settings print a password: %s", text)
	}
}

func TestConnectorValues(t *testing.T) {
	t.Parallel()
	file, err := Load("unusual.yaml", read(t, "testdata/good/unusual.yaml"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	c := file.Connectors[0]
	if c.Name != "yes" || c.TenantName != "12" || c.Type != "office365" || c.Interval != 7*time.Minute || c.Enabled {
		t.Errorf("got %+v", c)
	}
	if want := []string{"Audit.General", "DLP.All"}; !slices.Equal(c.ContentTypes, want) {
		t.Errorf("content types %v, want %v", c.ContentTypes, want)
	}
	if want := time.Date(2026, 1, 31, 8, 0, 0, 250e6, time.UTC); !c.StartTime.Equal(want) || c.StartTime.Location() != time.UTC {
		t.Errorf("start time %v, want %v", c.StartTime, want)
	}
	if got := c.DirectoryID(); got != "11111111-2222-3333-4444-555555555555" {
		t.Errorf("directory %q: the reference was not looked up", got)
	}
	if got := c.Values.String("application_id"); got != "99999999-8888-7777-6666-55555555555a" {
		t.Errorf("application %q, want lower case", got)
	}
	if got := c.Values.Secret("certificate_password").Text(); got != "${file:/run/secrets/pfx}" {
		t.Errorf("the secret became %q", got)
	}
	if got := c.Values.Int("max_parallel_fetches"); got != 16 {
		t.Errorf("default of max_parallel_fetches: %d", got)
	}
	if c.Pos.Line != 8 || c.Pos.Column != 5 {
		t.Errorf("position %v", c.Pos)
	}
	if got := file.Connectors[1].ContentTypes; !slices.Equal(got, []string{"activities", "alerts"}) {
		t.Errorf("default content types %v", got)
	}
}

func TestSpecJSONIsCanonical(t *testing.T) {
	t.Parallel()
	want := `{"name":"a","tenant_name":"Contoso","type":"office365","interval":"5m","content_types":["Audit.General"],` +
		`"start_time":"2026-01-31T08:00:00Z","directory_id":"11111111-2222-3333-4444-555555555555",` +
		`"application_id":"99999999-8888-7777-6666-555555555555","api_access_key":"${env:SLUICE_TEST_SECRET}","requests_per_minute":0}`
	for _, extra := range []string{
		"interval: 5\ncontent_types: [audit.GENERAL]\nstart_time: 2026-01-31T09:00:00+01:00\nrequests_per_minute: 0\nca_file: ''\n",
		"requests_per_minute: 0x0\nstart_time: '2026-01-31T08:00:00Z'\ninterval: 300s\ncontent_types:\n- Audit.General\npublisher_id: ~\n",
	} {
		if got := string(one(t, whole+extra).SpecJSON()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestLiteralSecretIsKeptAndHidden(t *testing.T) {
	t.Parallel()
	document := strings.Replace(whole, "${env:SLUICE_TEST_SECRET}", "hunter2~.-_<&>", 1)
	apply, err := ParseApply("apply.yaml", []byte(document), drivers())
	if err != nil {
		t.Fatal(err)
	}
	c := apply.Connectors[0]
	if !strings.Contains(string(c.SpecJSON()), `"hunter2~.-_<&>"`) {
		t.Errorf("the stored form lost the secret: %s", c.SpecJSON())
	}
	if len(apply.Warnings) != 1 || apply.Warnings[0].Path != "api_access_key" {
		t.Errorf("warnings: %v", apply.Warnings)
	}
	var yaml bytes.Buffer
	if err := WriteYAML(&yaml, apply.Connectors); err != nil {
		t.Fatal(err)
	}
	marshalled, err := json.Marshal(c.Values.Secret("api_access_key"))
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string]string{
		"yaml": yaml.String(), "json": string(c.JSON()), "%v": fmt.Sprintf("%v", c.Values.Secret("api_access_key")),
		"%#v": fmt.Sprintf("%#v", c.Values.Secret("api_access_key")), "marshalled": string(marshalled), "warnings": apply.Warnings.Error(),
	} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s tells the secret: %s", form, text)
		}
	}
	if !strings.Contains(yaml.String(), "api_access_key: ${sealed}\n") {
		t.Errorf("got %s", &yaml)
	}
}

// What `sluice get` prints of a stored connector can be applied again, whatever its secret is.
func TestPrintedSecretsAreKept(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"hunter2~.-_<&>", "@Sluice.Sealed(v1.0123456789ab.d3JhcHBlZA.Ym94)", "${env:SLUICE_TEST_SECRET}", "${file:/run/secrets/m365}",
		"@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/m365)", "@Microsoft.KeyVault(VaultName=contoso;SecretName=m365)",
	} {
		stored, err := FromSpec([]byte(strings.Replace(string(one(t, whole).SpecJSON()), "${env:SLUICE_TEST_SECRET}", text, 1)), drivers())
		if err != nil {
			t.Fatal(err)
		}
		var printed bytes.Buffer
		if err := WriteYAML(&printed, []Connector{stored}); err != nil {
			t.Fatal(err)
		}
		for form, document := range map[string][]byte{"yaml": printed.Bytes(), "json": stored.JSON()} {
			if strings.Contains(string(document), "hunter2") || strings.Contains(string(document), option.SealedPrefix) {
				t.Errorf("%s tells the secret: %s", form, document)
			}
			apply, err := ParseApply(form, document, drivers())
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if len(apply.Warnings) > 0 {
				t.Errorf("%s: %v", form, apply.Warnings)
			}
			kept, missing := apply.Connectors[0].Keep(stored)
			if string(kept.SpecJSON()) != string(stored.SpecJSON()) || len(missing) > 0 || len(kept.Kept()) > 0 || len(kept.Diff(stored)) > 0 ||
				kept.Values.Secret("api_access_key").Text() != text {
				t.Errorf("%s comes back as %s, missing %v", form, kept.SpecJSON(), missing)
			}
		}
	}
	c := one(t, strings.Replace(whole, "${env:SLUICE_TEST_SECRET}", KeptSecret, 1))
	if _, missing := c.Keep(Connector{}); !slices.Equal(missing, []string{"api_access_key"}) {
		t.Errorf("missing: %v", missing)
	}
	if _, err := FromSpec(c.SpecJSON(), drivers()); err == nil {
		t.Error("a stored connector holds a mark in the place of a secret")
	}
}

func TestParseApplyForms(t *testing.T) {
	t.Parallel()
	second := strings.Replace(whole, "name: a", "name: b", 1)
	list := "connectors:\n  - " + strings.ReplaceAll(strings.TrimSpace(whole), "\n", "\n    ") + "\n"
	for _, tt := range []struct {
		name, document string
		want           []string // names
		err            string
	}{
		{name: "one object", document: whole, want: []string{"a"}},
		{name: "a group", document: list, want: []string{"a"}},
		{name: "several documents", document: list + "---\n" + second + "---\n", want: []string{"a", "b"}},
		{name: "a list", document: "- " + strings.ReplaceAll(strings.TrimSpace(whole), "\n", "\n  "), want: []string{"a"}},
		{name: "JSON", document: string(one(t, whole).SpecJSON()), want: []string{"a"}},
		{name: "JSON list", document: "[\n\t" + string(one(t, whole).SpecJSON()) + "\n]", want: []string{"a"}},
		{name: "an empty list", document: "connectors: []\n"},
		{name: "nothing", document: "# nothing\n", err: "f:1:1: holds no connector"},
		{name: "twice across documents", document: whole + "---\n" + whole, err: `f:8:7: name: the name "a" is taken by the connector on line 1`},
		{name: "server settings", document: "data: x\n" + list, err: "f:1:1: data: is a setting of the server and belongs into the file of sluice up --config"},
		{name: "unknown list", document: "sinks: []\n" + list, err: "f:1:1: sinks: unknown key, known are connectors, destinations, filters, consent"},
		{name: "destinations", document: "destinations: [{name: x}]\n", err: "f:1:1: destinations: destinations are not available in this version"},
		{name: "a number", document: "5", err: "f:1:1: must be a connector (keys and values), found a single value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			apply, err := ParseApply("f", []byte(tt.document), drivers())
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range apply.Connectors {
				names = append(names, c.Name)
			}
			if !slices.Equal(names, tt.want) {
				t.Errorf("got %v, want %v", names, tt.want)
			}
		})
	}
}

// The lists of applications for consent are handed on as one, with their places.
func TestParseApplyConsent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, document string
		none           bool
		want           string // line:name of each application; without: the node is no list
	}{
		{name: "none", document: whole, none: true},
		{name: "one", document: "consent:\n  - name: x\n", want: "2:x"},
		{name: "two documents", document: "consent:\n  - name: x\n---\nfilters: []\n---\nconsent: [{name: y}]\n", want: "2:x 6:y"},
		{name: "nothing first", document: "consent:\n---\nconsent: [{name: y}]\n", want: "3:y"},
		{name: "nothing last", document: "consent: [{name: x}]\n---\nconsent:\n", want: "1:x"},
		{name: "no list last", document: "consent: [{name: x}]\n---\nconsent: 5\n"},
		{name: "no list first", document: "consent: 5\n---\nconsent: [{name: x}]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			apply, err := ParseApply("f", []byte(tt.document), drivers())
			if err != nil {
				t.Fatal(err)
			}
			n := apply.Consent
			if tt.none || tt.want == "" {
				if (n == nil) != tt.none || n != nil && n.Kind == yaml.SequenceNode {
					t.Errorf("got %+v", n)
				}
				return
			}
			var got []string
			for _, item := range n.Content {
				got = append(got, fmt.Sprintf("%d:%s", item.Line, child(item, "name").Value))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFromSpecRefusals(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                   "stored connector:1:1: not JSON",
		"name: a":            "stored connector:1:1: not JSON",
		"null":               "stored connector:1:1: holds no connector",
		"[]":                 "stored connector:1:1: must be a connector (keys and values), found a list",
		`{"type":"gone"}`:    `unknown connector type "gone"`,
		`{"name":1,"typ":2}`: "typ: unknown key",
	} {
		c, err := FromSpec([]byte(spec), drivers())
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Config {
			t.Errorf("FromSpec(%s) = %v, %v; want an error with %q", spec, c, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	document := strings.Replace(whole, "11111111-2222-3333-4444-555555555555", "${env:DIRECTORY}", 1)
	c := one(t, document+"ca_file: ${env:DATA}/ca.pem\ncertificate_password: ''\n")
	if got := c.Values.String("ca_file"); got != "${env:DATA}/ca.pem" {
		t.Errorf("ParseApply looked a reference up: %q", got)
	}
	r, err := c.Resolve(environment)
	if err != nil {
		t.Fatal(err)
	}
	if r.DirectoryID() != "11111111-2222-3333-4444-555555555555" || r.Values.String("ca_file") != "/var/lib/sluice/ca.pem" {
		t.Errorf("got %q and %q", r.DirectoryID(), r.Values.String("ca_file"))
	}
	if got := r.Values.Secret("api_access_key").Text(); got != "${env:SLUICE_TEST_SECRET}" {
		t.Errorf("the secret became %q", got)
	}
	if !bytes.Equal(r.SpecJSON(), c.SpecJSON()) || r.Name != "a" || !r.Enabled || r.Interval != 5*time.Minute {
		t.Errorf("Resolve changed more than references: %+v", r)
	}

	c = one(t, document+"ca_file: ${env:NOWHERE}\n")
	broken := func(name string) (string, bool) {
		if name == "DIRECTORY" {
			return "contoso.com", true
		}
		return environment(name)
	}
	_, err = c.Resolve(broken)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 2 || fault.KindOf(err) != fault.Config {
		t.Errorf("got %v, want two problems", err)
	}
}

func TestReferencedTextIsNoReference(t *testing.T) {
	t.Parallel()
	file, err := Load("f", []byte("data: ${env:DOLLAR}/$${x}\n"), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := file.Server.Data, "/srv/${env:DATA}/${x}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestResolveSecret(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	empty := filepath.Join(dir, "empty")
	large := filepath.Join(dir, "large")
	for path, text := range map[string]string{file: "from-file\r\n\n", empty: "\n", large: strings.Repeat("x", maxReferenced+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SLUICE_TEST_SECRET", "from-env\n")
	t.Setenv("SLUICE_TEST_EMPTY", "")
	for _, tt := range []struct{ ref, want, err string }{
		{ref: "", want: ""},
		{ref: "literal$", want: "literal$"},
		{ref: "${env:SLUICE_TEST_SECRET}", want: "from-env"},
		{ref: "a-${env:SLUICE_TEST_SECRET}-b$${", want: "a-from-env-b${"},
		{ref: "${file:" + file + "}", want: "from-file"},
		{ref: "${env:SLUICE_TEST_NOWHERE}", err: "SLUICE_TEST_NOWHERE is not set"},
		{ref: "${env:SLUICE_TEST_EMPTY}", err: "SLUICE_TEST_EMPTY is empty"},
		{ref: "${file:" + dir + "/missing}", err: dir + "/missing"},
		{ref: "${file:" + dir + "}", err: dir},
		{ref: "${file:" + empty + "}", err: "is empty"},
		{ref: "${file:" + large + "}", err: "too large"},
		{ref: "@Microsoft.KeyVault(SecretUri=https://v.example/s)", err: "not possible here"},
		{ref: "@Sluice.Sealed(v1.0123456789ab.d3JhcHBlZA.Ym94)", err: "sealed"},
		{ref: "hunter2${x}", err: "unknown reference"},
	} {
		got, err := ResolveSecret(tt.ref)
		if tt.err == "" {
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("ResolveSecret(%q) = %q, %v; want %q", tt.ref, got.Reveal(), err, tt.want)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) || !fault.Is(err, fault.Config) {
			t.Errorf("ResolveSecret(%q) = %v, want a config error with %q", tt.ref, err, tt.err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for extra, path := range map[string]string{
		"disable_ssl_verification: true\n":                                                       "disable_ssl_verification",
		"authentication_endpoint: https://login.microsoftonline.de\n":                            "authentication_endpoint",
		"subscription_plan: dod\nauthentication_endpoint: https://login.microsoftonline.com\n":   "authentication_endpoint",
		"subscription_plan: dod\nauthentication_endpoint: https://login.microsoftonline.us\n":    "",
		"subscription_plan: gcc_high\n":                                                          "",
		"disable_ssl_verification: false\nsubscription_plan: gcc\nca_file: /etc/ssl/extra.pem\n": "",
	} {
		apply, err := ParseApply("f", []byte(whole+extra), drivers())
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, w := range apply.Warnings {
			paths = append(paths, w.Path)
		}
		if got := strings.Join(paths, " "); got != path {
			t.Errorf("%q warns about %q, want %q", extra, got, path)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	base := one(t, whole+"interval: 5m\nca_file: /a\n")
	for _, tt := range []struct{ document, want string }{
		{whole + "ca_file: /a\ninterval: 5\n", ""},
		{whole + "ca_file: /b\n", "interval ca_file"},
		{whole + "interval: 6m\nca_file: /a\nenabled: false\n", "interval enabled"},
		{strings.Replace(whole, "SLUICE_TEST_SECRET", "OTHER", 1) + "interval: 5m\nca_file: /a\n", "api_access_key"},
	} {
		if got := strings.Join(base.Diff(one(t, tt.document)), " "); got != tt.want {
			t.Errorf("%q differs in %q, want %q", tt.document, got, tt.want)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Contoso", "a b", strings.Repeat("n", maxName), "~!/"} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for _, name := range []string{"", " a", "a ", "ü", "a\nb", strings.Repeat("n", maxName+1), "${env:A}"} {
		if err := CheckName(name); fault.KindOf(err) != fault.Config {
			t.Errorf("CheckName(%q) = %v, want a config error", name, err)
		}
	}
}
