package state

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // driver "sqlite"

	"sluice/internal/fault"
)

// Measured (modernc.org/sqlite 1.59, two cores, batches of 2,500 claims, page size 4096): neighbouring keys cost 0.9 to
// 1.4 us of CPU per claim, whether a checkpoint comes every 1,000 or 16,000 pages. Keys spread evenly over an hour, where
// each claim touches a page of its own, cost 17.1 us averaged over the first 1.5 million rows (18.5 with pages of 8192,
// 22.1 with 16384); there, over 500,000 rows, a checkpoint every 16,000 pages instead of 2,000 saved a fifth. Hence
// SQLite's default page size and a log of 32 MB.
var sqlitePragmas = []string{
	"busy_timeout(30000)",
	"journal_mode(WAL)",
	"synchronous(FULL)",
	"foreign_keys(ON)",
	"wal_autocheckpoint(8000)",
	"journal_size_limit(67108864)",
	"temp_store(MEMORY)",
	"secure_delete(FAST)", // what is replaced or deleted on a page that is written anyhow is overwritten with zeros
}

const (
	writerPragmas = "cache_size(-65536)" // KiB: the interior and the newest leaves of the index of identities
	readerPragmas = "cache_size(-8192)"
	readers       = 4
	sharedConns   = 4
)

// openSQLite opens three pools on one file: the writer (one connection, one user at a time), readers that cannot
// write, and connections for others.
func (s *Store) openSQLite(ctx context.Context, path string) error {
	s.dialect, s.name = SQLite, path
	path, err := createFile(path)
	if err != nil {
		return err
	}
	writerDB, err := openFile(path, writerPragmas)
	if err != nil {
		return err
	}
	writerDB.SetMaxOpenConns(1)
	s.writer = &writer{db: writerDB, turn: make(chan struct{}, 1), stmts: map[stmtKey]*sql.Stmt{}}
	if s.writer.conn, err = writerDB.Conn(ctx); err != nil {
		return err
	}
	if s.read, err = openFile(path, readerPragmas, "query_only(ON)"); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	if s.shared, err = openFile(path, readerPragmas); err != nil {
		return err
	}
	s.shared.SetMaxOpenConns(sharedConns)
	s.shared.SetMaxIdleConns(sharedConns)
	return nil
}

// createFile makes sure that the file exists, with mode 0600 when it is new, and returns its absolute path. SQLite
// gives the mode of the file to the files it puts beside it.
func createFile(path string) (string, error) {
	const op = "create the file"
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fault.Wrap(fault.Config, op, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fault.Newf(fault.Config, op, "the folder %s does not exist", filepath.Dir(path)).WithHint("create it")
	case err != nil:
		return "", fault.New(fault.Config, op, "the state database cannot be opened for writing").
			WithHint("give the user that runs Sluice the right to write the file and its folder").WithCause(err)
	}
	if err := f.Close(); err != nil {
		return "", fault.Wrap(fault.Unavailable, op, err)
	}
	return path, nil
}

func openFile(path string, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_txlock": {"immediate"}, "_dqs": {"0"}}
	query["_pragma"] = append(append([]string{}, sqlitePragmas...), pragmas...)
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/... on Windows
	}
	dsn := "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
	return sql.Open("sqlite", dsn)
}
