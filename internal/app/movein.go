package app

import (
	"context"
	"strings"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/movein"
)

// readDocument reads what was given to apply: a document of Sluice's own, or that of another collector, which is
// translated first. moved is nil for the former. The error is config.Problems for mistakes in the document.
func (s *service) readDocument(ctx context.Context, name string, text []byte) (doc *config.Apply, moved *api.MoveIn, err error) {
	if _, ok := movein.Detect(text); !ok {
		doc, err = config.ParseApply(name, text, s.properties)
		return doc, nil, err
	}
	names, err := s.state.TenantNames(ctx)
	if err != nil {
		return nil, nil, err
	}
	result, err := movein.Translate(ctx, name, text, movein.Options{
		Drivers: s.properties, Resolver: s.resolver,
		TenantName: func(directoryID string) string { return names[strings.ToLower(directoryID)] },
	})
	if err != nil {
		return nil, nil, err
	}
	doc = &config.Apply{Connectors: result.Connectors, Warnings: result.Warnings}
	return doc, &api.MoveIn{Kind: result.Kind, Title: result.Kind.Title(), Taken: result.Taken, Left: result.Left}, nil
}
