package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Change is one entry of a connector's history.
type Change struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor" doc:"Who: apply, api, a file, a user"`
	What   string    `json:"what" doc:"created, updated, paused, resumed, deleted"`
	Detail string    `json:"detail,omitempty" doc:"Names of the options that changed, without values"`
}

// DeleteOptions say what else happens when an entry is deleted.
type DeleteOptions struct {
	// StopSubscriptions ends the content subscriptions of a connector at Microsoft. Content that becomes available between
	// stop and the next start can never be fetched (spec/management-activity-api.md section 3.2), also not by other
	// programs that use the same application.
	StopSubscriptions bool
}

// DeleteResult says what a deletion did beyond removing the entry.
type DeleteResult struct {
	Subscriptions []StoppedSubscription `json:"subscriptions" nullable:"false" doc:"Subscriptions that were to be stopped; empty when that was not asked for"`
}

// StoppedSubscription is the outcome for one content type.
type StoppedSubscription struct {
	ContentType string   `json:"content_type"`
	Stopped     bool     `json:"stopped"`
	Error       *Failure `json:"error,omitempty" doc:"Why it goes on"`
}

type deleteInput struct {
	Kind              Kind   `path:"kind" enum:"connectors,destinations,filters,consent"`
	Name              string `path:"name"`
	StopSubscriptions bool   `query:"stop_subscriptions" doc:"Also stop the content subscriptions of a connector at Microsoft: content that becomes available from then on until they are started again can never be fetched by anybody"`
}

func (s *server) historyRoutes(api huma.API) {
	handle(s, api, operation("delete-entry", http.MethodDelete, "/entries/{kind}/{name}", "Entries", "Delete an entry; its ledger and collected data stay"),
		func(ctx context.Context, in *deleteInput) (DeleteResult, error) {
			result, err := s.service.Delete(ctx, in.Kind, in.Name, DeleteOptions{StopSubscriptions: in.StopSubscriptions})
			result.Subscriptions = listed(result.Subscriptions)
			return result, err
		})
	handle(s, api, operation("get-history", http.MethodGet, "/connectors/{name}/history", "Entries", "Who changed a connector, oldest first; also of a deleted one"),
		func(ctx context.Context, in *historyInput) ([]Change, error) {
			all, err := s.service.History(ctx, in.Name)
			return listed(all), err
		})
}

type historyInput struct {
	Name string `path:"name"`
}
