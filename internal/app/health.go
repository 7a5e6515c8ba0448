package app

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/notify"
	"sluice/internal/source"
	"sluice/internal/state"
)

const (
	healthEvery = 30 * time.Second // between two looks at the health of everything
	healthFor   = time.Minute      // for one look
	// restartEvery is how often connectors that could not be started are tried again: a file that was missing may be there.
	restartEvery = 5 * time.Minute
)

// monitoring is the part of the service that watches the others.
type monitoring struct {
	monitor  *health.Monitor
	notifier *notify.Notifier
	targets  []config.Notification
	look     chan struct{} // look now

	mu       sync.Mutex
	parsed   map[string]parsedSpec            // by connector id
	verified map[string]map[string]verifiedCT // by connector id and content type
	reports  []health.Report                  // of the latest look
}

// parsedSpec is a configuration with the text that it was read from.
type parsedSpec struct {
	spec   []byte
	config config.Connector
	err    error
}

// verifiedCT is what the latest verification said of a content type.
type verifiedCT = health.Verified

// openHealth makes monitor and notifier and compares what the targets were told with the record.
func (a *application) openHealth(ctx context.Context) error {
	s := a.svc
	m := &s.monitoring
	m.look = make(chan struct{}, 1)
	log := a.log.With("component", "health")
	m.monitor = health.New(health.Settings{Clock: a.Clock, Store: health.NewValueStore(s.state), History: landedHistory{s.state}, Log: log})
	if err := m.monitor.Load(ctx); err != nil {
		log.Warn("the record of conditions could not be read; what is missing of it begins anew", "error", err.Error())
	}
	reports, err := s.reports(ctx)
	if err != nil {
		return err
	}
	m.verified = make(map[string]map[string]verifiedCT, len(reports))
	for id, report := range reports {
		m.verified[id] = verifiedOf(report)
	}
	if err := a.openNotifications(ctx); err != nil {
		return err
	}
	m.notifier.Reconcile(m.monitor.Open())
	a.registry.MustRegister(&healthMetrics{m: m})
	return nil
}

// watchHealth looks at everything every half a minute, and at once when somebody asks for it, until ctx ends.
func (a *application) watchHealth(ctx context.Context) error {
	s := a.svc
	restarted := a.Clock.Now()
	failed := false
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, healthFor) // a database that does not answer must not go unnoticed
		err := s.lookAtHealth(look)
		cancel()
		if err != nil && !failed && ctx.Err() == nil {
			a.log.Warn("looking at the health failed; it is tried again", "error", err.Error())
		}
		failed = err != nil
		if now := a.Clock.Now(); now.Sub(restarted) >= restartEvery {
			restarted = now
			s.restartFailed(ctx)
		}
		select {
		case <-ctx.Done():
		case <-s.monitoring.look:
		case <-a.Clock.After(healthEvery):
		}
	}
	return nil
}

// lookAtHealth puts what changed on the record and tells it. When something cannot be gathered nothing is judged: a feed
// that is missing would count as deleted.
func (s *service) lookAtHealth(ctx context.Context) error {
	views, err := s.views(ctx)
	if err != nil {
		return err
	}
	m := &s.monitoring
	inputs := make([]health.Input, len(views))
	for i, v := range views {
		inputs[i] = v.input
	}
	changes, err := m.monitor.Tick(ctx, inputs)
	s.tell(changes)
	reports := make([]health.Report, len(inputs))
	for i, in := range inputs {
		reports[i] = m.monitor.Report(in)
	}
	m.mu.Lock()
	m.reports = reports
	m.mu.Unlock()
	return err
}

// tell passes transitions on to the log and to the targets of notifications.
func (s *service) tell(changes []health.Change) {
	for _, c := range changes {
		log := s.log.Info
		if c.Condition.Status.Bad() {
			log = s.log.Warn
		}
		log("condition changed", "connector", c.Feed.Connector, "content_type", c.Feed.ContentType, "condition", string(c.Condition.Type),
			"from", string(c.From), "to", string(c.Condition.Status), "reason", string(c.Condition.Reason), "message", c.Condition.Message)
	}
	s.monitoring.notifier.Changes(changes)
}

// testPassed takes in that a connection test of a connector passed: what was noted before no longer counts, and the
// next attempt is made now. A runner whose settings or credential were refused is made anew, because what they refer to
// may have changed.
func (s *service) testPassed(ctx context.Context, c state.Connector) {
	ctx = context.WithoutCancel(ctx) // who asked for the test may be gone
	changes, err := s.monitoring.monitor.Passed(ctx, c.ID)
	if err != nil {
		s.log.Warn("the record of conditions could not be written; it is tried again", "error", err.Error())
	}
	s.tell(changes)
	runner, err := s.manager.Runner(c.ID)
	switch {
	case err != nil && s.failures.get(c.ID) == nil: // paused, or the server is starting
	case err != nil || refused(runner):
		s.startAgain(ctx, c.Name)
	default:
		if retries(runner) {
			if _, err := s.manager.Retry(ctx, c.ID, nil, false); err != nil {
				s.log.Warn("trying units again after a test", "connector", c.Name, "error", err.Error())
			}
		}
		runner.Poke()
	}
	select {
	case s.monitoring.look <- struct{}{}:
	default:
	}
}

// refused reports whether a runner works in vain until somebody changes something.
func refused(r *collect.Runner) bool {
	for _, f := range r.Status() {
		for _, t := range []collect.Trouble{f.Listing, f.Fetching} {
			switch fault.KindOf(t.Err) {
			case fault.Config, fault.Auth, fault.Permission:
				return true
			default: // heals by itself, or there is nothing
			}
		}
	}
	return false
}

// retries reports whether units of a runner wait because the last attempt failed.
func retries(r *collect.Runner) bool {
	for _, f := range r.Status() {
		if f.Fetching.Failures > 0 {
			return true
		}
	}
	return false
}

// startAgain starts a connector with what its settings say now.
func (s *service) startAgain(ctx context.Context, name string) {
	s.applying.Lock()
	defer s.applying.Unlock()
	c, err := s.state.Connector(ctx, name)
	if err == nil {
		err = s.startConnector(ctx, c)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		s.log.Warn("starting a connector again", "connector", name, "error", err.Error())
	}
}

// restartFailed tries connectors again that could not be started.
func (s *service) restartFailed(ctx context.Context) {
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return // the look at the health has said so
	}
	for _, c := range connectors {
		if !c.Paused && s.failures.get(c.ID) != nil && ctx.Err() == nil {
			s.startAgain(ctx, c.Name)
		}
	}
}

// contentTypes are those that a connector collects.
func (s *service) contentTypes(c state.Connector) []string {
	parsed, _ := s.monitoring.parse(c, s.properties) // the zero Connector, when it cannot be read
	if len(parsed.ContentTypes) > 0 {
		return parsed.ContentTypes
	}
	return s.knownContentTypes(c, ledger{})
}

// feedView is everything that is known of one content type of a connector at a moment.
type feedView struct {
	connector state.Connector
	total     state.Total
	feed      collect.FeedStatus
	running   bool // feed is known
	gaps      []state.Gap
	input     health.Input
}

type feedKey struct{ connectorID, contentType string }

// ledger is what the state database has of all feeds.
type ledger struct {
	totals map[feedKey]state.Total
	last   map[feedKey]time.Time
	gaps   map[feedKey][]state.Gap
}

func (s *service) ledger(ctx context.Context) (ledger, error) {
	l := ledger{totals: map[feedKey]state.Total{}, last: map[feedKey]time.Time{}, gaps: map[feedKey][]state.Gap{}}
	totals, err := s.state.Totals(ctx)
	if err != nil {
		return l, err
	}
	last, err := s.state.LastData(ctx)
	if err != nil {
		return l, err
	}
	gaps, err := s.state.Gaps(ctx, "")
	if err != nil {
		return l, err
	}
	for _, t := range totals {
		l.totals[feedKey{t.ConnectorID, t.ContentType}] = t
	}
	for _, t := range last {
		l.last[feedKey{t.ConnectorID, t.ContentType}] = t.At
	}
	for _, g := range gaps {
		key := feedKey{g.ConnectorID, g.ContentType}
		l.gaps[key] = append(l.gaps[key], g)
	}
	return l, nil
}

// views gathers every content type of every connector, ordered by connector, then in the order of its configuration.
func (s *service) views(ctx context.Context) ([]feedView, error) {
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(connectors, func(a, b state.Connector) int { return strings.Compare(a.Name, b.Name) })
	s.monitoring.forget(connectors)
	storage := health.Trouble{Err: s.publisher.Problem()}
	var out []feedView
	for _, c := range connectors {
		out = append(out, s.viewsOf(c, l, storage)...)
	}
	return out, nil
}

// viewsOf gathers the content types of a connector.
func (s *service) viewsOf(c state.Connector, l ledger, storage health.Trouble) []feedView {
	parsed, parseErr := s.monitoring.parse(c, s.properties)
	contentTypes := parsed.ContentTypes
	if len(contentTypes) == 0 {
		contentTypes = s.knownContentTypes(c, l)
	}
	if len(contentTypes) == 0 {
		contentTypes = []string{""} // a connector without a feed would count as deleted
	}
	base := health.Input{
		Limits: health.LimitsFrom(parsed.Values), Storage: storage, Created: c.Created,
		Paused: c.Paused || parseErr == nil && !parsed.Enabled,
	}
	if parseErr == nil && parsed.RunOn != s.nodeGroup {
		base.Paused, base.Elsewhere = true, parsed.RunOn
	}
	if failed := s.failures.of(c.ID); failed.err != nil {
		base.Start = health.Trouble{Failures: 1, Err: failed.err, At: failed.at}
	}
	var feeds map[string]collect.FeedStatus
	if r, err := s.manager.Runner(c.ID); err == nil {
		feeds = r.Status()
		if e, ok := r.Source().(source.Expirer); ok {
			if expires, what, known := e.CredentialExpiry(); known {
				base.Expires, base.ExpiryWhat = expires, what
			}
		}
	}
	if ends := s.secretExpiries(c.ID); len(ends) > 0 && (base.Expires.IsZero() || ends[0].At.Before(base.Expires)) {
		base.Expires, base.ExpiryWhat = ends[0].At, "the secret "+ends[0].Name+" ("+ends[0].What+")"
	}
	views := make([]feedView, 0, len(contentTypes))
	for _, ct := range contentTypes {
		key := feedKey{c.ID, ct}
		v := feedView{connector: c, total: l.totals[key], gaps: l.gaps[key], input: base}
		v.feed, v.running = feeds[ct]
		in := &v.input
		in.Feed = health.Feed{ConnectorID: c.ID, Connector: c.Name, Tenant: c.TenantName, Type: c.Type, ContentType: ct}
		in.Running = v.running
		in.Listed, in.NextRun, in.Failed = v.feed.Listed, v.feed.NextRun, v.feed.Failed
		in.Listing, in.Fetching = health.Trouble(v.feed.Listing), health.Trouble(v.feed.Fetching)
		in.Landed, in.Pending, in.Lost = v.total.Landed, v.total.Pending, v.total.Lost
		in.LastData = l.last[key]
		in.Gaps, in.GapReason = len(v.gaps), newestReason(v.gaps)
		in.Verified = s.monitoring.verification(c.ID, ct)
		views = append(views, v)
	}
	return views
}

// knownContentTypes are those of a connector whose configuration names none, or cannot be read: what its type offers,
// else what the ledger knows.
func (s *service) knownContentTypes(c state.Connector, l ledger) []string {
	if d, err := driverFor(c.Type); err == nil {
		return d.properties.ContentTypes
	}
	var list []string
	for key := range l.totals {
		if key.connectorID == c.ID {
			list = append(list, key.contentType)
		}
	}
	slices.Sort(list)
	return list
}

func newestReason(gaps []state.Gap) string {
	if len(gaps) == 0 {
		return ""
	}
	return slices.MaxFunc(gaps, func(a, b state.Gap) int { return a.NoticedAt.Compare(b.NoticedAt) }).Reason
}

// parse reads the stored configuration of a connector, or remembers it.
func (m *monitoring) parse(c state.Connector, properties []source.Properties) (config.Connector, error) {
	m.mu.Lock()
	p, ok := m.parsed[c.ID]
	m.mu.Unlock()
	if !ok || !bytes.Equal(p.spec, c.Spec) {
		p = parsedSpec{spec: c.Spec}
		p.config, p.err = config.FromSpec(c.Spec, properties)
		m.mu.Lock()
		if m.parsed == nil {
			m.parsed = map[string]parsedSpec{}
		}
		m.parsed[c.ID] = p
		m.mu.Unlock()
	}
	return p.config, p.err
}

// forget drops what is remembered of connectors that do not exist any more.
func (m *monitoring) forget(connectors []state.Connector) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parsed) <= len(connectors) && len(m.verified) <= len(connectors) {
		return
	}
	exists := map[string]bool{}
	for _, c := range connectors {
		exists[c.ID] = true
	}
	for id := range m.parsed {
		if !exists[id] {
			delete(m.parsed, id)
		}
	}
	for id := range m.verified {
		if !exists[id] {
			delete(m.verified, id)
		}
	}
}

func (m *monitoring) verification(connectorID, contentType string) health.Verified {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.verified[connectorID][contentType]
}

// keepVerified takes in the latest report of a connector.
func (m *monitoring) keepVerified(connectorID string, report api.VerifyReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.verified == nil {
		m.verified = map[string]map[string]verifiedCT{}
	}
	m.verified[connectorID] = verifiedOf(report)
}

// verifiedOf takes out of the report of a connector what its health depends on.
func verifiedOf(report api.VerifyReport) map[string]verifiedCT {
	out := make(map[string]verifiedCT, len(report.Feeds))
	for _, f := range report.Feeds {
		v := verifiedCT{
			At: report.Finished, Whole: f.Whole(), Queued: report.Repair || report.Scheduled, CoveragePercent: f.CoveragePercent,
			Missing: f.Missing, Lost: f.Lost, Surplus: max(f.Surplus, min(f.SurplusRecords, 1)),
		}
		for _, n := range report.Notes {
			if note, ok := strings.CutPrefix(n, f.Connector+" "+f.ContentType+": "); ok {
				v.Note = note
				break
			}
		}
		out[f.ContentType] = v
	}
	return out
}

// landedHistory is the history of feeds out of the ledger. What counts is what the service sent: a filter that drops
// everything does not make a feed silent.
type landedHistory struct{ state *state.Store }

// Landed implements health.History.
func (h landedHistory) Landed(ctx context.Context, f health.Feed, from, to time.Time) ([]health.Hour, error) {
	hours, err := h.state.LandedHours(ctx, f.ConnectorID, f.ContentType, from, to)
	if err != nil {
		return nil, err
	}
	out := make([]health.Hour, len(hours))
	for i, x := range hours {
		out[i] = health.Hour{Start: x.Start, Records: x.Fetched}
	}
	return out, nil
}
