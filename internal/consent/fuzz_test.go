package consent_test

import (
	"net/url"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sluice/internal/consent"
)

// FuzzParse: whatever is accepted can be stored, read back the same, and makes connectors that apply accepts.
func FuzzParse(f *testing.F) {
	f.Add(section)
	f.Add("- {name: a, application_id: " + appID + ", certificate_file: x, connectors: [{type: office365, log_filters: [a]}]}")
	f.Add("- name: a\n  application_id: " + appID + "\n  api_access_key: '${env:A}$${x'\n  connectors: [{type: office365, start_time: 2026-01-31T08:00:00Z}]")
	f.Add("[[], {}, null, &a [*a]]")
	f.Fuzz(func(t *testing.T, text string) {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) == 0 {
			return
		}
		all, err := consent.Parse("fuzz", doc.Content[0], drivers())
		if err != nil {
			return
		}
		for _, a := range all {
			again, err := consent.ParseSpec(a.Spec, drivers())
			if err != nil || string(again.Spec) != string(a.Spec) {
				t.Fatalf("%s is read back as %s (%v)", a.Spec, again.Spec, err)
			}
		}
	})
}

// FuzzCallback: no answer without the state records anything, whatever it holds.
func FuzzCallback(f *testing.F) {
	f.Add("admin_consent=True&tenant=" + tenantA + "&state=x")
	f.Add("error=a&error_description=%00%ff&state=")
	f.Add("code=1&state=" + strings.Repeat("a", 43))
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		w := newWorld(t)
		w.begin(t, consent.Request{})
		before := w.store.text()
		r, err := w.Callback(t.Context(), q)
		if err != nil || r.Error == nil || w.store.text() != before {
			t.Fatalf("%q: %+v %v", raw, r, err)
		}
	})
}
