package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/clock"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/movein"
	"sluice/internal/normalize"
	"sluice/internal/notify"
	"sluice/internal/secret"
	"sluice/internal/vault"
)

// Options say what to run.
type Options struct {
	ConfigFile string // sluice.yaml; "" for defaults
	Data       string // overrides the file's data folder
	Listen     string // overrides the file's address
	Demo       bool   // add a simulated Microsoft tenant with live traffic
	Version    string
	Program    string      // how the user calls this program, for commands to try
	Clock      clock.Clock // nil: the wall clock
	// JournalBytes bounds the embedded journal in test builds; 0: a share of the free space.
	JournalBytes int64
	Stdout       io.Writer // for people
	Logger       *slog.Logger
}

const (
	stopAPI  = 3 * time.Second // how long requests may take to end when the server stops
	softHeap = 256 << 20       // bytes at which the garbage collector works harder
)

// Run runs the server until ctx ends and returns when everything is closed. Errors are ready to be shown.
func Run(ctx context.Context, o Options) error {
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softHeap)
	}
	a := &application{Options: o, log: o.Logger}
	defer a.close()
	err := a.open(ctx)
	if err == nil {
		err = a.serve(ctx)
	}
	if ctx.Err() != nil && (fault.Is(err, fault.Canceled) || errors.Is(err, context.Canceled)) {
		return nil // stopped while it was still on the way up
	}
	return err
}

// application is a running server. Everything that was opened is on the stack closers.
type application struct {
	Options
	log      *slog.Logger
	settings config.Server
	file     *config.File
	dir      *dataDir
	registry *prometheus.Registry
	svc      *service
	restored bool      // engines were found to be of different times
	lakeFrom time.Time // of the newest commit of the lake that was opened
	trimmer  *trimmer
	closers  []func()
	listener net.Listener
	routes   []notify.Route // of the notifications in the file
	url      string
	token    secret.Secret
	sealer   *vault.Sealer
	secrets  *vault.Resolver
}

func (a *application) onClose(f func()) { a.closers = append(a.closers, f) }

func (a *application) close() {
	for len(a.closers) > 0 {
		last := len(a.closers) - 1
		a.closers[last]()
		a.closers = a.closers[:last]
	}
}

// open takes every step of the way up, in order.
func (a *application) open(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.readConfig, a.openData, a.listen, a.openSecrets, a.openService, a.sealStored, a.applyConfig,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) readConfig(context.Context) error {
	text := []byte{}
	path := "defaults"
	if a.ConfigFile != "" {
		var err error
		if text, err = os.ReadFile(a.ConfigFile); err != nil {
			return fault.New(fault.Config, "read configuration", "").WithCause(err).WithHint("check the path given with --config")
		}
		path = a.ConfigFile
	}
	file, err := config.Load(path, text, driverProperties(), os.LookupEnv)
	if err != nil {
		return err
	}
	a.file, a.settings = file, file.Server
	if a.Data != "" {
		a.settings.Data = a.Data
	}
	if a.Listen != "" {
		a.settings.Listen = a.Listen
	}
	for _, w := range file.Warnings {
		a.log.Warn("configuration", "warning", w.String())
	}
	if a.Demo {
		a.settings.Lake.CommitInterval = time.Second
	}
	if a.settings.Lake.Warehouse != config.WarehouseLocal {
		return fault.Newf(fault.Config, "read configuration", "lake.warehouse %q is not available in this version", a.settings.Lake.Warehouse).
			WithHint("use warehouse: local")
	}
	return a.readNotifications()
}

func (a *application) openData(context.Context) error {
	if a.Demo && a.Data == "" {
		tmp, err := os.MkdirTemp("", "sluice-demo-")
		if err != nil {
			return fault.New(diskKind(err), "make demo folder", "").WithCause(err).WithHint("set TMPDIR to a folder with free space, or use --data")
		}
		a.onClose(func() { _ = os.RemoveAll(tmp) })
		a.settings.Data = tmp
	}
	dir, err := openDataDir(a.settings.Data)
	if err != nil {
		return err
	}
	a.onClose(dir.Close)
	a.dir = dir
	a.token, err = api.LoadOrCreateToken(dir.path)
	return err
}

func (a *application) listen(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.settings.Listen)
	if err != nil {
		kind, hint := fault.Config, "name an address of this machine and a port that this user may open, such as 127.0.0.1:8365, with --listen or listen in the configuration"
		if errors.Is(err, syscall.EADDRINUSE) {
			kind, hint = fault.Conflict, "another program uses the port: stop it, or choose another address with --listen"
		}
		return fault.New(kind, "listen on "+a.settings.Listen, "").WithCause(err).WithHint(hint)
	}
	a.onClose(func() { _ = l.Close() })
	a.listener = l
	a.url = "http://" + reachable(l.Addr())
	return nil
}

// reachable is an address that a client on this machine can use for a listener's address.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}

func (a *application) openService(ctx context.Context) error {
	a.registry = prometheus.NewRegistry()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &service{
		version: a.Version, dataDir: a.dir.path, nodeGroup: a.settings.NodeGroup, demo: a.Demo, started: a.Clock.Now(), clock: a.Clock,
		log: a.log.With("component", "service"), properties: driverProperties(),
		life: life, shared: sharedDeps{
			pacers: m365.NewPacers(a.Clock), tokens: m365.NewTokens(a.Clock, a.log), transports: m365.NewTransports(),
			clock: a.Clock, log: a.log, sealer: a.sealer, secrets: a.secrets,
		},
	}
	s.failures.clock = a.Clock
	a.svc = s
	a.onClose(func() {
		end()
		s.background.Wait()
	})
	var err error
	if s.normalizer, err = normalize.New(); err != nil {
		return fault.Wrap(fault.Internal, "load mapping tables", err)
	}
	s.resolver, s.samples = movein.NewOpenID(movein.OpenIDSettings{}), s.lakeSamples
	if err := a.openEngines(ctx); err != nil {
		return err
	}
	deps := collect.Deps{
		State: s.state, Clock: a.Clock, Logger: a.log, Metrics: collect.NewMetrics(a.registry), Normalizer: s.normalizer,
	}
	s.publisher = collect.NewPublisher(collect.PublisherConfig{
		State: s.state, Journal: s.journal, Clock: a.Clock, Logger: a.log, Metrics: deps.Metrics, Holder: a.dir.holder(),
		Guard: spaceGuard(a.dir.path, diskFloor, diskSpace), Lake: &lakeAnswers{s: s},
	})
	deps.Publisher = s.publisher
	s.manager = collect.NewManager(deps, s.searchable)
	if err := a.openConsent(); err != nil {
		return err
	}
	if err := a.openWebhook(ctx); err != nil {
		return err
	}
	return a.openHealth(ctx)
}

func (a *application) applyConfig(ctx context.Context) error {
	if a.ConfigFile != "" {
		if err := a.svc.declareConsent(a.file); err != nil {
			return err
		}
		if err := a.svc.applyFile(ctx, a.file); err != nil {
			return err
		}
	}
	if a.Demo {
		if err := a.startDemo(ctx); err != nil {
			return err
		}
	}
	stored, err := a.svc.state.Connectors(ctx)
	if err != nil {
		return err
	}
	for _, c := range stored {
		if err := a.svc.startConnector(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// serve runs the parts until ctx ends or one of them fails, and stops them in the order of the data flow.
func (a *application) serve(ctx context.Context) error {
	handler, err := api.New(api.Options{
		Service: a.svc, Token: a.token, Version: a.Version, Log: a.log, Clock: a.Clock,
		Metrics: promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}),
	})
	if err != nil {
		return err
	}
	if err := a.announce(); err != nil {
		return err
	}
	stages := newStages(ctx)
	group := stages.group
	web := api.NewHTTPServer(handler, a.log)
	// Requests end with the server: a follower of a long job must not hold up the stop.
	web.BaseContext = func(net.Listener) context.Context { return stages.requests }
	group.Go(func() error {
		if err := web.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fault.Wrap(fault.Unavailable, "serve API", err)
		}
		return nil
	})
	group.Go(func() error {
		<-stages.failed.Done()
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopAPI)
		defer cancel()
		stages.stopRequests()
		if web.Shutdown(stopCtx) != nil {
			_ = web.Close()
		}
		stages.stopRunners()
		return nil
	})
	group.Go(func() error {
		err := a.svc.manager.Run(stages.runners)
		stages.stopPublisher()
		return err
	})
	group.Go(func() error {
		err := a.svc.publisher.Run(stages.publisher)
		stages.stopWriter()
		return err
	})
	group.Go(func() error { return a.svc.writer.Run(stages.writer) })
	group.Go(func() error { return a.maintain(stages.runners) })
	group.Go(func() error { return a.verifyDaily(stages.runners) })
	group.Go(func() error { return a.trimmer.run(stages.runners) })
	if h := a.svc.hooks; h != nil {
		group.Go(func() error { return h.Run(stages.runners) })
		group.Go(func() error { return h.listener.Serve(stages.runners) })
	}
	group.Go(func() error { return a.secrets.Run(stages.runners, a.svc.secretChanged) })
	group.Go(func() error { return a.watchHealth(stages.runners) })
	group.Go(func() error { return a.svc.monitoring.notifier.Run(stages.runners) })
	return group.Wait()
}

// stages are the contexts of the parts, ended one after the other: requests, runners, publisher, lake writer.
type stages struct {
	group         *errgroup.Group
	failed        context.Context // ends with ctx or with the first failure
	requests      context.Context
	stopRequests  context.CancelFunc
	runners       context.Context
	stopRunners   context.CancelFunc
	publisher     context.Context
	stopPublisher context.CancelFunc
	writer        context.Context
	stopWriter    context.CancelFunc
}

func newStages(ctx context.Context) *stages {
	s := &stages{}
	s.group, s.failed = errgroup.WithContext(ctx)
	own := context.WithoutCancel(ctx)
	s.requests, s.stopRequests = context.WithCancel(own)
	s.runners, s.stopRunners = context.WithCancel(own)
	s.publisher, s.stopPublisher = context.WithCancel(own)
	s.writer, s.stopWriter = context.WithCancel(own)
	return s
}

// announce tells people and clients on this machine where the server is.
func (a *application) announce() error {
	running, err := client.RecordServer(os.Getenv, a.dir.path, a.url)
	a.onClose(func() { _ = client.ForgetServer(os.Getenv, running) })
	if err != nil {
		a.log.Warn("clients on this machine need SLUICE_URL or --data", "error", err.Error())
	}
	a.log.Info("sluice is up", "url", a.url, "data", a.dir.path, "version", a.Version)
	if a.Demo {
		a.greetDemo()
		return nil
	}
	_, err = fmt.Fprintf(a.Stdout, "Sluice is up at %s (data in %s). Stop it with Ctrl-C.\n", a.url, a.dir.path)
	return err
}
