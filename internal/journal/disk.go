package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/internal/fault"
)

// The embedded server keeps messages in files 1.blk, 2.blk, ... of one folder and only ever appends to the last.
const (
	blockSuffix = ".blk"
	probeName   = "space.probe"
	tailBlocks  = 2 // how many of the last files can hold what was written and not synced
)

// diskFault classifies a failed operation of the file system.
func diskFault(op string, err error) *fault.Error {
	if diskIsFull(err) {
		return fault.New(fault.Full, op, "the disk of the journal is full").WithCause(err).
			WithHint("free space on the disk of the data folder: the journal goes on by itself, and nothing is lost")
	}
	return fault.New(fault.Unavailable, op, "the disk of the journal does not work").WithCause(err).
		WithHint("look at the disk of the data folder (kernel log, mount options, permissions): the journal goes on by itself when it works again")
}

// diskIsFull also reads the text, because the embedded server only tells by its log.
func diskIsFull(err error) bool {
	if fault.DiskFull(err) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, syscall.ENOSPC.Error()) || strings.Contains(text, syscall.EDQUOT.Error())
}

// probe writes size bytes to a file in dir, syncs it and removes it: the only question about space whose answer also
// counts quotas, reserved blocks and thin disks.
func probe(dir string, size int64) (err error) {
	name := filepath.Join(dir, probeName)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(name)) }()
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = byte(i * 131 >> 3) // not zeros, which a file system may leave out
	}
	for ; size > 0 && err == nil; size -= int64(len(chunk)) {
		_, err = f.Write(chunk[:min(size, int64(len(chunk)))])
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// roomy is so much free space that nobody has to write to be sure of some.
const roomy = 64 << 20

// room tells whether there is any space in dir: nil when there is.
func room(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err == nil && int64(min(s.Bavail, 1<<40))*s.Bsize > roomy {
		return nil
	}
	return probe(dir, headroom)
}

// settleTail makes the end of the message files durable before a server believes it. A process that died, or a sync
// that failed, leaves bytes that are read back from memory and not on the disk; after a failed sync Linux calls such
// pages clean, so that only writing them again brings them to the disk. The server must not be running.
func settleTail(messages string) error {
	entries, err := os.ReadDir(messages)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	type block struct {
		name   string
		number int
	}
	var blocks []block
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d"+blockSuffix, &n); err == nil && filepath.Ext(e.Name()) == blockSuffix {
			blocks = append(blocks, block{e.Name(), n})
		}
	}
	slices.SortFunc(blocks, func(a, b block) int { return b.number - a.number })
	for _, b := range blocks[:min(len(blocks), tailBlocks)] {
		if err := rewrite(filepath.Join(messages, b.name)); err != nil {
			return err
		}
	}
	return syncFolder(messages)
}

// rewrite writes the bytes of a file over themselves and syncs it.
func rewrite(name string) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for at := int64(0); at < info.Size(); at += int64(len(chunk)) {
		part := chunk[:min(int64(len(chunk)), info.Size()-at)]
		if _, err := f.ReadAt(part, at); err != nil {
			return err
		}
		if _, err := f.WriteAt(part, at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// syncFolders makes the folders from root down to leaf durable, each with its entry in the one above.
func syncFolders(root, leaf string) error {
	for dir := leaf; ; dir = filepath.Dir(dir) {
		if err := syncFolder(dir); err != nil {
			return err
		}
		if dir == root || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
