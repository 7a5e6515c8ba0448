package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/internal/fault"
)

const (
	// headroom is what a message needs on the disk beside its own bytes.
	headroom = 1 << 20
	// checkEvery is how often the supervisor looks whether the server still runs; trouble that shows in a publish or
	// in the server's log is acted on at once.
	checkEvery = time.Second
	// probeEvery is how often it looks for space while the disk is full and nobody publishes.
	probeEvery = 5 * time.Second
	// A restart that did not help is tried again after restartAfter, twice that, ... up to restartMost.
	restartAfter = 200 * time.Millisecond
	restartMost  = 5 * time.Second
	startFor     = 2 * time.Minute
	stopFor      = 30 * time.Second
	// folderTick is more than the resolution of a folder's modification time.
	folderTick = 100 * time.Millisecond
)

// embedded is the NATS server inside of the process, replaced by a new one when it fails. One connection stays over all
// of them: it asks InProcessConn for the way to whichever server runs.
type embedded struct {
	dir string
	log *slog.Logger

	kick chan struct{} // wakes the supervisor

	mu      sync.Mutex
	server  *server.Server  // nil while none runs
	life    context.Context // of the server in service; ended while there is none
	end     context.CancelCauseFunc
	problem error        // why messages are not taken, nil when they are
	size    int64        // of the message that was tried last
	need    int64        // while the disk is full: bytes that must fit before a message is tried, 0 otherwise
	full    *fault.Error // while the disk is full: what to answer

	folder sync.Mutex
	synced time.Time // when the last sync of the message folder began
	stamp  time.Time // the folder's time then; zero when a file that came right after could have the same
}

func newEmbedded(cfg Config, log *slog.Logger) *embedded {
	e := &embedded{dir: cfg.Dir, log: log, kick: make(chan struct{}, 1)}
	e.life, e.end = context.WithCancelCause(context.Background())
	e.problem = fault.New(fault.Unavailable, "reach journal", "the journal is starting")
	e.end(e.problem)
	return e
}

// messages is the folder of the message files.
func (e *embedded) messages() string {
	return filepath.Join(e.dir, server.JetStreamStoreDir, "$G", "streams", streamName, "msgs")
}

// InProcessConn implements nats.InProcessConnProvider.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s == nil {
		return nil, errors.New("the embedded journal is not running")
	}
	return s.InProcessConn()
}

// start makes a server and waits until it is ready. It is in service only after up.
func (e *embedded) start(ctx context.Context) error {
	const op = "start journal"
	if err := settleTail(e.messages()); err != nil {
		return diskFault(op, err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "sluice", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: e.dir, SyncAlways: true,
		// The stream's own budget is the limit; this one only must never be smaller.
		JetStreamMaxStore: 1 << 50, JetStreamMaxMemory: 16 << 20,
		MaxPayload: MaxPayload, MaxPending: 256 << 20,
	})
	if err != nil {
		return fault.New(fault.Config, op, "folder "+e.dir).WithCause(err)
	}
	logger := &serverLog{log: e.log, failed: func(err error) { e.failed(s, err) }}
	s.SetLogger(logger, false, false)
	go s.Start()
	if err := ready(ctx, s); err != nil {
		stopServer(s)
		return fault.Newf(fault.Unavailable, op, "the embedded journal in %s did not become ready", e.dir).WithCause(err).
			WithHint("the disk may be full or very slow; free space and start again")
	}
	if !s.JetStreamEnabled() {
		stopServer(s)
		return e.refused(op, logger.last())
	}
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	return nil
}

// refused says why a server came up without its store.
func (e *embedded) refused(op string, cause error) error {
	if err := probe(e.dir, headroom); err != nil {
		return diskFault(op, errors.Join(err, cause))
	}
	return fault.Newf(fault.Unavailable, op, "the embedded journal in %s refused to start", e.dir).WithCause(cause).
		WithHint("check free space and permissions of the data folder")
}

func ready(ctx context.Context, s *server.Server) error {
	ctx, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	for !s.ReadyForConnections(time.Second) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// stop ends the server, if one runs, and gives it up when it does not end: what it acknowledged is on the disk, and whoever
// stops the journal ends the process.
func (e *embedded) stop() {
	e.mu.Lock()
	s := e.server
	e.server = nil
	e.mu.Unlock()
	if s == nil {
		return
	}
	stopped := make(chan struct{})
	go func() {
		stopServer(s)
		close(stopped)
	}()
	timer := time.NewTimer(stopFor)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		e.log.Error("the embedded journal does not stop; it is given up, as if the process had been killed", "after", stopFor)
	}
}

// up puts the started server into service. Its life ends with parent at the latest.
func (e *embedded) up(parent context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.life, e.end = context.WithCancelCause(parent)
	e.problem = nil
	if e.need > 0 {
		e.problem = e.full
	}
}

func (e *embedded) current() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.life
}

func (e *embedded) trouble() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem
}

// failed takes the server s out of service, unless it is no longer. It is called with locks of the server held.
func (e *embedded) failed(s *server.Server, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == s {
		e.giveUp(diskFault(opPublish, err))
	}
}

// giveUp ends the life of the server in service. The lock is held.
func (e *embedded) giveUp(why *fault.Error) {
	if e.life.Err() != nil {
		return
	}
	e.problem = why
	if why.Kind == fault.Full {
		e.need, e.full = e.size+headroom, why
	}
	e.end(why)
	e.wake()
}

func (e *embedded) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// suspect is told of a publish without an answer. A server that stayed silent for the whole time is given up; after
// another failure the supervisor only looks.
func (e *embedded) suspect(silent bool, err *fault.Error) {
	if silent {
		e.mu.Lock()
		e.giveUp(err)
		e.mu.Unlock()
		return
	}
	e.wake()
}

// room tells whether a message of size bytes may be tried: not while there is no server, and after the disk was full
// only when that much can be written.
func (e *embedded) room(size int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life.Err() != nil {
		if e.problem == nil {
			return fault.New(fault.Canceled, opPublish, "the journal is closed")
		}
		return e.problem
	}
	e.size = size
	return e.regained()
}

// regained looks whether a disk that was full has space again. The lock is held.
func (e *embedded) regained() error {
	if e.need == 0 {
		return nil
	}
	e.need = max(e.need, e.size+headroom)
	if err := probe(e.dir, e.need); err != nil {
		e.full = diskFault(opPublish, err)
		e.problem = e.full
		return e.full
	}
	e.need, e.full, e.problem = 0, nil, nil
	e.log.Info("the disk of the journal has space again")
	return nil
}

// syncNewFiles syncs the message folder when it changed since it was last synced: a message in a new file is only
// found again after a power loss when the folder names the file. The folder's time is compared for being another one, not a
// later one: the clock may have been set back.
func (e *embedded) syncNewFiles() error {
	e.folder.Lock()
	defer e.folder.Unlock()
	info, err := os.Stat(e.messages())
	if err != nil {
		return diskFault(opPublish, err)
	}
	stamp := info.ModTime()
	if !e.stamp.IsZero() && stamp.Equal(e.stamp) {
		return nil
	}
	begun := time.Now()
	if err := syncFolder(e.messages()); err != nil {
		return diskFault(opPublish, err)
	}
	e.synced, e.stamp = begun, time.Time{}
	if begun.Sub(stamp).Abs() > folderTick {
		e.stamp = stamp
	}
	return nil
}

// supervise replaces the server when it is in trouble, until ctx ends.
func (j *Journal) supervise(ctx context.Context) {
	tick, look := time.NewTicker(checkEvery), time.NewTicker(probeEvery)
	defer tick.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			j.embedded.look()
			continue
		case <-j.embedded.kick:
		case <-tick.C:
		}
		if j.embedded.check(); j.embedded.current().Err() != nil && ctx.Err() == nil {
			j.restart(ctx)
		}
	}
}

// look clears the problem of a full disk when there is space again, so that Problem tells the truth while nobody
// publishes.
func (e *embedded) look() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life.Err() == nil {
		_ = e.regained() // what is wrong is kept as the problem
	}
}

// check gives up a server that stopped by itself.
func (e *embedded) check() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.server; s != nil && (!s.Running() || !s.JetStreamEnabled()) {
		e.giveUp(fault.New(fault.Unavailable, "reach journal", "the embedded journal stopped by itself; it is started again").
			WithHint("look at the disk of the data folder (kernel log, mount options, permissions)"))
	}
}

// restart stops what is left of the old server and starts new ones until one is in service or ctx ends.
func (j *Journal) restart(ctx context.Context) {
	e := j.embedded
	why := e.trouble()
	j.log.Error("the journal failed and is started again", "kind", string(fault.KindOf(why)), "error", why.Error())
	e.stop()
	wait := restartAfter
	for attempt := 1; ; attempt++ {
		err := j.revive(ctx)
		if err == nil {
			e.up(j.closed) //nolint:contextcheck // the life of the server, not of the call
			j.log.Info("the journal runs again", "attempts", attempt)
			return
		}
		e.stop()
		if ctx.Err() != nil {
			return
		}
		e.mu.Lock()
		e.problem = err
		e.mu.Unlock()
		j.log.Warn("the journal cannot be started", "kind", string(fault.KindOf(err)), "error", err.Error(), "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, restartMost)
	}
}

// revive starts a server and makes sure that it has our stream.
func (j *Journal) revive(ctx context.Context) error {
	if err := j.embedded.start(ctx); err != nil {
		return err
	}
	if err := j.reconnected(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	stream, err := j.js.Stream(ctx, streamName)
	if err != nil {
		return fault.New(fault.Unavailable, opOpen, streamName).WithCause(err)
	}
	if id := stream.CachedInfo().Config.Metadata[idKey]; id != j.StreamID() {
		return fault.New(fault.Unavailable, opOpen, "the folder of the journal was exchanged while it was in use").
			WithHint("restart Sluice: it checks then what is missing")
	}
	return nil
}

// reconnected waits until the connection has found the new server.
func (j *Journal) reconnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		// Only the answer of the new server counts: the connection may not have noticed yet that the old one is gone.
		if j.conn.IsConnected() && j.conn.ConnectedServerId() == j.embedded.serverID() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "reach journal", "no connection to the new server").WithCause(ctx.Err())
		case <-tick.C:
		}
	}
}

func (e *embedded) serverID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return ""
	}
	return e.server.ID()
}

// serverLog is the log of an embedded server. An error there is the only sign of a failed write: the publisher just
// gets no answer.
type serverLog struct {
	log    *slog.Logger
	failed func(error)
	latest atomic.Pointer[string]
}

func (l *serverLog) last() error {
	if text := l.latest.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.latest.Store(&text)
	l.log.Warn("journal server", "error", text)
	l.failed(errors.New(text))
}

// Fatalf implements server.Logger.
func (l *serverLog) Fatalf(format string, v ...any) { l.Errorf(format, v...) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Debug("journal server", "warning", fmt.Sprintf(format, v...))
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(string, ...any) {}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *serverLog) Tracef(string, ...any) {}
