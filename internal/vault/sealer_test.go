package vault

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/vault/vaulttest"
)

const planted = "pl4nted~Sentinel+8Qx/7uZ"

func fileSealer(t *testing.T, path string) *Sealer {
	t.Helper()
	keepers, err := KeyFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSealer(keepers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustSeal(t *testing.T, s *Sealer, owner, name, value string) string {
	t.Helper()
	text, err := s.Seal(t.Context(), owner, name, secret.New(value))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := fileSealer(t, filepath.Join(dir, KeyFileName))
	text := mustSeal(t, s, "c1", "api_access_key", planted)
	if again := mustSeal(t, s, "c1", "api_access_key", planted); again == text {
		t.Error("sealing twice gives the same text")
	}
	if !option.IsSealed(text) || option.NewRef(text).String() != option.Redacted || len(text) > 300 {
		t.Errorf("the sealed form is %q", text)
	}
	vaulttest.GrepText(t, "the sealed form", text, planted)
	vaulttest.Grep(t, dir, planted)
	reopened := fileSealer(t, filepath.Join(dir, KeyFileName)) // as after a restart
	if v, err := reopened.Open(t.Context(), "c1", "api_access_key", text); err != nil || v.Reveal() != planted {
		t.Errorf("Open after a restart: %v", err)
	}
	for _, place := range [][2]string{{"c2", "api_access_key"}, {"c1", "certificate_password"}, {"", ""}, {"c1a", "pi_access_key"}} {
		if _, err := s.Open(t.Context(), place[0], place[1], text); !fault.Is(err, fault.Malformed) {
			t.Errorf("a text that was moved to %v: %v", place, err)
		}
	}
	for _, value := range []string{"", strings.Repeat("x", MaxSealed+1)} {
		if _, err := s.Seal(t.Context(), "c1", "n", secret.New(value)); !fault.Is(err, fault.Config) {
			t.Errorf("Seal of %d bytes: %v", len(value), err)
		}
	}
	longest := strings.Repeat("x", MaxSealed)
	text = mustSeal(t, s, "c1", "n", longest)
	if len(text) > option.MaxText {
		t.Errorf("the longest sealed text has %d bytes, and an option takes %d", len(text), option.MaxText)
	}
	if v, err := s.Open(t.Context(), "c1", "n", text); err != nil || v.Reveal() != longest {
		t.Errorf("the longest secret: %v", err)
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	t.Parallel()
	s := fileSealer(t, filepath.Join(t.TempDir(), KeyFileName))
	text := mustSeal(t, s, "c1", "key", planted)
	for i := range text {
		for _, c := range []byte{'A', 'b', '0', '.', ')'} {
			changed := text[:i] + string(c) + text[i+1:]
			if changed == text {
				continue
			}
			if v, err := s.Open(t.Context(), "c1", "key", changed); err == nil || !v.Empty() {
				t.Fatalf("byte %d changed to %q: still opens", i, c)
			}
		}
	}
	for _, cut := range []string{"", "x", text[:len(text)-1], text + " ", option.SealedPrefix + ")"} {
		if _, err := s.Open(t.Context(), "c1", "key", cut); !fault.Is(err, fault.Malformed) || fault.HintOf(err) == "" {
			t.Errorf("Open of %q: %v", cut, err)
		}
	}
}

func TestLostKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), KeyFileName)
	s := fileSealer(t, path)
	text := mustSeal(t, s, "c1", "api_access_key", planted)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other := fileSealer(t, path)
	_, err := other.Open(t.Context(), "c1", "api_access_key", text)
	lost, _ := s.Key()
	present, _ := other.Key()
	for _, part := range []string{"api_access_key", lost, present, path} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %q: %v", part, err)
		}
	}
	if !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "backup") || !strings.Contains(fault.HintOf(err), "apply the entry again") {
		t.Errorf("kind %s, hint %q", fault.KindOf(err), fault.HintOf(err))
	}
}

func TestRotationOfTheKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), KeyFileName)
	first := fileSealer(t, path)
	text := mustSeal(t, first, "c1", "key", planted)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := NewKey()
	if err := os.WriteFile(path, append([]byte(next+"\n"), old...), 0o600); err != nil {
		t.Fatal(err)
	}
	both := fileSealer(t, path)
	if first.Stale(text) || !both.Stale(text) {
		t.Error("Stale is wrong")
	}
	rewrapped, err := both.Rewrap(t.Context(), "c1", "key", text)
	if err != nil || both.Stale(rewrapped) {
		t.Fatalf("Rewrap: %v", err)
	}
	if err := os.WriteFile(path, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	last := fileSealer(t, path)
	if v, err := last.Open(t.Context(), "c1", "key", rewrapped); err != nil || v.Reveal() != planted {
		t.Errorf("after the old key is gone: %v", err)
	}
	if _, err := last.Rewrap(t.Context(), "c1", "key", text); !fault.Is(err, fault.Config) {
		t.Errorf("the old text without the old key: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, KeyFileName)
	if _, err := KeyFile(path, false); !fault.Is(err, fault.Config) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(fault.HintOf(err), "backup") {
		t.Errorf("a missing file: %v", err)
	}
	made, err := KeyFile(path, true)
	if err != nil || len(made) != 1 {
		t.Fatalf("create: %v", err)
	}
	again, err := KeyFile(path, true)
	if err != nil || again[0].ID() != made[0].ID() {
		t.Errorf("the second start has another key: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for name, text := range map[string]string{
		"empty": "", "comments only": "# nothing\n", "short": "aGVsbG8=", "not base64": NewKey()[:40] + "!!!!",
		"large": strings.Repeat("#", maxKeyFile+1), "second line broken": NewKey() + "\nx\n",
	} {
		broken := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := KeyFile(broken, true)
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), broken) {
			t.Errorf("%s: %v", name, err)
		}
		if now, readErr := os.ReadFile(broken); readErr != nil || string(now) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false, 0o620: false, 0o606: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := KeyFile(path, false); (err == nil) != ok && runtime.GOOS != "windows" {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := KeyFile(filepath.Join(dir, "no", "folder"), true); !fault.Is(err, fault.Full) || fault.HintOf(err) == "" {
		t.Errorf("a folder that is missing: %v", err)
	}
}

func TestOpenKeeper(t *testing.T) {
	t.Parallel()
	v := newFakeVault(t)
	var err error
	if v.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	local := "base64key://" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for _, address := range []string{local, "azurekeyvault://" + vaultHost + "/keys/data"} {
		open := func() *Sealer {
			k, err := OpenKeeper(t.Context(), secret.New(address), v.config())
			if err != nil {
				t.Fatalf("%s: %v", address, err)
			}
			if strings.Contains(k.Place(), "BwcHBwc") || !isKeyID(k.ID()) {
				t.Errorf("id %q, place %q", k.ID(), k.Place())
			}
			s, err := NewSealer(k, k)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		text := mustSeal(t, open(), "c1", "key", planted)
		s := open()
		for range 3 {
			if got, err := s.Open(t.Context(), "c1", "key", text); err != nil || got.Reveal() != planted {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
	want := []string{vaultHost + "/keys/data/wrapkey", vaultHost + "/keys/data/v2/unwrapkey"}
	if got := v.asked(); len(got) < 2 || got[0] != want[0] || got[len(got)-1] != want[1] || len(got) > 2 {
		t.Errorf("the vault was asked for %q, want %q", got, want)
	}
	for _, address := range []string{
		"", "x", "base64key://", "base64key://short", local + "?x=1", "awskms://alias/x", "gcpkms://x", "hashivault://x", "file:///x",
		"azurekeyvault://evil.example/keys/data", "azurekeyvault://" + vaultHost + "/secrets/data", "azurekeyvault://u:" + planted + "@" + vaultHost + "/keys/data",
		"azurekeyvault://" + vaultHost + "/keys/a_b",
	} {
		_, err := OpenKeeper(t.Context(), secret.New(address), v.config())
		if !fault.Is(err, fault.Config) || strings.Contains(err.Error(), planted) || strings.Contains(err.Error(), "BwcHBwc") {
			t.Errorf("OpenKeeper of %q: %v", address, err)
		}
	}
	if _, err := NewSealer(); !fault.Is(err, fault.Config) {
		t.Errorf("NewSealer without keeper: %v", err)
	}
}

func TestKeyServiceFailures(t *testing.T) {
	t.Parallel()
	v := newFakeVault(t)
	var err error
	if v.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeeper(t.Context(), secret.New("azurekeyvault://"+vaultHost+"/keys/data"), v.config())
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSealer(k)
	if err != nil {
		t.Fatal(err)
	}
	text := mustSeal(t, s, "c1", "key", planted)
	v.key = nil
	s, err = NewSealer(k)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Open(t.Context(), "c1", "key", text)
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "keys/data") {
		t.Errorf("the key was deleted: %v", err)
	}
	vaulttest.GrepText(t, "the error", err.Error()+fault.HintOf(err), vaultToken, planted)
	for _, wrapped := range [][]byte{nil, {0}, {5}, {1, '/'}, {255}} {
		if _, err := k.Unwrap(t.Context(), wrapped); !fault.Is(err, fault.Malformed) {
			t.Errorf("Unwrap of %v: %v", wrapped, err)
		}
	}
}

func specOptions() []option.Option {
	return []option.Option{{Name: "name"}, {Name: "api_access_key", Secret: true}, {Name: "password", Secret: true}}
}

func TestSpecs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), KeyFileName)
	s := fileSealer(t, path)
	const spec = `{"name":"a<b","enabled":true,"api_access_key":"` + planted + `","n":1.50,"password":"${env:P}"}`
	stored, err := s.SealSpec(t.Context(), "c1", specOptions(), []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	vaulttest.GrepText(t, "the stored entry", string(stored), planted)
	if !json.Valid(stored) || !bytes.Contains(stored, []byte(`"name":"a<b","enabled":true,`)) || !bytes.HasSuffix(stored, []byte(`"n":1.50,"password":"${env:P}"}`)) {
		t.Errorf("stored as %s", stored)
	}
	if again, err := s.SealSpec(t.Context(), "c1", specOptions(), stored); err != nil || !bytes.Equal(again, stored) {
		t.Errorf("sealing a sealed entry changes it: %v", err)
	}
	if back, err := s.OpenSpec(t.Context(), "c1", specOptions(), stored); err != nil || string(back) != spec {
		t.Errorf("opened as %s, %v", back, err)
	}
	if _, err := s.OpenSpec(t.Context(), "c2", specOptions(), stored); !fault.Is(err, fault.Malformed) {
		t.Error("an entry opens under another id")
	}
	if next, changed, err := s.RewrapSpec(t.Context(), "c1", specOptions(), stored); err != nil || changed || !bytes.Equal(next, stored) {
		t.Errorf("RewrapSpec of what is up to date: %t, %v", changed, err)
	}
	next, changed, err := s.RewrapSpec(t.Context(), "c1", specOptions(), []byte(spec)) // of an older version
	if err != nil || !changed || bytes.Contains(next, []byte(planted)) {
		t.Errorf("RewrapSpec of a literal: %t, %v", changed, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other := fileSealer(t, path)
	if back, err := other.OpenSpec(t.Context(), "c1", specOptions(), stored); err == nil || !bytes.Equal(back, stored) {
		t.Errorf("OpenSpec without the key: %s, %v", back, err)
	}
	if next, changed, err := other.RewrapSpec(t.Context(), "c1", specOptions(), stored); err == nil || changed || !bytes.Equal(next, stored) {
		t.Errorf("RewrapSpec without the key: %t, %v", changed, err)
	}
	both, err := NewSealer(other.keepers[0], s.keepers[0])
	if err != nil {
		t.Fatal(err)
	}
	next, changed, err = both.RewrapSpec(t.Context(), "c1", specOptions(), stored)
	if err != nil || !changed {
		t.Fatalf("RewrapSpec to another key: %v", err)
	}
	if back, err := other.OpenSpec(t.Context(), "c1", specOptions(), next); err != nil || string(back) != spec {
		t.Errorf("after RewrapSpec: %s, %v", back, err)
	}
	for _, bad := range []string{"", "[]", `"x"`, `{"a":`, `{"api_access_key":"` + planted + `"}{}`, `{"api_access_key":"` + planted} {
		if _, err := s.SealSpec(t.Context(), "c1", specOptions(), []byte(bad)); err == nil || strings.Contains(err.Error(), planted) {
			t.Errorf("SealSpec of %q: %v", bad, err)
		}
	}
}

func FuzzParseSealed(f *testing.F) {
	s := sealed{key: "0123456789ab", wrapped: []byte{1, 2, 3}, box: bytes.Repeat([]byte{9}, boxOverhead)}
	f.Add(s.String())
	f.Add(option.SealedPrefix + "v1.0123456789ab.AQI.)")
	f.Add(option.SealedPrefix + "v2....)")
	f.Add(strings.Replace(s.String(), "AQID", "AQ\nID", 1))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSealed(text)
		if err != nil {
			return
		}
		if s.String() != text {
			t.Errorf("%q is read as %q", text, s.String())
		}
		if !isKeyID(s.key) || len(s.wrapped) == 0 || len(s.box) < boxOverhead {
			t.Errorf("%q is read as %+v", text, s)
		}
	})
}

func FuzzSpecs(f *testing.F) {
	f.Add(`{"name":"a","api_access_key":"x","password":"${file:/x}"}`, "c1")
	f.Add(`{"api_access_key":"\u00e4\ud800","api_access_key":""}`, "")
	keeper, err := newFileKeeper(bytes.Repeat([]byte{1}, keySize), "test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, spec, owner string) {
		s, err := NewSealer(keeper)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := s.SealSpec(t.Context(), owner, specOptions(), []byte(spec))
		if err != nil {
			return
		}
		back, err := s.OpenSpec(t.Context(), owner, specOptions(), stored)
		if err != nil {
			if !strings.Contains(spec, "Sealed") { // somebody else's sealed text stays as it is
				t.Fatalf("%q does not open: %v", stored, err)
			}
			return
		}
		var before, after any
		if json.Unmarshal([]byte(spec), &before) == nil && json.Unmarshal(back, &after) == nil {
			a, _ := json.Marshal(before)
			b, _ := json.Marshal(after)
			if !bytes.Equal(a, b) {
				t.Errorf("%s became %s", a, b)
			}
		}
	})
}
