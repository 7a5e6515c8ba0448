package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unsynced tells how many bytes of a file wait in memory for the disk.
func unsynced(t *testing.T, name string) uint64 {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &s, 0); err != nil {
		t.Skipf("this kernel does not tell what is synced (cachestat): %v", err)
	}
	return (s.Dirty + s.Writeback) * uint64(os.Getpagesize())
}

// dirtyFile writes a file without syncing it and makes sure that the difference can be seen here.
func dirtyFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if unsynced(t, name) == 0 {
		t.Skip("this file system does not show what is not synced yet")
	}
}

func blocks(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+blockSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestEveryMessageIsSynced asks the kernel, after each acknowledgement, whether any byte of the message files is still
// only in memory.
func TestEveryMessageIsSynced(t *testing.T) {
	dir := t.TempDir()
	control := filepath.Join(dir, "control")
	dirtyFile(t, control, noise(t, 256<<10))
	if err := rewrite(control); err != nil {
		t.Fatal(err)
	}
	if left := unsynced(t, control); left != 0 {
		t.Skipf("this file system shows %d bytes of a synced file as not synced", left)
	}
	j := open(t, Config{Dir: filepath.Join(dir, "journal")})
	last := uint64(0)
	for n := range int64(60) { // more than one message file
		data := noise(t, 256<<10)
		ack, err := j.Publish(t.Context(), "e1", n, data, last)
		if err != nil {
			t.Fatal(err)
		}
		last = ack.Seq
		var stored int64
		for _, name := range blocks(t, j.embedded.messages()) {
			if left := unsynced(t, name); left != 0 {
				t.Fatalf("message %d is acknowledged and %d bytes of %s are not on the disk", n, left, filepath.Base(name))
			}
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			stored += info.Size()
		}
		if want := (n + 1) * int64(len(data)); stored < want {
			t.Fatalf("message %d is acknowledged, but only %d of %d bytes are in the files", n, stored, want)
		}
	}
	if len(blocks(t, j.embedded.messages())) < 2 {
		t.Error("all messages went into one file: the test does not show that a new one is synced")
	}
}

// TestNewFilesAreNamedOnDisk: a message in a new file needs the folder's entry too.
func TestNewFilesAreNamedOnDisk(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	publish(t, j, 1, 0, 10)
	e := j.embedded
	before := e.synced
	if before.IsZero() {
		t.Fatal("the folder was not synced after the first message")
	}
	fill(t, filepath.Join(e.messages(), "new"), 1)
	publish(t, j, 2, 1, 10)
	if !e.synced.After(before) {
		t.Error("the folder got a file and was not synced before the acknowledgement")
	}
}

// TestNewFilesAreNamedOnDiskAfterTheClockWasSetBack: the folder's time is then before that of the last sync.
func TestNewFilesAreNamedOnDiskAfterTheClockWasSetBack(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	e := j.embedded
	n := uint64(0)
	next := func() (synced bool) {
		before := e.synced
		publish(t, j, int64(n)+1, n, 10)
		n++
		return e.synced.After(before)
	}
	changed := func(ago time.Duration) {
		at := time.Now().Add(-ago)
		if err := os.Chtimes(e.messages(), at, at); err != nil {
			t.Fatal(err)
		}
	}
	next()
	for _, ago := range []time.Duration{time.Hour, 2 * time.Hour, time.Minute} {
		changed(ago)
		if !next() {
			t.Errorf("the folder changed %s ago by its clock and was not synced", ago)
		}
		if next() {
			t.Errorf("the folder did not change after %s ago and was synced again", ago)
		}
	}
}

// TestTailIsSettled is what a killed process leaves: written, not synced.
func TestTailIsSettled(t *testing.T) {
	dir := t.TempDir()
	content := map[string][]byte{}
	for _, name := range []string{"8.blk", "9.blk", "10.blk"} {
		content[name] = noise(t, 3<<20)
		dirtyFile(t, filepath.Join(dir, name), content[name])
	}
	dirtyFile(t, filepath.Join(dir, "index.db"), []byte("not a message file"))
	if err := settleTail(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range content {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	for _, name := range []string{"9.blk", "10.blk"} {
		if left := unsynced(t, filepath.Join(dir, name)); left != 0 {
			t.Errorf("%s: %d bytes are not on the disk", name, left)
		}
	}
	if err := settleTail(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a folder that is not there yet: %v", err)
	}
}
