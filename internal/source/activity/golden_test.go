package activity

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/internal/m365"
	"sluice/internal/secret"
	"sluice/internal/source"
)

var update = flag.Bool("update", false, "rewrite testdata/test/*.txt")

// row is one thing that can be wrong. Its file holds what an operator reads.
type row struct {
	file    string
	about   string // first line of the file
	arrange func(*scene)
}

// TestGolden runs the connection test of the real driver against a service that answers as a row says, and compares what
// `sluice test` prints. The first part is the normal output; the second shows what --verbose adds to steps that did not
// pass.
func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.file] {
			t.Fatalf("two rows write %s", r.file)
		}
		seen[r.file] = true
		t.Run(r.file, func(t *testing.T) {
			s := newScene(t)
			r.arrange(s)
			got := fmt.Sprintf("# %s\n\n%s", r.about, scrub(render(t, s.run())))
			for _, bad := range []string{testSecret, linkSecret, "eyJ", "hunter2"} {
				if strings.Contains(got, bad) {
					t.Errorf("a secret shows up: %q in\n%s", bad, got)
				}
			}
			compare(t, filepath.Join("testdata", "test", r.file+".txt"), got)
		})
	}
	files, err := filepath.Glob("testdata/test/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[strings.TrimSuffix(filepath.Base(f), ".txt")] {
			t.Errorf("%s belongs to no row", f)
		}
	}
}

func render(t *testing.T, checks []source.Check) string {
	t.Helper()
	var b strings.Builder
	if err := source.RenderChecks(&b, checks, false); err != nil {
		t.Fatal(err)
	}
	more := false
	for _, c := range checks {
		if c.Status == source.Failed && c.Hint == "" {
			t.Errorf("failed step %s says nothing about what to do: %s", c.Name, c.Message)
		}
		if c.Detail == "" {
			continue
		}
		if !more {
			more = true
			b.WriteString("\nwith --verbose:\n\n")
		}
		if err := source.RenderCheck(&b, source.Check{Name: c.Name, Status: c.Status, Detail: c.Detail}, true); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

var (
	listedTime = regexp.MustCompile(`(startTime|endTime)=[-0-9T:%A]+`)
	thumbprint = regexp.MustCompile(`thumbprint [0-9A-F]{40}`)
	wallClock  = regexp.MustCompile(`current time [-0-9T:Z]+`)
	tempFolder = regexp.MustCompile(`/[^ ]*/(ca|cert)\.pem`)
)

// scrub replaces what differs from run to run.
func scrub(text string) string {
	const until = "valid until " // the day alone could be another one, too
	text = strings.ReplaceAll(text, until+soonEnd.UTC().Format(time.DateOnly), until+"2026-12-01")
	text = listedTime.ReplaceAllString(text, "$1=2026-11-21T00:00:00")
	text = wallClock.ReplaceAllString(text, "current time 2026-11-21T00:00:00Z")
	text = thumbprint.ReplaceAllString(text, "thumbprint 1234567890ABCDEF1234567890ABCDEF12345678")
	return tempFolder.ReplaceAllString(text, "/etc/sluice/$1.pem")
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./internal/source/activity -run TestGolden -update", err)
	}
	if string(want) != got {
		t.Errorf("the text changed; if that is right: go test ./internal/source/activity -run TestGolden -update\n--- want\n%s\n--- got\n%s", want, got)
	}
}

// TestCodesOfARowReadAlike compares the other codes of a row with the first.
func TestCodesOfARowReadAlike(t *testing.T) {
	for _, c := range codeRows() {
		var want string
		for _, code := range c.codes {
			s := newScene(t)
			s.signIn = refuse(code, c.name, c.text)
			got := strings.ReplaceAll(render(t, s.run()), fmt.Sprint(code), "NUMBER")
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("AADSTS%d reads otherwise than AADSTS%d:\n%s\n%s", code, c.codes[0], got, want)
			}
		}
	}
}

// TestStatusesOfARowReadAlike does the same with the statuses of a row of spec/http-behaviour.md section 4.
func TestStatusesOfARowReadAlike(t *testing.T) {
	for _, statuses := range [][]int{{405, 406, 415}, {408, 425}, {413, 414, 431}, {500, 502, 504, 509}} {
		var want string
		for _, status := range statuses {
			s := newScene(t)
			s.at("subscriptions/list", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status, "") })
			got := strings.ReplaceAll(render(t, s.run()), fmt.Sprint(status), "STATUS")
			if words := http.StatusText(status); words != "" {
				got = strings.ReplaceAll(strings.ReplaceAll(got, " ("+words+")", ""), " "+words, "")
			}
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("HTTP %d reads otherwise than HTTP %d:\n%s\n%s", status, statuses[0], got, want)
			}
		}
	}
}

// TestCredentialExpiry is what the health of a connector is told.
func TestCredentialExpiry(t *testing.T) {
	s := newScene(t)
	src, err := s.source()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, known := src.CredentialExpiry(); known {
		t.Error("the end of a client secret is known")
	}
	end := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	file := clientCertificate(t, end)
	s.change = func(c *Config) { c.APIAccessKey, c.CertificateFile = secret.Secret{}, file }
	if src, err = s.source(); err != nil {
		t.Fatal(err)
	}
	expires, what, known := src.CredentialExpiry()
	if cert, _ := src.client.Certificate(); !known || !expires.Equal(end) || !strings.Contains(what, "thumbprint "+cert.SHA1) {
		t.Errorf("%v %q %v", expires, what, known)
	}
	if m365.ExpiryNotice != 30*24*time.Hour {
		t.Error("the notice is not 30 days")
	}
}
