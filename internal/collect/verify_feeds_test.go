package collect

import (
	"context"
	"testing"
	"time"

	"sluice/internal/fault"
)

const dlp = "DLP.All"

// deniedSource is a service that does not allow some content types.
type deniedSource struct {
	*fakeSource
	denied map[string]bool
}

func (s *deniedSource) Prepare(_ context.Context, contentTypes []string) (started []string, failed map[string]error) {
	failed = map[string]error{}
	for _, contentType := range contentTypes {
		if s.denied[contentType] {
			failed[contentType] = fault.New(fault.Permission, "prepare "+contentType, "the application lacks the permission")
		}
	}
	return nil, failed
}

// TestVerifyWithoutAPermission: a content type that may not be listed keeps no other from its verdict and its repair.
func TestVerifyWithoutAPermission(t *testing.T) {
	p, r := landedProof(t, 3)
	p.lake.lose(p.idOf(2, 1))
	src := &deniedSource{p.src, map[string]bool{dlp: true}}
	p.cfg.Source, p.cfg.ContentTypes = src, []string{dlp, general}
	report, err := r.manager.Verify(t.Context(), p.cfg, VerifyRequest{Repair: true})
	if err != nil || len(report.Feeds) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	if f := report.Feeds[0]; !fault.Is(f.Err, fault.Permission) || f.Tally != (Tally{}) || len(f.Findings) > 0 {
		t.Errorf("what may not be listed: %+v", f)
	}
	if f := report.Feeds[1]; f.Err != nil || f.Tally.Listed != 3 || f.Tally.Missing != 1 || f.Repaired != 1 {
		t.Errorf("what may be listed: %+v", f)
	}
	src.denied[general] = true
	if _, err := r.manager.Verify(t.Context(), p.cfg, VerifyRequest{}); !fault.Is(err, fault.Permission) {
		t.Errorf("nothing may be listed: %v", err)
	}
}

// TestRepairReadsOtherContentTypesThatHadTheRecord: as TestRepairReadsOtherUnitsThatHadTheRecord, but the record had come with a
// unit of another content type.
func TestRepairReadsOtherContentTypesThatHadTheRecord(t *testing.T) {
	p := newProof(t, 0)
	p.cfg.ContentTypes = []string{dlp, general}
	now := time.Now().UTC()
	p.src.add(general, "g", now.Add(-2*time.Hour), rec("1", ""))
	r := p.start()
	r.manager.Start(p.cfg)
	p.waitLanded(general, 1)
	p.src.add(dlp, "d", now.Add(-time.Hour), rec("1", ""), rec("2", ""))
	signalAll(r, "c1")
	p.waitLanded(dlp, 1)
	p.lake.lose(p.idOfRecord("1"))
	p.src.mu.Lock()
	p.src.units = p.src.units[1:] // general's is not listed any more
	p.src.mu.Unlock()
	if _, err := p.state.DB().ExecContext(t.Context(), `UPDATE units SET expires = 1 WHERE content_id = 'g'`); err != nil {
		t.Fatal(err)
	}
	report, err := r.manager.Verify(t.Context(), p.cfg, VerifyRequest{Repair: true})
	if err != nil {
		t.Fatal(err)
	}
	if f := report.Feeds[1]; f.Tally.Missing != 1 || len(f.Findings) != 1 || f.Findings[0].Repairable {
		t.Errorf("what cannot be had again: %+v", f)
	}
	if f := report.Feeds[0]; f.Tally.Landed != 1 || f.Repaired != 1 {
		t.Errorf("what had the record, too: %+v", f)
	}
	signalAll(r, "c1")
	p.waitFor("the repair", func() bool { return p.total(dlp).Pending == 0 && p.src.fetches(dlp+"|d") == 2 })
	p.waitFor("the record", func() bool { return p.lake.ids(t.Context())[p.idOfRecord("1")] == 1 })
	p.eachOnce(2)
}
