package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
)

func TestSearchFormats(t *testing.T) {
	s := start(t)
	a, b := s.fake.Rows[0], s.fake.Rows[1]
	for _, tc := range []struct{ format, contentType, want string }{
		{"ndjson", "application/x-ndjson", a + "\n" + b + "\n"},
		{"json", "application/json", "[\n" + a + ",\n" + b + "\n]\n"},
		{"raw", "application/octet-stream", a + "\n" + b + "\n"},
		{"csv", "text/csv; charset=utf-8", "timestamp,user.email,office365.Operation\n1772600000000,ann@contoso.com,UserLoggedIn\n1772600060000,bob@contoso.com,FileDeleted\x1b[31m\n"},
	} {
		t.Run(tc.format, func(t *testing.T) {
			resp, body := s.do(t, http.MethodGet, "/api/v1/search?query=*&format="+tc.format, "")
			if resp.Header.Get("Content-Type") != tc.contentType || body != tc.want {
				t.Errorf("%s\n%q\nwant\n%q", resp.Header.Get("Content-Type"), body, tc.want)
			}
			var end api.End
			if err := json.Unmarshal([]byte(resp.Trailer.Get("Sluice-End")), &end); err != nil {
				t.Fatalf("trailer %v: %v", resp.Trailer, err)
			}
			if end.Stats.Rows != 2 || end.Fresh.PendingRecords != 7 || len(end.Notices) != 1 || end.Notices[0] != "run as OR: ünïcode 🚰" {
				t.Errorf("end = %+v", end)
			}
		})
	}
}

func TestSearchOfNothing(t *testing.T) {
	s := start(t)
	for format, want := range map[string]string{"ndjson": "", "json": "[]\n", "raw": "", "csv": "timestamp,user.email,office365.Operation\n"} {
		resp, body := s.do(t, http.MethodGet, "/api/v1/search?query=nothing&format="+format, "")
		if body != want || resp.Trailer.Get("Sluice-End") == "" {
			t.Errorf("%s: %q, trailer %v", format, body, resp.Trailer)
		}
	}
}

func TestSearchFrames(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodPost, "/api/v1/search", `{"query":"*","limit":1,"format":"frames"}`)
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `{"columns":[{"name":"timestamp","type":"time"}`) ||
		lines[1] != `{"row":`+s.fake.Rows[0]+`}` || !strings.Contains(lines[2], `"more":true`) {
		t.Errorf("frames = %s", body)
	}
}

func TestSearchThatFailsLate(t *testing.T) {
	s := start(t)
	resp, body := s.do(t, http.MethodGet, "/api/v1/search?query=late&format=ndjson", "")
	var p api.Problem
	if err := json.Unmarshal([]byte(resp.Trailer.Get("Sluice-Error")), &p); err != nil || p.Kind != "internal" {
		t.Errorf("trailer %v: %v", resp.Trailer, err)
	}
	if resp.Trailer.Get("Sluice-End") != "" || body != s.fake.Rows[0]+"\n" {
		t.Errorf("%q %v", body, resp.Trailer)
	}
	_, body = s.do(t, http.MethodGet, "/api/v1/search?query=late&format=frames", "")
	if lines := strings.Split(strings.TrimSpace(body), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[2], `{"error":{`) {
		t.Errorf("frames = %s", body)
	}
}

func TestSearchRequestIsResolved(t *testing.T) {
	s := start(t)
	for _, tc := range []struct {
		name, query string
		want        api.SearchRequest
	}{
		{"defaults", "query=x", api.SearchRequest{Query: "x", Index: "all", Lang: api.LQ, Since: apitest.Now.Add(-24 * time.Hour), Limit: 100}},
		{
			"everything", "query=x&index=Windows+Events&lang=KQL&since=all&until=2026-01-01&limit=0&fields=a,b&strict=true&format=raw",
			api.SearchRequest{Query: "x", Index: "windows_events", Lang: api.KQL, Until: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Fields: []string{"a", "b"}, Strict: true, Raw: true},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.do(t, http.MethodGet, "/api/v1/search?"+tc.query, "")
			got := s.fake.Asked[len(s.fake.Asked)-1]
			equal(t, "GET", got, tc.want)

			values, err := url.ParseQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			body := map[string]any{"query": "x"}
			for name, v := range values {
				body[name] = v[0]
			}
			if tc.name == "everything" {
				body["limit"], body["strict"], body["fields"] = 0, true, []string{"a", "b"}
			}
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			s.do(t, http.MethodPost, "/api/v1/search", string(text))
			equal(t, "POST", s.fake.Asked[len(s.fake.Asked)-1], tc.want)
		})
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err1 := json.Marshal(got)
	w, err2 := json.Marshal(want)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if string(g) != string(w) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func TestRowsOverSeveralLinesBecomeOne(t *testing.T) {
	s := start(t)
	s.fake.Rows = []string{"{\n \"a\": 1.50\n}"}
	if _, body := s.do(t, http.MethodGet, "/api/v1/search?query=*", ""); body != "{\"a\":1.50}\n" {
		t.Errorf("ndjson = %q", body)
	}
	if _, body := s.do(t, http.MethodGet, "/api/v1/search?query=*&format=raw", ""); body != "{\n \"a\": 1.50\n}\n" {
		t.Errorf("raw must stay as it is: %q", body)
	}
}

func TestCSVOfHostileValues(t *testing.T) {
	s := start(t)
	s.fake.Rows = []string{`{"a":"x,\"y\"\nz","b.c":null,"b":{"c":[1,2]}}`, `{"a":""}`}
	_, body := s.do(t, http.MethodGet, "/api/v1/search?query=*&format=csv&fields=a,b.c", "")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", rows, [][]string{{"a", "b.c"}, {"x,\"y\"\nz", ""}, {"", ""}})
	s.fake.Rows = []string{`{"a":"x","ingest":{"seq":7,"unit":"u"}}`}
	if _, body = s.do(t, http.MethodGet, "/api/v1/search?query=*&format=csv&fields=a,_seq,_unit,_batch", ""); body != "a,_seq,_unit,_batch\nx,7,u,\n" {
		t.Errorf("the place in the journal: %q", body)
	}
	s.fake.Rows = []string{`{"a":"x"}`, `{"a":""}`}
	_, body = s.do(t, http.MethodGet, "/api/v1/search?query=*&format=csv&fields=a", "")
	rows, err = csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Errorf("a lone empty cell is a row too: %v %v", rows, err)
	}
}

// A row of hundreds of columns is parsed once, not once per column: a table of everything would take minutes.
func TestCSVParsesARowOnce(t *testing.T) {
	s := start(t)
	const columns = 300
	var members, names []string
	for i := range columns {
		members = append(members, fmt.Sprintf(`"m%d":{"v":"x"}`, i))
		names = append(names, fmt.Sprintf("office365.m%d.v", i))
	}
	s.fake.Rows = []string{`{"office365":{` + strings.Join(members, ",") + `}}`}
	path := "/api/v1/search?query=*&format=csv&fields=" + strings.Join(names, ",")
	var body string
	allocs := testing.AllocsPerRun(3, func() { _, body = s.do(t, http.MethodGet, path, "") })
	if lines := strings.Split(body, "\n"); len(lines) < 2 || lines[1] != strings.Repeat("x,", columns-1)+"x" {
		t.Fatalf("row: %q", lines)
	}
	if allocs > 100*columns {
		t.Errorf("%.0f allocations for a row of %d columns", allocs, columns)
	}
}

func TestLookup(t *testing.T) {
	row := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(`{"a.b":1,"a":{"b":2,"c":{"d":3},"c.d":4,"n":null},"office365":{"x.y":"5"}}`), &row); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.b": "1", "a.c.d": "4", "a.c": `{"d":3}`, "office365.x.y": `"5"`, "a.n": "", "a.z": "", "q": "", "": ""} {
		if got := string(api.Lookup(row, name)); got != want {
			t.Errorf("Lookup(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzLookup(f *testing.F) {
	f.Add(`{"a":{"b":1}}`, "a.b")
	f.Add(`{"a.b":null}`, "a..b")
	f.Fuzz(func(t *testing.T, text, name string) {
		var row map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &row) != nil {
			t.Skip()
		}
		if v := api.Lookup(row, name); v != nil && !json.Valid(v) {
			t.Errorf("not JSON: %q", v)
		}
	})
}
