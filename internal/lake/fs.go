package lake

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
)

// durableFS is the local file system as Iceberg sees it, with one difference: a file is synced when it is closed, and
// syncFolders makes new names survive a power cut. The catalog calls it before it points at anything. It is safe for
// concurrent use.
type durableFS struct {
	iceio.LocalFS
	mu    sync.Mutex
	dirty map[string]struct{} // folders with new names
}

var _ iceio.WriteFileIO = (*durableFS)(nil)

func newDurableFS() *durableFS { return &durableFS{dirty: make(map[string]struct{})} }

// localURI is the location of an absolute path.
func localURI(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

// localPath is the inverse of localURI. Plain paths are accepted.
func localPath(location string) (string, error) {
	if !strings.HasPrefix(location, "file:") {
		return location, nil
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", fmt.Errorf("location %q: %w", location, err)
	}
	return filepath.FromSlash(u.Path), nil
}

// Create creates a file and the folders that lead to it.
func (fs *durableFS) Create(name string) (iceio.FileWriter, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	if err := fs.mkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // paths are ours
	if err != nil {
		return nil, err
	}
	fs.touch(filepath.Dir(path))
	return &durableFile{File: f}, nil
}

// WriteFile writes a whole file.
func (fs *durableFS) WriteFile(name string, content []byte) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// mkdirAll makes folders and remembers the parents of the new ones.
func (fs *durableFS) mkdirAll(dir string) error {
	missing := []string{}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || d == filepath.Dir(d) {
			break
		}
		missing = append(missing, d)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, d := range missing {
		fs.touch(filepath.Dir(d))
	}
	return nil
}

func (fs *durableFS) touch(dir string) {
	fs.mu.Lock()
	fs.dirty[dir] = struct{}{}
	fs.mu.Unlock()
}

// syncFolders syncs the folders that got new names since the last successful call.
func (fs *durableFS) syncFolders() error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for dir := range fs.dirty {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = d.Sync()
		if cerr := d.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		delete(fs.dirty, dir)
	}
	return nil
}

// durableFile syncs on Close.
type durableFile struct{ *os.File }

var _ io.ReaderFrom = (*durableFile)(nil)

// Close syncs and closes the file.
func (f *durableFile) Close() error {
	err := f.Sync()
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	return err
}
