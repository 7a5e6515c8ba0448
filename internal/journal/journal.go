// Package journal is the durable log between collecting and everything that reads what was collected.
//
// It is a NATS JetStream stream with one subject: inside the process by default (no socket, every message fsynced
// before it is acknowledged), or on a NATS cluster that the operator names. One message is one frozen batch of
// records (Codec), 256 KB to 1 MB of zstd.
//
// # Guarantees
//
//   - Publish returns an acknowledgement only for a message that survives kill -9 and power loss: the file is synced
//     before the answer, the folder is synced when it got a new file, and what a process that died had written and
//     not synced is synced before it is believed. (An outside NATS server does this only with `sync_interval: always`.)
//   - A message is published with the sequence that must precede it. A publisher whose term ended therefore fails
//     instead of interleaving with its successor, which starts by publishing a fence.
//   - A message id is never used for two contents. Sending the same bytes again after an unknown outcome is harmless:
//     the journal answers that it has them, also when it was restarted in between.
//   - A full journal refuses messages (fault.Full): that is back-pressure, never loss. Nothing expires by age; Trim
//     removes what every reader has behind it.
//
// # When the disk fails
//
// The embedded server stops taking messages for good after one failed write: a full disk, a quota, an I/O error. The
// Journal notices and restarts the server inside the same process, with the same stream and sequences, also while the
// disk is still full: what is there can be read and trimmed, and Publish answers fault.Full until a test file of the
// message's size can be written. Readers open themselves again and see nothing of it. While there is no server at all
// everything else fails with fault.Full or fault.Unavailable, and Problem says why.
//
// # Identity
//
// The stream has an identity (StreamID), made with it and kept over restarts. Sequences never go back within it, and
// the owner gives a new stream a first sequence above every position it knows (Config.FirstSeq, Replace). Therefore a
// sequence names one message for ever, whichever stream it was in. The owner compares what it knows with Bounds when it
// opens the journal:
//
//	Created() or another StreamID       the journal was lost or moved: what was not in the lake is gone from here
//	same StreamID, last < known         an older copy of the folder was restored: messages that were acknowledged after
//	                                    the copy are missing, and new messages would take their sequences. Do not
//	                                    publish; read what is wanted, then Replace.
//	same StreamID, first > known + 1    messages were removed that nobody had read
//	same StreamID, first <= known + 1   all is well
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/internal/failpoint"
	"sluice/internal/fault"
)

const (
	streamName = "SLUICE"
	subject    = "sluice.records"
	idKey      = "sluice-stream-id"

	headerKind  = "Sluice-Kind"
	kindFence   = "fence"
	kindBatch   = "batch"
	headerEpoch = "Sluice-Epoch"
	headerBatch = "Sluice-Batch"
)

// Limits of a message. MaxPayload is what the embedded server accepts; the collector cuts batches far below it.
const (
	MaxPayload     = 64 << 20
	DefaultMaxSize = 8 << 30
)

// publishFor bounds one try to publish.
const publishFor = 30 * time.Second

// Config says where the journal lives.
type Config struct {
	Dir string // folder of the embedded journal
	URL string // "" or "embedded": inside the process; nats://host:4222,... otherwise
	// MaxBytes is the budget on disk; DefaultMaxSize when 0. An embedded stream takes a changed budget at Open, and is
	// full while it holds more; on a NATS cluster the operator changes the stream.
	MaxBytes int64
	// FirstSeq is the smallest sequence that a stream created now may give to its first message: one more than any
	// position that was ever recorded against an earlier stream.
	FirstSeq uint64
	Logger   *slog.Logger
}

// Journal is an open journal. It is safe for concurrent use, but only one publisher may publish at a time.
type Journal struct {
	cfg      Config
	embedded *embedded // nil on a cluster
	conn     *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	closed   context.Context
	close    context.CancelFunc
	once     sync.Once
	work     sync.WaitGroup // the supervisor

	mu      sync.Mutex
	stream  jetstream.Stream
	id      string
	created bool
}

// Open starts or joins the journal and creates its stream when there is none. The caller must Close it. ctx is for the
// call only. Errors: fault.Full and fault.Unavailable when the disk or the servers do not let it, fault.Config when the
// folder or the stream cannot be ours.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxSize
	}
	j := &Journal{cfg: cfg, log: cfg.Logger.With("component", "journal")}
	j.closed, j.close = context.WithCancel(context.Background())
	if err := j.open(ctx); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func (j *Journal) open(ctx context.Context) error {
	if j.cfg.URL == "" || j.cfg.URL == "embedded" {
		j.embedded = newEmbedded(j.cfg, j.log)
		if err := j.embedded.start(ctx); err != nil {
			return err
		}
	}
	if err := j.connect(); err != nil {
		return err
	}
	if err := j.openStream(ctx); err != nil {
		return err
	}
	if j.embedded != nil {
		if err := syncFolders(j.cfg.Dir, j.embedded.messages()); err != nil {
			return diskFault("open journal", err)
		}
		j.embedded.up(j.closed) //nolint:contextcheck // the life of the server, not of the call
		j.work.Go(func() { j.supervise(j.closed) })
	}
	return nil
}

func (j *Journal) connect() error {
	options := []nats.Option{
		nats.Name("sluice"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false),
		// A login that is refused twice may be accepted later: whoever checks it may be away.
		nats.IgnoreAuthErrorAbort(),
		// A message that could not be sent now is the caller's to send again, not the library's.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.log.Warn("journal connection", "error", err.Error())
		}),
	}
	target := j.cfg.URL
	if j.embedded != nil {
		options = append(options, nats.InProcessServer(j.embedded), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0))
		target = ""
	}
	conn, err := nats.Connect(target, options...)
	if err != nil {
		return fault.New(fault.Unavailable, "connect to journal", redactURL(target)).WithCause(err).
			WithHint("check that the NATS servers of the setting `journal` are running and reachable")
	}
	j.conn = conn
	if j.js, err = jetstream.New(conn); err != nil {
		return fault.Wrap(fault.Internal, "open journal", err)
	}
	return nil
}

// Problem says why the journal takes no messages or cannot be reached, nil when all is well: fault.Full or
// fault.Unavailable. Being full by budget is not a problem of the journal; see Usage.
func (j *Journal) Problem() error {
	if j.embedded != nil {
		return j.embedded.trouble()
	}
	if !j.conn.IsConnected() {
		return fault.New(fault.Unavailable, "reach journal", "no connection to "+redactURL(j.cfg.URL)).
			WithHint("check that the NATS servers of the setting `journal` are running and reachable; collecting goes on by itself then")
	}
	return nil
}

// Ack tells where a message is.
type Ack struct {
	Seq       uint64
	Duplicate bool // the journal had it already
}

// MessageID is the id under which a batch is published. It is never used again.
func MessageID(epoch string, number int64) string { return fmt.Sprintf("%s-%d", epoch, number) }

// Publish appends an encoded batch that must come right after sequence after. Errors: fault.Full when the journal's
// budget or its disk is used up, fault.Conflict when the message of another publisher came first, fault.Unavailable
// when there is no answer. After Full and Unavailable the outcome may be unknown: the same bytes must be sent again with
// the same after until the answer is an Ack or a Conflict.
func (j *Journal) Publish(ctx context.Context, epoch string, number int64, data []byte, after uint64) (Ack, error) {
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		headerKind: {kindBatch}, headerEpoch: {epoch}, headerBatch: {fmt.Sprint(number)},
	}}
	ack, err := j.publish(ctx, msg, MessageID(epoch, number), after)
	if fault.Is(err, fault.Conflict) {
		// JetStream compares the expected sequence before it looks for a duplicate: an earlier try that did succeed
		// is found at the place that it must have. A failed look is not an answer: the conflict may be with ourselves.
		ours, findErr := j.Find(ctx, after+1, epoch, number)
		switch {
		case findErr != nil:
			return Ack{}, findErr
		case ours:
			ack, err = Ack{Seq: after + 1, Duplicate: true}, nil
		}
	}
	if err != nil {
		return Ack{}, err
	}
	return ack, j.settled()
}

// Fence appends a message that carries no records, so that publishes of an earlier term fail from now on. A term may
// write several.
func (j *Journal) Fence(ctx context.Context, epoch string, after uint64) (Ack, error) {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{headerKind: {kindFence}, headerEpoch: {epoch}}}
	ack, err := j.publish(ctx, msg, fmt.Sprintf("%s-fence-%d", epoch, after), after)
	if err != nil {
		return Ack{}, err
	}
	return ack, j.settled()
}

// settled makes sure that an acknowledged message is found again after a power loss.
func (j *Journal) settled() error {
	if j.embedded == nil {
		return nil
	}
	return j.embedded.syncNewFiles()
}

const opPublish = "write journal"

func (j *Journal) publish(ctx context.Context, msg *nats.Msg, id string, after uint64) (Ack, error) {
	if j.embedded != nil {
		if err := j.embedded.room(int64(len(msg.Data))); err != nil {
			return Ack{}, err
		}
	}
	life := j.life()
	try, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	// A server in trouble does not answer any more.
	defer context.AfterFunc(life, cancel)() //nolint:contextcheck // the life of the server, not of the call
	failpoint.Hit(failpoint.JournalBefore)
	ack, err := j.js.PublishMsg(try, msg, jetstream.WithMsgID(id), jetstream.WithExpectLastSequence(after),
		jetstream.WithRetryAttempts(0))
	if err == nil {
		failpoint.Hit(failpoint.JournalAfter)
		return Ack{Seq: ack.Sequence, Duplicate: ack.Duplicate}, nil
	}
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return Ack{}, fault.New(fault.Conflict, opPublish, "another message came first").WithCause(err)
	case errors.As(err, &api) && (strings.Contains(api.Description, "maximum bytes exceeded") || api.Code == 507 || strings.Contains(api.Description, "resource")):
		return Ack{}, fault.New(fault.Full, opPublish, "the journal is full").WithCause(err).
			WithHint("collecting waits until the lake has caught up; if it lasts, look at why the lake does not commit")
	case errors.Is(err, nats.ErrMaxPayload): // certainly not sent
		return Ack{}, fault.Newf(fault.Config, opPublish, "the NATS servers take no message of %d bytes", len(msg.Data)).WithCause(err).
			WithHint("raise max_payload of the NATS servers to 64MB; collecting goes on by itself then")
	case life.Err() != nil:
		return Ack{}, context.Cause(life) //nolint:contextcheck // the life of the server, not of the call
	}
	unknown := fault.New(fault.Unavailable, opPublish, "outcome unknown").WithCause(err)
	if j.embedded != nil && ctx.Err() == nil {
		j.embedded.suspect(try.Err() != nil, unknown)
	}
	return Ack{}, unknown
}

// Find tells whether the message at sequence seq is the batch with the given epoch, any if empty, and number.
func (j *Journal) Find(ctx context.Context, seq uint64, epoch string, number int64) (bool, error) {
	ctx, cancel := j.request(ctx)
	defer cancel()
	msg, err := j.handle().GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, j.unavailable("read journal", err)
	}
	return (epoch == "" || msg.Header.Get(headerEpoch) == epoch) && msg.Header.Get(headerBatch) == fmt.Sprint(number), nil
}

// unavailable classifies a failed request: the known problem of the journal if there is one.
func (j *Journal) unavailable(op string, err error) error {
	if problem := j.Problem(); problem != nil {
		return fault.New(fault.KindOf(problem), op, "").WithCause(errors.Join(problem, err)).WithHint(fault.HintOf(problem))
	}
	return fault.Wrap(fault.Unavailable, op, err)
}

// request bounds a question to the server: it ends with the server that it is put to.
func (j *Journal) request(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, publishFor)
	stop := context.AfterFunc(j.life(), cancel)
	return ctx, func() { stop(); cancel() }
}

// life is the context of the server that answers now; it ends, with the reason as its cause, when that server is given
// up. On a cluster it ends with the journal.
func (j *Journal) life() context.Context {
	if j.embedded == nil {
		return j.closed
	}
	return j.embedded.current()
}

// Close stops the journal. It is safe on a journal whose Open failed half-way and may be called twice. Readers end with
// fault.Canceled.
func (j *Journal) Close() {
	j.once.Do(func() {
		j.close()
		j.work.Wait()
		if j.conn != nil {
			j.conn.Close()
		}
		if j.embedded != nil {
			j.embedded.stop()
		}
	})
}

func redactURL(list string) string {
	parts := strings.Split(list, ",")
	for i, p := range parts {
		if u, err := url.Parse(strings.TrimSpace(p)); err == nil {
			parts[i] = u.Redacted()
		} else {
			parts[i] = "(unreadable URL)"
		}
	}
	return strings.Join(parts, ",")
}
