package lake

import (
	"runtime"
	"testing"
	"time"

	"sluice/internal/normalize"
	"sluice/internal/record"
)

// TestMemory compares what the buffers say of their memory with what they hold.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("builds 20,000 records")
	}
	norm, err := normalize.New()
	if err != nil {
		t.Fatal(err)
	}
	p := newPending(norm)
	for _, index := range Indices() {
		p.open(index, newColumnSet(normalize.Columns), Position{})
	}
	live := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	gen := newSynth()
	before := live()
	for seq := uint64(1); seq <= 40; seq++ {
		e := gen.entries(500)[0]
		e.Seq = seq
		p.add(&e, time.Unix(0, 0))
	}
	used, said := live()-before, p.bytes()
	t.Logf("%d rows: %d MB, estimated %d MB", p.rows(), used>>20, said>>20)
	if used > said*3/2 || said > used*3/2 {
		t.Errorf("%d bytes are estimated as %d", used, said)
	}
	for seq := uint64(41); seq <= 400; seq++ { // rows of many days
		e := batchOf(seq, `{"CreationTime":"`+time.Unix(int64(seq)*86400, 0).UTC().Format("2006-01-02T15:04:05")+`","A":"b"}`)
		p.add(&e, time.Unix(0, 0))
	}
	if perDay := (live() - before - used) / 360; perDay > 1<<17 {
		t.Errorf("a day with one row holds %d bytes", perDay)
	}
	runtime.KeepAlive(p.tables[record.WindowsEvents])
}
