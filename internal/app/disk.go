package app

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sluice/internal/fault"
)

// Free space, in bytes, below which collecting pauses. The embedded engines must never meet a full disk: JetStream
// switches itself off then, and a half-written file costs a repair.
const diskFloor = 512 << 20

// diskSpace tells the bytes that are free for this user in the file system of path.
func diskSpace(path string) (free int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	return int64(min(s.Bavail, 1<<40)) * s.Bsize, nil
}

// spaceGuard returns the check that collecting makes before it writes: nil, or why it has to wait.
func spaceGuard(path string, floor int64, space func(string) (int64, error)) func() error {
	return func() error {
		free, err := space(path)
		if err != nil {
			return fault.Wrap(fault.Unavailable, "check free disk space", err)
		}
		if free < floor {
			return fault.Newf(fault.Full, "check free disk space", "%d MiB are free in %s, %d are needed", free>>20, path, floor>>20).
				WithHint("collecting is paused and goes on by itself when space is freed; nothing is lost while Microsoft keeps the content")
		}
		return nil
	}
}

// journalBudget is what the journal in a folder may use: less than the floor leaves. What it holds already is its own, or the
// budget would shrink with every restart during which the lake is behind.
func journalBudget(dir string, limit int64) int64 {
	free, err := diskSpace(dir)
	if err != nil {
		return limit
	}
	return max(min(limit, (free+folderSize(dir)-diskFloor)/2), 256<<20)
}

// folderSize is the bytes of the files in a folder, as far as they can be seen.
func folderSize(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // a file that went away counts nothing
		}
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

func diskKind(err error) fault.Kind {
	if fault.DiskFull(err) {
		return fault.Full
	}
	return fault.Config
}
