package activity

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/secret"
	"sluice/internal/source/sourcetest"
)

// The tenant of the tests.
const (
	testTenant = "11111111-2222-3333-4444-555555555555"
	testApp    = "99999999-8888-7777-6666-555555555555"
	testSecret = "s3cr~t.value+with&signs="
	linkSecret = "opaque-next-token"
)

// fakeService speaks the sign-in protocol and the Management Activity API over TLS on one host. What it serves and what
// it breaks is set through its fields, under mu.
type fakeService struct {
	*httptest.Server
	t       *testing.T
	foreign *httptest.Server

	mu            sync.Mutex
	roles         []string
	subscriptions map[string]string // content type -> status
	startAnswer   func(contentType string) (int, string)
	starts        []string
	units         [][]string
	perPage       int
	created       time.Time // of the first unit; the others follow by a second each
	broken        sourcetest.Case
	times         int // how often it breaks; 0: for ever
	foreignHits   int
	tokens        int
	waiting       chan struct{}
	stalled       bool
	requests      []*http.Request                                   // of the API
	intercept     func(w http.ResponseWriter, r *http.Request) bool // the same for sign-in too
	override      func(w http.ResponseWriter, r *http.Request) bool // answers instead when it returns true
}

func newFakeService(t *testing.T) *fakeService {
	f := &fakeService{
		t: t, roles: []string{"ActivityFeed.Read", "ActivityFeed.ReadDlp"}, subscriptions: map[string]string{}, perPage: 3,
		created: time.Now().UTC().Add(-30 * time.Minute).Truncate(time.Millisecond), waiting: make(chan struct{}),
	}
	for _, ct := range contentTypes() {
		f.subscriptions[ct.name] = "enabled"
	}
	f.foreign = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.foreignHits++
		_, _ = w.Write([]byte("[]"))
	}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", f.discovery)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", f.token)
	mux.HandleFunc("/", f.api)
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		intercept := f.intercept
		f.mu.Unlock()
		if intercept == nil || !intercept(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { f.Close(); f.foreign.Close() })
	return f
}

// config is a connector that trusts the service's certificate through a CA file.
func (f *fakeService) config() Config {
	f.t.Helper()
	file := filepath.Join(f.t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return Config{
		AuthenticationEndpoint: f.URL, APIEndpoint: f.URL, APIAudience: "https://manage.example", CAFile: file,
		DirectoryID: testTenant, ApplicationID: testApp, APIAccessKey: secret.New(testSecret),
	}
}

func (f *fakeService) source(change func(*Config)) *Source {
	f.t.Helper()
	cfg := f.config()
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.CloseIdle)
	return s
}

// Serve implements sourcetest.Server.
func (f *fakeService) Serve(units [][]string, perPage int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.units, f.perPage = units, perPage
}

// Break implements sourcetest.Server.
func (f *fakeService) Break(c sourcetest.Case, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken, f.times = c, times
}

// Foreign implements sourcetest.Server.
func (f *fakeService) Foreign() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.foreignHits
}

// Waiting implements sourcetest.Server.
func (f *fakeService) Waiting() <-chan struct{} { return f.waiting }

// takeFault returns what is broken at a place and counts it.
func (f *fakeService) takeFault(p sourcetest.Place) sourcetest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken.Place != p {
		return ""
	}
	fault := f.broken.Fault
	if f.times > 0 {
		if f.times--; f.times == 0 {
			f.broken = sourcetest.Case{}
		}
	}
	return fault
}

func (f *fakeService) discovery(w http.ResponseWriter, r *http.Request) {
	tenant := r.PathValue("tenant")
	writeJSON(w, 200, fmt.Sprintf(`{"token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/%[2]s/oauth2/v2.0/authorize","issuer":"%[1]s/%[2]s/v2.0"}`, f.URL, tenant))
}

func (f *fakeService) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil { // a stall notices the client's end only when the body has been read
		f.t.Error(err)
	}
	if f.breaks(w, r, f.takeFault(sourcetest.SignIn), "") {
		return
	}
	if r.FormValue("client_secret") != testSecret || r.FormValue("client_id") != testApp {
		writeJSON(w, 401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 1","error_codes":[7000215]}`)
		return
	}
	f.mu.Lock()
	f.tokens++
	n, roles := f.tokens, f.roles
	f.mu.Unlock()
	claims, err := json.Marshal(map[string]any{"aud": "https://manage.example", "tid": r.PathValue("tenant"), "appid": testApp, "roles": roles, "exp": time.Now().Add(time.Hour).Unix(), "n": n})
	if err != nil {
		f.t.Error(err)
	}
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims) + "."
	writeJSON(w, 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, token))
}

func (f *fakeService) api(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	override := f.override
	f.mu.Unlock()
	if override != nil && override(w, r) {
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
		writeJSON(w, 401, `{"Message":"Authorization has been denied for this request."}`)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1.0/"+testTenant+"/activity/feed/")
	switch {
	case !ok:
		writeJSON(w, 400, `{"error":{"code":"AF20010","message":"The tenant ID differs"}}`)
	case path == "subscriptions/list":
		f.listSubscriptions(w)
	case path == "subscriptions/start":
		f.start(w, r)
	case path == "subscriptions/content":
		f.listing(w, r)
	case strings.HasPrefix(path, "audit/"):
		f.blob(w, r, strings.TrimPrefix(path, "audit/"))
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeService) listSubscriptions(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for name, status := range f.subscriptions {
		all = append(all, fmt.Sprintf(`{"contentType":%q,"status":%q,"webhook":null}`, name, status))
	}
	writeJSON(w, 200, "["+strings.Join(all, ",")+"]")
}

func (f *fakeService) start(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.URL.Query().Get("contentType")
	f.starts = append(f.starts, name)
	status, body := 200, fmt.Sprintf(`{"contentType":%q,"status":"enabled","webhook":null}`, name)
	if f.startAnswer != nil {
		status, body = f.startAnswer(name)
	}
	if status == 200 {
		f.subscriptions[name] = "enabled"
	}
	writeJSON(w, status, body)
}

// listing serves the units whose creation time lies in the window, as Audit.General only.
func (f *fakeService) listing(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, err1 := time.Parse(wireTime, q.Get("startTime"))
	to, err2 := time.Parse(wireTime, q.Get("endTime"))
	if err1 != nil || err2 != nil || to.Sub(from) > maxWindow {
		writeJSON(w, 400, fmt.Sprintf(`{"error":{"code":"AF20055","message":"Start time and end time must both be specified. StartTime:%s, EndTime:%s"}}`, q.Get("startTime"), q.Get("endTime")))
		return
	}
	f.mu.Lock()
	status, units, perPage, created := f.subscriptions[q.Get("contentType")], f.units, f.perPage, f.created
	f.mu.Unlock()
	switch status {
	case "":
		writeJSON(w, 400, `{"error":{"code":"AF20022","message":"No subscription found for the specified content type."}}`)
		return
	case "disabled":
		writeJSON(w, 400, `{"error":{"code":"AF20023","message":"The subscription was disabled."}}`)
		return
	}
	var entries []string
	for i := range units {
		at := created.Add(time.Duration(i) * time.Second)
		if q.Get("contentType") != "Audit.General" || at.Before(from) || !at.Before(to) {
			continue
		}
		id := fmt.Sprintf("20261121%09d$x$audit_general$Audit_General$emea0036", i)
		entries = append(entries, fmt.Sprintf(`{"contentUri":"%s","contentId":%q,"contentType":"Audit.General","contentCreated":%q,"contentExpiration":%q}`,
			f.blobURL(id), id, at.Format("2006-01-02T15:04:05.000Z"), at.Add(retention).Format("2006-01-02T15:04:05.000Z")))
	}
	page, place := 0, sourcetest.Listing
	if next := q.Get("nextPage"); next != "" {
		place = sourcetest.NextPage
		if _, err := fmt.Sscanf(next, linkSecret+"%d", &page); err != nil {
			writeJSON(w, 400, `{"error":{"code":"AF20031","message":"Invalid nextPage Input: `+next+`"}}`)
			return
		}
	}
	f.page(w, r, entries, page, perPage, place)
}

func (f *fakeService) blobURL(id string) string {
	host := f.URL
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == (sourcetest.Case{Place: sourcetest.Content, Fault: sourcetest.ForeignLink}) {
		host = f.foreign.URL
	}
	return host + "/api/v1.0/" + testTenant + "/activity/feed/audit/" + id
}

// page writes one page, with the header spelled as Microsoft does.
func (f *fakeService) page(w http.ResponseWriter, r *http.Request, entries []string, page, perPage int, place sourcetest.Place) {
	link := func(host string, page int) string {
		q := r.URL.Query()
		return fmt.Sprintf("%s/api/v1.0/%s/activity/feed/subscriptions/content?contentType=%s&startTime=%s&endTime=%s&nextPage=%s%d",
			host, testTenant, q.Get("contentType"), q.Get("startTime"), q.Get("endTime"), linkSecret, page)
	}
	begin := min(page*perPage, len(entries))
	end := min(begin+perPage, len(entries))
	next := ""
	if end < len(entries) {
		next = link(f.URL, page+1)
	}
	part := entries[begin:end]
	switch fault := f.takeFault(place); fault {
	case sourcetest.EmptyPage:
		part, next = nil, link(f.URL, page)+"&again=1"
	case sourcetest.RepeatedLink:
		next = link(f.URL, page)
	case sourcetest.ForeignLink:
		next = link(f.foreign.URL, page)
	default:
		if f.breaks(w, r, fault, "["+strings.Join(part, ",")+"]") {
			return
		}
	}
	if next != "" {
		w.Header()["NextPageUri"] = []string{next}
	}
	writeJSON(w, 200, "["+strings.Join(part, ",")+"]")
}

func (f *fakeService) blob(w http.ResponseWriter, r *http.Request, id string) {
	var i int
	_, err := fmt.Sscanf(id, "20261121%09d$", &i)
	f.mu.Lock()
	known := err == nil && i < len(f.units)
	var body string
	if known {
		body = "[" + strings.Join(f.units[i], ",") + "]"
	}
	f.mu.Unlock()
	if !known {
		writeJSON(w, 404, `{"error":{"code":"AF20050","message":"The specified content does not exist."}}`)
		return
	}
	if f.breaks(w, r, f.takeFault(sourcetest.Content), body) {
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped(body))
		return
	}
	writeJSON(w, 200, body)
}

// breaks answers with a fault and reports whether it did. body is what a healthy answer would hold.
func (f *fakeService) breaks(w http.ResponseWriter, r *http.Request, fault sourcetest.Fault, body string) bool {
	const page = "<!DOCTYPE html><html><head><title>Gateway</title></head><body>no</body></html>"
	switch fault {
	case "":
		return false
	case sourcetest.Throttle:
		w.Header().Set("Retry-After", "2.5")
		writeJSON(w, 429, `{"error":{"code":"TooManyRequests","message":"slow down"}}`)
	case sourcetest.ThrottleOwn:
		writeJSON(w, 403, `{"error":{"code":"AF429","message":"Too many requests. Method=GetBlob, PublisherId=00000000-0000-0000-0000-000000000000"}}`)
	case sourcetest.ServerError:
		writeJSON(w, 500, `{"error":{"code":"AF50000","message":"An internal error occurred. Retry the request."}}`)
	case sourcetest.GatewayPage:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte(page))
	case sourcetest.PageInstead:
		_, _ = w.Write([]byte(page))
	case sourcetest.WrongShape:
		writeJSON(w, 200, `{"value":[]}`)
	case sourcetest.CutConnection:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write([]byte(body[:len(body)/2]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case sourcetest.CutText:
		writeJSON(w, 200, body[:len(body)-1])
	case sourcetest.DamagedGzip:
		z := zipped(body)
		z[len(z)-7] ^= 1 // in the checksum
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(z)
	case sourcetest.Unauthorized:
		writeJSON(w, 401, `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired. You sent `+r.FormValue("client_secret")+r.Header.Get("Authorization")+`","error_codes":[7000222]}`)
	case sourcetest.Forbidden:
		writeJSON(w, 401, `{"error":{"code":"AF10001","message":"The permission set () sent in the request does not include the expected permission ActivityFeed.Read."}}`)
	case sourcetest.Expired:
		writeJSON(w, 400, `{"error":{"code":"AF20051","message":"Content requested with the key x has already expired."}}`)
	case sourcetest.ForeignRedirect:
		http.Redirect(w, r, f.foreign.URL+r.URL.Path+"?"+linkSecret, http.StatusFound)
	case sourcetest.Stall:
		f.mu.Lock()
		if !f.stalled {
			f.stalled = true
			close(f.waiting)
		}
		f.mu.Unlock()
		<-r.Context().Done()
	case sourcetest.ForeignLink, sourcetest.EmptyPage, sourcetest.RepeatedLink:
		return false
	}
	return true
}

func zipped(body string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(body))
	_ = z.Close()
	return b.Bytes()
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// seen returns the API requests whose path ends in suffix.
func (f *fakeService) seen(suffix string) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r *http.Request) bool { return !strings.HasSuffix(r.URL.Path, suffix) })
}
