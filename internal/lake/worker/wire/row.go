package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"sluice/internal/fault"
)

// Tags of values. An absent column is NULL.
const (
	tagFalse byte = iota
	tagTrue
	tagInt
	tagFloat
	tagText
	tagTime   // Unix microseconds
	tagJSON   // JSON text of a list, struct or map
	tagNumber // decimal text of a number that neither int64 nor float64 holds
)

// EncodeRow appends a row. Values are nil, bool, int64, float64, string, time.Time, json.RawMessage or json.Number.
//
// A row is the number of values that are not NULL, then for each of them the distance of its column from the one
// before, a tag and the value.
func EncodeRow(dst []byte, row []any) ([]byte, error) {
	set := 0
	for _, v := range row {
		if v != nil {
			set++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(set)) // #nosec G115 -- not negative
	last := 0
	for i, v := range row {
		if v == nil {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(i-last)) // #nosec G115 -- not negative
		last = i
		switch v := v.(type) {
		case bool:
			if v {
				dst = append(dst, tagTrue)
			} else {
				dst = append(dst, tagFalse)
			}
		case int64:
			dst = binary.AppendVarint(append(dst, tagInt), v)
		case float64:
			dst = binary.BigEndian.AppendUint64(append(dst, tagFloat), math.Float64bits(v))
		case string:
			dst = appendText(append(dst, tagText), v)
		case time.Time:
			dst = binary.AppendVarint(append(dst, tagTime), v.UnixMicro())
		case json.RawMessage:
			dst = appendText(append(dst, tagJSON), string(v))
		case json.Number:
			dst = appendText(append(dst, tagNumber), string(v))
		default:
			return dst, fault.Newf(fault.Internal, "encode row", "column %d has the type %T", i, v)
		}
	}
	return dst, nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// DecodeRow decodes the first row of src into row, which has one place per column and is overwritten, and returns the
// rest of src. Texts do not alias src.
func DecodeRow(src []byte, row []any) ([]byte, error) {
	clear(row)
	d := decoder{src: src}
	n := d.uvarint()
	at := uint64(0)
	for range n {
		at += d.uvarint()
		if d.bad || at >= uint64(len(row)) {
			return nil, d.fail()
		}
		row[at] = d.value()
		if d.bad {
			return nil, d.fail()
		}
	}
	if d.bad {
		return nil, d.fail()
	}
	return d.src, nil
}

type decoder struct {
	src []byte
	bad bool
}

func (d *decoder) fail() error {
	return fault.New(fault.Malformed, "decode row", fmt.Sprintf("%d bytes before the end", len(d.src)))
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.src)) {
		d.bad = true
		return nil
	}
	b := d.src[:n]
	d.src = d.src[n:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.src)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.src)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *decoder) value() any {
	tag := d.take(1)
	if d.bad {
		return nil
	}
	switch tag[0] {
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagInt:
		return d.varint()
	case tagFloat:
		if b := d.take(8); !d.bad {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
		return nil
	case tagText:
		return string(d.take(d.uvarint()))
	case tagTime:
		return time.UnixMicro(d.varint()).UTC()
	case tagJSON:
		return json.RawMessage(string(d.take(d.uvarint())))
	case tagNumber:
		return json.Number(d.take(d.uvarint()))
	}
	d.bad = true
	return nil
}
