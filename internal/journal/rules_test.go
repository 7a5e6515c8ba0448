package journal

import (
	"io/fs"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestMessageIDs: a term that begins with the batch numbers of an earlier one, as after an older copy of the state database was
// restored, must not be told that its batches are there already.
func TestMessageIDs(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	first := publish(t, j, 1, 0, 10).Seq // by the term e1
	ack, err := j.Publish(t.Context(), "e2", 1, []byte("another batch"), first)
	if err != nil {
		t.Fatal(err)
	}
	if ack.Duplicate || ack.Seq != first+1 {
		t.Fatalf("the journal took another batch for it: %+v, want it at %d", ack, first+1)
	}
	r, err := j.Read(t.Context(), ack.Seq)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m, err := r.Next(t.Context()); err != nil || string(m.Data) != "another batch" {
		t.Errorf("read %q, %v", m.Data, err)
	}
}

// TestNothingExpires: messages go by trimming alone.
func TestNothingExpires(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	info, err := j.handle().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := info.Config
	if cfg.MaxAge != 0 || cfg.SubjectDeleteMarkerTTL != 0 || cfg.AllowMsgTTL {
		t.Errorf("messages expire: after %v, by themselves %v", cfg.MaxAge, cfg.AllowMsgTTL)
	}
	if cfg.MaxMsgs > 0 || cfg.MaxMsgsPerSubject > 0 {
		t.Errorf("a number of messages is enough to lose one: %d, %d for each subject", cfg.MaxMsgs, cfg.MaxMsgsPerSubject)
	}
	if cfg.Discard != jetstream.DiscardNew || cfg.Retention != jetstream.LimitsPolicy {
		t.Errorf("a full journal discards %v with retention %v, want that it refuses what is new", cfg.Discard, cfg.Retention)
	}
}

// TestAFailedServerIsReplaced: the embedded server never takes a message again after a failed write.
func TestAFailedServerIsReplaced(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	last := publish(t, j, 1, 0, 10).Seq
	e := j.embedded
	e.mu.Lock()
	old := e.server
	e.mu.Unlock()
	e.failed(old, &fs.PathError{Op: "write", Path: "1.blk", Err: syscall.EIO})
	eventually(t, "a server that takes over", func() bool { return e.serverID() != old.ID() && j.Problem() == nil })
	if ack := publish(t, j, 2, last, 10); ack.Seq != last+1 {
		t.Errorf("the next message is at %d, want %d", ack.Seq, last+1)
	}
}
