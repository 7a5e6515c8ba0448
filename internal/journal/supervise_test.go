package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sluice/internal/fault"
)

// patience bounds what must happen at all; nothing is measured by it.
const patience = 2 * time.Minute

// eventually waits until done is true, also while a test is cleaned up.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("still waiting for: %s", what)
		case <-tick.C:
		}
	}
}

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("this test fills a small file system of its own, which may not be mounted here: %v", err)
	}
	t.Cleanup(func() { // a server that has ended may still close files
		var err error
		eventually(t, "the file system to be no longer in use", func() bool {
			err = syscall.Unmount(dir, 0)
			return !errors.Is(err, syscall.EBUSY)
		})
		if err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func noise(t *testing.T, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func fill(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.WriteFile(name, noise(t, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writer is a publisher that remembers what was acknowledged.
type writer struct {
	t     *testing.T
	j     *Journal
	last  uint64
	acked map[uint64][]byte
	n     int64
}

func newWriter(t *testing.T, j *Journal) *writer {
	return &writer{t: t, j: j, acked: map[uint64][]byte{}}
}

// send publishes data as the next batch; an error leaves everything as it was.
func (w *writer) send(data []byte) error {
	ack, err := w.j.Publish(w.t.Context(), "e1", w.n, data, w.last)
	if err != nil {
		return err
	}
	if ack.Seq != w.last+1 {
		w.t.Fatalf("batch %d got sequence %d after %d", w.n, ack.Seq, w.last)
	}
	w.last, w.acked[ack.Seq] = ack.Seq, data
	w.n++
	return nil
}

// insist sends the same bytes until they are acknowledged.
func (w *writer) insist(data []byte) {
	w.t.Helper()
	var err error
	eventually(w.t, "an acknowledgement", func() bool {
		if err = w.send(data); err != nil && !fault.Is(err, fault.Full) && !fault.Is(err, fault.Unavailable) {
			w.t.Fatal(err)
		}
		return err == nil
	})
}

// check reads everything from first on and compares it with what was acknowledged.
func (w *writer) check(first uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var r *Reader
	eventually(w.t, "a reader", func() bool {
		var err error
		r, err = w.j.Read(ctx, first)
		return err == nil
	})
	defer r.Close()
	for seq := first; seq <= w.last; seq++ {
		m, err := r.Next(ctx)
		if err != nil {
			w.t.Fatalf("sequence %d: %v", seq, err)
		}
		if m.Seq != seq || !bytes.Equal(m.Data, w.acked[seq]) {
			w.t.Fatalf("sequence %d: read %d bytes at %d, %d were acknowledged", seq, len(m.Data), m.Seq, len(w.acked[seq]))
		}
	}
}

func TestFullDiskIsSurvived(t *testing.T) {
	dir := smallDisk(t, "48m")
	filler := filepath.Join(dir, "filler")
	fill(t, filler, 24<<20)
	j := open(t, Config{Dir: filepath.Join(dir, "journal")})
	id := j.StreamID()
	w := newWriter(t, j)

	// A reader that was there before waits through it all.
	waiting, err := j.Read(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()

	var stuck []byte
	for range 100 {
		data := noise(t, 900<<10)
		if err = w.send(data); err != nil {
			stuck = data
			break
		}
	}
	if !fault.Is(err, fault.Full) || fault.HintOf(err) == "" {
		t.Fatalf("publishing on a full disk: kind %s, %v; want full with a hint", fault.KindOf(err), err)
	}
	if w.last < 5 {
		t.Fatalf("only %d messages before the disk was full: the test shows nothing", w.last)
	}
	if !fault.Is(j.Problem(), fault.Full) {
		t.Errorf("Problem is %v, want full", j.Problem())
	}
	// What is there can be read while the disk is still full, and nothing more is taken.
	w.check(1)
	eventually(t, "the server to be back", func() bool { return j.life().Err() == nil })
	if err := w.send(stuck); !fault.Is(err, fault.Full) {
		t.Fatalf("publishing while the disk is still full: %v", err)
	}
	for range 2 { // asked twice, the journal says the same
		if found, err := j.Find(t.Context(), w.last+1, "e1", w.n); err != nil || found {
			t.Fatalf("the message that did not fit: found %v, %v", found, err)
		}
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.insist(stuck)
	for range 5 {
		w.insist(noise(t, 900<<10))
	}
	if j.Problem() != nil || j.StreamID() != id {
		t.Errorf("afterwards: problem %v, identity kept %v", j.Problem(), j.StreamID() == id)
	}
	w.check(1)
	for seq := uint64(1); seq <= w.last; seq++ {
		if m, err := waiting.Next(t.Context()); err != nil || m.Seq != seq || !bytes.Equal(m.Data, w.acked[seq]) {
			t.Fatalf("the reader that waited: sequence %d, want %d, %v", m.Seq, seq, err)
		}
	}
	j.Close()
	w.j = open(t, Config{Dir: filepath.Join(dir, "journal")})
	w.check(1)
}

func TestTrimmingFreesAFullDisk(t *testing.T) {
	dir := smallDisk(t, "32m")
	w := newWriter(t, open(t, Config{Dir: filepath.Join(dir, "journal")}))
	var err error
	var stuck []byte
	for err == nil {
		stuck = noise(t, 2<<20)
		err = w.send(stuck)
	}
	if !fault.Is(err, fault.Full) {
		t.Fatal(err)
	}
	eventually(t, "the journal to be trimmed", func() bool { return w.j.Trim(t.Context(), w.last-1) == nil })
	w.insist(stuck)
	w.check(w.last - 1)
}

// TestNothingIsTrimmedWithoutAnySpace: the server would wait for itself, and never end.
func TestNothingIsTrimmedWithoutAnySpace(t *testing.T) {
	dir := smallDisk(t, "32m")
	w := newWriter(t, open(t, Config{Dir: filepath.Join(dir, "journal")}))
	for range 40 {
		w.insist(noise(t, 3000)) // small ones, which stay in one file with those that go
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, noise(t, 32<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := w.j.Trim(t.Context(), w.last-1); !fault.Is(err, fault.Full) || fault.HintOf(err) == "" {
		t.Errorf("trimming on a full disk: %v, want full with a hint", err)
	}
	w.check(1)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := w.j.Trim(t.Context(), w.last-1); err != nil {
		t.Error(err)
	}
	w.check(w.last)
	w.j.Close()
}

// TestAStoppedServerIsReplaced stops the server behind the journal's back, as it does by itself after a failure.
func TestAStoppedServerIsReplaced(t *testing.T) {
	for name, hurt := range map[string]func(*embedded){
		"server ended":       func(e *embedded) { e.server.Shutdown() },
		"JetStream disabled": func(e *embedded) { _ = e.server.ShutdownJetStream() },
		"failed write": func(e *embedded) {
			e.failed(e.server, &fs.PathError{Op: "write", Path: "1.blk", Err: syscall.EIO})
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, Config{Dir: t.TempDir()})
			w := newWriter(t, j)
			w.insist([]byte("before"))
			r, err := j.Read(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			j.embedded.mu.Lock()
			old := j.embedded.server
			j.embedded.mu.Unlock()
			hurt(j.embedded)
			eventually(t, "another server", func() bool { return j.embedded.serverID() != old.ID() && j.Problem() == nil })
			w.insist([]byte("after"))
			w.check(1)
			if m, err := r.Next(t.Context()); err != nil || m.Seq != 2 {
				t.Errorf("the waiting reader got %d, %v", m.Seq, err)
			}
		})
	}
}

// TestUnknownOutcomeAcrossRestart gives up the server right after it stored a message, so that the publisher never
// hears of it, and once before.
func TestUnknownOutcomeAcrossRestart(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	e := j.embedded
	first := publish(t, j, 1, 0, 100).Seq
	restart := func() {
		t.Helper()
		id := e.serverID()
		e.mu.Lock()
		e.giveUp(fault.New(fault.Unavailable, "test", "lost the answer"))
		e.mu.Unlock()
		eventually(t, "another server", func() bool { return e.serverID() != id && j.Problem() == nil })
	}
	restart() // the answer to message 1 counts as lost
	if ack := publish(t, j, 1, 0, 100); !ack.Duplicate || ack.Seq != first {
		t.Errorf("a stored message is answered with %+v, want a duplicate of %d", ack, first)
	}
	// Message 2 was never sent before the restart.
	if found, err := j.Find(t.Context(), 2, "e1", 2); err != nil || found {
		t.Errorf("message that was never sent: found %v, %v", found, err)
	}
	if ack := publish(t, j, 2, first, 100); ack.Duplicate || ack.Seq != 2 {
		t.Errorf("a message that was not stored is answered with %+v", ack)
	}
	restart()
	if _, err := j.Publish(t.Context(), "e2", 9, []byte("other"), first); !fault.Is(err, fault.Conflict) {
		t.Errorf("another publisher's message at a taken place: %v, want conflict", err)
	}
}

func TestPublishFailsAtOnceWithoutServer(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	publish(t, j, 1, 0, 10)
	// The folder cannot be used: no new server starts until it can again.
	e := j.embedded
	elsewhere := t.TempDir()
	hidden, file, link := filepath.Join(elsewhere, "hidden"), filepath.Join(elsewhere, "file"), filepath.Join(elsewhere, "link")
	fill(t, file, 10)
	if err := errors.Join(os.Rename(e.messages(), hidden), os.Symlink(file, e.messages()), os.Symlink(hidden, link)); err != nil {
		t.Fatal(err)
	}
	e.failed(e.server, syscall.EIO)
	if _, err := j.Publish(t.Context(), "e1", 2, []byte("x"), 1); !fault.Is(err, fault.Unavailable) || !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("publish without a server: %v", err) // why it ended, or why it did not start again
	}
	eventually(t, "a failed start", func() bool { return e.serverID() == "" && !errors.Is(j.Problem(), syscall.EIO) })
	if _, _, err := j.Bounds(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("bounds without a server: %v", err)
	}
	if err := os.Rename(link, e.messages()); err != nil { // at once: a server that finds no folder makes a new one
		t.Fatal(err)
	}
	eventually(t, "the journal to come back", func() bool { return j.Problem() == nil })
	if ack := publish(t, j, 2, 1, 10); ack.Seq != 2 {
		t.Errorf("afterwards: %+v", ack)
	}
}
