package collect

import (
	"testing"
	"time"

	"sluice/internal/record"
)

// TestVerifyCountsWhatIsOnItsWay: what is published and not yet in the lake is not missing.
func TestVerifyCountsWhatIsOnItsWay(t *testing.T) {
	p := newProof(t, 3)
	r := p.start()
	r.publisher.cfg.Lake = &slowLake{fakeLake: p.lake} // nobody collects yet
	r.manager.Start(p.cfg)
	p.waitLanded(general, 3)
	p.whole(r, 3)
}

// TestVerifyComparesRecords: the lake has as many rows as it should, but not the right ones.
func TestVerifyComparesRecords(t *testing.T) {
	for _, tt := range []struct {
		name  string
		extra func(p *proof) string // id of the row that is there instead of one that is not
		want  Verdict
		word  string
	}{
		{"another record in its place", func(*proof) string { return "o365:another" }, Missing, "missing"},
		{"one twice and one missing", func(p *proof) string { return p.idOf(1, 0) }, Surplus, "surplus"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProof(t, 0)
			unit := p.src.add(general, "u1", time.Now().UTC().Add(-3*time.Hour), rec("1a", ""), rec("1b", ""))
			r := p.start()
			r.manager.Start(p.cfg)
			p.waitLanded(general, 1)
			id := tt.extra(p)
			p.lake.lose(p.idOf(1, 1))
			p.lake.mu.Lock()
			p.lake.kept = append(p.lake.kept, lakeRow{
				Stored: Stored{ID: id, Held: Held{Index: record.WindowsEvents, Seq: 9_000_000}}, connect: "c1",
				unit: record.BatchUnit{ID: unit.ID("c1"), ContentType: general, ContentID: unit.ContentID, Created: unit.Created},
			})
			p.lake.mu.Unlock()
			f := p.verify(r, false)
			if len(f.Findings) != 1 || f.Findings[0].Verdict != tt.want || f.Findings[0].Found != 2 || f.Findings[0].ContentID != "u1" {
				t.Errorf("findings %+v, want %s for u1 with 2 records", f.Findings, tt.word)
			}
		})
	}
}
