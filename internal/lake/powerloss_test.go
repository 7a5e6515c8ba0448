package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sluice/internal/record"
)

// errNoPower is what a disk without power answers.
var errNoPower = errors.New("no power")

// cutDisk is a disk that loses power. It works on real files and remembers what a power cut would take: the content of
// a file beyond its last sync, and a name in a folder that was not synced since. The catalog database is not on it: it
// keeps every commit, as a database with full synchronisation does.
type cutDisk struct {
	mu     sync.Mutex
	left   int                 // operations until the power fails
	cut    func()              // called when it fails
	synced map[string]int64    // file -> durable bytes
	names  map[string]struct{} // files and folders whose name is not durable
	ops    int
}

func newCutDisk(left int, cut func()) *cutDisk {
	return &cutDisk{left: left, cut: cut, synced: make(map[string]int64), names: make(map[string]struct{})}
}

// step counts an operation. The one at which the power fails does nothing any more.
func (d *cutDisk) step() error {
	d.ops++
	d.left--
	if d.left == 0 {
		d.cut()
	}
	if d.left <= 0 {
		return errNoPower
	}
	return nil
}

func (d *cutDisk) create(path string) (diskFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		d.names[path] = struct{}{}
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	d.synced[path] = 0
	return &cutFile{File: f, disk: d}, nil
}

func (d *cutDisk) mkdir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	err := os.Mkdir(path, 0o750)
	if err == nil {
		d.names[path] = struct{}{}
	}
	return err
}

func (d *cutDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.synced[to] = d.synced[from]
	d.names[to] = struct{}{}
	return os.Rename(from, to)
}

func (d *cutDisk) syncFolder(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	for name := range d.names {
		if filepath.Dir(name) == path {
			delete(d.names, name)
		}
	}
	return nil
}

func (d *cutDisk) syncFile(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	return d.syncedNow(path)
}

func (d *cutDisk) syncedNow(path string) error {
	stat, err := os.Stat(path)
	if err == nil {
		d.synced[path] = stat.Size()
	}
	return err
}

// lose takes away what was not durable when the power failed, and restores the power.
func (d *cutDisk) lose(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, size := range d.synced {
		if stat, err := os.Stat(path); err == nil && stat.Size() > size {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path := range d.names {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	clear(d.names)
	d.left = 1 << 30
}

// cutFile is a file on a cutDisk.
type cutFile struct {
	*os.File
	disk *cutDisk
}

func (f *cutFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.disk.syncedNow(f.Name())
}

// TestPowerLoss cuts the power at many places of a life of a lake: it is opened, written to, compacted, written to. What
// the catalog points at after the cut has to be there and whole, and the journal has to bring back the rest. Removing
// the sync of files (durableFile.Close) or of folders (syncFolders) makes this fail.
func TestPowerLoss(t *testing.T) {
	const cuts = 24
	total := powerCut(t, 1<<30, 0)
	for i := range cuts {
		at := 1 + i*total/cuts
		t.Run(fmt.Sprint(at, " of ", total), func(t *testing.T) { powerCut(t, at, 0) })
	}
	// A process that is killed leaves folders and files that are not durable, and the next one finds them there.
	for _, kill := range []int{total / 8, total / 3, total / 2} {
		for _, at := range []int{total / 4, total / 2, 1 << 30} {
			t.Run(fmt.Sprint("killed at ", kill, ", cut at ", at), func(t *testing.T) { powerCut(t, at, kill) })
		}
	}
}

// powerCut lives until the disk has done cutAt operations and returns how many it did. Before, another process lives
// until killAt operations and leaves everything to the page cache.
func powerCut(t *testing.T, cutAt, killAt int) int {
	t.Helper()
	s := newSetup(t)
	entries := testEntries(7)
	disk := newCutDisk(1<<30, nil)
	s.cfg.disk = disk
	if killAt > 0 {
		s.live(disk, killAt, entries[:5])
	}
	s.live(disk, cutAt, entries)
	done := disk.ops
	disk.lose(t)

	l := s.open()
	res, err := l.Check(t.Context(), CheckOptions{Deep: true})
	if err != nil || len(res.Bad) != 0 {
		t.Fatalf("the catalog points at what is gone: %+v, %v", res.Bad, err)
	}
	position := planOf(t, l).Position.Seq
	expect(t, l, entries[:position]...)
	if err := runWriter(t, NewWriter(l, feedOf(entries...), WriterOptions{}), 7); err != nil {
		t.Fatal(err)
	}
	expect(t, l, entries...)
	return done
}

// live uses a lake until the disk fails after some operations, or all is done.
func (s *setup) live(disk *cutDisk, left int, entries []Entry) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	disk.mu.Lock()
	disk.left, disk.cut, disk.ops = left, cancel, 0
	disk.mu.Unlock()
	l, err := Open(ctx, s.cfg)
	if err != nil {
		return
	}
	defer func() { _ = l.Close() }()
	for _, upTo := range []int{2, 4, len(entries)} {
		w := NewWriter(l, feedOf(entries[:upTo]...), WriterOptions{FinalTimeout: 1})
		run, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- w.Run(run) }()
		err := w.Flush(ctx, uint64(upTo))
		stop()
		if rerr := <-done; err != nil || rerr != nil {
			return
		}
		if _, err := l.Plan(ctx, PlanRequest{Index: Indices()}); err != nil { // makes the files without rows
			return
		}
		if _, err := l.Compact(ctx, CompactOptions{Index: []record.Index{record.WindowsEvents}, Before: far}); err != nil {
			return
		}
	}
}
