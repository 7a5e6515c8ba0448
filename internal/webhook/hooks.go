package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"sluice/internal/clock"
	"sluice/internal/secret"
)

// The bounds of what is accepted.
const (
	maxBody        = 1 << 20 // bytes
	maxAtATime     = 64      // requests
	requestsPerSec = 20      // of one connector
	requestsBurst  = 200
	wrongPerSec    = 1 // wrong AuthIDs of one connector
	wrongBurst     = 10
	defaultSpacing = 5 * time.Second
)

// Settings are what Hooks works with.
type Settings struct {
	Key Key
	// Hint is told that a content type of a connector has new content. Calls come one at a time from Run; a slow Hint delays
	// other hints, but no answer to Microsoft. The connector may be gone or paused meanwhile.
	Hint       func(connectorID, contentType string)
	Spacing    time.Duration         // between two hints of one content type of a connector; 0: 5s
	Clock      clock.Clock           // nil: the wall clock
	Logger     *slog.Logger          // nil: no log
	Registerer prometheus.Registerer // nil: the counters are not shown
}

// Target is a connector that notifications are accepted for.
type Target struct {
	ConnectorID   string
	Connector     string // name, for metrics
	DirectoryID   string
	ApplicationID string
	ContentTypes  []string
	AuthID        secret.Secret // empty: Key.AuthID
}

// Hooks is the handler of notifications. Without Run it answers but hands out no hints.
type Hooks struct {
	settings Settings
	metrics  *metrics
	places   chan struct{} // one for each request at a time
	wake     chan struct{} // due has something

	mu      sync.Mutex
	targets map[string]*target // by path
	due     map[feed]bool      // hints to hand out
}

// target is a Target with its bounds.
type target struct {
	Target
	authID [sha256.Size]byte // hashed, so that the comparison does not tell the length
	right  *rate.Limiter     // by the wall clock, like everything that protects the listener
	wrong  *rate.Limiter
}

// feed is a content type of a connector.
type feed struct{ connectorID, connector, contentType string }

// New makes a handler without connectors.
func New(s Settings) *Hooks {
	if s.Clock == nil {
		s.Clock = clock.Real{}
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	s.Logger = s.Logger.With("component", "webhook")
	if s.Spacing <= 0 {
		s.Spacing = defaultSpacing
	}
	return &Hooks{
		settings: s, metrics: newMetrics(s.Registerer), places: make(chan struct{}, maxAtATime), wake: make(chan struct{}, 1),
		targets: map[string]*target{}, due: map[feed]bool{},
	}
}

// Set accepts notifications for a connector from now on, in place of what was set for it before. It has to be set before Microsoft is
// given its address, because Microsoft validates the address at once. A connector that pauses can stay: answering
// keeps Microsoft from disabling the webhook.
func (h *Hooks) Set(t Target) {
	if t.AuthID.Empty() {
		t.AuthID = h.settings.Key.AuthID(t.ConnectorID)
	}
	fresh := &target{
		Target: t, authID: sha256.Sum256([]byte(t.AuthID.Reveal())),
		right: rate.NewLimiter(requestsPerSec, requestsBurst), wrong: rate.NewLimiter(wrongPerSec, wrongBurst),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets[h.settings.Key.Path(t.ConnectorID)] = fresh
}

// Remove forgets a connector: its path is unknown from now on.
func (h *Hooks) Remove(connectorID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.settings.Key.Path(connectorID)
	if t := h.targets[key]; t != nil {
		h.metrics.forget(t.Connector)
		delete(h.targets, key)
	}
}

// find returns the connector of a path. Only the last segment counts, because proxies change what stands before it.
func (h *Hooks) find(urlPath string) *target {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.targets[path.Base(urlPath)]
}

// ServeHTTP answers Microsoft.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		h.answer(w, nil, resultLimited, http.StatusServiceUnavailable)
		return
	}
	t := h.find(r.URL.Path)
	if t == nil || r.Method != http.MethodPost {
		h.answer(w, nil, resultUnknown, http.StatusNotFound)
		return
	}
	if given := sha256.Sum256([]byte(r.Header.Get("Webhook-AuthID"))); subtle.ConstantTimeCompare(given[:], t.authID[:]) == 0 {
		if !t.wrong.Allow() {
			h.answer(w, t, resultLimited, http.StatusTooManyRequests)
			return
		}
		h.answer(w, t, resultUnauthorized, http.StatusUnauthorized)
		return
	}
	if !t.right.Allow() {
		h.answer(w, t, resultLimited, http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			status = http.StatusRequestEntityTooLarge
		}
		h.answer(w, t, resultMalformed, status)
		return
	}
	if code := r.Header.Values("Webhook-ValidationCode"); len(code) > 0 {
		h.validate(w, t, code[0], body)
		return
	}
	h.notify(w, t, body)
}

// validate answers the request that Microsoft sends when a subscription is started.
func (h *Hooks) validate(w http.ResponseWriter, t *target, code string, body []byte) {
	if !validCode(code, body) {
		h.answer(w, t, resultMalformed, http.StatusBadRequest)
		return
	}
	h.settings.Logger.Info("webhook validated", "connector", t.Connector)
	h.answer(w, t, resultValidated, http.StatusOK)
}

// notify takes a notification.
func (h *Hooks) notify(w http.ResponseWriter, t *target, body []byte) {
	list, damaged, err := parseNotifications(body)
	if err != nil || damaged > 0 && len(list) == 0 {
		h.answer(w, t, resultMalformed, http.StatusBadRequest)
		return
	}
	named, ours := map[string]int{}, false
	for _, n := range list {
		if !strings.EqualFold(n.TenantID, t.DirectoryID) || !strings.EqualFold(n.ClientID, t.ApplicationID) {
			continue
		}
		ours = true
		for _, ct := range t.ContentTypes { // others have a subscription that this connector does not read
			if strings.EqualFold(ct, n.ContentType) {
				named[ct]++
			}
		}
	}
	if len(list) > 0 && !ours {
		h.answer(w, t, resultForeign, http.StatusNotFound)
		return
	}
	h.answer(w, t, resultNotified, http.StatusOK)
	for ct, n := range named {
		h.metrics.contents.WithLabelValues(t.Connector, ct).Add(float64(n))
		h.hint(feed{t.ConnectorID, t.Connector, ct})
	}
}

// answer sends a status without a body. The result is counted; t is nil without a connector.
func (h *Hooks) answer(w http.ResponseWriter, t *target, result string, status int) {
	connector := ""
	if t != nil {
		connector = t.Connector
	}
	h.metrics.requests.WithLabelValues(connector, result).Inc()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// hint makes a hint due.
func (h *Hooks) hint(f feed) {
	h.mu.Lock()
	h.due[f] = true
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run hands out hints until ctx ends: the first of a content type at once, those that follow after Settings.Spacing, many as one.
func (h *Hooks) Run(ctx context.Context) error {
	last := map[feed]time.Time{}
	for {
		wait := h.handOut(last)
		var later <-chan time.Time
		if wait > 0 {
			later = h.settings.Clock.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		case <-later:
		}
	}
}

// handOut hands out the hints that are due and returns how long to wait for the next one, 0 for none. last is when each was
// handed out.
func (h *Hooks) handOut(last map[feed]time.Time) (wait time.Duration) {
	now := h.settings.Clock.Now()
	for f, at := range last {
		if now.Sub(at) >= h.settings.Spacing {
			delete(last, f)
		}
	}
	var ready []feed
	h.mu.Lock()
	for f := range h.due {
		at, soon := last[f]
		if !soon {
			ready = append(ready, f)
			delete(h.due, f)
			continue
		}
		if left := h.settings.Spacing - now.Sub(at); wait == 0 || left < wait {
			wait = left
		}
	}
	h.mu.Unlock()
	for _, f := range ready {
		last[f] = now
		h.metrics.hints.WithLabelValues(f.connector, f.contentType).Inc()
		h.settings.Hint(f.connectorID, f.contentType)
	}
	return wait
}
