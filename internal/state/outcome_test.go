package state_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

// proxy stands between Sluice and PostgreSQL and cuts the connection between a COMMIT and its answer.
type proxy struct {
	listener net.Listener
	target   string
	cut      atomic.Bool // cut the next commit
	down     atomic.Bool // and refuse new connections from then on
	refuse   atomic.Bool
	wg       sync.WaitGroup

	mu      sync.Mutex
	clients []net.Conn // all that ever came
}

// reset ends all connections at once: whoever writes next is told so.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// startProxy returns a proxy and the URL through it.
func startProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if u.Query().Get("sslmode") != "disable" {
		t.Skipf("the proxy must see the protocol: %s needs sslmode=disable", postgresURL)
	}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: u.Host}
	u.Host = listener.Addr().String()
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.wg.Wait()
	})
	return p, u.String()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil || p.refuse.Load() {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		p.mu.Lock()
		p.clients = append(p.clients, client)
		p.mu.Unlock()
		p.wg.Go(func() { p.up(client, server) })
		p.wg.Go(func() { // down
			_, _ = io.Copy(client, server)
			_ = client.Close()
			_ = server.Close()
		})
	}
}

// up copies what the client sends. Small requests come in one piece.
func (p *proxy) up(client, server net.Conn) {
	defer func() { _, _ = client.Close(), server.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte("commit\x00")) && p.cut.CompareAndSwap(true, false) {
			p.refuse.Store(p.down.Load())
			_ = client.Close() // first, so that no answer gets through
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A server that is away when it is asked is asked again, and the step goes on as if nothing had happened.
func TestCommitIsAskedForUntilTheServerIsBack(t *testing.T) {
	t.Parallel()
	p, through := startProxy(t, engines[state.Postgres](t))
	var warned sync.Once
	s := open(t, through, state.Options{Logger: slog.New(onRecord(func() { warned.Do(func() { p.refuse.Store(false) }) }))})
	term := acquire(t, s)
	p.down.Store(true)
	p.cut.Store(true)
	begin(t, s, term, []int{1})
	if p.cut.Load() || p.refuse.Load() {
		t.Fatal("the commit was not cut, or nobody asked for it while the server was away")
	}
	if _, results := begin(t, s, term, []int{1, 2}); results[0] != duplicate {
		t.Fatal("the step that was reported as committed did not happen")
	}
}

// onRecord is called for each record of the log.
type onRecord func()

func (f onRecord) Enabled(context.Context, slog.Level) bool { return true }

func (f onRecord) Handle(context.Context, slog.Record) error { f(); return nil }

func (f onRecord) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f onRecord) WithGroup(string) slog.Handler { return f }

// TestAServerThatIsAwayForLong: it is waited for, however long, because its answer is the only one.
func TestAServerThatIsAwayForLong(t *testing.T) {
	t.Parallel()
	p, through := startProxy(t, engines[state.Postgres](t))
	var warned sync.Once
	s := open(t, through, state.Options{OutcomeWait: 100 * time.Millisecond, Logger: slog.New(onRecord(func() {
		warned.Do(func() { time.AfterFunc(time.Second, func() { p.refuse.Store(false) }) })
	}))})
	term := acquire(t, s)
	p.down.Store(true)
	p.cut.Store(true)
	begin(t, s, term, []int{1})
	if _, results := begin(t, s, term, []int{1, 2}); results[0] != duplicate {
		t.Fatal("the step that was reported as committed did not happen")
	}
}

// A commit whose answer is lost is asked for. If the caller gives up, the term ends here, because the step may have happened.
func TestCommitOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	dsn := engines[state.Postgres](t)
	p, through := startProxy(t, dsn)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	s := open(t, through, state.Options{Logger: slog.New(onRecord(func() {
		if p.refuse.Load() {
			giveUp()
		}
	}))})
	term := acquire(t, s)
	p.cut.Store(true)
	b1, _ := begin(t, s, term, []int{1}) // succeeds: the server says that it committed
	if p.cut.Load() {
		t.Fatal("the commit was not cut")
	}
	if _, results := begin(t, s, term, []int{1, 2}); results[0] != duplicate {
		t.Fatal("the step that was reported as committed did not happen")
	}
	p.down.Store(true)
	p.cut.Store(true)
	openBatch := func(st *state.Step) error { _, err := st.OpenBatch(); return err }
	wantKind(t, s.Step(ctx, term, openBatch), fault.Conflict, "did not tell whether it committed")
	p.refuse.Store(false)
	wantKind(t, s.Step(t.Context(), term, openBatch), fault.Conflict)
	term = acquire(t, s)
	list, err := s.OpenBatches(t.Context())
	if err != nil || len(list) < 2 || list[0].Number != b1 {
		t.Fatalf("open batches %v, %v", list, err)
	}
	begin(t, s, term, []int{3})
}

// TestAConnectionThatDiesInAStep: what the driver says of a request that it could not even send means that the database is
// away, and the next step goes on.
func TestAConnectionThatDiesInAStep(t *testing.T) {
	t.Parallel()
	p, through := startProxy(t, engines[state.Postgres](t))
	s := open(t, through, state.Options{})
	term := acquire(t, s)
	err := s.Step(t.Context(), term, func(st *state.Step) error {
		number, err := st.OpenBatch()
		if err != nil {
			return err
		}
		p.reset()
		_, err = st.Claim(number, claims(1))
		return err
	})
	wantKind(t, err, fault.Unavailable, "does not answer")
	begin(t, s, term, []int{1})
}

// TestAServerThatBecameAStandby: a server that does not write is away, and connections to it are not used for ever.
func TestAServerThatBecameAStandby(t *testing.T) {
	t.Parallel()
	dsn := engines[state.Postgres](t)
	s := open(t, dsn, state.Options{})
	term := acquire(t, s)
	if _, err := s.DB().ExecContext(t.Context(), `SET default_transaction_read_only = on`); err != nil {
		t.Fatal(err)
	}
	begin(t, s, term, []int{1}) // on another connection

	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("default_transaction_read_only", "on")
	u.RawQuery = q.Encode()
	_, err = state.Open(t.Context(), u.String(), state.Options{})
	wantKind(t, err, fault.Unavailable)
}
