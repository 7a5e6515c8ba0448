package filter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/filter/memsql"
)

// A Lookup is a set of texts that the operator in_lookup compares with, without regard to case. It is immutable and
// safe for concurrent use. The zero Lookup is empty.
type Lookup struct{ texts map[string]struct{} }

// Lookups finds a lookup by its name. The error is of kind fault.NotFound when there is none.
type Lookups func(name string) (Lookup, error)

// MaxLookup bounds the lines of a lookup.
const MaxLookup = 1_000_000

// maxLine bounds a line of a lookup, in bytes.
const maxLine = 64 << 10

// NewLookup makes a lookup of texts.
func NewLookup(texts []string) Lookup {
	l := Lookup{texts: make(map[string]struct{}, len(texts))}
	for _, t := range texts {
		l.add(t)
	}
	return l
}

func (l Lookup) add(text string) {
	l.texts[string(memsql.AppendLower(nil, []byte(text)))] = struct{}{}
}

// has reports whether the lower-case text is in the lookup.
func (l Lookup) has(lower []byte) bool {
	_, ok := l.texts[string(lower)]
	return ok
}

// Len returns the number of texts.
func (l Lookup) Len() int { return len(l.texts) }

// ReadLookup reads a lookup: one text per line, white space around it does not count, empty lines and lines that begin
// with # are left out. Errors are of kind fault.Config and name the line.
func ReadLookup(r io.Reader) (Lookup, error) {
	const op = "read lookup"
	l := NewLookup(nil)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if text == "" || text[0] == '#' {
			continue
		}
		if len(l.texts) >= MaxLookup {
			return Lookup{}, fault.Newf(fault.Config, op, "line %d: more than %d texts", n, MaxLookup)
		}
		l.add(text)
	}
	if err := lines.Err(); err != nil {
		return Lookup{}, fault.Newf(fault.Config, op, "line %d", n+1).WithCause(err)
	}
	return l, nil
}

var lookupName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// FolderLookups returns the lookups of a folder: the lookup vip-users is the file vip-users.txt. A file is read each
// time that it is asked for, that is when a filter is compiled.
func FolderLookups(folder fs.FS) Lookups {
	const op = "read lookup"
	return func(name string) (Lookup, error) {
		f, err := folder.Open(name + ".txt")
		if errors.Is(err, fs.ErrNotExist) {
			return Lookup{}, fault.Newf(fault.NotFound, op, "there is no file %s.txt in the folder of lookups", name)
		}
		if err != nil {
			return Lookup{}, fault.Wrap(fault.Config, op, err)
		}
		defer func() { _ = f.Close() }() // read only
		l, err := ReadLookup(f)
		if err != nil {
			return Lookup{}, fmt.Errorf("%s.txt: %w", name, err)
		}
		return l, nil
	}
}
