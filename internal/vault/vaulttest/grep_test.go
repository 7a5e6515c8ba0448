package vaulttest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"sluice/internal/vault/vaulttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sentinel = `S3nt+inel~"<&>/ä-7Qx~`

func gz(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return w.EncodeAll(data, nil)
}

func TestEverySpellingIsFound(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal("a" + sentinel)
	if err != nil {
		t.Fatal(err)
	}
	var s2text bytes.Buffer
	w := s2.NewWriter(&s2text)
	if _, err := w.Write([]byte(sentinel)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"plain":             []byte("x" + sentinel + "y"),
		"JSON":              quoted,
		"URL query":         []byte("https://h/?a=" + url.QueryEscape(sentinel) + "&b=1"),
		"URL path":          []byte("https://h/" + url.PathEscape(sentinel) + "/b"),
		"HTML":              []byte("<p>" + html.EscapeString(sentinel) + "</p>"),
		"hexadecimal":       []byte(hex.EncodeToString([]byte("12" + sentinel))),
		"upper hexadecimal": []byte(strings.ToUpper(hex.EncodeToString([]byte("12" + sentinel)))),
		"Go":                fmt.Appendf(nil, "%q", sentinel),
		"gzip":              gz(t, []byte(sentinel)),
		"zstd":              zst(t, []byte(sentinel)),
		"S2":                s2text.Bytes(),
		"zstd in a file":    append(append([]byte("page header \x28\xb5\x2f\xfd no stream "), zst(t, []byte("a"+sentinel))...), "more pages"...),
		"gzip in zstd":      zst(t, append([]byte("junk"), gz(t, []byte(base64.StdEncoding.EncodeToString([]byte("u:"+sentinel))))...)),
	}
	for before := range 4 {
		for after := range 4 {
			text := []byte(strings.Repeat("u", before) + sentinel + strings.Repeat("v", after))
			for name, e := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding, "raw": base64.RawURLEncoding} {
				cases[fmt.Sprintf("base64 %s %d %d", name, before, after)] = []byte("Basic " + e.EncodeToString(text))
			}
		}
	}
	for name, data := range cases {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "state.db-wal"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		hits, files, err := vaulttest.Find(root, "another sentinel", sentinel)
		if err != nil || files != 1 || len(hits) == 0 {
			t.Errorf("%s: found %v in %d files, error %v", name, hits, files, err)
			continue
		}
		if hits[0].Sentinel != 1 || strings.Contains(fmt.Sprint(hits), sentinel) {
			t.Errorf("%s: %v", name, hits)
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, data := range map[string][]byte{
		"a": []byte("S3nt+inel"), "b": gz(t, []byte("nothing here")), "c": {0x1f, 0x8b, 8, 0x28, 0xb5, 0x2f, 0xfd}, "d": nil,
	} {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vaulttest.Grep(t, root, sentinel)
	vaulttest.GrepText(t, "log", "nothing", sentinel)
}

// failing records what a helper says instead of failing the test.
type failing struct {
	testing.TB
	said []string
}

func (f *failing) Helper() {}
func (f *failing) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}
func (f *failing) Fatalf(format string, args ...any) { f.Errorf(format, args...) }

func TestGrepFails(t *testing.T) {
	t.Parallel()
	empty, full, named := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "log"), []byte("is "+sentinel), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(named, "planted-name"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(testing.TB){
		"a find":           func(tb testing.TB) { vaulttest.Grep(tb, full, sentinel) },
		"a text":           func(tb testing.TB) { vaulttest.GrepText(tb, "log", sentinel, sentinel) },
		"a file name":      func(tb testing.TB) { vaulttest.Grep(tb, named, "planted-name") },
		"no file":          func(tb testing.TB) { vaulttest.Grep(tb, empty, sentinel) },
		"no folder":        func(tb testing.TB) { vaulttest.Grep(tb, filepath.Join(empty, "x"), sentinel) },
		"no sentinel":      func(tb testing.TB) { vaulttest.Grep(tb, full) },
		"a short sentinel": func(tb testing.TB) { vaulttest.Grep(tb, full, "abc") },
	} {
		f := &failing{TB: t}
		run(f)
		if len(f.said) == 0 || strings.Contains(strings.Join(f.said, " "), sentinel) {
			t.Errorf("%s: said %q", name, f.said)
		}
	}
}
