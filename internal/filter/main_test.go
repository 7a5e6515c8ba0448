package filter_test

import (
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/lake/engine"
	"sluice/internal/lake/engine/enginetest"
)

func TestMain(m *testing.M) {
	enginetest.RunChild(engine.Hooks{Rebuild: func(func(string) (any, bool)) ([]byte, error) { return []byte("{}"), nil }})
	goleak.VerifyTestMain(m)
}
