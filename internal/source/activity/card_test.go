package activity

import (
	"net/url"
	"strings"
	"testing"

	"sluice/internal/m365"
)

// TestCardFitsTheDriver compares the card with what the driver does: every content type with its permission, every plan
// with the hosts that tokens and requests go to.
func TestCardFitsTheDriver(t *testing.T) {
	p := Properties()
	c := p.Card
	if c.Summary == "" || c.Category == "" || c.Function != "collect" || c.Naming == "" || len(c.Register) == 0 || len(c.Audit) == 0 || len(c.Licences) == 0 {
		t.Errorf("the card has gaps: %+v", c)
	}
	if len(c.Collects) != len(p.ContentTypes) {
		t.Fatalf("%d of %d content types are on the card", len(c.Collects), len(p.ContentTypes))
	}
	granted := map[string]bool{}
	for _, permission := range c.Permissions {
		granted[permission.Name] = true
	}
	for i, collected := range c.Collects {
		if collected.ContentType != p.ContentTypes[i] || collected.What == "" || !granted[collected.Permission] {
			t.Errorf("content type %d: %+v", i, collected)
		}
	}
	if got, want := c.Collects[0].Query, "msg_class:office365_audit_azureactivedirectory"; got != want {
		t.Errorf("query %s, want %s", got, want)
	}
	for _, plan := range m365.Plans() {
		hosts := ""
		for _, e := range c.Egress {
			if e.Plan == plan.Name {
				for _, h := range e.Hosts {
					hosts += " " + h.Name
				}
			}
		}
		for _, address := range []string{plan.APIURL, plan.LoginURL} {
			if u, err := url.Parse(address); err != nil || !strings.Contains(hosts, u.Hostname()) {
				t.Errorf("plan %s: %s is not among the hosts%s", plan.Name, address, hosts)
			}
		}
	}
	if got := strings.Join(c.Lacking(func(string) bool { return false }), " "); got != "ActivityFeed.Read ActivityFeed.ReadDlp" {
		t.Errorf("lacking = %s", got)
	}
	if got := c.Lacking(func(role string) bool { return role == "ActivityFeed.Read" }); len(got) != 1 || got[0] != "ActivityFeed.ReadDlp" {
		t.Errorf("lacking = %v", got)
	}
}
