package api

import (
	"bytes"
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
)

type kindInput struct {
	Kind Kind `path:"kind" enum:"connectors,destinations,filters,consent"`
}

// entryInput repeats kindInput, because parameters of unexported embedded structs are not seen.
type entryInput struct {
	Kind Kind   `path:"kind" enum:"connectors,destinations,filters,consent"`
	Name string `path:"name"`
}

type applyInput struct {
	Name    string `query:"name" default:"document" doc:"Name of the file, for messages"`
	DryRun  bool   `query:"dry_run" doc:"Check and compare only"`
	Prune   bool   `query:"prune" doc:"Delete entries that the document does not have"`
	Confirm bool   `query:"confirm" doc:"Also when the log filters of a connector would drop everything that it collected lately"`
	RawBody []byte `contentType:"application/yaml"`
}

type documentInput struct {
	Kind   Kind   `query:"kind" enum:"connectors,destinations,filters,consent" doc:"Only this kind"`
	Name   string `query:"name" doc:"Only this entry"`
	Format string `query:"format" enum:"yaml,json" default:"yaml"`
}

type documentOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) entryRoutes(api huma.API) {
	handle(s, api, operation("list-all-entries", http.MethodGet, "/entries", "Entries", "List the entries of every kind"),
		func(ctx context.Context, _ *struct{}) ([]Entry, error) { return s.entries(ctx, "") })
	handle(s, api, operation("list-entries", http.MethodGet, "/entries/{kind}", "Entries", "List connectors, destinations, filters or applications for consent"),
		func(ctx context.Context, in *kindInput) ([]Entry, error) { return s.entries(ctx, in.Kind) })
	handle(s, api, operation("get-entry", http.MethodGet, "/entries/{kind}/{name}", "Entries", "Get one entry"),
		func(ctx context.Context, in *entryInput) (Entry, error) { return s.entry(ctx, in.Kind, in.Name) })
	act(s, api, operation("pause-entry", http.MethodPost, "/entries/{kind}/{name}/pause", "Entries", "Pause a connector or destination"),
		func(ctx context.Context, in *entryInput) error {
			return s.service.SetPaused(ctx, in.Kind, in.Name, true)
		})
	act(s, api, operation("resume-entry", http.MethodPost, "/entries/{kind}/{name}/resume", "Entries", "Resume a connector or destination"),
		func(ctx context.Context, in *entryInput) error {
			return s.service.SetPaused(ctx, in.Kind, in.Name, false)
		})
	huma.Register(api, streamed(operation("test-entry", http.MethodPost, "/entries/{kind}/{name}/test", "Entries",
		"Test a connector or destination; streams each check as it finishes"), api, typeOf[CheckFrame]()), s.test)
	handle(s, api, operation("apply", http.MethodPost, "/apply", "Entries",
		"Create or change entries from a YAML or JSON document"), s.apply)
	huma.Register(api, documentOperation(), s.document)
}

func (s *server) entries(ctx context.Context, kind Kind) ([]Entry, error) {
	all, err := s.service.Entries(ctx, kind)
	return listed(all), err
}

func (s *server) entry(ctx context.Context, kind Kind, name string) (Entry, error) {
	all, err := s.service.Entries(ctx, kind)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range all {
		if e.Name == name {
			return e, nil
		}
	}
	return Entry{}, fault.Newf(fault.NotFound, "", "no %s is named %q", kind.Singular(), name)
}

func (s *server) apply(ctx context.Context, in *applyInput) (ApplyResult, error) {
	result, err := s.service.Apply(ctx, ApplyRequest{Document: bytes.Clone(in.RawBody), Name: in.Name, DryRun: in.DryRun, Prune: in.Prune, Confirm: in.Confirm})
	if err != nil {
		return ApplyResult{}, err
	}
	if err := refusedDocument(result.Problems); err != nil {
		return ApplyResult{}, err
	}
	result.Entries = listed(result.Entries)
	if m := result.MovedIn; m != nil {
		m.Taken, m.Left = listed(m.Taken), listed(m.Left)
	}
	return result, nil
}

// refusedDocument is the problem of a document with mistakes, nil when it has none.
func refusedDocument(mistakes []Mistake) error {
	if len(mistakes) == 0 {
		return nil
	}
	message := "the document has 1 mistake; nothing was applied"
	if n := len(mistakes); n > 1 {
		message = "the document has " + strconv.Itoa(n) + " mistakes; nothing was applied"
	}
	problem := newProblem(fault.Config, message, "")
	problem.Status, problem.Title = http.StatusUnprocessableEntity, title(http.StatusUnprocessableEntity)
	problem.Problems = mistakes
	return problem
}

func (s *server) test(_ context.Context, in *entryInput) (*huma.StreamResponse, error) {
	return s.streaming(ndjsonType, func(st *stream) { st.checks(s.service.Test(st.ctx, in.Kind, in.Name)) }), nil
}

func documentOperation() huma.Operation {
	op := operation("get-document", http.MethodGet, "/document", "Entries", "Get entries as a document that apply takes")
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	op.Responses = map[string]*huma.Response{"200": {
		Description: "The document",
		Content:     map[string]*huma.MediaType{"application/yaml": text, "application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}},
	}}
	return op
}

func (s *server) document(ctx context.Context, in *documentInput) (*documentOutput, error) {
	all, err := s.service.Entries(ctx, in.Kind)
	if err != nil {
		return nil, s.problems.of(ctx, err)
	}
	if in.Name != "" {
		kept := all[:0:0]
		for _, e := range all {
			if e.Name == in.Name {
				kept = append(kept, e)
			}
		}
		if len(kept) == 0 {
			return nil, newProblem(fault.NotFound, "no entry is named "+in.Name, "")
		}
		all = kept
	}
	body, err := Document(all, in.Format)
	if err != nil {
		return nil, s.problems.of(ctx, err)
	}
	return &documentOutput{ContentType: "application/" + in.Format, Body: body}, nil
}
