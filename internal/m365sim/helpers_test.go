package m365sim

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testTenant    = "11111111-2222-3333-4444-555555555555"
	testApp       = "99999999-8888-7777-6666-555555555555"
	testSecret    = "s3cret~+&= value"
	testPublisher = "00000000-1111-2222-3333-444444444444"
)

func newClock() *HandClock {
	return NewHandClock(time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC))
}

// scenario is a small tenant with history in the given feeds.
func scenario(events int, contentTypes ...string) Scenario {
	t := Tenant{ID: testTenant, Users: 50, Apps: []App{{ID: testApp, Secret: testSecret, ExpiredSecret: "old"}}}
	for _, ct := range contentTypes {
		t.Traffic = append(t.Traffic, Traffic{ContentType: ct, Events: events, History: Duration(20 * time.Hour), BlobSize: 10})
	}
	return Scenario{Seed: 7, Tenants: []Tenant{t}, PageSize: 7}
}

// client is a naive, perfect collector: it lists windows, follows pages and downloads, again and again.
type client struct {
	t      *testing.T
	server *Server
	http   *http.Client
	token  string
}

func connect(t *testing.T, server *Server) *client {
	t.Helper()
	c := &client{t: t, server: server, http: server.Client()}
	t.Cleanup(c.http.CloseIdleConnections)
	status, body, _ := c.post("/"+testTenant+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {testApp},
		"client_secret": {testSecret}, "scope": {"https://manage.office.com/.default openid offline_access profile"},
	})
	if status != http.StatusOK {
		t.Fatalf("token: %d %s", status, body)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	decode(t, body, &answer)
	c.token = answer.AccessToken
	return c
}

func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("decode %.200s: %v", body, err)
	}
}

func (c *client) do(req *http.Request) (int, []byte, http.Header, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, resp.Header, err
}

func (c *client) post(path string, form url.Values) (int, []byte, http.Header) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.server.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.must(req)
}

func (c *client) must(req *http.Request) (int, []byte, http.Header) {
	c.t.Helper()
	status, body, header, err := c.do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return status, body, header
}

// request makes an authorised request; address is absolute or a path below the feed.
func (c *client) request(method, address string) *http.Request {
	c.t.Helper()
	if !strings.HasPrefix(address, "https://") {
		address = c.server.URL() + "/api/v1.0/" + testTenant + "/activity/feed/" + address
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, address+separator+"PublisherIdentifier="+testPublisher, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	return req
}

func (c *client) get(address string) (int, []byte, http.Header) {
	c.t.Helper()
	return c.must(c.request(http.MethodGet, address))
}

// expect makes a request and compares status and error code.
func (c *client) expect(method, address string, status int, code string) []byte {
	c.t.Helper()
	got, body, _ := c.must(c.request(method, address))
	if got != status || codeOf(body) != code {
		c.t.Errorf("%s %s: got %d %.300s, want %d %s", method, address, got, body, status, code)
	}
	return body
}

func codeOf(body []byte) string {
	var envelope struct{ Error struct{ Code string } }
	_ = json.Unmarshal(body, &envelope)
	return envelope.Error.Code
}

func (c *client) subscribe(contentTypes ...string) {
	c.t.Helper()
	for _, ct := range contentTypes {
		if status, body, _ := c.must(c.request(http.MethodPost, "subscriptions/start?contentType="+ct)); status != http.StatusOK {
			c.t.Fatalf("start %s: %d %s", ct, status, body)
		}
	}
}

type item struct {
	ContentType       string    `json:"contentType"`
	ContentID         string    `json:"contentId"`
	ContentURI        string    `json:"contentUri"`
	ContentCreated    time.Time `json:"contentCreated"`
	ContentExpiration time.Time `json:"contentExpiration"`
}

func contentPath(ct string, from, to time.Time) string {
	return "subscriptions/content?contentType=" + ct + "&startTime=" + from.Format(apiTime) + "&endTime=" + to.Format(apiTime)
}

// list follows all pages of a window.
func (c *client) list(ct string, from, to time.Time) (items []item, pages int) {
	c.t.Helper()
	address := contentPath(ct, from, to)
	for address != "" {
		status, body, header := c.get(address)
		if status != http.StatusOK {
			c.t.Fatalf("list %s: %d %s", address, status, body)
		}
		var page []item
		decode(c.t, body, &page)
		items = append(items, page...)
		pages++
		address = header.Get("NextPageUri")
		if pages > 1000 {
			c.t.Fatal("paging does not end")
		}
	}
	return items, pages
}

// records downloads a blob.
func (c *client) records(uri string) []json.RawMessage {
	c.t.Helper()
	status, body, _ := c.get(uri)
	if status != http.StatusOK {
		c.t.Fatalf("get %s: %d %s", uri, status, body)
	}
	var records []json.RawMessage
	decode(c.t, body, &records)
	return records
}

// collect downloads everything of the last days and returns the identities, sorted, one per distinct content.
func (c *client) collect(days int, contentTypes ...string) []string {
	c.t.Helper()
	seen := map[[2]string]bool{}
	var ids []string
	end := c.server.now().Add(time.Second)
	for _, ct := range contentTypes {
		for d := range days {
			to := end.Add(-time.Duration(d) * 24 * time.Hour)
			items, _ := c.list(ct, to.Add(-24*time.Hour), to)
			for _, it := range items {
				for _, raw := range c.records(it.ContentURI) {
					r := newFileRecord(testTenant, raw)
					if key := [2]string{r.id, r.content}; !r.malformed && !seen[key] {
						seen[key] = true
						ids = append(ids, r.id)
					}
				}
			}
		}
	}
	sort.Strings(ids)
	return ids
}

// truthIDs reads /sim/truth/ids, sorted.
func (c *client) truthIDs(query string) []string {
	c.t.Helper()
	status, body, _ := c.get(c.server.URL() + "/sim/truth/ids?" + query)
	if status != http.StatusOK {
		c.t.Fatalf("truth: %d %s", status, body)
	}
	ids := strings.Fields(string(body))
	sort.Strings(ids)
	return ids
}

func (c *client) truth() Truth {
	c.t.Helper()
	var truth Truth
	_, body, _ := c.get(c.server.URL() + "/sim/truth")
	decode(c.t, body, &truth)
	return truth
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: the truth is empty", what)
	}
	counts := map[string]int{}
	for _, id := range want {
		counts[id]++
	}
	for _, id := range got {
		counts[id]--
	}
	missing, extra := 0, 0
	for id, n := range counts {
		if n != 0 && missing+extra < 3 {
			t.Errorf("%s: %s: %+d", what, id, n)
		}
		missing += max(n, 0)
		extra += max(-n, 0)
	}
	if missing+extra > 0 {
		t.Errorf("%s: collected %d, truth %d: %d missing, %d too many", what, len(got), len(want), missing, extra)
	}
}

// azure returns the client options with which azidentity reaches the simulator.
func azure(c *client) azcore.ClientOptions {
	return azcore.ClientOptions{
		Transport: c.http, Retry: policy.RetryOptions{MaxRetries: -1},
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: c.server.URL()},
	}
}

func gunzip(t *testing.T, body []byte) ([]byte, error) {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
