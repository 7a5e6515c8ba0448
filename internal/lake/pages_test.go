package lake

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/compress"
)

// TestPagesComeBack compresses pages smaller and larger than the window and reads them with arrow-go.
func TestPagesComeBack(t *testing.T) {
	registered, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	ours, ok := registered.(pageCodec)
	if !ok {
		t.Fatalf("pages are compressed by %T", registered)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 1000, pageWindow, 3*pageWindow + 1} {
		page := make([]byte, size)
		for i := range page {
			page[i] = byte(r.IntN(8))
		}
		packed := ours.EncodeLevel(make([]byte, 0, ours.CompressBound(int64(max(size, 1)))), page, zstdLevel)
		if size >= 1000 && len(packed) > size/2 {
			t.Errorf("%d bytes became %d", size, len(packed))
		}
		back, err := ours.DecodeWithError(make([]byte, 0, size), packed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back, page) {
			t.Errorf("a page of %d bytes comes back otherwise", size)
		}
	}
}
