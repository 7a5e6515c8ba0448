package worker

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
)

// Command is the hidden command that makes the binary a query child.
const Command = "query-worker"

// Config configures a Pool. The zero value is usable.
type Config struct {
	Argv        []string      // program and arguments of a child; default: this executable with Command
	Max         int           // sessions at a time; default 2
	Timeout     time.Duration // of one query; default 60 s
	MemoryLimit int64         // bytes the engine may use; default 1 GiB
	DataLimit   int64         // RLIMIT_DATA of a child in bytes; default MemoryLimit + 1 GiB; negative: none
	Threads     int           // of the engine; default: the number of CPUs
	TempDir     string        // where children get their private folders; default: the system's
	TempLimit   int64         // bytes of temporary files per child; default 4 GiB
	Logger      *slog.Logger  // default: discards
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Argv) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return c, fault.Wrap(fault.Internal, "find own executable", err)
		}
		c.Argv = []string{exe, Command}
	}
	if c.Max <= 0 {
		c.Max = 2
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.MemoryLimit <= 0 {
		c.MemoryLimit = 1 << 30
	}
	if c.DataLimit == 0 {
		c.DataLimit = c.MemoryLimit + 1<<30
	}
	if c.Threads <= 0 {
		c.Threads = runtime.NumCPU()
	}
	if c.TempLimit <= 0 {
		c.TempLimit = 4 << 30
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Pool starts children and bounds how many work at a time. It is safe for concurrent use.
type Pool struct {
	cfg     Config
	places  chan struct{}
	reserve chan *child // children that are ready, as many as can work at a time
	work    sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	warming  int                 // children that are being started for the reserve
	children map[*child]struct{} // every child that was not reaped
}

// New returns a pool. It starts nothing; see Warm.
func New(cfg Config) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Pool{
		cfg: cfg, places: make(chan struct{}, cfg.Max), reserve: make(chan *child, cfg.Max), children: map[*child]struct{}{},
	}, nil
}

var errClosed = fault.New(fault.Unavailable, "query the lake", "the server is stopping")

// Warm fills the reserve in the background, so that the next queries find children that are ready.
func (p *Pool) Warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.warming > 0 || len(p.reserve) == cap(p.reserve) {
		return
	}
	p.warming++
	p.work.Go(func() {
		// One after the other: starting a child takes processor time that queries want too.
		for p.warmOne() {
		}
		p.mu.Lock()
		p.warming--
		p.mu.Unlock()
	})
}

// warmOne adds a child to the reserve and reports whether there is room for more.
func (p *Pool) warmOne() bool {
	if len(p.reserve) == cap(p.reserve) {
		return false
	}
	c, err := p.spawn(context.Background())
	if err != nil {
		if !errors.Is(err, errClosed) {
			p.cfg.Logger.Warn("start query child in reserve", "error", err)
		}
		return false
	}
	select {
	case p.reserve <- c:
		return len(p.reserve) < cap(p.reserve)
	default:
		p.discard(c)
		return false
	}
}

// Open waits for a place, takes a child and lets it see exactly what body names. The caller closes the session.
func (p *Pool) Open(ctx context.Context, body wire.OpenBody) (*Session, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.Wrap("", "wait for a place to query", ctx.Err())
	}
	s, err := p.open(ctx, body)
	if err != nil {
		<-p.places
		return nil, err
	}
	return s, nil
}

func (p *Pool) open(ctx context.Context, body wire.OpenBody) (*Session, error) {
	c, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{pool: p, child: c}
	if err := s.handshake(ctx, wire.Open, body); err != nil {
		p.discard(c)
		return nil, err
	}
	return s, nil
}

// take returns the child in reserve if it is alive, else a new one.
func (p *Pool) take(ctx context.Context) (*child, error) {
	for {
		select {
		case c := <-p.reserve:
			if c.alive() {
				return c, nil
			}
			p.discard(c)
		default:
			return p.spawn(ctx)
		}
	}
}

// spawn starts a child and waits until it is ready.
func (p *Pool) spawn(ctx context.Context) (*child, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	c, err := startChild(p.cfg)
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	p.children[c] = struct{}{}
	p.mu.Unlock()
	setup := wire.SetupBody{
		MemoryBytes: p.cfg.MemoryLimit, DataBytes: max(0, p.cfg.DataLimit), Threads: p.cfg.Threads,
		TempDir: c.temp, TempBytes: p.cfg.TempLimit,
	}
	s := &Session{pool: p, child: c}
	if err := s.handshake(ctx, wire.Setup, setup); err != nil {
		p.discard(c)
		return nil, err
	}
	return c, nil
}

// discard ends a child and waits until it is gone.
func (p *Pool) discard(c *child) {
	c.end()
	p.mu.Lock()
	delete(p.children, c)
	p.mu.Unlock()
}

// Close kills all children and waits until they are gone. Running queries end with an error of kind
// fault.Unavailable. It may be called more than once.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.children {
		c.kill(errClosed)
	}
	p.mu.Unlock()
	p.work.Wait()
	for {
		select {
		case c := <-p.reserve:
			p.discard(c)
		default:
			return nil
		}
	}
}
