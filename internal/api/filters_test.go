package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
)

func TestLogFilters(t *testing.T) {
	s := start(t)
	resp, body := s.do(t, http.MethodGet, "/api/v1/filters", "")
	var all []api.FilterInfo
	if err := json.Unmarshal([]byte(body), &all); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", resp.StatusCode, body, err)
	}
	if len(all) != 1 || all[0].Name != "drop-noise" || all[0].Dropped != 1234 || all[0].Drops[0].Records != 1234 {
		t.Errorf("%+v", all)
	}
	if resp, body := s.do(t, http.MethodGet, "/api/v1/filters/drop-noise/history", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"what":"created"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := s.do(t, http.MethodGet, "/api/v1/filters/absent/history", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestTestFilters(t *testing.T) {
	s := start(t)
	const path = "/api/v1/filters/test"
	for _, tt := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"a stored filter", `{"filters":["drop-noise"]}`, 200, `"filters":["drop-noise"]`},
		{"a filter and a specification", `{"filters":["drop-noise",{"name":"mine","query":"a:1"}],"since":"7d","limit":5}`, 200, `"filters":["drop-noise","mine"]`},
		{"a document", `{"document":"filters: []","connector":"contoso"}`, 200, `"drops_everything":true`},
		{"an example is only where to look", `{"filters":["drop-noise"]}`, 200, `"examples":[{"filter":"drop-noise","_id":"a1","timestamp":`},
		{"a mistake", `{"filters":[{"query":"a:1"}]}`, 422, `filters[0].name`},
		{"unknown", `{"filters":["absent"]}`, 404, "absent"},
		{"unknown connector", `{"filters":["drop-noise"],"connector":"absent"}`, 404, "absent"},
		{"both", `{"filters":["drop-noise"],"document":"filters: []"}`, 400, "not both"},
		{"neither", `{}`, 400, "nothing to try"},
		{"no time", `{"filters":["drop-noise"],"since":"yesterdayish"}`, 400, "since"},
		{"too many", `{"filters":["drop-noise"],"limit":100001}`, 422, "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := s.do(t, http.MethodPost, path, tt.body)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("%d %s, want %d and %s", resp.StatusCode, body, tt.status, tt.says)
			}
		})
	}
	tried := s.fake.Tried
	if len(tried) == 0 || tried[0].Limit != api.FilterTestLimit || !tried[0].Since.Equal(fixedClock{}.Now().Add(-24*time.Hour)) {
		t.Fatalf("defaults: %+v", tried)
	}
	second := tried[1]
	if second.Limit != 5 || len(second.Filters) != 2 || second.Filters[0].Name != "drop-noise" || string(second.Filters[1].Spec) != `{"name":"mine","query":"a:1"}` {
		t.Errorf("%+v", second)
	}
}

func TestApplyPassesConfirmAndMovedIn(t *testing.T) {
	s := start(t)
	doc := "filters:\n  - name: drops-all\n"
	if resp, body := s.do(t, http.MethodPost, "/api/v1/apply", doc); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := s.do(t, http.MethodPost, "/api/v1/apply?confirm=true", doc); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if _, body := s.do(t, http.MethodPost, "/api/v1/apply", `{"inputs": {}}`); !strings.Contains(body, `"moved_in":{"kind":"devo"`) {
		t.Errorf("%s", body)
	}
}
