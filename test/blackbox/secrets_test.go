package blackbox

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"sluice/internal/m365sim"
	"sluice/internal/vault"
	"sluice/internal/vault/vaulttest"
)

// appID is the id of a further application of the simulated tenant.
func appID(n byte) string { return "00000000-aaaa-4bbb-8ccc-00000000000" + string('0'+n) }

// pfx writes a certificate with its key, sealed by a password, and returns its path and the certificate in PEM.
func pfx(t *testing.T, dir, password string) (path, registered string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "blackbox"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	data, err := pkcs12.Modern2023.Encode(key, cert, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "app.pfx", string(data)), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// The planted secrets.
const (
	fromEnvironment = "SENTINEL~ENV~8f31c2d7a9"
	fromFile        = "SENTINEL~FILE~2b77d0aa41"
	literal         = "SENTINEL~LITERAL~51be90c3d2"
	rotated         = "SENTINEL~ROTATED~c60b4f19e8"
	deleted         = "SENTINEL~DELETED~0d9e7a35b6"
	wrong           = "SENTINEL~WRONG~77aa01e6f4"
	password        = "SENTINEL~PASSWORD~e4128bc07d"
	echoed          = "SENTINEL~WEBHOOK~93fd5520ab"
)

func planted() []string {
	return []string{fromEnvironment, fromFile, literal, rotated, deleted, wrong, password, echoed}
}

// talk runs client commands and remembers what they said.
type talk struct {
	*place
	said bytes.Buffer
}

func (c *talk) run(args ...string) outcome {
	c.t.Helper()
	got := c.place.run(args...)
	c.said.WriteString(got.out + got.errors)
	return got
}

// TestSecretsStayInside plants secrets of every kind, uses, changes and deletes them, and looks for them everywhere.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	certificate, registered := pfx(t, p.root, password)
	company := tenant(300)
	company.Apps = []m365sim.App{
		{ID: application, Secret: fromEnvironment},
		{ID: appID(1), Secret: literal},
		{ID: appID(2), Secret: fromFile},
		{ID: appID(3), Certificate: registered},
		{ID: appID(4), Secret: deleted},
	}
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 8, Tenants: []m365sim.Tenant{company}})
	p.extra = []string{"SLUICE_BLACKBOX_SECRET=" + fromEnvironment, "SLUICE_BLACKBOX_WRONG=" + wrong}
	s := p.start()
	c := &talk{place: p}
	for name, changes := range map[string]map[string]string{
		"environment": {"api_access_key": "${env:SLUICE_BLACKBOX_SECRET}"},
		"file":        {"api_access_key": "${file:" + write(t, p.root, "mounted", fromFile+"\n") + "}", "application_id": appID(2)},
		"literal":     {"api_access_key": literal, "application_id": appID(1), "webhook_auth_id": echoed},
		"certificate": {"api_access_key": "", "certificate_file": certificate, "certificate_password": password, "application_id": appID(3)},
		"deleted":     {"api_access_key": deleted, "application_id": appID(4)},
		"wrong":       {"api_access_key": "${env:SLUICE_BLACKBOX_WRONG}"},
		"refused":     {"api_access_key": literal, "certificate_file": "/x"},
	} {
		changes["name"] = name
		want := 0
		if name == "refused" {
			want = 1
		}
		c.run("apply", "-f", write(t, p.root, name+".yaml", p.document(sim, changes))).wants(t, want)
		c.run("test", name)
	}
	p.shows("wrong"+anyCT, attention, "AADSTS7000215")
	for _, name := range []string{"environment", "file", "literal", "certificate", "deleted"} {
		c.run("collect", name, "--wait").wants(t, 0)
	}
	c.run("delete", "deleted", "--yes").wants(t, 0)
	c.printsWhatItTakes(sim)
	c.look(s)
	vaulttest.Grep(t, p.data, planted()...) // with the write-ahead log of the running server
	key, token := c.keyAndToken()
	s.interrupt()
	for what, text := range map[string]string{"what clients were told": c.said.String(), "the log": s.log.String(), "standard output": s.out.String()} {
		vaulttest.GrepText(t, what, text, append(planted(), "SENTINEL~", "@Sluice.Sealed", key, token)...)
		if strings.Contains(text, "eyJ") {
			t.Errorf("%s holds a token of Microsoft", what)
		}
	}
	vaulttest.Grep(t, p.data, planted()...)
	c.sealedAndPrivate()
}

// printsWhatItTakes applies what get prints, changes a stored secret, and keeps one.
func (c *talk) printsWhatItTakes(sim *m365sim.Server) {
	c.t.Helper()
	for _, format := range []string{"yaml", "json"} {
		printed := c.run("get", "connectors", "-o", format)
		printed.wants(c.t, 0, "${env:SLUICE_BLACKBOX_SECRET}", "${sealed}")
		again := c.run("apply", "-f", write(c.t, c.root, "printed."+format, printed.out))
		again.wants(c.t, 0, "unchanged")
		if strings.Contains(again.out, "updated") || strings.Contains(again.out, "created") {
			c.t.Errorf("what get -o %s prints is not what is stored:\n%s", format, again.out)
		}
	}
	kept := map[string]string{"name": "literal", "application_id": appID(1), "api_access_key": "${sealed}", "webhook_auth_id": "${sealed}", "interval": "2m"}
	c.run("apply", "-f", write(c.t, c.root, "kept.yaml", c.document(sim, kept))).wants(c.t, 0, "updated", "interval")
	c.run("test", "literal").wants(c.t, 0)
	kept["authentication_endpoint"] = "https://login.thief.example"
	c.run("apply", "-f", write(c.t, c.root, "stolen.yaml", c.document(sim, kept))).wants(c.t, 1, "is not used with another authentication_endpoint", "give the secret again")
	delete(kept, "authentication_endpoint")
	kept["name"] = "nobody"
	c.run("apply", "-f", write(c.t, c.root, "nobody.yaml", c.document(sim, kept))).wants(c.t, 1, "none is stored")
	kept["name"], kept["api_access_key"] = "literal", rotated
	c.run("apply", "-f", write(c.t, c.root, "rotated.yaml", c.document(sim, kept))).wants(c.t, 0, "updated", "api_access_key")
	c.shows("literal"+anyCT, attention, "AADSTS7000215")
	c.run("apply", "-f", c.path("literal.yaml"), "--dry-run").wants(c.t, 0, "api_access_key")
}

// look asks for everything that shows settings, and looks into child processes.
func (c *talk) look(s *server) {
	c.t.Helper()
	for _, args := range [][]string{
		{"status"},
		{"status", "-o", "json"},
		{"get", "connectors"},
		{"history", "literal"},
		{"search", "*", "--since", "all", "--limit", "0", "-o", "ndjson"},
		{"search", "SENTINEL*", "--since", "all"},
	} {
		c.run(args...)
	}
	_, token := c.keyAndToken()
	for _, path := range []string{
		"/healthz", "/metrics", "/api/v1/openapi.json", "/api/v1/info", "/api/v1/status", "/api/v1/entries", "/api/v1/entries/connectors",
		"/api/v1/document?kind=connectors&format=yaml", "/api/v1/document?kind=connectors&format=json", "/api/v1/imports",
	} {
		c.said.Write(ask(c.t, s.url+path, token))
	}
	for pid, environment := range s.children() {
		if bytes.Contains(environment, []byte("SENTINEL")) {
			c.t.Errorf("the environment of the child %d holds a secret", pid)
		}
	}
}

// keyAndToken are the secrets that the server made for itself.
func (c *talk) keyAndToken() (key, token string) {
	c.t.Helper()
	file, err := os.ReadFile(filepath.Join(c.data, vault.KeyFileName))
	if err != nil {
		c.t.Fatal(err)
	}
	all := lines(string(file))
	text, err := os.ReadFile(filepath.Join(c.data, "cli-token"))
	if err != nil {
		c.t.Fatal(err)
	}
	return all[len(all)-1], strings.TrimSpace(string(text))
}

// sealedAndPrivate demands that the literal secrets are in the state database at all, and who can read it and the key.
func (c *talk) sealedAndPrivate() {
	c.t.Helper()
	hits, _, err := vaulttest.Find(c.data, "@Sluice.Sealed(v1.")
	if err != nil || len(hits) == 0 {
		c.t.Errorf("no sealed secret is in the state database, so nothing was tested (%v)", err)
	}
	err = filepath.WalkDir(c.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := filepath.Base(path)
		if info, err := d.Info(); err == nil && (strings.HasPrefix(name, "state.db") || name == vault.KeyFileName) && info.Mode().Perm() != 0o600 {
			c.t.Errorf("%s, which holds secrets, has mode %o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
}

// rotationLimit covers the minute between two looks at secrets, on a machine that is busy with other things.
const rotationLimit = 5 * time.Minute

// TestRotatedSecretNeedsNoRestart replaces a mounted secret: by one that has expired, which is noticed although nothing
// was refused, and by a valid one, for which the connector waits with a refused sign-in.
func TestRotatedSecretNeedsNoRestart(t *testing.T) {
	t.Parallel()
	const valid, expired = "blackbox~valid~secret", "blackbox~expired~secret"
	company := tenant(300)
	company.Apps = []m365sim.App{{ID: application, Secret: valid, ExpiredSecret: expired}}
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 9, Tenants: []m365sim.Tenant{company}})
	p := newPlace(t)
	s := p.start()
	mounted := p.path("mounted")
	mount := func(secret string) { // as Kubernetes does: whole or not at all
		if err := os.Rename(write(t, p.root, "mounted.new", secret+"\n"), mounted); err != nil {
			t.Fatal(err)
		}
	}
	becomes := func(state, says string) {
		t.Helper()
		eventually(t, rotationLimit, func() (bool, string) {
			got := p.status()[connector+anyCT]
			said := ""
			if got.LastError != nil {
				said = got.LastError.Message
			}
			return got.State == state && strings.Contains(said, says), got.State + " " + said
		})
	}
	mount(valid)
	p.apply(sim, map[string]string{"api_access_key": "${file:" + mounted + "}"})
	becomes("ok", "")
	mount(expired)
	becomes(attention, "AADSTS7000222")
	mount(valid)
	becomes("ok", "")
	p.must("collect", connector, "--wait")
	if n := strings.Count(s.log.String(), "a secret has changed: the connector starts over"); n != 2 {
		t.Errorf("the connector started over %d times for 2 changes", n)
	}
	p.finish(sim)
	s.interrupt()
	vaulttest.GrepText(t, "the log", s.log.String(), valid, expired)
	vaulttest.Grep(t, p.data, valid, expired)
}
