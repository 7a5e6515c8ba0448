package m365sim

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// call is one request as the fault rules see it.
type call struct {
	route       string // token, list, start, stop, content, blob, resources
	tenant      string
	contentType string
	target      string        // what is asked for: window, blob or path; names the request in draws
	blob        blobKey       // of route blob
	width       time.Duration // of route content: the window
}

// rule is a Fault with its counters.
type rule struct {
	Fault
	matches int
	targets map[string]int
}

// injector decides which requests fail. It is safe for concurrent use.
type injector struct {
	seed  uint64
	mu    sync.Mutex
	rules []*rule        // guarded by mu
	asked map[string]int // guarded by mu: how often a target was asked for
	fired map[Kind]int   // guarded by mu
}

// maxTargets bounds the memory of per-target counts; they start again beyond it.
const maxTargets = 1 << 17

func newInjector(seed uint64, faults []Fault) *injector {
	in := &injector{seed: mix(seed, forFault), fired: map[Kind]int{}}
	in.set(faults)
	return in
}

// set replaces all rules and starts their counters again.
func (in *injector) set(faults []Fault) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rules, in.asked = nil, map[string]int{}
	for _, f := range faultsWithDefaults(faults) {
		in.rules = append(in.rules, &rule{Fault: f, targets: map[string]int{}})
	}
}

// fire returns the fault that strikes a request, if one does. Elapsed is the age of the simulator.
func (in *injector) fire(c call, elapsed time.Duration) (Fault, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.rules) == 0 {
		return Fault{}, false
	}
	if len(in.asked) >= maxTargets {
		clear(in.asked)
	}
	target := c.route + " " + c.target
	attempt := in.asked[target]
	in.asked[target] = attempt + 1
	for i, r := range in.rules {
		if r.applies(c, elapsed) && r.chosen(in.seed, i, c) && r.strikes(in.seed, i, target, attempt, c) {
			in.fired[r.Kind]++
			return r.Fault, true
		}
	}
	return Fault{}, false
}

func (in *injector) counts() map[Kind]int {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make(map[Kind]int, len(in.fired))
	maps.Copy(out, in.fired)
	return out
}

// dooms reports whether a standing rule makes the blob unreadable for good, whenever it is asked for. Rules that
// depend on time or on counts doom a blob only when they strike; the ledger remembers those.
func (in *injector) dooms(k blobKey) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	c := call{route: "blob", tenant: k.feed.tenant.ID, contentType: k.feed.contentType, blob: k}
	for i, r := range in.rules {
		standing := r.Every == 0 && r.First == 0 && r.After == 0 && r.Until == 0
		if standing && r.final() && r.applies(c, 0) && r.chosen(in.seed, i, c) && r.strikes(in.seed, i, "", 0, c) {
			return true
		}
	}
	return false
}

// final kinds tell a client that content is gone.
func (f Fault) final() bool { return f.Kind == NotFound || f.Kind == Expired }

func (f Fault) applies(c call, elapsed time.Duration) bool {
	route := f.Route == "*" || f.Route == c.route ||
		f.Route == "subscriptions" && (c.route == "list" || c.route == "start" || c.route == "stop")
	return route && (f.Tenant == "" || f.Tenant == c.tenant) && (f.WiderThan == 0 || c.width > f.WiderThan.std()) &&
		(f.ContentType == "" || strings.EqualFold(f.ContentType, c.contentType)) &&
		elapsed >= f.After.std() && (f.Until == 0 || elapsed < f.Until.std())
}

// chosen reports whether a request is for one of the blobs that the rule is about.
func (r *rule) chosen(seed uint64, number int, c call) bool {
	return r.Share == 0 || c.blob.feed != nil && unit(mix(seed, uint64(number), forShare, c.blob.seed())) < r.Share
}

// strikes decides about a request that the rule applies to. Loss of a blob depends on the blob alone, so that what is
// gone stays gone.
func (r *rule) strikes(seed uint64, number int, target string, attempt int, c call) bool {
	if r.Every > 0 || r.First > 0 {
		if r.PerTarget && len(r.targets) >= maxTargets {
			clear(r.targets)
		}
		r.matches++
		n := r.matches
		if r.PerTarget {
			r.targets[target]++
			n = r.targets[target]
		}
		if r.Every > 0 && n%r.Every != 0 || r.First > 0 && n > r.First {
			return false
		}
	}
	switch {
	case r.Probability == 0:
		return true
	case r.final() && c.blob.feed != nil:
		return unit(mix(seed, uint64(number), forLoss, c.blob.seed())) < r.Probability
	default:
		return unit(mix(mixText(seed, target), uint64(number), uint64(attempt))) < r.Probability
	}
}

// shapesListing tells the kinds that change the content of a listing.
func (f Fault) shapesListing() bool {
	switch f.Kind {
	case RepeatNext, ForeignNext, ForeignURI, EmptyPage, NextV1, NextEndtime, StaleNext:
		return true
	default:
		return false
	}
}

// gatewayPage is the HTML of a gateway that cannot reach the service.
const gatewayPage = `<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h2>Our services aren't available right now</h2><p>We're working to restore all services as soon as possible. Please check back soon.</p></body></html>`

// portalPage is the HTML that a captive portal answers with.
const portalPage = `<!DOCTYPE html><html><head><title>Network access</title></head><body><form method="post" action="/login"><h1>Please sign in to continue</h1></form></body></html>`

// replacement is the answer that a fault gives instead of the service, or nil when the service answers.
func (s *Sim) replacement(f Fault, c call) *reply {
	var r *reply
	switch f.Kind {
	case TooMany:
		r = throttled(http.StatusTooManyRequests, c)
	case AF429:
		r = throttled(http.StatusForbidden, c)
	case ServerError:
		r = problemReply(http.StatusInternalServerError, "AF50000", "An internal error occurred. Retry the request.")
	case Unavailable:
		r = htmlReply(http.StatusServiceUnavailable, gatewayPage)
	case HTML200:
		return htmlReply(http.StatusOK, portalPage)
	case Unauthorized:
		r = &reply{status: http.StatusUnauthorized}
	case NotFound:
		r = missing(c.target)
	case Expired:
		r = expired(c.target)
	default:
		return nil
	}
	if c.route == "token" && r.status != http.StatusServiceUnavailable {
		r = entraFault(f.Kind).reply(s.wall())
	}
	if value, err := retryAfter(f.RetryAfter); err == nil {
		if text := value(s.now()); text != "" {
			r.set("Retry-After", text)
		}
	}
	return r
}

// throttled is AF429 with the text that the service uses.
func throttled(status int, c call) *reply {
	method := map[string]string{"blob": "GetBlob", "content": "ListContents", "list": "ListSubscriptions"}[c.route]
	if method == "" {
		method = "StartSubscription"
	}
	return problemReply(status, "AF429", "Too many requests. Method="+method+", PublisherId=00000000-0000-0000-0000-000000000000")
}

// retryAfter reads a Retry-After setting and returns the function that makes the header's value.
func retryAfter(setting string) (func(now time.Time) string, error) {
	constant := func(v string) func(time.Time) string { return func(time.Time) string { return v } }
	switch setting {
	case "", "none":
		return constant(""), nil
	case "seconds":
		return constant("5"), nil
	case "decimal":
		return constant("2.128"), nil
	case "garbage":
		return constant("soon"), nil
	case "date":
		return func(now time.Time) string { return now.Add(10 * time.Second).UTC().Format(http.TimeFormat) }, nil
	case "past_date":
		return func(now time.Time) string { return now.Add(-time.Hour).UTC().Format(http.TimeFormat) }, nil
	}
	if n, err := strconv.ParseFloat(setting, 64); err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, fmt.Errorf("unknown setting %q", setting)
	}
	return constant(setting), nil
}
