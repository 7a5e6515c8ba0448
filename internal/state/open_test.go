package state_test

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func TestOpenRefusesNewerVersion(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			dsn := dsn(t)
			s := open(t, dsn, state.Options{})
			if s.Dialect() != engine {
				t.Errorf("dialect %s, want %s", s.Dialect(), engine)
			}
			if _, err := s.DB().ExecContext(t.Context(), "INSERT INTO schema_version (version, applied) VALUES (999, 0)"); err != nil {
				t.Fatal(err)
			}
			_, err := state.Open(t.Context(), dsn, state.Options{})
			wantKind(t, err, fault.Config, "written by a newer version of Sluice (schema 999, this one knows 5)")
			if hint := fault.HintOf(err); !strings.Contains(hint, "install that version") {
				t.Errorf("hint %q", hint)
			}
		})
	}
}

// A database of the first version opens, and what it holds means what it meant.
func TestOpenOfFirstVersion(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			dsn := dsn(t)
			id := unitOf(1).ID("c1")
			firstVersion(t, engine, dsn, id)
			s := open(t, dsn, state.Options{})
			if u := unit(t, s, id); u.State != state.Landed || u.Records != 3 || u.IDSum != 0 || u.AskLake || u.Seq != 0 || !u.LookAt.IsZero() {
				t.Errorf("unit %+v", u)
			}
			if open, err := s.OpenBatches(t.Context()); err != nil || len(open) != 1 || open[0] != (state.OpenBatch{Number: 6, Epoch: "e"}) {
				t.Errorf("open batches %+v, %v", open, err)
			}
			if got := published(t, s); len(got) != 0 {
				t.Errorf("published batches %+v", got)
			}
			term := acquire(t, s)
			b, results := begin(t, s, term, []int{1, 2})
			wantResults(t, results, claimed, duplicate)
			confirm(t, s, term, b, 1)
			void(t, s, term, 6)
			if changed, err := s.Recount(t.Context(), term); err != nil || len(changed) > 0 {
				t.Errorf("recount found %+v, %v", changed, err)
			}
		})
	}
}

// firstVersion makes a database with the first migration alone: a landed unit, a void batch that holds record 1, an open
// one, and record 2 in one that was published.
func firstVersion(t *testing.T, engine state.Dialect, dsn string, unit record.UnitID) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("migrations", string(engine), "0001_init.sql"))
	if err != nil {
		t.Fatal(err)
	}
	driver, start, bytes := "sqlite", "PRAGMA application_id = 0x536c6365", "x'%x'"
	if engine == state.Postgres {
		driver, start, bytes = "pgx", "SELECT 1", `'\x%x'`
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	lit := func(b []byte) string { return fmt.Sprintf(bytes, b) }
	key := func(id int) string {
		c := claimOf(id, 1)
		return lit(append(binary.BigEndian.AppendUint32(nil, c.Second), c.Key[:]...))
	}
	content := claimOf(1, 1).Content
	statements := append(strings.Split(string(script), ";\n"), start,
		"CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY, applied BIGINT NOT NULL)",
		"INSERT INTO schema_version VALUES (1, 0)",
		"INSERT INTO feeds (connector_id, content_type, listed, landed, records) VALUES ('c1', '"+feedType+"', 1, 1, 3)",
		"INSERT INTO units (id, feed, unit_key, content_id, uri, created, expires, state, complete, records, listed_at) VALUES ("+
			lit(unit[:])+", 1, 'k', '', '', 1, 1, 2, 1, 3, 1)",
		"INSERT INTO batches (number, subject, epoch, void) VALUES (5, '"+subject+"', 'e', 1), (6, '"+subject+"', 'e', 0)",
		"INSERT INTO ids (key, content, batch) VALUES ("+key(1)+", "+lit(content[:])+", 5), ("+key(2)+", "+lit(content[:])+", 4)",
		map[state.Dialect]string{
			state.SQLite: "UPDATE batch_number SET last = 6", state.Postgres: "SELECT setval('batch_number', 6)",
		}[engine],
	)
	for _, statement := range statements {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestOpenRefusesWhatIsNoStateDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("these are my notes\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	db, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE songs (name TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, dsn, want string }{
		{"text file", text, "not a SQLite database"},
		{"another program's database", other, "database of another program"},
		{"folder is missing", filepath.Join(dir, "absent", "state.db"), "does not exist"},
		{"a folder", dir, "cannot be opened"},
		{"bad URL", "postgres://u:hunter2@h:port/x", "not a valid postgres:// URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := state.Open(t.Context(), tt.dsn, state.Options{})
			wantKind(t, err, fault.Config, tt.want)
			if fault.HintOf(err) == "" {
				t.Error("no hint")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
	if got, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(got), "these are my notes") || len(got) != 1900 {
		t.Error("the text file was changed")
	}
}

func TestOpenOfUnreachableServer(t *testing.T) {
	t.Parallel()
	_, err := state.Open(t.Context(), "postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable", state.Options{})
	wantKind(t, err, fault.Unavailable)
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd ?name%20 #1.db")
	s := open(t, path, state.Options{})
	acquire(t, s)
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("files %q, want the database, its log and its shared memory (%v)", names, err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %o", filepath.Base(name), mode)
		}
	}
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "30000", "secure_delete": "2"}
	for pragma, value := range want {
		var got string
		if err := s.DB().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
			t.Errorf("%s = %s, want %s (%v)", pragma, got, value, err)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		term := acquire(t, s)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Step(t.Context(), term, func(*state.Step) error { return nil }); err == nil {
			t.Error("a step after Close succeeded")
		}
		if _, err := s.Totals(t.Context()); err == nil {
			t.Error("a read after Close succeeded")
		}
	})
}
