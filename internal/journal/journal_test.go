package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/fault"
	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample(n int) *record.Batch {
	b := &record.Batch{
		Epoch: "7c5b", Number: 42,
		Connectors: []record.Connector{{ID: "c1", Name: "contoso", Type: "office365", TenantName: "Contoso", DirectoryID: "d"}},
		Units:      []record.BatchUnit{{ID: record.UnitID{1, 2}, ContentType: "Audit.General", ContentID: "a$b", Created: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}},
	}
	for i := range n {
		b.Records = append(b.Records, record.Record{
			ID: fmt.Sprintf("o365:%d", i), Index: record.WindowsEvents, Received: int64(1_700_000_000_000 - i), Offset: int64(i * 7),
			Raw: fmt.Appendf(nil, "{\"Id\":\"%d\",\n\"x\":\"\\/\"}", i),
		})
	}
	if n > 1 {
		b.Records[1].Index, b.Records[1].Reason, b.Records[1].VariantOf = record.Quarantine, "not JSON", "o365:0"
	}
	return b
}

func codec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCodecRoundTrip(t *testing.T) {
	c := codec(t)
	for _, n := range []int{0, 1, 2, 1000} {
		want := sample(n)
		data, err := c.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.Clone(data)
		again, _ := c.Encode(want)
		if !bytes.Equal(data, again) {
			t.Errorf("%d records: encoding is not stable", n)
		}
		got, err := c.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Records) == 0 {
			got.Records = nil
		}
		for i := range want.Records {
			for _, r := range []*record.Record{&want.Records[i], &got.Records[i]} {
				if len(r.Raw) == 0 {
					r.Raw = nil
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d records: got %+v, want %+v", n, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := codec(f)
	for _, n := range []int{0, 3} {
		data, err := c.Encode(sample(n))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := c.dec.DecodeAll(data, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		b, err := c.Decode(c.enc.EncodeAll(plain, nil))
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatalf("kind %s, want malformed", fault.KindOf(err))
			}
			return
		}
		if _, err := c.Encode(b); err != nil {
			t.Fatalf("a decoded batch cannot be encoded: %v", err)
		}
	})
}

func open(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

func publish(t *testing.T, j *Journal, number int64, after uint64, size int) Ack {
	t.Helper()
	ack, err := j.Publish(t.Context(), "e1", number, bytes.Repeat([]byte{byte(number)}, size), after)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func TestPublishReadTrimReopen(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir, FirstSeq: 100})
	if !j.Created() {
		t.Error("a new folder must create the stream")
	}
	if first, last, err := j.Bounds(t.Context()); err != nil || first != 100 || last != 99 {
		t.Fatalf("empty stream: first %d last %d err %v, want 100 99", first, last, err)
	}
	last := uint64(99)
	for n := range int64(5) {
		last = publish(t, j, n, last, 10).Seq
	}
	if last != 104 {
		t.Fatalf("last sequence %d, want 104", last)
	}
	if ack := publish(t, j, 4, 103, 10); !ack.Duplicate || ack.Seq != 104 {
		t.Errorf("resend: %+v, want duplicate of 104", ack)
	}
	if _, err := j.Publish(t.Context(), "e0", 9, []byte("x"), 103); !fault.Is(err, fault.Conflict) {
		t.Errorf("stale publisher: %v, want conflict", err)
	}
	if ok, err := j.Find(t.Context(), 104, "e1", 4); err != nil || !ok {
		t.Errorf("Find own batch: %v %v", ok, err)
	}
	if ok, err := j.Find(t.Context(), 999, "e1", 4); err != nil || ok {
		t.Errorf("Find past the end: %v %v", ok, err)
	}
	if err := j.Trim(t.Context(), 101); err != nil {
		t.Fatal(err)
	}
	id := j.StreamID()
	j.Close()

	j = open(t, Config{Dir: dir})
	if j.StreamID() != id || j.Created() {
		t.Error("the stream changed its identity over a restart")
	}
	r, err := j.Read(t.Context(), 102)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for want := uint64(102); want <= 104; want++ {
		m, err := r.Next(t.Context())
		if err != nil || m.Seq != want || m.Number != int64(want-100) || m.Epoch != "e1" || m.Stream != id {
			t.Fatalf("message %+v err %v, want sequence %d", m, err, want)
		}
	}
	early, err := j.Read(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if _, err := early.Next(t.Context()); !fault.Is(err, fault.Gone) {
		t.Errorf("reading below the trimmed part: %v, want gone", err)
	}
}

func TestFenceStopsOldPublisher(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	seq := publish(t, j, 1, 0, 10).Seq
	fence, err := j.Fence(t.Context(), "e2", seq)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Publish(t.Context(), "e1", 2, []byte("late"), seq); !fault.Is(err, fault.Conflict) {
		t.Errorf("old publisher after the fence: %v, want conflict", err)
	}
	r, err := j.Read(t.Context(), fence.Seq)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m, err := r.Next(t.Context()); err != nil || !m.Fence || m.Epoch != "e2" {
		t.Errorf("fence read as %+v, %v", m, err)
	}
}

func TestReaderWaitsAndStops(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	r, err := j.Read(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make(chan Message, 1)
	go func() {
		m, err := r.Next(t.Context())
		if err == nil {
			got <- m
		}
		close(got)
	}()
	publish(t, j, 1, 0, 10)
	if m := <-got; m.Seq != 1 {
		t.Errorf("waiting reader got %+v", m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled reader: %v", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	c := codec(b)
	batch := sample(2000)
	var size int
	for b.Loop() {
		data, err := c.Encode(batch)
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(float64(size), "bytes")
}

// TestCluster uses a server that listens, as a NATS cluster outside of the process would.
func TestCluster(t *testing.T) {
	s := outside(t)
	j := open(t, Config{URL: s.ClientURL(), FirstSeq: 7})
	if seq := publish(t, j, 1, 6, 2<<20).Seq; seq != 7 {
		t.Errorf("first sequence %d, want 7", seq)
	}
	id := j.StreamID()
	j.Close()
	j = open(t, Config{URL: s.ClientURL()})
	if j.StreamID() != id || j.Created() {
		t.Error("joining again must find the same stream")
	}
	r, err := j.Read(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m, err := r.Next(t.Context()); err != nil || m.Seq != 7 || len(m.Data) != 2<<20 {
		t.Errorf("read %d bytes at %d: %v", len(m.Data), m.Seq, err)
	}
	if _, err := Open(t.Context(), Config{URL: "nats://user:hidden@127.0.0.1:1"}); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody there: %v", err)
	}
}
