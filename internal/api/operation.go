package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
)

// maxDocument bounds bodies that are read into memory.
const maxDocument = 4 << 20

// none is the answer of operations that return no content.
type none struct{}

// answer is an answer with a JSON body.
type answer[T any] struct{ Body T }

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// operation describes an operation below Prefix.
func operation(id, method, path, tag, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: Prefix + path, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: maxDocument, BodyReadTimeout: 30 * time.Second,
	}
}

// handle registers an operation that answers with JSON. Errors become Problems.
func handle[I, T any](s *server, api huma.API, op huma.Operation, call func(context.Context, *I) (T, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*answer[T], error) {
		body, err := call(ctx, in)
		if err != nil {
			return nil, s.problems.of(ctx, err)
		}
		return &answer[T]{Body: body}, nil
	})
}

// act registers an operation that answers 204.
func act[I any](s *server, api huma.API, op huma.Operation, call func(context.Context, *I) error) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*none, error) {
		if err := call(ctx, in); err != nil {
			return nil, s.problems.of(ctx, err)
		}
		return &none{}, nil
	})
}

// streamed adds what the 200 answer of a streaming operation looks like.
func streamed(op huma.Operation, api huma.API, frame reflect.Type) huma.Operation {
	schema := api.OpenAPI().Components.Schemas.Schema(frame, true, frame.Name())
	op.Responses = map[string]*huma.Response{"200": {
		Description: "One JSON document per line, sent as it happens",
		Content:     map[string]*huma.MediaType{ndjsonType: {Schema: schema}},
	}}
	return op
}

// parseRange reads the interval of a request. Empty texts stand for the given defaults.
func (s *server) parseRange(since, until, defaultSince string) (from, to time.Time, err error) {
	now := s.clock.Now()
	if since == "" {
		since = defaultSince
	}
	if since != "" {
		if from, err = ParseTime(since, now); err != nil {
			return from, to, fault.New(fault.Config, "since", err.Error())
		}
	}
	if until != "" {
		if to, err = ParseTime(until, now); err != nil {
			return from, to, fault.New(fault.Config, "until", err.Error())
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, fault.Newf(fault.Config, "", "since (%s) is not before until (%s)", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return from, to, nil
}

func (s *server) systemRoutes(api huma.API) {
	handle(s, api, operation("get-info", http.MethodGet, "/info", "System", "Describe the running server"),
		func(ctx context.Context, _ *struct{}) (Info, error) { return s.service.Info(ctx) })
	handle(s, api, operation("get-status", http.MethodGet, "/status", "System", "Status per connector and content type"),
		func(ctx context.Context, _ *struct{}) ([]Status, error) {
			all, err := s.service.Status(ctx)
			for i := range all {
				all[i].Gaps = listed(all[i].Gaps)
			}
			return listed(all), err
		})
}

// listed makes a missing list an empty one: lists are never null on the wire.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
