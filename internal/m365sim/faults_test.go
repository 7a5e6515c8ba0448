package m365sim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// observation is what a client sees of one request without decompression by the transport.
type observation struct {
	status     int
	code       string
	header     http.Header
	body       []byte
	readErr    error // of the transfer
	unpackErr  error // of gzip
	jsonBroken bool
}

func (c *client) observe(address string) observation {
	c.t.Helper()
	req := c.request(http.MethodGet, address)
	req.Header.Set("Accept-Encoding", "gzip")
	var o observation
	o.status, o.body, o.header, o.readErr = c.do(req)
	if o.header.Get("Content-Encoding") == "gzip" && o.readErr == nil {
		o.body, o.unpackErr = gunzip(c.t, o.body)
	}
	o.code, o.jsonBroken = codeOf(o.body), !json.Valid(o.body)
	return o
}

func TestEveryKindIsObservable(t *testing.T) {
	whole := func(o observation) bool {
		return o.status == 200 && o.readErr == nil && o.unpackErr == nil && !o.jsonBroken
	}
	html := func(o observation) bool {
		return strings.Contains(o.header.Get("Content-Type"), "text/html") && o.jsonBroken
	}
	next := func(o observation) string { return o.header.Get("NextPageUri") }
	tests := map[Kind]struct {
		route string
		seen  func(o observation) bool
	}{
		TooMany:       {"blob", func(o observation) bool { return o.status == 429 && o.code == "AF429" }},
		AF429:         {"content", func(o observation) bool { return o.status == 403 && o.code == "AF429" }},
		ServerError:   {"blob", func(o observation) bool { return o.status == 500 && o.code == "AF50000" }},
		Unavailable:   {"content", func(o observation) bool { return o.status == 503 && html(o) }},
		Reset:         {"blob", func(o observation) bool { return o.readErr != nil }},
		TruncatedGzip: {"blob", func(o observation) bool { return o.status == 200 && o.readErr == nil && o.unpackErr != nil }},
		TruncatedJSON: {"blob", func(o observation) bool {
			return o.status == 200 && o.unpackErr == nil && o.jsonBroken && len(o.body) > 1000
		}},
		BadGzip: {"blob", func(o observation) bool {
			return o.status == 200 && o.unpackErr != nil && strings.Contains(o.unpackErr.Error(), "checksum")
		}},
		HTML200:      {"blob", func(o observation) bool { return o.status == 200 && html(o) }},
		Slow:         {"blob", whole},
		Stall:        {"blob", whole},
		Unauthorized: {"blob", func(o observation) bool { return o.status == 401 && len(o.body) == 0 }},
		NotFound:     {"blob", func(o observation) bool { return o.status == 404 && o.code == "AF20050" }},
		Expired:      {"blob", func(o observation) bool { return o.status == 400 && o.code == "AF20051" }},
		RepeatNext:   {"content", func(o observation) bool { return whole(o) && next(o) != "" }},
		ForeignNext: {"content", func(o observation) bool {
			return whole(o) && strings.HasPrefix(next(o), "https://collector.attacker.example/")
		}},
		ForeignURI: {"content", func(o observation) bool {
			return whole(o) && strings.Contains(string(o.body), `"contentUri":"https://collector.attacker.example/`)
		}},
		EmptyPage:   {"content", func(o observation) bool { return whole(o) && string(o.body) == "[]" && next(o) != "" }},
		NextV1:      {"content", func(o observation) bool { return strings.Contains(next(o), "/api/v1/") }},
		NextEndtime: {"content", func(o observation) bool { return strings.Contains(next(o), "&endtime=") }},
		StaleNext:   {"next", func(o observation) bool { return o.status == 400 && o.code == "AF20031" }},
	}
	for _, kind := range Kinds() {
		test, ok := tests[kind]
		if !ok {
			t.Errorf("%s has no test", kind)
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			clock := newClock()
			c := connect(t, StartTest(t, scenario(500, Exchange), Options{Clock: clock}))
			c.subscribe(Exchange)
			window := contentPath(Exchange, clock.Now().Add(-20*time.Hour), clock.Now())
			items, _ := c.list(Exchange, clock.Now().Add(-20*time.Hour), clock.Now())
			_, _, header := c.get(window)
			address := map[string]string{"blob": items[0].ContentURI, "content": window, "next": header.Get("NextPageUri")}[test.route]
			route := strings.Replace(test.route, "next", "content", 1)
			before := clock.Now()
			if err := c.server.SetFaults([]Fault{{Kind: kind, Route: route, First: 1, ContentType: Exchange}}); err != nil {
				t.Fatal(err)
			}
			if o := c.observe(address); !test.seen(o) {
				t.Errorf("got %d %s %v read %v unpack %v: %.200s", o.status, o.code, o.header, o.readErr, o.unpackErr, o.body)
			}
			if waited := clock.Now().Sub(before); (kind == Slow || kind == Stall) != (waited == 30*time.Second) {
				t.Errorf("waited %s", waited)
			}
			if n := c.server.Requests(0).Faults[kind]; n != 1 {
				t.Errorf("the fault struck %d times, want once", n)
			}
			if o := c.observe(address); !whole(o) && kind != NotFound && kind != Expired {
				t.Errorf("the second request fails too: %d %s", o.status, o.body)
			}
		})
	}
}

func TestRepeatedNextNeverEnds(t *testing.T) {
	clock := newClock()
	s := scenario(500, Exchange)
	s.Faults = []Fault{{Kind: RepeatNext, Route: "content"}}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(Exchange)
	_, first, header := c.get(contentPath(Exchange, clock.Now().Add(-20*time.Hour), clock.Now()))
	address := header.Get("NextPageUri")
	for range 3 {
		_, body, header := c.get(address)
		if header.Get("NextPageUri") != address || string(body) != string(first) {
			t.Fatalf("%s leads to %s", address, header.Get("NextPageUri"))
		}
	}
}

// TestEmptyPageLosesNothing follows empty pages.
func TestEmptyPageLosesNothing(t *testing.T) {
	clock := newClock()
	s := scenario(500, Exchange)
	s.Faults = []Fault{{Kind: EmptyPage, Route: "content", Every: 2}, {Kind: NextEndtime, Route: "content", Every: 3}, {Kind: NextV1, Route: "content"}}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(Exchange)
	compare(t, "with empty pages", c.collect(1, Exchange), c.truthIDs(""))
}

func TestRetryAfterForms(t *testing.T) {
	clock := newClock()
	want := map[string]string{
		"": "", "none": "", "seconds": "5", "decimal": "2.128", "garbage": "soon", "17": "17",
		"date": "Fri, 20 Nov 2026 12:30:10 GMT", "past_date": "Fri, 20 Nov 2026 11:30:00 GMT",
	}
	c := connect(t, StartTest(t, scenario(10, General), Options{Clock: clock}))
	for form, value := range want {
		if err := c.server.SetFaults([]Fault{{Kind: AF429, RetryAfter: form}}); err != nil {
			t.Fatal(err)
		}
		if o := c.observe("subscriptions/list"); o.header.Get("Retry-After") != value {
			t.Errorf("%q: got %q, want %q", form, o.header.Get("Retry-After"), value)
		}
	}
	if err := c.server.SetFaults([]Fault{{Kind: AF429, RetryAfter: "tomorrow"}}); err == nil {
		t.Error("a wrong retry_after is accepted")
	}
}

func TestFaultConditions(t *testing.T) {
	feed := &feed{tenant: &tenant{Tenant: Tenant{ID: testTenant}}, contentType: General}
	blob := func(n int) call {
		return call{route: "blob", tenant: testTenant, contentType: General, target: strings.Repeat("x", n), blob: blobKey{feed: feed, n: n}}
	}
	count := func(f Fault, calls ...call) (struck []int) {
		in := newInjector(5, []Fault{f})
		for i, c := range calls {
			if _, ok := in.fire(c, time.Minute); ok {
				struck = append(struck, i)
			}
		}
		return struck
	}
	a, b := blob(1), blob(2)
	tests := []struct {
		name  string
		fault Fault
		want  []int
	}{
		{"always", Fault{Kind: AF429}, []int{0, 1, 2, 3, 4, 5}},
		{"first", Fault{Kind: AF429, First: 2}, []int{0, 1}},
		{"every", Fault{Kind: AF429, Every: 3}, []int{2, 5}},
		{"first of each", Fault{Kind: AF429, First: 1, PerTarget: true}, []int{0, 1}},
		{"every of each", Fault{Kind: AF429, Every: 2, PerTarget: true}, []int{2, 3}},
		{"other route", Fault{Kind: AF429, Route: "content"}, nil},
		{"subscriptions", Fault{Kind: AF429, Route: "subscriptions"}, nil},
		{"other type", Fault{Kind: AF429, ContentType: DLP}, nil},
		{"other tenant", Fault{Kind: AF429, Tenant: testApp}, nil},
		{"too early", Fault{Kind: AF429, After: Duration(2 * time.Minute)}, nil},
		{"too late", Fault{Kind: AF429, Until: Duration(time.Minute)}, nil},
	}
	for _, test := range tests {
		if got := count(test.fault, a, b, a, b, a, b); !slices.Equal(got, test.want) {
			t.Errorf("%s: struck %v, want %v", test.name, got, test.want)
		}
	}
	var calls []call
	for i := range 2000 {
		calls = append(calls, blob(i%500))
	}
	half := Fault{Kind: AF429, Probability: 0.25}
	if got := count(half, calls...); len(got) < 420 || len(got) > 580 || !slices.Equal(got, count(half, calls...)) {
		t.Errorf("probability 0.25 struck %d of 2000", len(got))
	}
	gone := count(Fault{Kind: NotFound, Probability: 0.25}, calls...)
	for i, n := range gone[:len(gone)/4] {
		if gone[i+len(gone)/4] != n+500 {
			t.Fatal("loss of a blob depends on more than the blob")
		}
	}
}

func TestThrottle(t *testing.T) {
	clock := newClock()
	s := scenario(10, General)
	s.Throttle = Throttle{RequestsPerMinute: 5, RetryAfter: "decimal"}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	ask := func(publisher string) int {
		req := c.request(http.MethodGet, "subscriptions/list")
		req.URL.RawQuery = publisher
		status, body, header := c.must(req)
		if status == 403 && (codeOf(body) != "AF429" || header.Get("Retry-After") != "2.128") {
			t.Errorf("throttled: %v %s", header, body)
		}
		return status
	}
	mine := "PublisherIdentifier=" + testPublisher
	for i := range 5 {
		clock.Advance(10 * time.Second)
		if status := ask(mine); status != 200 {
			t.Errorf("request %d: %d", i, status)
		}
	}
	if ask(mine) != 403 || ask("") != 200 {
		t.Error("the sixth request of a publisher must be refused, those of others not")
	}
	clock.Advance(15 * time.Second) // the first left the window, but the refused one counts
	if ask(mine) != 403 {
		t.Error("refused requests must count")
	}
	clock.Advance(time.Minute)
	if ask(mine) != 200 {
		t.Error("after a quiet minute requests pass")
	}
}

func TestTokenFaults(t *testing.T) {
	c := connect(t, StartTest(t, scenario(10, General)))
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {testApp}, "client_secret": {testSecret}, "scope": {scopeText}}
	for kind, want := range map[Kind]int{TooMany: 429, ServerError: 500, Unavailable: 503, Unauthorized: 401, HTML200: 200} {
		if err := c.server.SetFaults([]Fault{{Kind: kind, Route: "token"}}); err != nil {
			t.Fatal(err)
		}
		status, body, _ := c.post("/"+testTenant+"/oauth2/v2.0/token", form)
		if status != want || strings.Contains(string(body), "access_token") {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
}

func TestRecutAndWideWindow(t *testing.T) {
	clock := newClock()
	s := scenario(500, Exchange)
	s.Recut, s.WideWindow = true, "partial"
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(Exchange)
	even, _ := c.list(Exchange, clock.Now().Add(-22*time.Hour), clock.Now().Add(time.Second))
	odd, _ := c.list(Exchange, clock.Now().Add(-22*time.Hour-time.Minute), clock.Now().Add(time.Second))
	if len(even) != 50 || len(odd) != 100 {
		t.Errorf("%d blobs for an even start, %d for an odd one, want 50 and 100", len(even), len(odd))
	}
	first, second := c.records(odd[0].ContentURI), c.records(odd[1].ContentURI)
	if len(first)+len(second) != 10 || len(first) == 0 || odd[0].ContentID == even[0].ContentID {
		t.Errorf("halves of %d and %d records", len(first), len(second))
	}
	own, _ := c.list(Exchange, even[3].ContentCreated.Truncate(time.Second), clock.Now())
	if n := len(c.records(own[0].ContentURI)); n != 5 || own[0].ContentCreated != even[3].ContentCreated {
		t.Errorf("a listing from a blob's own creation shows %d of 10 records", n)
	}
	wide, _ := c.list(Exchange, clock.Now().Add(-26*time.Hour), clock.Now().Add(time.Second))
	if len(wide) == 0 || len(wide) >= 45 {
		t.Errorf("a wide window shows %d of 50 blobs", len(wide))
	}
}
