// Package source is the contract between Sluice's collector and the drivers that read Microsoft's services.
//
// A driver lists units and fetches their records; everything hard lives once in the collector, which owns time:
// schedule, overlap, pacing, retries, expiry, order of effects. Therefore a driver
//
//   - keeps no state between calls and starts no goroutine that outlives a call,
//   - does not retry and does not sleep (the m365 client may renew a refused token once),
//   - classifies every failure with package fault and leaves the decision to the caller,
//   - yields what it read before it yields an error: an error ends the sequence.
//
// Package sourcetest is the conformance suite that every driver passes.
package source

import (
	"context"
	"iter"
	"time"

	"sluice/internal/option"
	"sluice/internal/record"
)

// Window is a half-open interval of content creation time for one content type: From <= t < To, UTC.
type Window struct {
	ContentType string
	From, To    time.Time
}

// Source reads one connector's content. Methods may be called concurrently.
type Source interface {
	// List yields every unit of the window, all pages followed. The order is the service's. Fewer units than exist
	// must never come without an error.
	List(ctx context.Context, w Window) iter.Seq2[record.Unit, error]
	// Fetch yields the unit's records as they stream in. A unit is complete only when the sequence ends without an
	// error. Items that are not usable records (rawjson.Check
	// says why) carry the reason in Malformed and do not end the sequence.
	Fetch(ctx context.Context, u record.Unit) iter.Seq2[record.Item, error]
	// Test runs the steps of the Test button and yields each as it finishes. It stops by itself.
	Test(ctx context.Context) iter.Seq[Check]
}

// Preparer is implemented by sources that must set something up before content exists, such as starting
// subscriptions. Prepare returns an error per content type that could not be prepared; types that are missing from
// failed are ready. started are the content types that were off until now: what appeared meanwhile cannot be read (the
// activity API: spec/management-activity-api.md, 3.2). It is safe to call again and again; the collector calls it at start
// and every 15 minutes while a type is not ready (spec of the service: a start may be repeated every 15 minutes).
type Preparer interface {
	Prepare(ctx context.Context, contentTypes []string) (started []string, failed map[string]error)
}

// Clocked is implemented by sources that know the service's time. Skew is service time minus local time as last
// seen, 0 when unknown.
type Clocked interface {
	Skew() time.Duration
}

// Slower is implemented by sources whose requests share a quota. The collector calls Slow when the service throttled
// without saying for how long: nothing of the tenant is sent for that time.
type Slower interface {
	Slow(wait time.Duration)
}

// Paced is implemented by sources whose requests wait for their turn. Pace waits for the turn of one request, and returns the
// context with which that request, the next one, is made. The collector calls it before it gives a fetch anything that others
// could use meanwhile, so that a tenant with a small quota does not hold up the others.
type Paced interface {
	Pace(ctx context.Context) (context.Context, error)
}

// Expirer is implemented by sources that sign in with something that ends. CredentialExpiry says when, and what it is in
// words for people; known is false when it cannot be seen from here, as with a client secret, whose end only the far
// side knows. It asks nobody.
type Expirer interface {
	CredentialExpiry() (expires time.Time, what string, known bool)
}

// Status is the outcome of a Check.
type Status string

// The outcomes of a check.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Check is one step of a connection test. A failed one says in Message what happened and in Hint what to do: steps for a
// person, parted by "; ". A passed or skipped one with a Hint is a warning: it works, but something should be done.
type Check struct {
	Name     string        `json:"name"`   // "token", "subscription Audit.General"
	Status   Status        `json:"status"` // passed, failed, skipped
	Message  string        `json:"message,omitempty"`
	Hint     string        `json:"hint,omitempty"`
	Detail   string        `json:"detail,omitempty"` // method, URL, status and body on lines of their own, without secrets
	Duration time.Duration `json:"duration_ns"`
}

// Properties are the fixed facts of a driver.
type Properties struct {
	Type         string          // connector type: office365
	Title        string          // for people
	ContentTypes []string        // all that exist, in display order
	Options      []option.Option // of the driver, beyond the common options of every connector
	MaxWindow    time.Duration   // longest Window that List accepts
	Retention    time.Duration   // how far back List can look
	Card         Card            // for people: what it brings and needs
}
