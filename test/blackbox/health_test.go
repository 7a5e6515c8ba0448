package blackbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/m365sim"
	"sluice/internal/notify"
)

// noticeLimit is how long a failure may take from its beginning until it is told: an interval of listings, half a
// minute until the health is looked at, and a slow machine.
const noticeLimit = 4 * time.Minute

// inbox receives the messages of a webhook.
type inbox struct {
	mu       sync.Mutex
	messages []notify.Message
	wrong    []string
}

// ServeHTTP implements http.Handler.
func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m notify.Message
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.wrong = append(b.wrong, err.Error())
	case r.Header.Get("Authorization") != "Bearer "+hookToken || r.Header.Get(notify.HeaderID) != m.ID:
		b.wrong = append(b.wrong, fmt.Sprintf("headers %v of message %s", r.Header, m.ID))
	case strings.Contains(string(body), credential) || strings.Contains(string(body), hookToken):
		b.wrong = append(b.wrong, "a secret in "+string(body))
	}
	b.messages = append(b.messages, m)
	w.WriteHeader(http.StatusAccepted)
}

// told is what was received: the title of each message.
func (b *inbox) told() (titles []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		titles = append(titles, m.Title)
	}
	return titles
}

const hookToken = "token~of~the~receiver"

// TestNotifications: a webhook is told once that the credential of a tenant stopped working, and once that it works
// again after a connection test passed.
func TestNotifications(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 11, Tenants: []m365sim.Tenant{tenant(100)}})
	box := &inbox{}
	hook := httptest.NewServer(box)
	t.Cleanup(hook.Close)
	p := newPlace(t)
	p.extra = append(p.extra, "SLUICE_TEST_HOOK=Bearer "+hookToken)
	s := p.launch("--data", p.data, "--config", write(t, p.root, "sluice.yaml", fmt.Sprintf(`lake:
  commit_interval: 1s
notifications:
  - name: soc
    type: webhook
    url: %s/hooks/1
    authorization: ${env:SLUICE_TEST_HOOK}
    group_wait: 0s
`, hook.URL)))
	s.waitUp()
	p.run("test", "soc").wants(t, 0, "passed  message: the receiver accepted a test message")
	p.must("get", "notifications")
	p.apply(sim, map[string]string{"content_types": "[Audit.General]"})
	p.shows(connector+anyCT, "ok")
	sim.Freeze() // what is listed now has landed; only listings can fail
	eventually(t, settleLimit, func() (bool, string) {
		st := p.status()[connector+anyCT]
		return st.Pending == 0 && st.State == "ok", fmt.Sprintf("%+v", st)
	})

	if err := sim.SetFaults([]m365sim.Fault{{Route: "content", Kind: m365sim.Unauthorized}, {Route: "token", Kind: m365sim.Unauthorized}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, noticeLimit, func() (bool, string) { return len(box.told()) > 1, fmt.Sprint(box.told(), p.status()[connector+anyCT]) })
	p.run("status", connector, "--conditions").wants(t, 0, "listing", "error", "auth")
	p.run("get", "notifications").wants(t, 0, "soc", "webhook")
	p.run("test", connector).wants(t, 1, "checks failed")

	if err := sim.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	p.run("test", connector).wants(t, 0)
	eventually(t, noticeLimit, func() (bool, string) { return len(box.told()) > 2, fmt.Sprint(box.told()) })
	p.shows(connector+anyCT, "ok")
	p.run("status", connector, "--history").wants(t, 0, "ok ", "error", "tested")

	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.wrong) > 0 {
		t.Errorf("what the receiver got is wrong: %q", box.wrong)
	}
	var kinds []string
	for _, m := range box.messages {
		for _, e := range m.Events {
			kinds = append(kinds, string(e.Kind)+" "+e.Connector+" "+string(e.Condition))
		}
	}
	want := []string{"test  ", "problem " + connector + " listing", "resolved " + connector + " listing"}
	if !slices.Equal(kinds, want) {
		t.Errorf("told %q, want %q", kinds, want)
	}
}
