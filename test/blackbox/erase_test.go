package blackbox

import (
	"fmt"
	"strings"
	"testing"
)

// TestErase erases what was collected for a tenant that left, beside one that stays, and collects it anew when it is back.
func TestErase(t *testing.T) {
	t.Parallel()
	p, s, sim, report := collected(t, 45)
	file := write(t, p.root, "other.ndjson", audit("erase-1", "FileDownloaded")+"\nno record\n")
	p.must("import", "--type", "office365", "--tenant-name", "Fabrikam", file)

	refused := p.run("erase", "Contoso", "--yes")
	refused.wants(t, 1)
	if !strings.Contains(refused.errors, "has connectors: "+connector) {
		t.Errorf("the refusal says: %s", refused.errors)
	}
	p.run("erase", "Contosso", "--yes").wants(t, 1)
	p.must("delete", connector, "--yes")
	want := fmt.Sprintf("erased %s records of the tenant Contoso", count(report.Totals.Records))
	if got := p.must("erase", "Contoso", "--yes"); !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	all, bad := p.records("all"), p.records("quarantine")
	if len(all) != 1 || !strings.Contains(all[0].ID, "erase-1") || len(bad) != 1 {
		t.Errorf("%d records and %d malformed items are left, want those of the other tenant", len(all), len(bad))
	}
	s.interrupt()
	s = p.start()
	p.must("erase", "Fabrikam", "--yes")
	if tenants := p.must("get", "tenants", "-o", "json"); strings.Count(tenants, `"erased_at": "20`) != 2 {
		t.Errorf("get tenants: %s", tenants)
	}
	p.apply(sim, nil)
	p.works()
	p.finish(sim)
	if again := p.verify(0); again.Totals.Records != report.Totals.Records {
		t.Errorf("collected anew: %d records, at first %d", again.Totals.Records, report.Totals.Records)
	}
	s.interrupt()
}

// count prints a number as tables do.
func count(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", count(n/1000), n%1000)
}
