package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsTheValue(t *testing.T) {
	const value = "s3cr3t-value"
	s := New(value)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "struct", struct{ S Secret }{s})
	asJSON, err := json.Marshal(map[string]any{"a": s, "b": []Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %#v", struct{ S Secret }{s}, &s),
		s.GoString(), string(asJSON), log.String(), fmt.Errorf("with %v", s).Error(),
	} {
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
			t.Errorf("the value is in %q", text)
		}
		if !strings.Contains(text, Redacted) {
			t.Errorf("nothing says that a secret was left out: %q", text)
		}
	}
	if s.Reveal() != value || s.Empty() || !(Secret{}).Empty() || (Secret{}).String() != "" {
		t.Error("Reveal, Empty or the zero value is wrong")
	}
}
