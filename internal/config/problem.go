package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/fault"
)

// Position is a place in a document. The zero Line means that there is none.
type Position struct {
	File   string
	Line   int // counted from 1
	Column int // counted from 1, in characters
}

// String returns file:line:column, or the file alone when there is no line.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Problem is one mistake, or one oddity, of a document.
type Problem struct {
	Position
	Path string // connectors[0].interval; empty for the document as a whole
	Text string // what is wrong, with no secret in it
}

// String returns "file:line:column: path: text".
func (p Problem) String() string {
	text := p.Text
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if at := p.Position.String(); at != "" {
		text = at + ": " + text
	}
	return text
}

// Problems is every mistake of a document, in the order of their positions. It is the error of Load, ParseApply,
// FromSpec and Connector.Resolve; errors.As finds it.
type Problems []Problem

// Error returns one line per mistake.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// As makes errors.As find a *fault.Error, so that the kind of Problems is fault.Config everywhere.
func (ps Problems) As(target any) bool {
	f, ok := target.(**fault.Error)
	if !ok {
		return false
	}
	op := "read configuration"
	if len(ps) > 0 && ps[0].File != "" {
		op = "read " + ps[0].File
	}
	*f = fault.New(fault.Config, op, ps.Error())
	return true
}

// sorted returns the problems in document order as an error, nil when there are none.
func (ps Problems) sorted() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}

func problemf(at Position, path, format string, args ...any) Problem {
	return Problem{Position: at, Path: path, Text: fmt.Sprintf(format, args...)}
}
