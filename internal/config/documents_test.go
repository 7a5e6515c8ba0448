package config

import (
	"errors"
	"strings"
	"testing"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		roots      int
		line       int    // of the mistake, 0: none
		err        string // part of it
	}{
		{name: "nothing", text: "# nothing\n"},
		{name: "empty ones are left out", text: "a: 1\n---\n---\nnull\n---\n- b\n", roots: 2},
		{name: "JSON with tabs", text: "{\n\t\"a\": [\n\t\t1]\n}", roots: 1},
		{name: "what stands before a mistake", text: "a: 1\n---\nb: [\n", roots: 1, line: 3, err: "did not find"},
		{name: "in the first line", text: "a: b: c\n", line: 1, err: "mapping values are not allowed"},
		{name: "a secret that begins with *", text: "a: 1\nkey: *s3cret\n", line: 2, err: "in quotes"},
		{name: "an alias", text: "a: &x {b: 1}\nc: *x\n", roots: 1}, // whether they are supported is up to the caller
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			roots, err := Documents([]byte(tt.text))
			if len(roots) != tt.roots {
				t.Errorf("%d roots, want %d", len(roots), tt.roots)
			}
			if tt.line == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wrong, ok := errors.AsType[*SyntaxError](err)
			if !ok || wrong.Line != tt.line || !strings.Contains(wrong.Text, tt.err) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v, want line %d: %s", err, tt.line, tt.err)
			}
		})
	}
}
