package collect

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/journal"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what must happen. Disks that others keep busy sync slowly.
const patience = time.Minute

const directory = "11111111-2222-3333-4444-555555555555"

// fakeSource serves units from memory and fails as told.
type fakeSource struct {
	mu      sync.Mutex
	units   []record.Unit
	bodies  map[string][]string // by unit key: the raw records
	fail    map[string][]error  // by unit key: errors of the next fetches, after half of the records
	listErr []error             // errors of the next listings
	windows []source.Window     // of every listing
	fetched map[string]int      // by unit key
}

func newFakeSource() *fakeSource {
	return &fakeSource{bodies: map[string][]string{}, fail: map[string][]error{}, fetched: map[string]int{}}
}

func (s *fakeSource) add(contentType, id string, created time.Time, bodies ...string) record.Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := record.Unit{Key: contentType + "|" + id, ContentType: contentType, ContentID: id, Created: created, Expires: created.Add(7 * 24 * time.Hour)}
	s.units = append(s.units, u)
	s.bodies[u.Key] = bodies
	return u
}

func (s *fakeSource) List(_ context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windows = append(s.windows, w)
	var err error
	if len(s.listErr) > 0 {
		err, s.listErr = s.listErr[0], s.listErr[1:]
	}
	var found []record.Unit
	for _, u := range s.units {
		if u.ContentType == w.ContentType && !u.Created.Before(w.From) && u.Created.Before(w.To) {
			found = append(found, u)
		}
	}
	return func(yield func(record.Unit, error) bool) {
		if err != nil {
			yield(record.Unit{}, err)
			return
		}
		for _, u := range found {
			if !yield(u, nil) {
				return
			}
		}
	}
}

func (s *fakeSource) Fetch(_ context.Context, u record.Unit) iter.Seq2[record.Item, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched[u.Key]++
	bodies := s.bodies[u.Key]
	var err error
	if failures := s.fail[u.Key]; len(failures) > 0 {
		err, s.fail[u.Key] = failures[0], failures[1:]
		bodies = bodies[:len(bodies)/2]
	}
	return func(yield func(record.Item, error) bool) {
		for i, b := range bodies {
			if !yield(record.Item{Raw: []byte(b), Offset: int64(i), Malformed: rawjson.Check([]byte(b))}, nil) {
				return
			}
		}
		if err != nil {
			yield(record.Item{}, err)
		}
	}
}

func (s *fakeSource) Test(context.Context) iter.Seq[source.Check] {
	return func(func(source.Check) bool) {}
}

func (s *fakeSource) fetches(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched[key]
}

// orderedSource tells in which order units are fetched.
type orderedSource struct {
	*fakeSource
	order chan<- string
}

func (s *orderedSource) Fetch(ctx context.Context, u record.Unit) iter.Seq2[record.Item, error] {
	s.order <- u.Key
	return s.fakeSource.Fetch(ctx, u)
}

// badWindowSource cannot list any window that holds one moment.
type badWindowSource struct {
	*fakeSource
	healMu sync.Mutex
	bad    time.Time
	healed bool
}

func (s *badWindowSource) heal() {
	s.healMu.Lock()
	s.healed = true
	s.healMu.Unlock()
}

func (s *badWindowSource) List(ctx context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	s.healMu.Lock()
	defer s.healMu.Unlock()
	if !s.healed && !s.bad.Before(w.From) && s.bad.Before(w.To) {
		return func(yield func(record.Unit, error) bool) {
			yield(record.Unit{}, fault.New(fault.Unavailable, "list", "an internal error"))
		}
	}
	return s.fakeSource.List(ctx, w)
}

// rec is a minimal audit record.
func rec(id, extra string) string {
	return fmt.Sprintf(`{"CreationTime":"2026-03-04T05:06:07","Id":%q,"Operation":"FileAccessed","OrganizationId":%q,"RecordType":6,"Workload":"SharePoint"%s}`, id, directory, extra)
}

// harness is a data folder with its engines.
type harness struct {
	t       *testing.T
	dir     string
	state   *state.Store
	journal *journal.Journal
	lake    *fakeLake
	metrics *Metrics     // nil: nothing is counted
	log     slog.Handler // nil: nothing is logged
	clock   clock.Clock  // of publisher and manager; nil: one that runs 50 times as fast
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, dir: t.TempDir()}
	h.lake = &fakeLake{h: h, gone: map[string]bool{}}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *harness) open() {
	h.t.Helper()
	var err error
	if h.state, err = state.Open(h.t.Context(), filepath.Join(h.dir, "state.db"), state.Options{Clock: clock.Real{}, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		h.t.Fatal(err)
	}
	if h.journal, err = journal.Open(h.t.Context(), journal.Config{Dir: filepath.Join(h.dir, "journal")}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) close() {
	h.journal.Close()
	_ = h.state.Close()
}

// reopen is what a restart of the process does to the engines.
func (h *harness) reopen() {
	h.close()
	h.open()
}

// loseJournal replaces the journal by an empty one, as the application does: it begins above every known position.
func (h *harness) loseJournal() {
	h.t.Helper()
	_, last, err := h.journal.Bounds(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	h.journal.Close()
	if err := os.RemoveAll(filepath.Join(h.dir, "journal")); err != nil {
		h.t.Fatal(err)
	}
	if h.journal, err = journal.Open(h.t.Context(), journal.Config{Dir: filepath.Join(h.dir, "journal"), FirstSeq: last + 1}); err != nil {
		h.t.Fatal(err)
	}
}

// copyState copies the state database and returns what puts the copy back.
func (h *harness) copyState() (restore func()) {
	h.t.Helper()
	original, saved := filepath.Join(h.dir, "state.db"), filepath.Join(h.dir, "saved.db")
	if _, err := h.state.DB().ExecContext(h.t.Context(), `VACUUM INTO '`+saved+`'`); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		h.t.Helper()
		_ = h.state.Close()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(original + suffix); err != nil && !os.IsNotExist(err) {
				h.t.Fatal(err)
			}
		}
		if err := os.Rename(saved, original); err != nil {
			h.t.Fatal(err)
		}
		var err error
		if h.state, err = state.Open(h.t.Context(), original, state.Options{Clock: clock.Real{}, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			h.t.Fatal(err)
		}
	}
}

// running is a publisher with a manager.
type running struct {
	publisher *Publisher
	manager   *Manager
	stop      func()
}

func (h *harness) start() *running { return h.startGuarded(nil) }

func (h *harness) startGuarded(guard func() error) *running {
	h.t.Helper()
	log := slog.New(cmp.Or(h.log, slog.DiscardHandler))
	clk := h.clock
	if clk == nil {
		clk = clock.NewScaled(50)
	}
	p := NewPublisher(PublisherConfig{State: h.state, Journal: h.journal, Clock: clk, Logger: log, Holder: "test", Guard: guard, Lake: h.lake})
	normalizer, err := normalize.New()
	if err != nil {
		h.t.Fatal(err)
	}
	m := NewManager(Deps{State: h.state, Publisher: p, Clock: clk, Logger: log, Normalizer: normalizer, Metrics: h.metrics}, nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	pubCtx, stopPublisher := context.WithCancel(context.WithoutCancel(h.t.Context()))
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() {
		defer close(ended)
		if err := p.Run(pubCtx); err != nil {
			h.t.Errorf("publisher: %v", err)
		}
	})
	wg.Go(func() { _ = m.Run(ctx) })
	r := &running{publisher: p, manager: m, stop: sync.OnceFunc(func() {
		cancel()
		stopPublisher()
		wg.Wait()
	})}
	h.t.Cleanup(r.stop)
	select {
	case <-p.Ready():
	case <-ended:
		h.t.FailNow()
	case <-time.After(patience):
		h.t.Fatal("the publisher is not ready")
	}
	return r
}

func connectorConfig(src source.Source, types ...string) RunnerConfig {
	return RunnerConfig{
		Connector: record.Connector{ID: "c1", Name: "contoso", Type: "office365", TenantName: "Contoso", DirectoryID: directory},
		Source:    src, ContentTypes: types, Interval: time.Minute, Start: time.Now().Add(-48 * time.Hour),
		Parallel: 4, MaxWindow: 24 * time.Hour, Retention: 7 * 24 * time.Hour,
	}
}

// waitFor polls cond until it holds or patience ends.
func (h *harness) waitFor(what string, cond func() bool) {
	h.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func (h *harness) total(contentType string) state.Total {
	h.t.Helper()
	return h.totalOf("c1", contentType)
}

func (h *harness) totalOf(connectorID, contentType string) state.Total {
	h.t.Helper()
	totals, err := h.state.Totals(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, t := range totals {
		if t.ConnectorID == connectorID && t.ContentType == contentType {
			return t
		}
	}
	return state.Total{}
}

// waitListed waits for the end of the first listing: units may land before it, and what the listing says of gaps comes last.
func (h *harness) waitListed(r *running, contentType string) {
	h.t.Helper()
	h.waitFor("the end of the first listing", func() bool {
		runner, err := r.manager.Runner("c1")
		return err == nil && !runner.Status()[contentType].NextRun.IsZero()
	})
}

func (h *harness) waitLanded(contentType string, units int64) {
	h.t.Helper()
	h.waitFor(fmt.Sprintf("%d landed units of %s", units, contentType), func() bool { return h.total(contentType).Landed >= units })
}

// records reads everything that is in the journal.
func (h *harness) records() []record.Record {
	h.t.Helper()
	first, last, err := h.journal.Bounds(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	codec, err := journal.NewCodec()
	if err != nil {
		h.t.Fatal(err)
	}
	defer codec.Close()
	reader, err := h.journal.Read(h.t.Context(), first)
	if err != nil {
		h.t.Fatal(err)
	}
	defer reader.Close()
	var out []record.Record
	for seq := first; seq <= last; seq++ {
		m, err := reader.Next(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		if m.Fence {
			continue
		}
		b, err := codec.Decode(m.Data)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, r := range b.Records {
			r.Raw = bytes.Clone(r.Raw)
			out = append(out, r)
		}
	}
	return out
}

// once fails unless every id is in the journal once, and returns the number of records.
func (h *harness) once() int {
	h.t.Helper()
	seen := map[string]bool{}
	all := h.records()
	for _, r := range all {
		if seen[r.ID] {
			h.t.Errorf("%s is in the journal twice", r.ID)
		}
		seen[r.ID] = true
	}
	return len(all)
}

func checkSum(t *testing.T, total state.Total, fetched int64) {
	t.Helper()
	if sum := total.Records + total.Duplicates + total.Filtered + total.Malformed; sum != fetched {
		t.Errorf("records %d + duplicates %d + filtered %d + malformed %d = %d, fetched %d",
			total.Records, total.Duplicates, total.Filtered, total.Malformed, sum, fetched)
	}
}

var errGone = fault.New(fault.Gone, "fetch", "the content expired")

// errSignIn is what a certificate brings under a clock that is wrong.
var errSignIn = fault.New(fault.Auth, "fetch", "the sign-in request is outside its validity").WithStatus(http.StatusUnauthorized)

var errReset = fault.New(fault.Unavailable, "fetch", "connection reset")

// encoded is the message of a batch with one unit.
func encoded(t *testing.T, unit record.Unit, ids ...string) []byte {
	t.Helper()
	connector := record.Connector{ID: "c1", Name: "contoso", Type: "office365", TenantName: "Contoso", DirectoryID: directory}
	b := &record.Batch{
		Connectors: []record.Connector{connector},
		Units:      []record.BatchUnit{{ID: unit.ID("c1"), ContentType: unit.ContentType, ContentID: unit.ContentID, Created: unit.Created}},
	}
	prep := &preparer{connector: &connector, now: time.Now}
	for _, id := range ids {
		p, _ := prep.prepare(record.Item{Raw: []byte(rec(id, ""))}, unit.ContentType, unit.ContentID)
		b.Records = append(b.Records, p.rec)
	}
	codec, err := journal.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer codec.Close()
	data, err := codec.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(data)
}
