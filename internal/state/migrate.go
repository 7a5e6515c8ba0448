package state

import (
	"context"
	"embed"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"sluice/internal/fault"
)

// Migrations are SQL files migrations/<dialect>/<number>_<what>.sql, numbered from 1 without gaps and never changed
// once released. Both dialects have the same numbers.
//
//go:embed migrations
var migrations embed.FS

// applicationID marks a SQLite file as ours: "Slce".
const applicationID = 0x536c6365

// advisoryLock keeps two processes from migrating one PostgreSQL database at the same time.
const advisoryLock = applicationID

// migrate brings the schema up to date in one transaction.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := readMigrations(migrations, s.dialect)
	if err != nil {
		return err
	}
	return s.write(ctx, "migrate", func(t *tx) error {
		version, err := s.version(t)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return fault.Newf(fault.Config, "", "%s was written by a newer version of Sluice (schema %d, this one knows %d)",
				s.name, version, len(steps)).WithHint("install that version")
		}
		for i := version; i < len(steps); i++ {
			if err := t.script(steps[i]); err != nil {
				return fault.Wrap("", "migration "+strconv.Itoa(i+1), classify("", err))
			}
			if _, err := t.exec(`INSERT INTO schema_version (version, applied) VALUES (?, ?)`, int64(i+1), micros(s.clock.Now())); err != nil {
				return err
			}
		}
		return nil
	})
}

// version makes sure that the database is ours and returns its schema version, 0 when it is new.
func (s *Store) version(t *tx) (int, error) {
	if s.dialect == SQLite {
		if err := s.checkOwner(t); err != nil {
			return 0, err
		}
	} else if _, err := t.exec(`SELECT pg_advisory_xact_lock(?)`, int64(advisoryLock)); err != nil {
		return 0, err
	}
	if err := t.script(`CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY, applied BIGINT NOT NULL)`); err != nil {
		return 0, err
	}
	var version int
	_, err := t.one(`SELECT COALESCE(MAX(version), 0) FROM schema_version`, nil, &version)
	return version, err
}

func (s *Store) checkOwner(t *tx) error {
	var id, tables int64
	if _, err := t.one(`PRAGMA application_id`, nil, &id); err != nil {
		return err
	}
	if id == applicationID {
		return nil
	}
	if _, err := t.one(`SELECT COUNT(*) FROM sqlite_master`, nil, &tables); err != nil {
		return err
	}
	if id != 0 || tables > 0 {
		return fault.Newf(fault.Config, "", "%s is a database of another program", s.name).
			WithHint("point `state` to another file")
	}
	return t.script(`PRAGMA application_id = ` + strconv.Itoa(applicationID))
}

// script runs SQL text of several statements as it is.
func (t *tx) script(text string) error {
	if err := t.ready(); err != nil {
		return err
	}
	if t.pg != nil {
		for part := range strings.SplitSeq(text, ";\n") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			if _, t.err = t.pg.ExecContext(t.ctx, part); t.err != nil {
				return t.err
			}
		}
		return nil
	}
	_, t.err = t.w.conn.ExecContext(t.ctx, text)
	return t.err
}

// readMigrations returns the texts of a dialect's migrations in order.
func readMigrations(files fs.FS, d Dialect) ([]string, error) {
	dir := path.Join("migrations", string(d))
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	steps := make([]string, 0, len(entries))
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fault.Newf(fault.Internal, "read migrations", "%s/%s should have number %d", dir, e.Name(), i+1)
		}
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		steps = append(steps, string(text))
	}
	return steps, nil
}
