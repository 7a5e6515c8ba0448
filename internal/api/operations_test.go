package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/fault"
)

func TestOpenAPIDescribesEveryOperation(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodGet, "/api/v1/openapi.json", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Responses   map[string]struct{ Content map[string]any }
		}
		Components struct {
			Schemas         map[string]any
			SecuritySchemes map[string]any
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version = %s", doc.OpenAPI)
	}
	want := []string{
		"get /info", "get /status", "get /entries", "get /entries/{kind}", "get /entries/{kind}/{name}", "delete /entries/{kind}/{name}",
		"post /entries/{kind}/{name}/pause", "post /entries/{kind}/{name}/resume", "post /entries/{kind}/{name}/test", "post /apply",
		"get /document", "post /entries/connectors/{name}/collect", "get /jobs/{id}", "get /jobs/{id}/progress", "get /search", "post /search",
		"post /imports", "get /imports", "put /imports/{id}/files", "post /imports/{id}/finish",
		"get /lake/stats", "post /lake/compact", "post /lake/check", "post /lake/repair", "get /tenants", "delete /tenants/{name}",
		"post /verify", "get /verify", "get /connectors/{name}/units", "post /connectors/{name}/retry",
		"get /filters", "post /filters/test", "get /filters/{name}/history", "get /connectors/{name}/history", "get /types", "get /types/{type}",
		"get /consent/applications", "post /consent", "get /consent/tenants", "post /consent/tenants", "post /consent/tenants/{id}/connectors",
		"get /connectors/{name}/conditions", "get /notifications", "post /notifications/{name}/test",
	}
	found := 0
	for _, methods := range doc.Paths {
		found += len(methods)
	}
	if found != len(want) {
		t.Errorf("%d operations, want %d", found, len(want))
	}
	for _, route := range want {
		method, path, _ := strings.Cut(route, " ")
		op, ok := doc.Paths[api.Prefix+path][method]
		if !ok {
			t.Errorf("%s is missing", route)
			continue
		}
		if op.OperationID == "" || op.Summary == "" || op.Responses["default"].Content["application/problem+json"] == nil {
			t.Errorf("%s is not fully described: %+v", route, op)
		}
	}
	for ref := range references(t, body) {
		if _, ok := doc.Components.Schemas[ref]; !ok {
			t.Errorf("schema %s is referred to and missing", ref)
		}
	}
	for _, name := range []string{"ErrorModel", "ErrorDetail"} {
		if _, ok := doc.Components.Schemas[name]; ok {
			t.Errorf("schema %s is not ours", name)
		}
	}
	if doc.Components.SecuritySchemes["token"] == nil {
		t.Error("no security scheme")
	}
}

func TestOpenAPIAsYAML(t *testing.T) {
	s := start(t)
	if _, yaml := s.do(t, http.MethodGet, "/api/v1/openapi.yaml", ""); !strings.Contains(yaml, "openapi: 3.1") {
		t.Error("no YAML document")
	}
}

// references lists the schemas that a document refers to.
func references(t *testing.T, body string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, part := range strings.Split(body, `"#/components/schemas/`)[1:] {
		name, _, ok := strings.Cut(part, `"`)
		if !ok {
			t.Fatal("broken reference")
		}
		found[name] = true
	}
	if len(found) == 0 {
		t.Fatal("the document has no schemas")
	}
	return found
}

func TestApply(t *testing.T) {
	s := start(t)
	doc := "connectors:\n  - name: fresh\n    type: office365\n    old: yes\n"
	resp, body := s.do(t, http.MethodPost, "/api/v1/apply?name=a.yaml&dry_run=true", doc, "Content-Type", "application/yaml")
	var result api.ApplyResult
	if err := json.Unmarshal([]byte(body), &result); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v %s", resp.StatusCode, err, body)
	}
	if !result.DryRun || len(result.Entries) != 1 || result.Entries[0].Action != api.Created || len(result.Warnings) != 1 || result.Warnings[0].File != "a.yaml" {
		t.Errorf("result = %+v", result)
	}
	if resp, _ := s.do(t, http.MethodGet, "/api/v1/entries/connectors/fresh", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a dry run created the entry: %d", resp.StatusCode)
	}

	resp, body = s.do(t, http.MethodPost, "/api/v1/apply?name=a.yaml", "connectors: [{type: x}, {type: y}]", "Content-Type", "application/yaml")
	p := problem(t, resp, body)
	if resp.StatusCode != http.StatusUnprocessableEntity || len(p.Problems) != 2 || p.Problems[0].Line != 2 || p.Problems[0].Column != 5 || !strings.Contains(p.Message, "2 mistakes") {
		t.Errorf("%d %+v", resp.StatusCode, p)
	}

	big := "# " + strings.Repeat("x", 5<<20)
	resp, body = s.do(t, http.MethodPost, "/api/v1/apply", big, "Content-Type", "application/yaml")
	if resp.StatusCode != http.StatusRequestEntityTooLarge || problem(t, resp, body).Kind != fault.Config {
		t.Errorf("a body of 5 MB: %d", resp.StatusCode)
	}
}

func TestDocumentKeepsOrderAndNumbers(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodGet, "/api/v1/document?kind=connectors&name=contoso", "")
	want := "connectors:\n  - name: contoso\n    tenant_name: Contoso\n    type: office365\n    requests_per_minute: 1200\n    api_access_key: ${env:M365_SECRET}\n    start_time: \"2026-01-01T00:00:00Z\"\n"
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	resp, body := s.do(t, http.MethodGet, "/api/v1/document?format=json", "")
	if resp.Header.Get("Content-Type") != "application/json" || !json.Valid([]byte(body)) || !strings.Contains(body, "drop-noise") {
		t.Errorf("%s %s", resp.Header.Get("Content-Type"), body)
	}
	if resp, _ := s.do(t, http.MethodGet, "/api/v1/document?name=nobody", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("unknown entry: %d", resp.StatusCode)
	}
}

func TestPauseAndTest(t *testing.T) {
	s := start(t)
	if resp, body := s.do(t, http.MethodPost, "/api/v1/entries/connectors/contoso/pause", ""); resp.StatusCode != http.StatusNoContent || body != "" {
		t.Fatalf("pause: %d %s", resp.StatusCode, body)
	}
	if _, body := s.do(t, http.MethodGet, "/api/v1/entries/connectors/contoso", ""); !strings.Contains(body, `"state":"paused"`) {
		t.Errorf("not paused: %s", body)
	}
	resp, body := s.do(t, http.MethodPost, "/api/v1/entries/connectors/broken/test", "")
	if resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("content type %s", resp.Header.Get("Content-Type"))
	}
	var got []string
	for line := range strings.Lines(body) {
		var f api.CheckFrame
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		if f.Check != nil {
			got = append(got, f.Check.Name+" "+string(f.Check.Status))
		}
		if f.Done {
			got = append(got, "done")
		}
	}
	if want := "token passed, permission failed, sample skipped, done"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestCollectAndWatch(t *testing.T) {
	s := start(t)
	resp, body := s.do(t, http.MethodPost, "/api/v1/entries/connectors/contoso/collect", `{"since":"7d"}`)
	var job api.Job
	if err := json.Unmarshal([]byte(body), &job); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if want := apitest.Now.Add(-7 * 24 * time.Hour); job.Since == nil || !job.Since.Equal(want) {
		t.Errorf("since = %v, want %v", job.Since, want)
	}
	if _, body := s.do(t, http.MethodPost, "/api/v1/entries/connectors/contoso/collect", `{"since":"all"}`); !strings.Contains(body, `"since":"1970-01-01T00:00:00Z"`) {
		t.Errorf("since all is a back-fill too: %s", body)
	}
	if resp, _ := s.do(t, http.MethodPost, "/api/v1/entries/connectors/contoso/collect", ""); resp.StatusCode != http.StatusAccepted {
		t.Errorf("collect without a body: %d", resp.StatusCode)
	}
	_, body = s.do(t, http.MethodGet, "/api/v1/jobs/"+job.ID+"/progress", "")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	var last api.JobFrame
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 4 || !last.Job.Done || last.Job.Landed != 3 || last.Job.Records != 300 {
		t.Errorf("%d lines, last %+v", len(lines), last.Job)
	}
}

func TestImport(t *testing.T) {
	s := start(t)
	resp, body := s.do(t, http.MethodPost, "/api/v1/imports", `{"type":"office365","tenant_name":"Contoso"}`)
	var job api.Import
	if err := json.Unmarshal([]byte(body), &job); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	var file bytes.Buffer
	for range 100_000 { // 5 MB: more than any bounded body
		file.WriteString(`{"Id":"0123456789","Operation":"FileAccessed","x":1}` + "\n")
	}
	file.WriteString("oops\n")
	_, body = s.do(t, http.MethodPut, "/api/v1/imports/"+job.ID+"/files?name=a.ndjson", file.String(), "Content-Type", "application/octet-stream")
	var result api.FileResult
	if err := json.Unmarshal([]byte(body), &result); err != nil {
		t.Fatalf("%v %s", err, body)
	}
	if result.Lines != 100_001 || result.Records != 100_000 || result.Malformed != 1 || len(result.MalformedExamples) != 1 ||
		result.MalformedExamples[0] != (api.Example{File: "a.ndjson", Line: 100_001, Reason: "not a JSON object"}) {
		t.Errorf("result = %+v", result)
	}
	_, body = s.do(t, http.MethodPost, "/api/v1/imports/"+job.ID+"/finish", "")
	if !strings.Contains(body, `"state":"done"`) || !strings.Contains(body, `"lines":100001`) {
		t.Errorf("finish = %s", body)
	}
	if _, body = s.do(t, http.MethodGet, "/api/v1/imports", ""); !strings.HasPrefix(body, `[{"id":"`+job.ID) {
		t.Errorf("imports = %s", body)
	}
}
