package activity

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/source"
	"sluice/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	now := time.Now().UTC()
	sourcetest.Run(t, sourcetest.Harness{
		New: func(t *testing.T) (source.Source, sourcetest.Server) {
			f := newFakeService(t)
			return f.source(func(c *Config) { c.ContentTypes = []string{"Audit.General"} }), f
		},
		Windows: []source.Window{{ContentType: "Audit.General", From: now.Add(-23 * time.Hour), To: now}},
		Secrets: []string{testSecret, linkSecret, "eyJ"},
	})
}
