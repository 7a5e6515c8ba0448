package client_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/client"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment is a set of variables.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	const demo, local, given = "http://127.0.0.1:4001", "http://127.0.0.1:4002", "http://127.0.0.1:4003"
	for _, tc := range []struct {
		name       string
		env        environment
		flag       string
		url, token string
		without    []string // files that do not exist
	}{
		{"nothing at all", nil, "", client.DefaultURL, "", []string{"run", "data"}},
		{"a stopped server here", nil, "", client.DefaultURL, "local-token", []string{"run", "data/cli-url"}},
		{"the demo", nil, "", demo, "demo-token", []string{"data"}},
		{"a server here goes before the demo", nil, "", local, "local-token", nil},
		{"flag", nil, "given", given, "given-token", nil},
		{"folder in the environment", environment{"SLUICE_DATA": "given"}, "", given, "given-token", nil},
		{"flag before environment", environment{"SLUICE_DATA": "data"}, "given", given, "given-token", nil},
		{"flag of a stopped server", nil, "given", client.DefaultURL, "given-token", []string{"given/cli-url"}},
		{"URL and token", environment{"SLUICE_URL": "https://siem.example/", "SLUICE_TOKEN": "mine"}, "", "https://siem.example", "mine", nil},
		{"a local token does not travel", environment{"SLUICE_URL": "https://siem.example"}, "", "https://siem.example", "", nil},
		{"unless asked to", environment{"SLUICE_URL": "https://siem.example"}, "given", "https://siem.example", "given-token", nil},
		{"URL on this machine", environment{"SLUICE_URL": "http://localhost:9"}, "", "http://localhost:9", "local-token", nil},
		{"URL of the demo", environment{"SLUICE_URL": demo}, "", demo, "demo-token", nil},
		{"token goes before files", environment{"SLUICE_TOKEN": "mine"}, "given", given, "mine", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			write(t, "run/sluice/server.json", `{"url":"`+demo+`","data_dir":"`+filepath.Join(dir, "demo")+`","pid":1}`)
			write(t, "demo/cli-token", "demo-token\n")
			write(t, "data/cli-token", "local-token\n")
			write(t, "data/cli-url", local+"\n")
			write(t, "given/cli-token", "given-token\n")
			write(t, "given/cli-url", given+"\n")
			for _, path := range tc.without {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
			env := environment{"XDG_RUNTIME_DIR": filepath.Join(dir, "run")}
			maps.Copy(env, tc.env)
			got, err := client.Find(client.Sources{Getenv: env.get, DataDir: tc.flag})
			if err != nil || got.URL != tc.url || got.Token.Reveal() != tc.token || got.From == "" {
				t.Errorf("got %s, token %q, from %q, %v; want %s, %q", got.URL, got.Token.Reveal(), got.From, err, tc.url, tc.token)
			}
		})
	}
	for _, bad := range []string{"127.0.0.1:8365", "ftp://x", "http://", "http://user:pw@host", "http://host?x=1"} {
		if _, err := client.Find(client.Sources{Getenv: environment{"SLUICE_URL": bad, "XDG_RUNTIME_DIR": t.TempDir()}.get}); !fault.Is(err, fault.Config) || strings.Contains(err.Error(), "pw") {
			t.Errorf("SLUICE_URL=%s: %v", bad, err)
		}
	}
}

func TestRecordAndForget(t *testing.T) {
	dir := t.TempDir()
	env := environment{"XDG_RUNTIME_DIR": filepath.Join(dir, "run")}
	data := filepath.Join(dir, "demo")
	write(t, filepath.Join(data, api.TokenFile), "demo-token\n")
	t.Chdir(t.TempDir())
	first, err := client.RecordServer(env.get, data, "http://127.0.0.1:4001")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(data, client.URLFile), filepath.Join(dir, "run/sluice/server.json")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	found, err := client.Find(client.Sources{Getenv: env.get})
	if err != nil || found.URL != first.URL || found.Token.Reveal() != "demo-token" {
		t.Fatalf("found %+v, %v", found, err)
	}
	second, err := client.RecordServer(env.get, filepath.Join(data), "http://127.0.0.1:4002")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ForgetServer(env.get, first); err != nil {
		t.Fatal(err)
	}
	if found, err := client.Find(client.Sources{Getenv: env.get}); err != nil || found.URL != second.URL {
		t.Errorf("the first server forgot the second: %+v %v", found, err)
	}
	for range 2 { // forgetting twice is harmless
		if err := client.ForgetServer(env.get, second); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(data, client.URLFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the URL stays: %v", err)
	}
	if found, err := client.Find(client.Sources{Getenv: env.get}); err != nil || found.URL != client.DefaultURL {
		t.Errorf("found %+v, %v", found, err)
	}
}

// connect returns a client of a fake service.
func connect(t *testing.T) (*client.Client, *apitest.Fake) {
	t.Helper()
	fake := apitest.New()
	handler, err := api.New(api.Options{Service: fake, Token: secret.New(apitest.Token)})
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, handler), fake
}

func dial(t *testing.T, handler http.Handler) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c := client.New(client.Settings{URL: server.URL, Token: secret.New(apitest.Token)})
	t.Cleanup(c.Close)
	return c
}

func TestErrorsAreFaults(t *testing.T) {
	c, _ := connect(t)
	_, err := c.Delete(t.Context(), api.Connectors, "contoso", api.DeleteOptions{})
	if !fault.Is(err, fault.Conflict) || err.Error() != "contoso is owned by sluice.yaml" || fault.HintOf(err) == "" {
		t.Errorf("delete: %v (%s)", err, fault.KindOf(err))
	}
	_, err = c.Delete(t.Context(), api.Connectors, "a/b c?d", api.DeleteOptions{StopSubscriptions: true})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), `"a/b c?d"`) {
		t.Errorf("a name with odd characters: %v", err)
	}
	_, err = c.Apply(t.Context(), api.ApplyRequest{Name: "x.yaml", Document: []byte("connectors: [{}]")})
	var doc *client.DocumentError
	if !errors.As(err, &doc) || len(doc.Mistakes) != 1 || doc.Mistakes[0].File != "x.yaml" || !fault.Is(err, fault.Config) {
		t.Errorf("apply: %v", err)
	}
	for check, err := range c.Test(t.Context(), api.Connectors, "nobody") {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("test: %+v, %v", check, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	c := client.New(client.Settings{URL: server.URL})
	server.Close()
	_, err := c.Status(t.Context())
	if !fault.Is(err, fault.Unavailable) || err.Error() != "no server answers at "+server.URL || !strings.Contains(fault.HintOf(err), "SLUICE_URL") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestSomethingElseAnswers(t *testing.T) {
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/status") {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "<html>")
	}))
	if _, err := c.Status(t.Context()); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "302") {
		t.Errorf("redirect: %v", err)
	}
	if _, err := c.SearchFrames(t.Context(), api.SearchQuery{Query: "x"}, func(*api.Frame) error { return nil }); !fault.Is(err, fault.Unavailable) {
		t.Errorf("html: %v", err)
	}
}

func TestCutStreamsAreErrors(t *testing.T) {
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"job":{"id":"1","listed":2}}`+"\n") // ends well as HTTP, but the job is not done
			return
		}
		_, _ = io.WriteString(w, `{"a":1}`+"\n")
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	if _, err := c.Watch(t.Context(), "1", func(api.Job) {}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("watch: %v", err)
	}
	var out strings.Builder
	if _, err := c.SearchInto(t.Context(), api.SearchQuery{Query: "x"}, &out); !errors.Is(err, io.ErrUnexpectedEOF) || out.String() != `{"a":1}`+"\n" {
		t.Errorf("search: %v, %q", err, out.String())
	}
}

func TestSearchIsByteForByte(t *testing.T) {
	c, fake := connect(t)
	fake.Rows = []string{"{\"a\": \"\xff <&>\u2028\", \"n\": 1.50}"}
	var out strings.Builder
	end, err := c.SearchInto(t.Context(), api.SearchQuery{Query: "*", Format: api.Raw}, &out)
	if err != nil || out.String() != fake.Rows[0]+"\n" || end.Stats.Rows != 1 {
		t.Errorf("%q, %+v, %v", out.String(), end, err)
	}
	if _, err := c.SearchInto(t.Context(), api.SearchQuery{Query: "late", Format: api.NDJSON}, io.Discard); !fault.Is(err, fault.Internal) {
		t.Errorf("a late error: %v", err)
	}
	limit := 0
	if _, err := c.SearchFrames(t.Context(), api.SearchQuery{Query: "*", Limit: &limit}, func(*api.Frame) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := fake.Asked[len(fake.Asked)-1].Limit; got != 0 {
		t.Errorf("limit 0 arrived as %d", got)
	}
}

func TestImport(t *testing.T) {
	c, _ := connect(t)
	job, err := c.CreateImport(t.Context(), api.ImportRequest{Type: "office365", TenantName: "Contoso"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text string
		size int64
	}{"known size": {"{}\n{}\n", 6}, "unknown size": {"{}\n{}\n", -1}, "empty": {"", 0}} {
		result, err := c.ImportFile(t.Context(), job.ID, name, strings.NewReader(tc.text), tc.size)
		if err != nil || result.Lines != int64(strings.Count(tc.text, "\n")) {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
	if _, err := c.ImportFile(t.Context(), job.ID, "shorter", strings.NewReader("{}"), 10); err == nil {
		t.Error("a file that became shorter was taken as whole")
	}
	done, err := c.FinishImport(t.Context(), job.ID)
	if err != nil || done.State != "done" || done.Lines != 4 {
		t.Errorf("%+v, %v", done, err)
	}
}
