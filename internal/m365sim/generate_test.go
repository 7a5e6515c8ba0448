package m365sim

import (
	"encoding/json"
	"testing"
	"time"
)

// TestGeneratedRecords checks every template: valid JSON, the mandatory members, identity as announced, a realistic
// mean size and a mix of operations.
func TestGeneratedRecords(t *testing.T) {
	vocab := newVocabulary(1, testTenant, "contoso", 500)
	const records = 4000
	total, count := 0, 0
	for _, ct := range ContentTypes() {
		g := &generator{seed: mixText(1, ct), vocab: vocab, menu: menuOf(ct)}
		var w writer
		operations, ids := map[string]int{}, map[string]bool{}
		from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Unix()
		for i := range records {
			body, id := g.append(&w, nil, place{blob: i / 100, index: i % 100, size: 100, from: from, span: 3600}, quirks{})
			var r map[string]any
			if err := json.Unmarshal(body, &r); err != nil {
				t.Fatalf("%s record %d: %v in %s", ct, i, err, body)
			}
			for _, key := range []string{"Id", "RecordType", "CreationTime", "Operation", "OrganizationId", "UserType", "UserKey", "Workload", "UserId"} {
				if r[key] == nil {
					t.Errorf("%s: no %s in %s", ct, key, body)
				}
			}
			if want := newFileRecord(testTenant, body); want.id != id.String() || want.malformed {
				t.Errorf("%s: identity %s, announced %s", ct, want.id, id)
			} else if want.feed != ct {
				t.Errorf("%s: would be served in %s: %.200s", ct, want.feed, body)
			}
			operations[id.operation]++
			ids[id.id] = true
			total += len(body)
			count++
		}
		if len(ids) != records || len(operations) < 3 {
			t.Errorf("%s: %d distinct ids of %d, operations %v", ct, len(ids), records, operations)
		}
		if ct == SharePoint && operations["FileDownloaded"] < records/10 {
			t.Errorf("FileDownloaded is rare: %v", operations)
		}
	}
	if mean := total / count; mean < 1500 || mean > 2000 {
		t.Errorf("mean size is %d bytes, want about 1750", mean)
	}
}

// TestAlertsShareTheirID checks that entities of an alert carry the AlertId, name and policy of its trigger.
func TestAlertsShareTheirID(t *testing.T) {
	g := &generator{seed: 3, vocab: newVocabulary(1, testTenant, "contoso", 50), menu: generalMenu}
	type alert struct{ AlertID, Name, PolicyID, ObjectID, Operation, Data string }
	triggers, joined := map[string]alert{}, 0
	var entities []alert
	var w writer
	for i := range 3000 {
		body, id := g.append(&w, nil, place{blob: 1, index: i, size: 3000, span: 60}, quirks{})
		if id.recordType != "40" {
			continue
		}
		var a alert
		decode(t, body, &a)
		var data map[string]string
		decode(t, []byte(a.Data), &data)
		if a.Operation == "AlertTriggered" {
			if _, twice := triggers[a.AlertID]; twice || a.ObjectID != a.AlertID {
				t.Errorf("trigger %+v: once per alert, ObjectId is AlertId", a)
			}
			triggers[a.AlertID] = a
		} else {
			entities = append(entities, a)
		}
	}
	for _, e := range entities {
		if trigger, ok := triggers[e.AlertID]; ok {
			joined++
			if trigger.Name != e.Name || trigger.PolicyID != e.PolicyID {
				t.Errorf("entity %+v differs from its trigger %+v", e, trigger)
			}
		}
	}
	if len(triggers) < 20 || joined < len(entities)*8/10 {
		t.Errorf("%d triggers, %d of %d entities joined", len(triggers), joined, len(entities))
	}
}

func TestRecordsAreReproducible(t *testing.T) {
	render := func(seed uint64) string {
		g := &generator{seed: seed, vocab: newVocabulary(seed, testTenant, "contoso", 50), menu: exchangeMenu}
		var w writer
		body, _ := g.append(&w, nil, place{blob: 9, index: 3, size: 10, from: 1_700_000_000, span: 60}, quirks{})
		return string(body)
	}
	if first, again := render(1), render(1); first != again || first == render(2) {
		t.Error("records must depend on the seed and on nothing else")
	}
}

func BenchmarkGenerate(b *testing.B) {
	vocab := newVocabulary(1, testTenant, "contoso", 3000)
	for _, ct := range ContentTypes() {
		b.Run(ct, func(b *testing.B) {
			g := &generator{seed: 1, vocab: vocab, menu: menuOf(ct)}
			var w writer
			var buf []byte
			for i := 0; b.Loop(); i++ {
				buf, _ = g.append(&w, buf[:0], place{blob: i / 100, index: i % 100, size: 100, from: 1_700_000_000, span: 60}, quirks{})
				b.SetBytes(int64(len(buf)))
			}
		})
	}
}
