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
	disk disk
	root string // folders below it are synced once by each process; see mkdirAll

	mu    sync.Mutex
	dirty map[string]struct{} // folders with new names
	known map[string]struct{} // folders whose own name is durable or in a folder that is dirty
}

var _ iceio.WriteFileIO = (*durableFS)(nil)

func newDurableFS(d disk, root string) *durableFS {
	return &durableFS{disk: d, root: root, dirty: make(map[string]struct{}), known: make(map[string]struct{})}
}

// disk is what durableFS asks of the operating system when it writes. A test puts one in its place that loses power.
type disk interface {
	create(path string) (diskFile, error) // empties a file that exists
	mkdir(path string) error              // an error that is os.ErrExist when it is there
	syncFolder(path string) error         // makes the names in the folder durable
	syncFile(path string) error           // makes the content of a file that was closed durable
	rename(from, to string) error
}

// diskFile is a file that is being written. Its content is durable after Sync.
type diskFile interface {
	io.WriteCloser
	io.ReaderFrom
	Sync() error
}

// realDisk is the operating system.
type realDisk struct{}

func (realDisk) create(path string) (diskFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // paths are ours
}

func (realDisk) mkdir(path string) error { return os.Mkdir(path, 0o750) }

func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (d realDisk) syncFile(path string) error { return d.syncFolder(path) } // Linux syncs what is open, for whatever

func (realDisk) syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

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
	return fs.create(path)
}

func (fs *durableFS) create(path string) (*durableFile, error) {
	if err := fs.mkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := fs.disk.create(path)
	if err != nil {
		if os.IsNotExist(err) {
			fs.forgetFolders() // somebody deleted one: the next attempt makes it again
		}
		return nil, err
	}
	fs.touch(filepath.Dir(path))
	return &durableFile{f}, nil
}

func (fs *durableFS) forgetFolders() {
	fs.mu.Lock()
	clear(fs.known)
	fs.mu.Unlock()
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

// mkdirAll makes folders and remembers that their parents have new names. A folder that is there already may come from
// a process that ended before it synced the parent: below root, the parent of every folder counts as new once.
func (fs *durableFS) mkdirAll(dir string) error {
	fs.mu.Lock() // held until the parents are dirty: whoever finds a folder must also find that
	defer fs.mu.Unlock()
	return fs.mkdirLocked(filepath.Clean(dir))
}

func (fs *durableFS) mkdirLocked(dir string) error {
	parent := filepath.Dir(dir)
	if _, ok := fs.known[dir]; ok || dir == parent {
		return nil
	}
	below := strings.HasPrefix(dir, fs.root+string(filepath.Separator))
	stat, err := os.Stat(dir)
	switch {
	case err == nil && !stat.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case err == nil && !below:
		return nil // somebody else's
	}
	if err := fs.mkdirLocked(parent); err != nil {
		return err
	}
	if err := fs.disk.mkdir(dir); err != nil && !os.IsExist(err) {
		return err
	}
	fs.dirty[parent] = struct{}{}
	fs.known[dir] = struct{}{}
	return nil
}

// rename gives a file of a folder another name in it.
func (fs *durableFS) rename(from, to string) error {
	if err := fs.disk.rename(from, to); err != nil {
		return err
	}
	fs.touch(filepath.Dir(to))
	return nil
}

// syncExisting makes a file durable that another process wrote.
func (fs *durableFS) syncExisting(path string) error { return fs.disk.syncFile(path) }

func (fs *durableFS) touch(dir string) {
	fs.mu.Lock()
	fs.dirty[dir] = struct{}{}
	fs.mu.Unlock()
}

// syncFolders syncs the folders that got new names since the last successful call. A folder that is gone fails the call
// once: the files that were made in it are gone too, and are made again elsewhere.
func (fs *durableFS) syncFolders() error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for dir := range fs.dirty {
		err := fs.disk.syncFolder(dir)
		if err == nil || os.IsNotExist(err) {
			delete(fs.dirty, dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// durableFile syncs on Close.
type durableFile struct{ diskFile }

// Close syncs and closes the file.
func (f *durableFile) Close() error {
	err := f.Sync()
	if cerr := f.diskFile.Close(); err == nil {
		err = cerr
	}
	return err
}
