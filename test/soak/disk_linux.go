package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// canMount tells why file systems of their own cannot be made here, nil when they can.
func canMount() error {
	if os.Geteuid() != 0 {
		return errors.New("full disks are not tested: only root can mount a small file system")
	}
	dir, err := os.MkdirTemp("", "sluice-soak-mount-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(dir) }()
	d, err := mountDisk(dir, 1)
	if err != nil {
		return fmt.Errorf("full disks are not tested: %w", err)
	}
	return d.close()
}

// freeSpace tells the bytes that are free in the file system of a folder, 0 when there is no such folder.
func freeSpace(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * s.Bsize
}

// disk is a small file system in memory, part of which a ballast file can take.
type disk struct{ dir string }

func mountDisk(dir string, mib int) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return &disk{dir: dir}, nil
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// chunk is how much of the ballast is taken at a time.
const chunk = 1 << 20

// leave takes space until only so many bytes are free. The program goes on writing meanwhile.
func (d *disk) leave(free int64) (err error) {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for at := int64(0); ; {
		var s unix.Statfs_t
		if err := unix.Statfs(d.dir, &s); err != nil {
			return err
		}
		size := min(int64(s.Bavail)*s.Bsize-free, chunk)
		if size <= 0 {
			return nil
		}
		err := unix.Fallocate(int(f.Fd()), 0, at, size)
		if errors.Is(err, unix.ENOSPC) {
			return nil // somebody else took the last bytes
		}
		if err != nil {
			return err
		}
		at += size
	}
}

// free gives the space back.
func (d *disk) free() error {
	if err := os.Remove(d.ballast()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *disk) close() error { return unix.Unmount(d.dir, unix.MNT_DETACH) }
