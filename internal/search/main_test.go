package search_test

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/lake/engine"
	"sluice/internal/lake/engine/enginetest"
)

// rebuild stands for the lake's function: the record of the fixtures is what the columns say.
func rebuild(get func(string) (any, bool)) ([]byte, error) {
	if raw, ok := get("_raw"); ok {
		return []byte(raw.(string)), nil
	}
	out := map[string]any{}
	for _, k := range []string{"Operation", "RecordType", "UserId"} {
		if v, ok := get("office365." + k); ok {
			out[k] = v
		}
	}
	return json.Marshal(out)
}

func TestMain(m *testing.M) {
	enginetest.RunChild(engine.Hooks{Rebuild: rebuild})
	goleak.VerifyTestMain(m)
}
