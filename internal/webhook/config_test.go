package webhook

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/option"
)

func TestOptions(t *testing.T) {
	if err := option.CheckDeclarations(Options()); err != nil {
		t.Error(err)
	}
	given := map[string]any{"listen": "0.0.0.0:8443", "tls_certificate": "/c", "tls_key": "/k", "address": "https://collector.example/x"}
	if got, want := ConfigOf(option.NewValues(Options(), given)), (Config{"0.0.0.0:8443", "/c", "/k", "https://collector.example/x"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// pair writes a certificate and its key as files.
func pair(t *testing.T, dir string) (c Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	key, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	c = Config{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{
		c.Certificate: {Type: "CERTIFICATE", Bytes: s.Certificate().Raw}, c.Key: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestCheck(t *testing.T) {
	files := pair(t, t.TempDir())
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // parts of the text; none: good
	}{
		{"off", Config{}, nil},
		{"behind a proxy", Config{Listen: "127.0.0.1:8443", Address: "https://collector.example"}, nil},
		{"with certificate", Config{Listen: ":8443", Certificate: files.Certificate, Key: files.Key}, nil},
		{"no listener", Config{Address: "https://collector.example"}, []string{"webhook.listen"}},
		{"listen without port", Config{Listen: "localhost"}, []string{"webhook.listen", "host:port"}},
		{"listen with a name for a port", Config{Listen: "localhost:https"}, []string{"webhook.listen", "port number"}},
		{"half a pair", Config{Listen: ":1", Certificate: files.Certificate}, []string{"tls_certificate", "tls_key"}},
		{"no certificate", Config{Listen: ":1", Certificate: files.Key, Key: files.Key}, []string{"tls_certificate", "cannot be used"}},
		{"all at once", Config{Listen: "x", Key: files.Key, Address: "http://collector.example"}, []string{"webhook.listen", "tls_key", "webhook.address", "https"}},
		{"query", Config{Listen: ":1", Address: "https://collector.example/?a=b"}, []string{"query"}},
		{"user", Config{Listen: ":1", Address: "https://u:p@collector.example/"}, []string{"user name"}},
	} {
		err := tt.cfg.Check()
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in: %v", tt.name, part, err)
			}
		}
	}
}

// values is a Store in memory.
type values map[string][]byte

func (v values) Value(_ context.Context, key string) ([]byte, bool, error) {
	if v == nil {
		return nil, false, errors.New("disk on fire")
	}
	b, ok := v[key]
	return b, ok, nil
}

func (v values) PutValue(_ context.Context, key string, value []byte) error {
	v[key] = value
	return nil
}

func TestLoadKey(t *testing.T) {
	store := values{}
	first, err := LoadKey(t.Context(), store)
	if err != nil || first == (Key{}) {
		t.Fatalf("%v, empty %v", err, first == (Key{}))
	}
	again, err := LoadKey(t.Context(), store)
	if err != nil || again != first {
		t.Errorf("another key after a restart: %v", err)
	}
	if first.Path("a") == first.Path("b") || len(first.Path("a")) != 40 || first.Path("a") == first.AuthID("a").Reveal()[:40] {
		t.Error("paths and AuthIDs must differ from each other")
	}
	if got, want := first.Address("https://x.example/y/", "a"), "https://x.example/y/"+first.Path("a"); got != want {
		t.Errorf("address %s, want %s", got, want)
	}
	for _, damaged := range []string{"", "ab", strings.Repeat("g", 64), strings.Repeat("a", 66)} {
		store[keyName] = []byte(damaged)
		if _, err := LoadKey(t.Context(), store); !fault.Is(err, fault.Internal) || strings.Contains(err.Error(), "gggg") {
			t.Errorf("%q: %v", damaged, err)
		}
	}
	if _, err := LoadKey(t.Context(), values(nil)); err == nil {
		t.Error("a store that fails is no error")
	}
}
