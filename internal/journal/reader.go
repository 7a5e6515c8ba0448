package journal

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/internal/fault"
)

// Message is what a reader gets, in the order of the stream.
type Message struct {
	Stream  string // identity of the stream
	Seq     uint64
	Written time.Time
	Fence   bool   // carries no records
	Epoch   string // of the publisher
	Number  int64  // of the batch, 0 for a fence
	Data    []byte // encoded batch; see Decode
}

// Reader reads the journal forward. It is for one goroutine.
type Reader struct {
	j    *Journal
	msgs jetstream.MessagesContext
	next uint64
}

// Read returns a reader whose first message is at sequence from. A first message above from means that the part
// between was trimmed: Next then fails with fault.Gone.
func (j *Journal) Read(ctx context.Context, from uint64) (*Reader, error) {
	cons, err := j.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		InactiveThreshold: 5 * time.Minute,
	})
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "read journal", err)
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(8))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "read journal", err)
	}
	return &Reader{j: j, msgs: msgs, next: max(from, 1)}, nil
}

// Next waits for the next message until ctx ends.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	for {
		msg, err := r.msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return Message{}, ctx.Err()
			}
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				return Message{}, fault.Wrap(fault.Canceled, "read journal", err)
			}
			return Message{}, fault.Wrap(fault.Unavailable, "read journal", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return Message{}, fault.Wrap(fault.Internal, "read journal", err)
		}
		seq := meta.Sequence.Stream
		if seq < r.next {
			continue // redelivered after a reconnect
		}
		if seq > r.next {
			return Message{}, fault.Newf(fault.Gone, "read journal", "sequence %d is missing, the next one is %d", r.next, seq)
		}
		r.next = seq + 1
		number, _ := strconv.ParseInt(msg.Headers().Get(headerBatch), 10, 64)
		return Message{
			Stream: r.j.streamID, Seq: seq, Written: meta.Timestamp, Fence: msg.Headers().Get(headerKind) == kindFence,
			Epoch: msg.Headers().Get(headerEpoch), Number: number, Data: msg.Data(),
		}, nil
	}
}

// Close ends the reader.
func (r *Reader) Close() { r.msgs.Stop() }
