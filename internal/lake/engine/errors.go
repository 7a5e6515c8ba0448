package engine

import (
	"context"
	"errors"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"sluice/internal/fault"
)

// explain classifies an error of the engine. What a person wrote is their mistake to correct; the same error in
// generated SQL is ours.
func (s *server) explain(ctx context.Context, err error) error {
	const op = "run query"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, op, "the query ran longer than allowed").
			WithHint("narrow the time range, name fields instead of searching bare words, or raise the limit")
	}
	if ctx.Err() != nil {
		return fault.New(fault.Canceled, op, "the query was given up")
	}
	var e *duckdb.Error
	if !errors.As(err, &e) {
		if k := fault.KindOf(err); k != fault.Internal {
			return err
		}
		return fault.Wrap(fault.Internal, op, err)
	}
	msg := oneLine(e.Msg)
	switch e.Type {
	case duckdb.ErrorTypeOutOfMemory:
		return fault.New(fault.Full, op, "the query needs more memory than it may use").
			WithHint("narrow the time range, select fewer columns, or raise the memory limit of queries")
	case duckdb.ErrorTypeIO:
		return fault.New(fault.Unavailable, op, msg)
	case duckdb.ErrorTypePermission:
		return fault.New(fault.Permission, op, msg)
	case duckdb.ErrorTypeInternal, duckdb.ErrorTypeFatal:
		return fault.New(fault.Internal, op, msg)
	case duckdb.ErrorTypeInterrupt:
		return fault.New(fault.Unavailable, op, "the query was interrupted")
	case duckdb.ErrorTypeParser, duckdb.ErrorTypeSyntax, duckdb.ErrorTypeBinder, duckdb.ErrorTypeCatalog:
		if !s.open.Analyst {
			return fault.New(fault.Internal, op, msg)
		}
	default: // conversions, divisions and the like: the query or its data
	}
	if strings.Contains(strings.ToLower(e.Msg), "out of memory") || strings.Contains(e.Msg, "bad_alloc") {
		return fault.New(fault.Full, op, "the query needs more memory than it may use")
	}
	return fault.New(fault.Config, op, msg)
}

// oneLine is a message of DuckDB without the picture of the place, whose line is that of the statement as we wrapped it.
func oneLine(msg string) string {
	msg, _, _ = strings.Cut(msg, "\n\nLINE ")
	return strings.Join(strings.Fields(msg), " ")
}
