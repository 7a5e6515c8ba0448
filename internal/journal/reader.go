package journal

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/internal/fault"
)

const opRead = "read journal"

// lookEvery is how often a reader that waits looks whether the messages it waits for were trimmed away.
const lookEvery = 2 * time.Second

// lateLooks is after how many looks at a message that is there and does not come a reader opens itself again.
const lateLooks = 5

// reopenAfter is the pause between two tries to open a reader again.
const reopenAfter = 100 * time.Millisecond

// Message is what a reader gets, in the order of the stream.
type Message struct {
	Stream  string // identity of the stream
	Seq     uint64
	Written time.Time
	Fence   bool   // carries no records
	Epoch   string // of the publisher
	Number  int64  // of the batch, 0 for a fence
	Data    []byte // encoded batch; see Codec
}

// Reader reads the journal forward. It is for one goroutine.
type Reader struct {
	j      *Journal
	stream string // identity of the stream that it was opened on
	msgs   jetstream.MessagesContext
	life   context.Context // of the server that msgs come from
	next   uint64
	late   int // looks in a row that found the next message in the stream
}

// Read returns a reader whose first message is at sequence from. A first message above from means that the part
// between was trimmed: Next then fails with fault.Gone.
func (j *Journal) Read(ctx context.Context, from uint64) (*Reader, error) {
	r := &Reader{j: j, stream: j.StreamID(), next: max(from, 1)}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// open makes the consumer that delivers from r.next on.
func (r *Reader) open(ctx context.Context) error {
	r.drop()
	life := r.j.life()
	if life.Err() != nil {
		return r.j.unavailable(opRead, context.Cause(life)) //nolint:contextcheck // the life of the server, not of the call
	}
	cons, err := r.j.handle().OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next,
		InactiveThreshold: 5 * time.Minute, MaxResetAttempts: 1,
	})
	if err != nil {
		return r.j.unavailable(opRead, err)
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(8))
	if err != nil {
		return r.j.unavailable(opRead, err)
	}
	r.msgs, r.life = msgs, life
	return nil
}

func (r *Reader) drop() {
	if r.msgs != nil {
		r.msgs.Stop()
		r.msgs = nil
	}
}

// Next waits for the next message until ctx ends. It opens itself again when the embedded server was restarted or the
// connection to a cluster was lost, so that it may wait long while there is none (see Journal.Problem). Errors: that of
// ctx; fault.Gone when the message was trimmed away or the stream was replaced: this reader cannot go on;
// fault.Canceled when the reader or the journal is closed; fault.Unavailable for other failures, after which Next may
// be called again.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	for {
		if r.j.StreamID() != r.stream {
			return Message{}, fault.New(fault.Gone, opRead, "the stream was replaced by a new one")
		}
		if err := r.reopen(ctx); err != nil {
			return Message{}, err
		}
		msg, err := r.wait(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return Message{}, ctx.Err()
		case r.j.closed.Err() != nil && err != nil:
			return Message{}, fault.New(fault.Canceled, opRead, "the journal is closed")
		case errors.Is(err, context.Canceled): // the server was given up
			r.drop()
			continue
		case errors.Is(err, context.DeadlineExceeded):
			if err := r.look(ctx); err != nil {
				return Message{}, err
			}
			continue
		case err != nil:
			r.drop()
			r.j.log.Debug("the reader of the journal is opened again", "sequence", r.next, "error", err.Error())
			if err := r.pause(ctx); err != nil {
				return Message{}, err
			}
			continue
		}
		if m, err := r.accept(msg); err != nil || m.Seq != 0 {
			return m, err
		}
	}
}

// reopen makes sure that there is a consumer, waiting for the server if need be.
func (r *Reader) reopen(ctx context.Context) error {
	for r.msgs == nil {
		err := r.open(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case r.j.closed.Err() != nil:
			return fault.New(fault.Canceled, opRead, "the journal is closed")
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return fault.New(fault.Gone, opRead, "the stream was replaced by a new one").WithCause(err)
		case r.life != nil && r.life.Err() == nil && r.j.conn.IsConnected() && !errors.Is(err, nats.ErrTimeout):
			return err // the server is there and says no
		}
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) pause(ctx context.Context) error {
	timer := time.NewTimer(reopenAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.j.closed.Done():
		return fault.New(fault.Canceled, opRead, "the journal is closed")
	case <-timer.C:
		return nil
	}
}

// wait gets a message: context.Canceled when the server is given up, context.DeadlineExceeded when it is time to look.
func (r *Reader) wait(ctx context.Context) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)() //nolint:contextcheck // the life of the server, not of the call
	return r.msgs.Next(jetstream.NextContext(ctx))
}

// look fails when the message that is waited for was trimmed away. Without it a reader that was overtaken in a
// quiet hour would wait for the next message to find out. A message that is there and does not come makes the reader open
// itself again: in a cluster the node of the consumer may have been restarted, and what was asked of it is forgotten
// without a word. (The client's own watch over that needs waits that are longer than ours.)
func (r *Reader) look(ctx context.Context) error {
	first, last, err := r.j.Bounds(ctx)
	switch {
	case err == nil && first > r.next:
		return r.missing(first)
	case err == nil && last < r.next:
		r.late = 0
	case err == nil: // otherwise what is wrong shows in the next wait
		if r.late++; r.late >= lateLooks {
			r.drop()
			r.late = 0
			r.j.log.Warn("the journal does not deliver what it has; the reader is opened again", "sequence", r.next)
		}
	}
	return nil
}

func (r *Reader) missing(first uint64) error {
	return fault.Newf(fault.Gone, opRead, "sequence %d is missing, the next one is %d", r.next, first)
}

// accept checks that a message is the next one. A message that came again gives none.
func (r *Reader) accept(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fault.Wrap(fault.Internal, opRead, err)
	}
	seq := meta.Sequence.Stream
	if seq < r.next {
		return Message{}, nil
	}
	if seq > r.next {
		return Message{}, r.missing(seq)
	}
	r.next, r.late = seq+1, 0
	number, _ := strconv.ParseInt(msg.Headers().Get(headerBatch), 10, 64)
	return Message{
		Stream: r.stream, Seq: seq, Written: meta.Timestamp, Fence: msg.Headers().Get(headerKind) == kindFence,
		Epoch: msg.Headers().Get(headerEpoch), Number: number, Data: msg.Data(),
	}, nil
}

// Close ends the reader.
func (r *Reader) Close() { r.drop() }
