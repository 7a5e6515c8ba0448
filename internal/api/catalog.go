package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
	"sluice/internal/source"
)

// Catalog tells what can be collected.
type Catalog interface {
	// Types describes every connector type, in display order. TypesOf makes it from the drivers.
	Types(ctx context.Context) ([]TypeInfo, error)
}

// TypeInfo is a connector type as a card.
type TypeInfo struct {
	Type         string   `json:"type" doc:"Value of the key type"`
	Title        string   `json:"title"`
	ContentTypes []string `json:"content_types" nullable:"false"`
	source.Card
}

// TypesOf makes the cards of drivers.
func TypesOf(drivers []source.Properties) []TypeInfo {
	types := make([]TypeInfo, 0, len(drivers))
	for _, d := range drivers {
		types = append(types, TypeInfo{Type: d.Type, Title: d.Title, ContentTypes: slices.Clone(d.ContentTypes), Card: d.Card})
	}
	return types
}

// listed makes missing lists empty ones.
func (t TypeInfo) listed() TypeInfo {
	t.ContentTypes, t.Capabilities, t.Collects = listed(t.ContentTypes), listed(t.Capabilities), listed(t.Collects)
	t.Licences, t.Permissions, t.Register, t.Audit = listed(t.Licences), listed(t.Permissions), listed(t.Register), listed(t.Audit)
	t.Egress = slices.Clone(listed(t.Egress))
	for i := range t.Egress {
		t.Egress[i].Hosts = listed(t.Egress[i].Hosts)
	}
	return t
}

type typeInput struct {
	Type string `path:"type"`
}

func (s *server) catalogRoutes(api huma.API) {
	handle(s, api, operation("list-types", http.MethodGet, "/types", "Entries", "Describe the connector types: what they collect, need and how that is prepared"),
		func(ctx context.Context, _ *struct{}) ([]TypeInfo, error) { return s.types(ctx) })
	handle(s, api, operation("get-type", http.MethodGet, "/types/{type}", "Entries", "Describe a connector type"),
		func(ctx context.Context, in *typeInput) (TypeInfo, error) {
			all, err := s.types(ctx)
			if err != nil {
				return TypeInfo{}, err
			}
			var names []string
			for _, t := range all {
				if t.Type == in.Type {
					return t, nil
				}
				names = append(names, t.Type)
			}
			return TypeInfo{}, fault.Newf(fault.NotFound, "", "there is no connector type %q", in.Type).WithHint("use one of " + strings.Join(names, ", "))
		})
}

func (s *server) types(ctx context.Context) ([]TypeInfo, error) {
	all, err := s.service.Types(ctx)
	out := make([]TypeInfo, 0, len(all))
	for _, t := range all {
		out = append(out, t.listed())
	}
	return out, err
}
