package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"testing"
	"time"
)

func TestRowRoundTrip(t *testing.T) {
	rows := [][]any{
		{nil, true, false, int64(math.MinInt64), int64(9007199254740993), 1.5, "text", "", nil},
		{time.Date(2026, 11, 21, 1, 2, 3, 4000, time.UTC), json.RawMessage(`[1]`), json.Number("170141183460469231731687303715884105727"), nil, nil, nil, nil, nil, "last"},
		{nil, nil, nil, nil, nil, nil, nil, nil, nil},
	}
	var buf []byte
	var err error
	for _, r := range rows {
		if buf, err = EncodeRow(buf, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range rows {
		got := make([]any, len(want))
		if buf, err = DecodeRow(buf, got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, %v; want %#v", got, err, want)
		}
	}
	if _, err := EncodeRow(nil, []any{struct{}{}}); err == nil {
		t.Error("a value of an unknown type was encoded")
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, Done, DoneBody{Rows: 3}); err != nil {
		t.Fatal(err)
	}
	cut := b.Bytes()[:b.Len()-1]
	if _, _, err := ReadFrame(bytes.NewReader(cut)); err == nil || err == io.EOF { //nolint:errorlint // exactly EOF is the clean end
		t.Errorf("cut frame: got %v", err)
	}
	typ, body, err := ReadFrame(&b)
	if err != nil || typ != Done || string(body) != `{"rows":3}` {
		t.Errorf("got %c %s %v", typ, body, err)
	}
	if _, _, err := ReadFrame(&b); err != io.EOF { //nolint:errorlint // exactly EOF is the clean end
		t.Errorf("end: got %v", err)
	}
}

func FuzzDecodeRow(f *testing.F) {
	seed, _ := EncodeRow(nil, []any{"a", int64(1), nil, 2.5})
	f.Add(seed)
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, src []byte) {
		row := make([]any, 4)
		rest, err := DecodeRow(src, row)
		if err == nil && len(rest) >= len(src) {
			t.Errorf("nothing was consumed of %x", src)
		}
	})
}
