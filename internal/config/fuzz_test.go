package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: no document crashes the reader, an error is always Problems with positions, and what loads survives the
// stored and the printed form. There is no environment, so that no input makes the test read a file.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*", "testdata/bad/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Load("f", data, drivers(), nil)
		if err == nil {
			hideNothing(t, file.Connectors)
			filterRoundTrip(t, file.Filters)
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("got %#v, want Problems", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Text == "" {
				t.Errorf("a problem without a place or a text: %+v", p)
			}
		}
	})
}

// hideNothing is roundTrip for connectors whose printed form hides no secret.
func hideNothing(t *testing.T, connectors []Connector) {
	t.Helper()
	for _, c := range connectors {
		if string(c.JSON()) != string(c.SpecJSON()) {
			return
		}
	}
	roundTrip(t, connectors)
}
