package lake

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	sqlcat "github.com/apache/iceberg-go/catalog/sql"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"sluice/internal/fault"
)

const (
	catalogName = "sluice"
	namespace   = "sluice"
)

// sqlCatalog points at the newest metadata of each table. The rows are those of Iceberg's SQL (JDBC) catalog, so other
// engines find the tables. The loading and committing is ours instead of iceberg-go's for three reasons: metadata has
// to be on the disk before the row points at it, a stale base has to be told from other failures, and a commit need
// not read back what this process just wrote. It is safe for concurrent use; commits of one table are serialised by
// the caller.
type sqlCatalog struct {
	db       *sql.DB
	postgres bool
	fs       *durableFS
	base     func(ident table.Identifier) *table.Table // the table that a commit was built on
}

var _ table.CatalogIO = (*sqlCatalog)(nil)

// openCatalog makes the catalog's SQL tables and the namespace where they are missing.
func openCatalog(ctx context.Context, db *sql.DB, dialect string, fs *durableFS) (*sqlCatalog, error) {
	d := sqlcat.SupportedDialect(dialect)
	if d != sqlcat.SQLite && d != sqlcat.Postgres {
		return nil, fault.Newf(fault.Config, "open lake", "unknown dialect %q", dialect)
	}
	lib, err := sqlcat.NewCatalog(catalogName, db, d, iceberg.Properties{})
	if err != nil {
		return nil, err
	}
	ok, err := lib.CheckNamespaceExists(ctx, table.Identifier{namespace})
	if err != nil {
		return nil, err
	}
	if !ok {
		if err := lib.CreateNamespace(ctx, table.Identifier{namespace}, nil); err != nil {
			return nil, err
		}
	}
	return &sqlCatalog{db: db, postgres: d == sqlcat.Postgres, fs: fs}, nil
}

// query fits the placeholders to the dialect.
func (c *sqlCatalog) query(q string) string {
	if !c.postgres {
		return q
	}
	var b strings.Builder
	n := 0
	for _, r := range q {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// location is where the newest metadata of a table is, "" when there is no such table.
func (c *sqlCatalog) location(ctx context.Context, ident table.Identifier) (string, error) {
	var loc sql.NullString
	err := c.db.QueryRowContext(ctx, c.query(`SELECT metadata_location FROM iceberg_tables
		WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?`), catalogName, namespace, ident[1]).Scan(&loc)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return loc.String, err
}

func (c *sqlCatalog) fsf(context.Context) (iceio.IO, error) { return c.fs, nil }

// LoadTable implements table.CatalogIO.
func (c *sqlCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	loc, err := c.location(ctx, ident)
	if err != nil {
		return nil, err
	}
	if loc == "" {
		return nil, fault.Newf(fault.NotFound, "load table", "there is no table %s", ident[1])
	}
	return table.NewFromLocation(ctx, ident, loc, c.fsf, c)
}

// CommitTable implements table.CatalogIO: metadata to the disk, then one compare-and-swap. An error that is
// table.ErrCommitFailed means that nothing was committed; after any other error the outcome is unknown.
func (c *sqlCatalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	base := c.base(ident)
	for _, r := range reqs {
		if err := r.Validate(base.Metadata()); err != nil {
			return nil, "", fmt.Errorf("%w: %w", table.ErrCommitFailed, err)
		}
	}
	meta, err := table.UpdateTableMetadata(base.Metadata(), updates, base.MetadataLocation())
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", table.ErrCommitFailed, err)
	}
	loc, err := c.writeMetadata(meta, metadataVersion(base.MetadataLocation())+1)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", table.ErrCommitFailed, fault.Wrap(diskFault(err), "write metadata", err))
	}
	res, err := c.db.ExecContext(ctx, c.query(`UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
		WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?`),
		loc, base.MetadataLocation(), catalogName, namespace, ident[1], base.MetadataLocation())
	if err != nil {
		return nil, "", err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return nil, "", err
	}
	if n == 0 {
		return nil, "", fmt.Errorf("%w: somebody else committed to %s", table.ErrCommitFailed, ident[1])
	}
	return meta, loc, nil
}

// create makes a table, or loads it when somebody else was faster.
func (c *sqlCatalog) create(ctx context.Context, ident table.Identifier, meta table.Metadata) (*table.Table, error) {
	loc, err := c.writeMetadata(meta, 0)
	if err != nil {
		return nil, err
	}
	_, err = c.db.ExecContext(ctx, c.query(`INSERT INTO iceberg_tables
		(catalog_name, table_namespace, table_name, iceberg_type, metadata_location) VALUES (?, ?, ?, ?, ?)`),
		catalogName, namespace, ident[1], sqlcat.TableType, loc)
	if err != nil {
		if t, lerr := c.LoadTable(ctx, ident); lerr == nil {
			return t, nil
		}
		return nil, err
	}
	return c.LoadTable(ctx, ident)
}

// register makes the catalog point at a metadata file that exists, if it still points at old ("": has no such table).
func (c *sqlCatalog) register(ctx context.Context, ident table.Identifier, old, location string) error {
	if old == "" {
		_, err := c.db.ExecContext(ctx, c.query(`INSERT INTO iceberg_tables
			(catalog_name, table_namespace, table_name, iceberg_type, metadata_location) VALUES (?, ?, ?, ?, ?)`),
			catalogName, namespace, ident[1], sqlcat.TableType, location)
		return err
	}
	res, err := c.db.ExecContext(ctx, c.query(`UPDATE iceberg_tables SET metadata_location = ?
		WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?`),
		location, catalogName, namespace, ident[1], old)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.Newf(fault.Conflict, "register table", "somebody else committed to %s", ident[1]))
	}
	return nil
}

// writeMetadata writes a metadata file and makes it, and everything written before it, survive a power cut.
func (c *sqlCatalog) writeMetadata(meta table.Metadata, version int) (string, error) {
	places, err := table.LoadLocationProvider(meta.Location(), meta.Properties())
	if err != nil {
		return "", err
	}
	loc, err := places.NewTableMetadataFileLocation(version)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return "", err
	}
	if err := c.fs.WriteFile(loc, text); err != nil {
		return "", err
	}
	return loc, c.fs.syncFolders()
}

// metadataVersion reads the number that the name of a metadata file begins with.
func metadataVersion(location string) int {
	digits, _, _ := strings.Cut(path.Base(location), "-")
	n, _ := strconv.Atoi(digits)
	return n
}
