package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/internal/fault"
)

func bounds(t *testing.T, j *Journal, first, last uint64) {
	t.Helper()
	f, l, err := j.Bounds(t.Context())
	if err != nil || f != first || l != last {
		t.Errorf("bounds %d..%d, %v; want %d..%d", f, l, err, first, last)
	}
}

func TestFirstSequenceIsKept(t *testing.T) {
	for name, crash := range map[string]bool{"clean end": false, "without the index file": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			reopen := func(j *Journal) *Journal {
				index := filepath.Join(j.embedded.messages(), "index.db")
				j.Close()
				if crash {
					if err := os.Remove(index); err != nil {
						t.Fatal(err)
					}
				}
				return open(t, Config{Dir: dir, FirstSeq: 1}) // FirstSeq is for a new stream only
			}
			j := open(t, Config{Dir: dir, FirstSeq: 100})
			bounds(t, j, 100, 99)
			j = reopen(j)
			if j.Created() {
				t.Error("an empty stream was not found again")
			}
			bounds(t, j, 100, 99)
			publish(t, j, 1, 99, 10)
			publish(t, j, 2, 100, 10)
			if err := j.Trim(t.Context(), 101); err != nil {
				t.Fatal(err)
			}
			bounds(t, j, 102, 101)
			j = reopen(j)
			bounds(t, j, 102, 101)
			if ack := publish(t, j, 3, 101, 10); ack.Seq != 102 {
				t.Errorf("after trimming to empty and a restart: sequence %d, want 102", ack.Seq)
			}
		})
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestAnOlderCopyIsSeenAndReplaced restores a copy of the folder and looks as the owner does.
func TestAnOlderCopyIsSeenAndReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := open(t, Config{Dir: dir})
	w := newWriter(t, j)
	w.insist([]byte("one"))
	id := j.StreamID()
	j.Close()
	backup := filepath.Join(t.TempDir(), "backup")
	copyTree(t, dir, backup)
	j = open(t, Config{Dir: dir})
	w.j = j
	w.insist([]byte("two"))
	w.insist([]byte("three"))
	known := w.last
	j.Close()

	j = open(t, Config{Dir: backup, FirstSeq: known + 1})
	if j.StreamID() != id || j.Created() {
		t.Error("the copy has another identity")
	}
	_, last, err := j.Bounds(t.Context())
	if err != nil || last >= known {
		t.Fatalf("the copy ends at %d, %v: the owner cannot see that it is older than %d", last, err, known)
	}
	replaced(t, j, known)
	id = j.StreamID()
	first, _, _ := j.Bounds(t.Context())
	j.Close()
	j = open(t, Config{Dir: backup})
	if j.StreamID() != id || j.Created() {
		t.Error("the new stream was not found again")
	}
	bounds(t, j, first, first)
}

// replaced replaces the stream of j above known, and leaves one message in the new one.
func replaced(t *testing.T, j *Journal, known uint64) {
	t.Helper()
	id := j.StreamID()
	_, last, err := j.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Read(t.Context(), last+1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	gone := make(chan error, 1)
	go func() {
		_, err := r.Next(t.Context())
		gone <- err
	}()
	first, err := j.Replace(t.Context(), known+1)
	if err != nil {
		t.Fatal(err)
	}
	if first <= known || first <= last {
		t.Errorf("the new stream begins at %d: not above %d and %d", first, known, last)
	}
	if !j.Created() || j.StreamID() == id {
		t.Errorf("created %v, identity changed %v; want both", j.Created(), j.StreamID() != id)
	}
	bounds(t, j, first, first-1)
	if _, err := j.Publish(t.Context(), "e1", 50, []byte("late"), last); !fault.Is(err, fault.Conflict) {
		t.Errorf("a publisher of the old stream: %v, want conflict", err)
	}
	if ack := publish(t, j, 51, first-1, 10); ack.Seq != first {
		t.Errorf("first message at %d, want %d", ack.Seq, first)
	}
	if err := <-gone; !fault.Is(err, fault.Gone) {
		t.Errorf("a reader of the old stream: %v, want gone", err)
	}
}

func TestReplace(t *testing.T) {
	for name, known := range map[string]uint64{"above the stream": 1000, "below the stream": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := open(t, Config{Dir: t.TempDir()})
			publish(t, j, 1, 0, 10)
			publish(t, j, 2, 1, 10)
			replaced(t, j, known)
		})
	}
}

// outside runs a server as a NATS cluster outside of the process would.
func outside(t *testing.T) *server.Server {
	t.Helper()
	s := run(t, &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: MaxPayload,
	})
	t.Cleanup(func() { stopServer(s) })
	return s
}

func TestReplaceOnCluster(t *testing.T) {
	s := outside(t)
	j := open(t, Config{URL: s.ClientURL()})
	publish(t, j, 1, 0, 10)
	replaced(t, j, 77)
	// The stream vanished between deleting and making: Replace can be called again.
	if err := j.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	if first, err := j.Replace(t.Context(), 500); err != nil || first != 500 {
		t.Errorf("replacing what is not there: %d, %v", first, err)
	}
}

// TestAStreamIsMadeInSpiteOfACleanup: after a deletion the server removes folders for a while, in which a new stream may
// not find its own. A file in the place of the folder stands for that; the server removes it after it refused the stream.
func TestAStreamIsMadeInSpiteOfACleanup(t *testing.T) {
	s := outside(t)
	j := open(t, Config{URL: s.ClientURL()})
	if err := j.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	before, err := s.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	streams := filepath.Join(before.Config.StoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams")
	eventually(t, "a file in the place of the stream's folder", func() bool {
		return os.MkdirAll(streams, 0o755) == nil && os.WriteFile(filepath.Join(streams, streamName), nil, 0o600) == nil
	})
	if first, err := j.Replace(t.Context(), 7); err != nil || first != 7 {
		t.Fatalf("replacing: %d, %v", first, err)
	}
	bounds(t, j, 7, 6)
	const missing = 2 // the stream that is gone is asked for and deleted
	if after, err := s.Jsz(nil); err != nil || after.API.Errors <= before.API.Errors+missing {
		t.Errorf("%v; the server refused %d requests: the stream was made at once", err, after.API.Errors-before.API.Errors)
	}
}

// TestBudget fills the budget, waits as collecting does, trims and goes on.
func TestBudget(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir, MaxBytes: 2 << 20})
	w := newWriter(t, j)
	var err error
	var stuck []byte
	for err == nil {
		stuck = noise(t, 100<<10)
		err = w.send(stuck)
	}
	if !fault.Is(err, fault.Full) || fault.HintOf(err) == "" {
		t.Fatalf("publishing into a full journal: %v, want full with a hint", err)
	}
	for range 3 {
		if err := w.send(stuck); !fault.Is(err, fault.Full) {
			t.Fatalf("sending again: %v, want full", err)
		}
	}
	if j.Problem() != nil {
		t.Errorf("a journal full by budget is well, Problem says %v", j.Problem())
	}
	used, budget, err := j.Usage(t.Context())
	if err != nil || budget != 2<<20 || used > budget || used < budget-200<<10 {
		t.Errorf("usage %d of %d, %v", used, budget, err)
	}
	w.check(1) // nothing was pushed out
	if err := j.Trim(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	w.insist(stuck)
	w.check(4)
	j.Close()

	// A smaller budget takes nothing away, also not at the next start; a larger one is taken.
	for range 2 {
		w.j.Close()
		w.j = open(t, Config{Dir: dir, MaxBytes: 1 << 20})
		w.check(4)
	}
	if err := w.send(noise(t, 100<<10)); !fault.Is(err, fault.Full) {
		t.Errorf("above a smaller budget: %v, want full", err)
	}
	if err := w.j.Trim(t.Context(), w.last-1); err != nil {
		t.Fatal(err)
	}
	w.insist(noise(t, 100<<10))
	w.j.Close()
	w.j = open(t, Config{Dir: dir, MaxBytes: 4 << 20})
	if _, budget, err := w.j.Usage(t.Context()); err != nil || budget != 4<<20 {
		t.Errorf("larger budget: %d, %v", budget, err)
	}
	w.check(w.last)
}

// TestAReaderThatWaitsNoticesTrimming: nothing new comes, and still it learns that it was overtaken.
func TestAReaderThatWaitsNoticesTrimming(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	for n := range uint64(20) {
		publish(t, j, int64(n), n, 10)
	}
	r, err := j.Read(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m, err := r.Next(t.Context()); err != nil || m.Seq != 1 {
		t.Fatal(m.Seq, err)
	}
	if err := j.Trim(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	seq := uint64(1)
	for err == nil { // what was on its way already may still come
		var m Message
		if m, err = r.Next(t.Context()); err == nil {
			if seq++; m.Seq != seq {
				t.Fatalf("sequence %d, want %d", m.Seq, seq)
			}
		}
	}
	if !fault.Is(err, fault.Gone) {
		t.Errorf("overtaken reader: %v, want gone", err)
	}
}
