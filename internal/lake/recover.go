package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"sluice/internal/fault"
)

// The catalog database only points at the newest metadata file of each table; all else is in the warehouse. When the
// database was lost, or an old copy of it came back, the tables are found again by their metadata files.
//
// A metadata file is named by its version, one more than that of the file it was made from, and is written before the
// catalog points at it. So a file one version above the catalog's may be a commit that never happened, and is left
// alone; a file two versions above proves that the catalog forgot commits.
//
// Without a catalog the newest file is taken, although its commit may never have happened: a commit writes its data
// files, its metadata and the position in the journal as one thing, so the file is as true as one that was committed.
// It holds rows that the journal has too, and its position says that they need not be read again. That is only so when
// its data files are complete, which a power cut in the middle of a commit can prevent; they are looked at before.

// candidate is a metadata file that a table could have.
type candidate struct {
	location string
	version  int
	tbl      *table.Table
	position Position
	missing  int // data files that are not there or have another size
}

// openExisting loads the table that the catalog knows, or finds it in the warehouse. It returns false when there is none.
func (l *Lake) openExisting(ctx context.Context, t *lakeTable) (bool, error) {
	loc, err := l.catalog.location(ctx, t.ident)
	if err != nil {
		return false, err
	}
	names, err := l.metadataFiles(t)
	if err != nil {
		return false, err
	}
	newest := -1
	for _, name := range names {
		newest = max(newest, metadataVersion(name))
	}
	switch {
	case loc == "" && len(names) == 0:
		return false, nil
	case len(names) == 0:
		return false, fault.Newf(fault.Unavailable, "find table "+string(t.index), "there are no metadata files in %s", l.cfg.Warehouse).
			WithHint("mount the volume of the lake, or restore its folder from a backup")
	case loc != "" && newest <= metadataVersion(loc)+1 && !lost(loc):
		_, err = l.reload(ctx, t)
		return true, err
	}
	if again, err := l.catalog.location(ctx, t.ident); err != nil || again != loc {
		// Another process has committed since: its metadata explain the newer files.
		_, rerr := l.reload(ctx, t)
		return true, errors.Join(err, rerr)
	}
	best, err := l.newestMetadata(ctx, t, names)
	if err != nil {
		return false, err
	}
	if err := l.settle(ctx, best); err != nil {
		return false, err
	}
	if err := l.catalog.register(ctx, t.ident, loc, best.location); err != nil {
		if now, lerr := l.catalog.location(ctx, t.ident); lerr != nil || now == loc {
			return false, err
		}
		_, err = l.reload(ctx, t) // another process was faster
		return true, err
	}
	if _, err := l.reload(ctx, t); err != nil {
		return false, err
	}
	if loc != "" || best.version > 0 {
		l.recovered = true
		l.cfg.Logger.Warn("the catalog did not know the newest state of a table, it was found in the warehouse", "table", t.index,
			"metadata", best.location, "catalog_had", loc, "stream", best.position.Stream, "seq", best.position.Seq, "files_missing", best.missing)
	}
	return true, nil
}

// Recovered reports whether Open had to find tables by their files, because the catalog had lost them or was older than
// they are. What else is kept beside the catalog, the state of the collection for one, is then as old.
func (l *Lake) Recovered() bool { return l.recovered }

func lost(location string) bool {
	path, err := localPath(location)
	return err == nil && gone(path)
}

// metadataFiles lists the metadata files of a table.
func (l *Lake) metadataFiles(t *lakeTable) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(l.cfg.Warehouse, string(t.index), "metadata"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".metadata.json") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// newestMetadata chooses among metadata files: the newest one whose data files are all there, else the newest one.
func (l *Lake) newestMetadata(ctx context.Context, t *lakeTable, names []string) (*candidate, error) {
	var all []*candidate
	var unreadable error
	for _, name := range names {
		c, err := l.readCandidate(ctx, t, name)
		if err != nil {
			unreadable = errors.Join(unreadable, fmt.Errorf("%s: %w", name, err))
			continue
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fault.Wrap(fault.Internal, "find table "+string(t.index), errors.Join(errors.New("the catalog does not know the table and none of its metadata files can be read"), unreadable))
	}
	if unreadable != nil {
		l.cfg.Logger.Warn("metadata files of a table cannot be read", "table", t.index, "error", unreadable)
	}
	slices.SortFunc(all, newerFirst)
	for _, c := range all {
		if c.missing == 0 {
			return c, nil
		}
	}
	return all[0], nil
}

// newerFirst orders by version, then by position and time: of two attempts at the same version, the one that has more.
func newerFirst(a, b *candidate) int {
	switch {
	case a.version != b.version:
		return b.version - a.version
	case a.position.Seq > b.position.Seq:
		return -1
	case a.position.Seq < b.position.Seq:
		return 1
	}
	return int(b.tbl.Metadata().LastUpdatedMillis() - a.tbl.Metadata().LastUpdatedMillis())
}

// readCandidate loads a metadata file with everything that it refers to.
func (l *Lake) readCandidate(ctx context.Context, t *lakeTable, name string) (*candidate, error) {
	path := filepath.Join(l.cfg.Warehouse, string(t.index), "metadata", name)
	c := &candidate{location: localURI(path), version: metadataVersion(name)}
	var err error
	if c.tbl, err = table.NewFromLocation(ctx, t.ident, c.location, l.catalog.fsf, l.catalog); err != nil {
		return nil, err
	}
	if home := localURI(filepath.Join(l.cfg.Warehouse, string(t.index))); c.tbl.Location() != home {
		return nil, fault.Newf(fault.Config, "read metadata", "it belongs to %s", c.tbl.Location()).
			WithHint("a lake works in the folder where it was made; put it back there")
	}
	if c.position, err = positionOf(c.tbl); err != nil {
		return nil, err
	}
	files, err := dataFilesOf(ctx, c.tbl)
	if err != nil {
		return nil, err
	}
	for path, df := range files {
		if stat, err := os.Stat(path); err != nil || stat.Size() != df.FileSizeBytes() {
			c.missing++
		}
	}
	return c, nil
}

// settle makes sure that a candidate survives a power cut: its commit may have been interrupted before that was so.
func (l *Lake) settle(ctx context.Context, c *candidate) error {
	data, err := dataFilesOf(ctx, c.tbl)
	if err != nil {
		return err
	}
	folders := make(map[string]struct{})
	for path := range data {
		if err := l.fs.syncExisting(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		folders[filepath.Dir(path)] = struct{}{}
	}
	home := filepath.Join(l.cfg.Warehouse, c.tbl.Identifier()[1])
	entries, err := os.ReadDir(filepath.Join(home, "metadata"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.fs.syncExisting(filepath.Join(home, "metadata", e.Name())); err != nil {
			return err
		}
	}
	for _, dir := range []string{l.cfg.Warehouse, home, filepath.Join(home, "data"), filepath.Join(home, "metadata")} {
		folders[dir] = struct{}{}
	}
	for dir := range folders {
		if !gone(dir) {
			l.fs.touch(dir)
		}
	}
	return l.fs.syncFolders()
}
