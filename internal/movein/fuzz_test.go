package movein

import (
	"errors"
	"testing"

	"sluice/internal/config"
)

// FuzzTranslate: no document crashes the translation; what comes out is accepted by package config, and what is wrong
// has a place. There is no network: the resolver knows a few domains.
func FuzzTranslate(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, path := range fixtures(f, folder) {
			f.Add(read(f, path))
		}
	}
	f.Add([]byte(`{"inputs":[{"office365":{"tenant_id":"${A}","client_id":"${B}","client_secret":"${C}","services":["dlp",null]}}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		kind, detected := Detect(doc)
		result, err := Translate(t.Context(), "f", doc, options())
		if err == nil {
			if !detected || kind != result.Kind {
				t.Errorf("detected %q, %t, translated as %q", kind, detected, result.Kind)
			}
			accepted(t, result)
			return
		}
		var problems config.Problems
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

// FuzzDetect: no document crashes the detection, and one that package config accepts belongs to nobody else.
func FuzzDetect(f *testing.F) {
	for _, path := range fixtures(f, "good") {
		f.Add(read(f, path))
	}
	f.Add([]byte("connectors:\n- {name: a, tenant_name: A, type: office365, directory_id: 11111111-2222-3333-4444-555555555555, application_id: 99999999-8888-7777-6666-555555555555, api_access_key: \"${env:X}\"}\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		kind, ok := Detect(doc)
		if !ok {
			return
		}
		if _, err := config.ParseApply("f", doc, drivers()); err == nil {
			t.Errorf("detected as %s although it is Sluice's own", kind)
		}
	})
}
