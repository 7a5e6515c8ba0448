package journal

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/klauspost/compress/zstd"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// A message is a zstd frame around
//
//	"SLB1"                                      magic and version
//	uvarint length, JSON                        header: epoch, number, connectors, units
//	per record:
//	  uvarint unit, index, received (zigzag delta to the record before), offset (zigzag)
//	  uvarint length + bytes: id, variant of, reason, raw
//
// Records stay raw bytes with a length in front, because a record may contain line breaks.
const magic = "SLB1"

// window is how far back the compression looks: nearly as good as more, with a quarter of the memory.
const window = 1 << 20

// keptDecoded is the largest buffer that is kept for the next message.
const keptDecoded = 16 << 20

// maxDecoded bounds the memory that decoding one message may take.
const maxDecoded = 256 << 20

type header struct {
	Epoch      string             `json:"epoch"`
	Number     int64              `json:"number"`
	Connectors []record.Connector `json:"connectors"`
	Units      []headerUnit       `json:"units"`
	Records    int                `json:"records"`
}

type headerUnit struct {
	ID          string    `json:"id"`
	Connector   int       `json:"connector"`
	ContentType string    `json:"content_type"`
	ContentID   string    `json:"content_id"`
	Created     time.Time `json:"created"`
}

// indices maps the small numbers of the format to indices. Entries are only ever added.
var indices = []record.Index{record.WindowsEvents, record.Syslog, record.Alerts, record.Quarantine}

// Codec encodes and decodes batches and keeps its buffers. It is for one goroutine.
type Codec struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	plain   []byte
	encoded []byte
	decoded []byte
}

// NewCodec returns a codec.
func NewCodec() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "make journal encoder", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoded))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "make journal decoder", err)
	}
	return &Codec{enc: enc, dec: dec}, nil
}

// Close frees the codec.
func (c *Codec) Close() {
	_ = c.enc.Close()
	c.dec.Close()
}

// Encode returns the message for a batch, valid until the next call. Equal batches give equal bytes.
func (c *Codec) Encode(b *record.Batch) ([]byte, error) {
	h := header{Epoch: b.Epoch, Number: b.Number, Connectors: b.Connectors, Records: len(b.Records)}
	for _, u := range b.Units {
		h.Units = append(h.Units, headerUnit{u.ID.String(), u.Connector, u.ContentType, u.ContentID, u.Created})
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "encode batch", err)
	}
	p := append(c.plain[:0], magic...)
	p = appendBytes(p, text)
	var received int64
	for i := range b.Records {
		r := &b.Records[i]
		code := -1
		for n, index := range indices {
			if index == r.Index {
				code = n
			}
		}
		if code < 0 {
			return nil, fault.Newf(fault.Internal, "encode batch", "index %q has no code", r.Index)
		}
		p = binary.AppendUvarint(p, uint64(r.Unit))
		p = binary.AppendUvarint(p, uint64(code))
		p = binary.AppendVarint(p, r.Received-received)
		p = binary.AppendVarint(p, r.Offset)
		received = r.Received
		p = appendBytes(p, r.ID)
		p = appendBytes(p, r.VariantOf)
		p = appendBytes(p, r.Reason)
		p = appendBytes(p, r.Raw)
	}
	c.plain = p
	c.encoded = c.enc.EncodeAll(p, c.encoded[:0])
	return c.encoded, nil
}

func appendBytes[T string | []byte](p []byte, v T) []byte {
	p = binary.AppendUvarint(p, uint64(len(v)))
	return append(p, v...)
}

// Decode is the inverse of Encode. The raw bytes of the batch's records are valid until the next call. A message that
// was not made by Encode gives fault.Malformed.
func (c *Codec) Decode(data []byte) (*record.Batch, error) {
	if cap(c.decoded) > keptDecoded {
		c.decoded = nil
	}
	plain, err := c.dec.DecodeAll(data, c.decoded[:0])
	c.decoded = plain
	if err != nil {
		return nil, fault.Wrap(fault.Malformed, "decode batch", err)
	}
	d := decoder{rest: plain}
	if string(d.take(len(magic))) != magic {
		return nil, fault.New(fault.Malformed, "decode batch", "not a batch, or of a newer version")
	}
	var h header
	if err := json.Unmarshal(d.bytes(), &h); err != nil {
		return nil, fault.Wrap(fault.Malformed, "decode batch header", err)
	}
	b := &record.Batch{Epoch: h.Epoch, Number: h.Number, Connectors: h.Connectors}
	for _, u := range h.Units {
		id, ok := record.ParseUnitID(u.ID)
		if !ok || u.Connector < 0 || u.Connector >= len(h.Connectors) {
			return nil, fault.New(fault.Malformed, "decode batch", "unit out of range")
		}
		b.Units = append(b.Units, record.BatchUnit{
			ID: id, Connector: u.Connector, ContentType: u.ContentType, ContentID: u.ContentID, Created: u.Created,
		})
	}
	if h.Records < 0 || h.Records > record.MaxBatchRecords {
		return nil, fault.New(fault.Malformed, "decode batch", "record count out of range")
	}
	b.Records = make([]record.Record, 0, min(h.Records, len(plain)/8+1))
	var received int64
	for range h.Records {
		r, ok := d.record(len(b.Units), &received)
		if !ok {
			return nil, fault.New(fault.Malformed, "decode batch", "cut off")
		}
		b.Records = append(b.Records, r)
	}
	return b, nil
}

type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) record(units int, received *int64) (record.Record, bool) {
	unit, code := d.uvarint(), d.uvarint()
	*received += d.varint()
	offset := d.varint()
	r := record.Record{
		Unit: int(unit & (1<<31 - 1)), Received: *received, Offset: offset,
		ID: string(d.bytes()), VariantOf: string(d.bytes()), Reason: string(d.bytes()), Raw: d.bytes(),
	}
	if d.bad || code >= uint64(len(indices)) || r.Unit >= units {
		return r, false
	}
	r.Index = indices[code]
	return r, true
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	return d.take(int(n))
}
