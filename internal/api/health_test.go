package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/api"
	"sluice/internal/fault"
)

func TestConditions(t *testing.T) {
	s := start(t)
	get := func(path string) api.Conditions {
		t.Helper()
		resp, body := s.do(t, http.MethodGet, path, "")
		var c api.Conditions
		if err := json.Unmarshal([]byte(body), &c); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %v: %s", resp.StatusCode, err, body)
		}
		if strings.Contains(body, "null,\n") || strings.Contains(body, `"history":null`) {
			t.Errorf("a list is null: %s", body)
		}
		return c
	}
	c := get("/api/v1/connectors/broken/conditions")
	if c.Connector != "broken" || len(c.Feeds) != 2 || c.Feeds[0].Conditions[1].Status != "error" || c.Feeds[0].Conditions[2].Since != nil || len(c.History) != 3 {
		t.Errorf("got %+v", c)
	}
	if c = get("/api/v1/connectors/broken/conditions?changes=1"); len(c.History) != 1 {
		t.Errorf("%d changes, want 1", len(c.History))
	}
	if c = get("/api/v1/connectors/contoso/conditions"); len(c.History) != 0 {
		t.Errorf("got %+v", c)
	}
	if resp, body := s.do(t, http.MethodGet, "/api/v1/connectors/nobody/conditions", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d: %s", resp.StatusCode, body)
	}
	if resp, body := s.do(t, http.MethodGet, "/api/v1/connectors/broken/conditions?changes=-1", ""); resp.StatusCode < 400 || resp.StatusCode >= 500 {
		t.Errorf("%d: %s", resp.StatusCode, body)
	}
}

func TestNotifications(t *testing.T) {
	s := start(t)
	resp, body := s.do(t, http.MethodGet, "/api/v1/notifications", "")
	var all []api.Notification
	if err := json.Unmarshal([]byte(body), &all); err != nil || resp.StatusCode != http.StatusOK || len(all) != 2 || all[1].LastError == nil || all[0].LastError != nil {
		t.Fatalf("%d %v: %s", resp.StatusCode, err, body)
	}
	frames := func(name string) (lines []api.CheckFrame) {
		t.Helper()
		resp, body := s.do(t, http.MethodPost, "/api/v1/notifications/"+name+"/test", "")
		if resp.StatusCode != http.StatusOK {
			var p api.Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatal(err)
			}
			return []api.CheckFrame{{Error: &p}}
		}
		for line := range strings.Lines(body) {
			var f api.CheckFrame
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			lines = append(lines, f)
		}
		return lines
	}
	if f := frames("soc"); len(f) != 3 || f[0].Check == nil || !f[2].Done {
		t.Errorf("got %+v", f)
	}
	if f := frames("nobody"); len(f) != 1 || f[0].Error == nil || !fault.Is(f[0].Error.Fault(), fault.NotFound) {
		t.Errorf("got %+v", f)
	}
}
