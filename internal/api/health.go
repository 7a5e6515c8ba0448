package api

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/source"
)

// DefaultChanges and MaxChanges bound how many changes of conditions are returned.
const (
	DefaultChanges = 100
	MaxChanges     = 1000
)

// Watcher tells what is good and bad, since when, and who was told.
type Watcher interface {
	// Conditions returns the conditions of a connector now, and at most so many of their changes, newest first. An
	// unknown connector is fault.NotFound.
	Conditions(ctx context.Context, name string, changes int) (Conditions, error)
	// Notifications lists the targets of notifications in the order of the configuration.
	Notifications(ctx context.Context) ([]Notification, error)
	// TestNotification tries a target out and yields each step as it finishes. An unknown target is fault.NotFound.
	TestNotification(ctx context.Context, name string) iter.Seq2[source.Check, error]
}

// Condition is the answer to one question about a connector or content type.
type Condition struct {
	Type    string     `json:"type" doc:"What it is about: running, storage, listing, fetching, error_rate, first_data, activity, completeness, verification, credential"`
	Status  string     `json:"status" doc:"unknown, ok, info, warning, error"`
	Reason  string     `json:"reason" doc:"One word of a closed list; failures carry their kind"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty" doc:"What a person can do"`
	Since   *time.Time `json:"since" doc:"Since when the status is what it is; null when that is not known"`
}

// FeedConditions are the conditions of one content type.
type FeedConditions struct {
	ContentType string      `json:"content_type"`
	State       string      `json:"state"`
	StateSince  *time.Time  `json:"state_since"`
	Conditions  []Condition `json:"conditions" nullable:"false"`
}

// ConditionChange is a transition of a condition on the record.
type ConditionChange struct {
	At          time.Time `json:"at"`
	ContentType string    `json:"content_type,omitempty" doc:"Empty: of the whole connector, or of the server"`
	Type        string    `json:"type"`
	From        string    `json:"from" doc:"Status before"`
	Status      string    `json:"status"`
	Reason      string    `json:"reason"`
	Message     string    `json:"message"`
	Hint        string    `json:"hint,omitempty"`
}

// Conditions are the conditions of a connector, now and on the record.
type Conditions struct {
	Connector  string            `json:"connector"`
	TenantName string            `json:"tenant_name"`
	Feeds      []FeedConditions  `json:"feeds" nullable:"false"`
	History    []ConditionChange `json:"history" nullable:"false" doc:"Newest first. It is damped: what comes and goes within minutes is not in it"`
}

// Notification is a target of notifications and how it does.
type Notification struct {
	Name          string     `json:"name"`
	Type          string     `json:"type" doc:"webhook, email"`
	MinSeverity   string     `json:"min_severity" doc:"From which severity on it is told"`
	TenantNames   []string   `json:"tenant_names,omitempty" nullable:"false" doc:"Tenants about which it is told; empty: all"`
	Open          int        `json:"open" doc:"Problems that it was told and that last"`
	Outbox        int        `json:"outbox" doc:"Messages that wait to be delivered"`
	Sent          int64      `json:"sent" doc:"Messages delivered since the start of the server"`
	Dropped       int64      `json:"dropped" doc:"Messages that were given up, ever"`
	Failures      int        `json:"failures" doc:"Failed deliveries in a row"`
	LastDelivered *time.Time `json:"last_delivered" doc:"Since the start of the server; null when nothing was"`
	NextTry       *time.Time `json:"next_try" doc:"After a failure; else null"`
	LastError     *Failure   `json:"last_error" doc:"Of the last delivery; null when it worked"`
}

type conditionsInput struct {
	Name    string `path:"name"`
	Changes int    `query:"changes" default:"100" minimum:"0" maximum:"1000" doc:"At most so many changes of the past"`
}

type notificationInput struct {
	Name string `path:"name"`
}

func (s *server) healthRoutes(api huma.API) {
	handle(s, api, operation("get-conditions", http.MethodGet, "/connectors/{name}/conditions", "System",
		"Conditions of a connector: what is good and bad, since when, and how it was"),
		func(ctx context.Context, in *conditionsInput) (Conditions, error) {
			c, err := s.service.Conditions(ctx, in.Name, in.Changes)
			c.Feeds, c.History = listed(c.Feeds), listed(c.History)
			for i := range c.Feeds {
				c.Feeds[i].Conditions = listed(c.Feeds[i].Conditions)
			}
			return c, err
		})
	handle(s, api, operation("list-notifications", http.MethodGet, "/notifications", "System", "Targets of notifications and how they do"),
		func(ctx context.Context, _ *struct{}) ([]Notification, error) {
			all, err := s.service.Notifications(ctx)
			return listed(all), err
		})
	huma.Register(api, streamed(operation("test-notification", http.MethodPost, "/notifications/{name}/test", "System",
		"Try a target of notifications out; streams each step as it finishes"), api, typeOf[CheckFrame]()), s.testNotification)
}

func (s *server) testNotification(_ context.Context, in *notificationInput) (*huma.StreamResponse, error) {
	return s.streaming(ndjsonType, func(st *stream) { st.checks(s.service.TestNotification(st.ctx, in.Name)) }), nil
}

// checks sends the steps of a test as they finish.
func (st *stream) checks(steps iter.Seq2[source.Check, error]) {
	for check, err := range steps {
		if err != nil {
			st.fail(err, func(p *Problem) error { return st.now(CheckFrame{Error: p}) })
			return
		}
		if err := st.now(CheckFrame{Check: &check}); err != nil {
			st.broken(err)
			return
		}
	}
	if err := st.now(CheckFrame{Done: true}); err != nil {
		st.broken(err)
	}
}
