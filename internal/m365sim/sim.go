package m365sim

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// Options are what a Sim needs besides its scenario. The zero value works.
type Options struct {
	Clock  clock.Clock  // time of the service; default clock.Real
	Logger *slog.Logger // default: discards
	// TokensByClock lets access tokens begin and end by Clock instead of the wall clock, for clients that do the same.
	TokensByClock bool
	// WebhookClient sends validation requests and notifications; default: a client with a time-out of ten seconds.
	WebhookClient *http.Client
}

// Sim is a simulated Microsoft. It is safe for concurrent use. New starts no goroutine; Start and Serve own theirs.
type Sim struct {
	scenario  Scenario
	clock     clock.Clock
	tokenTime func() time.Time // time of access tokens
	log       *slog.Logger
	webhooks  *http.Client
	started   time.Time // service time of New
	tenants   map[string]*tenant
	order     []*tenant // as in the scenario
	authority *authority
	faults    *injector
	throttle  *throttle
	journal   *journal
	ledger    *ledger
	bodies    *bodyCache
	ca        *certificateAuthority
	controls  http.Handler

	mu            sync.Mutex
	subscriptions map[subscriptionKey]*subscription // guarded by mu
	rounds        sync.Mutex                        // one round of notifications at a time

	freezing sync.RWMutex
	frozen   *time.Time // production stopped then; guarded by freezing
}

type tenant struct {
	Tenant
	apps  map[string]*application
	vocab *vocabulary
	feeds []*feed // in the order of ContentTypes
}

type application struct {
	App
	certificates []*x509.Certificate
}

// feed finds a feed by content type, ignoring case as the service does.
func (t *tenant) feed(contentType string) *feed {
	for _, f := range t.feeds {
		if strings.EqualFold(f.contentType, contentType) {
			return f
		}
	}
	return nil
}

// maxParts is how many sources a feed can have: one digit of a contentId.
const maxParts = 10

// New builds a simulator. It reads the files that the scenario names and, with precompress, makes all bodies of the
// history, so it can take a while; a wrong scenario is a fault.Config error.
func New(scenario Scenario, options Options) (*Sim, error) {
	doc := document{name: "scenario"}
	if err := doc.report(checkScenario(scenario)); err != nil {
		return nil, err
	}
	s := &Sim{
		scenario: scenario.withDefaults(), clock: options.Clock, log: options.Logger, webhooks: options.WebhookClient,
		tenants: map[string]*tenant{}, subscriptions: map[subscriptionKey]*subscription{},
	}
	if s.clock == nil {
		s.clock = clock.Real{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.webhooks == nil {
		s.webhooks = newWebhookClient()
	}
	s.tokenTime = s.wall
	if options.TokensByClock {
		s.tokenTime = s.clock.Now
	}
	s.started = s.now()
	if s.scenario.Start.IsZero() {
		s.scenario.Start = s.started
	}
	var err error
	if s.authority, err = newAuthority(s.scenario.TokenLifetime.std()); err != nil {
		return nil, err
	}
	if s.ca, err = newCertificateAuthority(s.wall()); err != nil {
		return nil, err
	}
	s.faults = newInjector(s.scenario.Seed, s.scenario.Faults)
	s.throttle = &throttle{limit: s.scenario.Throttle.RequestsPerMinute, windows: map[[2]string][]time.Time{}}
	s.journal = &journal{counts: map[string]map[string]int{}}
	s.ledger = newLedger()
	s.bodies = newBodyCache(cacheLimit)
	s.controls = s.newControls()
	for _, t := range s.scenario.Tenants {
		if err := s.addTenant(t); err != nil {
			return nil, err
		}
	}
	if s.scenario.Precompress {
		return s, s.precompress()
	}
	return s, nil
}

func (s *Sim) addTenant(definition Tenant) error {
	t := &tenant{Tenant: definition, apps: map[string]*application{}}
	t.vocab = newVocabulary(s.scenario.Seed, t.ID, t.Name, t.Users)
	for _, app := range t.Apps {
		certificates, err := readCertificates(app.Certificate)
		if err != nil {
			return err
		}
		t.apps[strings.ToLower(app.ID)] = &application{App: app, certificates: certificates}
		for _, contentType := range ContentTypes() {
			if app.Subscribed {
				s.subscriptions[subscriptionKey{t.ID, strings.ToLower(app.ID), contentType}] = &subscription{enabled: true, echo: contentType}
			}
		}
	}
	for _, contentType := range ContentTypes() {
		t.feeds = append(t.feeds, &feed{
			tenant: t, contentType: contentType,
			seed: mixText(mixText(s.scenario.Seed, t.ID), contentType),
		})
	}
	for _, traffic := range t.Traffic {
		s.addTraffic(t, traffic)
	}
	for _, files := range t.Records {
		if err := s.addFiles(t, files); err != nil {
			return err
		}
	}
	for _, f := range t.feeds {
		if len(f.parts) > maxParts {
			return fault.Newf(fault.Config, "", "tenant %s: more than %d sources for %s", t.ID, maxParts, f.contentType)
		}
	}
	s.tenants[t.ID] = t
	s.order = append(s.order, t)
	return nil
}

// addTraffic adds a history part when the number of its events is given, and a live part when there is a rate. Without
// a number the history is the older half of the live grid.
func (s *Sim) addTraffic(t *tenant, traffic Traffic) {
	f := t.feed(traffic.ContentType)
	generate := func(purpose uint64) *generator {
		return &generator{seed: mix(f.seed, uint64(len(f.parts)), purpose), vocab: t.vocab, menu: menuOf(f.contentType)}
	}
	from := s.scenario.Start
	if traffic.Events > 0 {
		p := newSpreadPart(from, traffic.History.std(), traffic.Events, traffic.BlobSize, s.scenario.EqualCreated)
		// The history hangs on the start: another start is another history.
		p.generator, p.latency = generate(uint64(from.Unix())), traffic.Latency.std()
		f.parts = append(f.parts, p)
	} else {
		from = from.Add(-traffic.History.std())
	}
	if traffic.Rate > 0 {
		f.parts = append(f.parts, newLivePart(generate(0), traffic, from, s.scenario.EqualCreated))
	}
}

func (s *Sim) addFiles(t *tenant, files Files) error {
	records, err := loadFiles(t.ID, files)
	if err != nil {
		return err
	}
	for _, f := range t.feeds {
		var own []fileRecord
		for _, r := range records {
			if r.feed == f.contentType {
				own = append(own, r)
			}
		}
		if len(own) == 0 {
			continue
		}
		p := newSpreadPart(s.scenario.Start, files.Over.std(), len(own), files.BlobSize, s.scenario.EqualCreated)
		p.records = own
		f.parts = append(f.parts, p)
	}
	return nil
}

// precompress makes the bodies of all bounded parts and keeps them.
func (s *Sim) precompress() error {
	s.bodies.limit = 0
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, t := range s.order {
		for _, f := range t.feeds {
			for i, p := range f.parts {
				for n := p.first; n < p.limit(); n++ {
					group.Go(func() error {
						k := blobKey{f, i, n}
						s.bodies.put(cacheKey{k, whole}, pack(s.body(k, whole, k.growsUntil(s.scenario.Late, s.scenario.Growing))))
						return nil
					})
				}
			}
		}
	}
	return group.Wait()
}

// now is the time of the service.
func (s *Sim) now() time.Time { return s.clock.Now().Add(s.scenario.ClockSkew.std()).UTC() }

// wall is the time of the token service.
func (s *Sim) wall() time.Time { return time.Now() }

// produced is the time up to which content exists: now, or when Freeze was called.
func (s *Sim) produced() time.Time {
	s.freezing.RLock()
	defer s.freezing.RUnlock()
	now := s.now()
	if at := s.frozen; at != nil && at.Before(now) {
		return *at
	}
	return now
}

// Freeze stops new content: from now on nothing appears in a listing that is not there already.
func (s *Sim) Freeze() {
	s.freezing.Lock() // whoever asked before saw nothing younger than now
	defer s.freezing.Unlock()
	if s.frozen == nil {
		now := s.now()
		s.frozen = &now
	}
}

func (s *Sim) isFrozen() bool {
	s.freezing.RLock()
	defer s.freezing.RUnlock()
	return s.frozen != nil
}

// Thaw undoes Freeze; what would have appeared meanwhile appears at once.
func (s *Sim) Thaw() {
	s.freezing.Lock()
	defer s.freezing.Unlock()
	s.frozen = nil
}

// SetFaults replaces the faults of the scenario.
func (s *Sim) SetFaults(faults []Fault) error {
	doc := document{name: "faults"}
	if err := doc.report(checkFaults(faults)); err != nil {
		return err
	}
	s.faults.set(faults)
	return nil
}

// Handler serves the service and the control routes. It must be served over TLS, because it announces https addresses
// on the host that the client asked for.
func (s *Sim) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Sim) serve(w http.ResponseWriter, req *http.Request) {
	if strings.HasPrefix(req.URL.Path, "/sim/") {
		s.controls.ServeHTTP(w, req)
		return
	}
	if s.scenario.Latency > 0 && s.clock.Sleep(req.Context(), s.scenario.Latency.std()) != nil {
		return
	}
	origin := "https://" + strings.ToLower(req.Host)
	var a attempt
	if isAPI(req.URL.Path) {
		a = s.serveAPI(req, origin)
	} else {
		a.reply, a.call = s.serveAuthority(req, origin)
		if a.reply == nil {
			a.route, a.reply = "other", htmlReply(http.StatusNotFound, "<html><title>404 - File or directory not found.</title></html>")
		} else if f, struck := s.faults.fire(a.call, s.age()); struck {
			a.strike(f, s.replacement(f, a.call))
		}
	}
	if a.struck && a.fault.Kind == Stall && s.clock.Sleep(req.Context(), a.fault.Duration.std()) != nil {
		return
	}
	s.record(req, a)
	s.write(w, req, a.reply, a.fault, a.struck)
}

// attempt is a request on its way to an answer.
type attempt struct {
	call
	reply     *reply
	publisher string
	tokenID   string
	fault     Fault
	struck    bool
}

func (a *attempt) strike(f Fault, replacement *reply) {
	a.fault, a.struck = f, true
	if replacement != nil {
		a.reply = replacement
	}
}

// age is how long the service exists; faults with a time window count from New.
func (s *Sim) age() time.Duration { return s.now().Sub(s.started) }

func (s *Sim) record(req *http.Request, a attempt) {
	entry := Request{
		Time: s.now(), Method: req.Method, Path: req.URL.Path, Query: withoutSecrets(req.URL.Query()), Route: a.route,
		Publisher: a.publisher, TokenID: a.tokenID, Status: a.reply.status,
	}
	if a.struck {
		entry.Fault = a.fault.Kind
	}
	s.journal.add(entry)
	s.log.Debug("request", "method", entry.Method, "path", entry.Path, "status", entry.Status, "fault", entry.Fault)
}
