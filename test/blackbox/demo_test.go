package blackbox

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ownProgram gives the place a copy of the binary, so that its processes can be told from those of other tests.
func (p *place) ownProgram() {
	p.t.Helper()
	text, err := os.ReadFile(binary)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.Mkdir(p.path("work/bin"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.program = p.path("work/bin/sluice")
	if err := os.WriteFile(p.program, text, 0o700); err != nil {
		p.t.Fatal(err)
	}
}

// startDemo starts `sluice up --demo` as a person does.
func startDemo(t *testing.T, p *place) *server {
	t.Helper()
	p.ownProgram()
	s := p.launch("--demo")
	s.waitUp()
	return s
}

// findsRows waits until a command line prints a table with rows and names no field that no record has yet.
func (p *place) findsRows(line string) {
	p.t.Helper()
	eventually(p.t, settleLimit, func() (bool, string) {
		got := p.shell(line)
		if got.code != 0 {
			p.t.Fatalf("%s: exit code %d: %s%s", line, got.code, got.out, got.errors)
		}
		return len(lines(got.out)) > 1 && !strings.Contains(got.errors, "unknown field"), got.out + got.errors
	})
}

// TestDemo takes the first steps of a newcomer.
func TestDemo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := startDemo(t, p)
	var searches []string
	for _, line := range lines(s.out.String()) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			searches = append(searches, command)
		}
	}
	if len(searches) != 3 {
		t.Fatalf("%d searches to try, want 3: %s", len(searches), s.out)
	}
	p.findsRows("sluice search 'Operation:FileDownloaded' --since 24h")
	for _, line := range searches {
		p.findsRows(line)
	}
	// The search that was answered last ended its process; the next one is started when it is gone.
	eventually(t, startLimit, func() (bool, string) {
		return len(s.children()) > 0, "no query process was seen, so their end is not tested"
	})
	s.interrupt()
	left, err := os.ReadDir(p.path("tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("the demo left %v behind (%v)", left, err)
	}
	eventually(t, stopLimit, func() (bool, string) {
		for pid, program := range processes(t) {
			if program == p.program {
				return false, fmt.Sprintf("process %d is left", pid)
			}
		}
		return true, ""
	})
}

// TestDemoStartsAgain: a demo with a data folder goes on where it was, and looks well.
func TestDemoStartsAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for range 2 {
		s := p.launch("--demo", "--data", p.data)
		s.waitUp()
		eventually(t, settleLimit, func() (bool, string) {
			for name, st := range p.status() {
				if st.Landed == 0 || st.NextRun == nil {
					return false, fmt.Sprintf("%s: %+v", name, st)
				}
			}
			return true, ""
		})
		p.must("collect", "contoso-office365", "--since", "25h", "--wait")
		p.run("verify").wants(t, 0, "complete")
		eventually(t, settleLimit, func() (bool, string) { // one content in two hundred can be read only the second time
			for name, st := range p.status() {
				if st.State != "ok" || len(st.Gaps) > 0 || st.LastError != nil {
					return false, fmt.Sprintf("%s: %+v, error %+v", name, st, st.LastError)
				}
			}
			return true, ""
		})
		s.interrupt()
	}
}

var quoted = regexp.MustCompile("`(bin/sluice [^`]+)`")

// readme returns the commands of README.md and the document that it shows.
func readme(t *testing.T) (commands []string, document string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(module(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	inDocument := false
	for line := range strings.SplitSeq(string(text), "\n") {
		block, indented := strings.CutPrefix(strings.TrimLeft(line, " "), "# contoso.yaml")
		switch {
		case indented && block == "":
			inDocument = true
			continue
		case inDocument && strings.TrimSpace(line) == "":
			inDocument = false
		case inDocument:
			document += strings.TrimPrefix(line, "       ") + "\n"
			continue
		}
		if command := strings.TrimSpace(line); strings.HasPrefix(command, "bin/sluice ") {
			commands = append(commands, command)
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			commands = append(commands, m[1])
		}
	}
	return commands, document
}

// TestReadme runs every command of README.md against the demo.
func TestReadme(t *testing.T) {
	t.Parallel()
	commands, document := readme(t)
	if len(commands) < 10 || !strings.HasPrefix(document, "connectors:\n") {
		t.Fatalf("%d commands and this document were found, so this test looks at the wrong place:\n%s", len(commands), document)
	}
	p := newPlace(t)
	p.extra = []string{"M365_SECRET=not-a-secret"}
	startDemo(t, p)
	work := p.path("work")
	// The demo has a connector of that name already, and nothing shall be sent to Microsoft.
	document = strings.Replace(document, "name: contoso-office365", "name: contoso-readme", 1)
	document = strings.TrimRight(document, "\n") + "\n    authentication_endpoint: https://127.0.0.1:1\n    api_endpoint: https://127.0.0.1:1\n"
	document = strings.Replace(document, "tenant_name: Contoso", "tenant_name: Contoso of the read-me", 1)
	write(t, work, "contoso.yaml", document)
	writeExports(t, work)
	p.findsRows("bin/sluice search 'Operation:FileDownloaded' --since 24h")
	placeholders := strings.NewReplacer("collect NAME", "collect contoso-office365", "test NAME", "test contoso-office365")
	for _, command := range commands {
		t.Run(command, func(t *testing.T) {
			if rest, ok := strings.CutPrefix(command, "bin/sluice up "); ok {
				other := newPlace(t) // a second server, as a person would start it first
				s := other.launch(strings.Fields(rest)...)
				s.waitUp()
				s.interrupt()
				return
			}
			p := *p
			p.t = t
			prints := !strings.Contains(command, ">") && !strings.Contains(command, "ann@contoso.example")
			if prints && strings.HasPrefix(command, "bin/sluice search ") { // the content types come one after the other
				p.findsRows(command)
			}
			got := p.shell(placeholders.Replace(command))
			if got.code != 0 {
				t.Errorf("exit code %d\n%s%s", got.code, got.out, got.errors)
			}
			if prints && strings.TrimSpace(got.out) == "" {
				t.Errorf("prints nothing: %s", got.errors)
			}
		})
	}
	for _, verb := range []string{"pause", "resume"} {
		p.shell("bin/sluice "+verb+" contoso-readme").wants(t, 0)
	}
	p.shell("bin/sluice delete contoso-readme --yes").wants(t, 0)
}

// writeExports makes the files that README.md imports.
func writeExports(t *testing.T, dir string) {
	t.Helper()
	var table, packed bytes.Buffer
	export := csv.NewWriter(&table)
	if err := export.WriteAll([][]string{{"RecordId", "AuditData"}, {"1", audit("readme-1", "FileDownloaded")}}); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "audit-export.csv", table.String())
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(audit("readme-2", "FileDownloaded") + "\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "older.ndjson.gz", packed.String())
}
