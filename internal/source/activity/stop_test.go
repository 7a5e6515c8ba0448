package activity

import (
	"net/http"
	"strings"
	"testing"

	"sluice/internal/fault"
)

func TestStopEndsSubscriptions(t *testing.T) {
	f := newFakeService(t)
	var stopped []string
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/subscriptions/stop") {
			return false
		}
		name := r.URL.Query().Get("contentType")
		stopped = append(stopped, r.Method+" "+name)
		switch name {
		case "Audit.Exchange":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"code":"AF20022","message":"No subscription found for the specified content type."}}`))
		case "Audit.General":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
		return true
	}
	failed := f.source(nil).Stop(t.Context(), []string{"Audit.SharePoint", "Audit.Exchange", "Audit.General"})
	if len(failed) != 1 || !fault.Is(failed["Audit.General"], fault.Unavailable) {
		t.Errorf("failed: %v, want Audit.General alone", failed)
	}
	if want := "POST Audit.SharePoint,POST Audit.Exchange,POST Audit.General"; strings.Join(stopped, ",") != want {
		t.Errorf("asked for %v", stopped)
	}
}
