package m365sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// hookSide is a webhook that remembers what it was sent and answers as told.
type hookSide struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	posts  int // notifications, also refused ones
	told   []notification
	authID string
}

func newHookSide(t *testing.T) *hookSide {
	h := &hookSide{status: http.StatusOK}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.Header.Get("Webhook-ValidationCode") != "" {
			return
		}
		h.posts++
		h.authID = r.Header.Get("Webhook-AuthID")
		var items []notification
		if err := json.Unmarshal(body, &items); err != nil || len(items) == 0 {
			t.Errorf("notification %.200s: %v", body, err)
		}
		if h.status == http.StatusOK {
			h.told = append(h.told, items...)
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hookSide) answer(status int) {
	h.mu.Lock()
	h.status = status
	h.mu.Unlock()
}

func (h *hookSide) seen() (posts int, told []notification) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.posts, append([]notification(nil), h.told...)
}

// hooked starts a simulator with a blob every ten minutes, and a client.
func hooked(t *testing.T, h *hookSide, change func(*Scenario)) (*HandClock, *client) {
	sc, clk := scenario(10, General), newClock()
	sc.Tenants[0].Traffic[0].Rate = 1 // ten events a blob
	sc.TokenLifetime = Duration(30 * 24 * time.Hour)
	if change != nil {
		change(&sc)
	}
	c := connect(t, StartTest(t, sc, Options{Clock: clk, TokensByClock: true, WebhookClient: h.Client()}))
	return clk, c
}

func (c *client) startHook(body string) (int, string) {
	c.t.Helper()
	req := c.request(http.MethodPost, "subscriptions/start?contentType="+General)
	req.Body = io.NopCloser(strings.NewReader(body))
	status, answer, _ := c.must(req)
	return status, codeOf(answer)
}

func (c *client) hookStatus() string {
	c.t.Helper()
	_, body, _ := c.get("subscriptions/list")
	var subs []view
	decode(c.t, body, &subs)
	if len(subs) != 1 || subs[0].Webhook == nil {
		return "none"
	}
	return subs[0].Webhook.Status
}

func hookBody(address string) string {
	return `{"webhook":{"address":"` + address + `","authId":"abc","expiration":""}}`
}

func TestNotificationsTellWhatAppears(t *testing.T) {
	h := newHookSide(t)
	clk, c := hooked(t, h, nil)
	if status, _ := c.startHook(hookBody(h.URL)); status != http.StatusOK {
		t.Fatalf("start: %d", status)
	}
	if status, code := c.startHook(hookBody(h.URL)); status != http.StatusBadRequest || code != "AF20024" {
		t.Errorf("the same again: %d %s", status, code)
	}
	began := clk.Now()
	c.server.Notify(t.Context())
	if posts, _ := h.seen(); posts != 0 {
		t.Errorf("%d notifications of old content", posts)
	}
	clk.Advance(55 * time.Minute)
	c.server.Notify(t.Context())
	listed, _ := c.list(General, began.Add(time.Second), clk.Now())
	_, told := h.seen()
	if len(told) != len(listed) || len(told) < 5 || h.authID != "abc" {
		t.Fatalf("told of %d blobs with %q, listed %d", len(told), h.authID, len(listed))
	}
	for i, n := range told {
		if n.TenantID != testTenant || n.ClientID != testApp || n.ContentType != General || n.ContentID != listed[i].ContentID+"$IsFromNotification" {
			t.Errorf("blob %d: %+v, listed %+v", i, n, listed[i])
		}
	}
	if records := c.records(told[0].ContentURI); len(records) != 10 {
		t.Errorf("the blob of a notification has %d records", len(records))
	}

	// All attempts are listed, page by page.
	address, items := "subscriptions/notifications?contentType="+General+"&startTime="+began.Format(apiTime)+"&endTime="+clk.Now().Add(time.Minute).Format(apiTime), 0
	for address != "" {
		status, body, header := c.get(address)
		var page []struct{ ContentID, NotificationSent, NotificationStatus string }
		decode(t, body, &page)
		if status != http.StatusOK || len(page) == 0 || page[0].NotificationStatus != "success" || page[0].NotificationSent == "" {
			t.Fatalf("attempts: %d %s", status, body)
		}
		items += len(page)
		address = header.Get("NextPageUri")
	}
	if items != len(told) {
		t.Errorf("%d attempts listed, %d told", items, len(told))
	}
}

func TestAttemptsArePagedAndNeedASubscription(t *testing.T) {
	h := newHookSide(t)
	clk, c := hooked(t, h, func(sc *Scenario) { sc.PageSize = 2 })
	path := "subscriptions/notifications?contentType=" + General
	c.expect(http.MethodGet, path, http.StatusBadRequest, "AF20022")
	c.startHook(hookBody(h.URL))
	clk.Advance(time.Hour)
	c.server.Notify(t.Context())
	clk.Advance(time.Minute) // the window ends now, without what was created now
	pages, seen := 0, map[string]bool{}
	for address := path; address != ""; pages++ {
		_, body, header := c.get(address)
		var page []item
		decode(t, body, &page)
		for _, it := range page {
			seen[it.ContentID] = true
		}
		address = header.Get("NextPageUri")
	}
	if _, told := h.seen(); pages < 3 || len(seen) != len(told) {
		t.Errorf("%d pages with %d blobs, told %d", pages, len(seen), len(told))
	}
	c.must(c.request(http.MethodPost, "subscriptions/stop?contentType="+General))
	c.expect(http.MethodGet, path, http.StatusBadRequest, "AF20023")
}

func TestFailingWebhookIsRetriedThenDisabled(t *testing.T) {
	h := newHookSide(t)
	clk, c := hooked(t, h, nil)
	c.startHook(hookBody(h.URL))
	h.answer(http.StatusServiceUnavailable)
	clk.Advance(15 * time.Minute)
	c.server.Notify(t.Context())
	c.server.Notify(t.Context())
	if posts, _ := h.seen(); posts != 1 {
		t.Fatalf("%d attempts at once, want 1: retries are spaced", posts)
	}
	h.answer(http.StatusOK)
	clk.Advance(firstWebhookRetry)
	c.server.Notify(t.Context())
	if _, told := h.seen(); len(told) == 0 {
		t.Error("nothing was told again after a failure")
	}

	h.answer(http.StatusNoContent) // no 200 is a failure
	clk.Advance(15 * time.Minute)
	for n := 1; n <= webhookFailures; n++ {
		// Before the clock moves on, or the server itself makes the next attempt.
		c.server.Notify(t.Context())
		if status, last := c.hookStatus(), n == webhookFailures; (status == "disabled") != last {
			t.Fatalf("the webhook is %s after %d failures of %d", status, n, webhookFailures)
		}
		clk.Advance(time.Hour)
	}
	h.answer(http.StatusOK)
	before, _ := h.seen()
	c.server.Notify(t.Context())
	if after, _ := h.seen(); after != before {
		t.Error("a disabled webhook was told something")
	}
	if status, _ := c.startHook(hookBody(h.URL)); status != http.StatusOK || c.hookStatus() != "enabled" {
		t.Errorf("start again: %d, %s", status, c.hookStatus())
	}
	clk.Advance(15 * time.Minute)
	c.server.Notify(t.Context())
	if after, _ := h.seen(); after != before+1 {
		t.Errorf("%d attempts after the webhook was enabled again, want 1", after-before)
	}
}

func TestWebhookExpiresAndIsRemovedByAPlainStart(t *testing.T) {
	h := newHookSide(t)
	clk, c := hooked(t, h, nil)
	c.startHook(strings.Replace(hookBody(h.URL), `"expiration":""`, `"expiration":"`+clk.Now().Add(time.Hour).Format(apiTime)+`"`, 1))
	clk.Advance(2 * time.Hour)
	c.server.Notify(t.Context())
	if posts, _ := h.seen(); posts != 0 || c.hookStatus() != "expired" {
		t.Errorf("%d notifications, %s", posts, c.hookStatus())
	}
	if status, _ := c.startHook(""); status != http.StatusOK || c.hookStatus() != "none" {
		t.Errorf("plain start: %d, %s", status, c.hookStatus())
	}
}

func TestPlainHTTPOnlyOnLoopback(t *testing.T) {
	h := newHookSide(t)
	_, c := hooked(t, h, nil)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(plain.Close)
	if status, code := c.startHook(hookBody("http://hook.example/x")); status != http.StatusBadRequest || code != "AF20021" {
		t.Errorf("plain http: %d %s", status, code)
	}
	if status, code := c.startHook(hookBody(plain.URL)); status != http.StatusOK {
		t.Errorf("plain http on loopback: %d %s", status, code)
	}
}
