// Package journal is the durable log between collecting and everything that reads what was collected.
//
// It is a NATS JetStream stream with one subject: inside the process by default (no socket, every message fsynced
// before it is acknowledged), or on a NATS cluster that the operator names. One message is one frozen batch of
// records (Encode, Decode), 256 KB to 1 MB of zstd.
//
// # Guarantees
//
//   - Publish returns an acknowledgement only for a message that survives kill -9 and power loss.
//   - A message is published with the sequence that must precede it. A publisher whose term ended therefore fails
//     instead of interleaving with its successor, which starts by publishing a fence.
//   - A message id is never used for two contents. Sending the same bytes again after an unknown outcome is harmless:
//     JetStream answers that it has them.
//   - The stream has an identity. Another identity, or a first sequence above what a reader expects, means that
//     something was lost or restored; readers stop there instead of skipping.
//   - A full journal refuses messages (fault.Full): that is back-pressure, never loss. Nothing expires by age; Trim
//     removes what every reader has behind it.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// Config says where the journal lives.
type Config struct {
	Dir      string // folder of the embedded journal
	URL      string // "" or "embedded": inside the process; nats://host:4222,... otherwise
	MaxBytes int64  // budget on disk; DefaultMaxSize when 0
	// FirstSeq is the smallest sequence that a stream created now may give to its first message: one more than any
	// position that was ever recorded against an earlier stream.
	FirstSeq uint64
	Logger   *slog.Logger
}

// Journal is an open journal. It is safe for concurrent use, but only one publisher may publish at a time.
type Journal struct {
	server   *server.Server // nil on a cluster
	conn     *nats.Conn
	js       jetstream.JetStream
	stream   jetstream.Stream
	streamID string
	created  bool
	log      *slog.Logger
}

// Open starts or joins the journal and creates its stream when there is none. The caller must Close it.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxSize
	}
	j := &Journal{log: cfg.Logger.With("component", "journal")}
	if err := j.connect(cfg); err != nil {
		j.Close()
		return nil, err
	}
	if err := j.openStream(ctx, cfg); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func (j *Journal) connect(cfg Config) error {
	options := []nats.Option{
		nats.Name("sluice"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.log.Warn("journal connection", "error", err.Error())
		}),
	}
	target := cfg.URL
	if target == "" || target == "embedded" {
		s, err := startServer(cfg)
		if err != nil {
			return err
		}
		j.server = s
		options = append(options, nats.InProcessServer(s))
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

func startServer(cfg Config) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "sluice", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: cfg.Dir, SyncAlways: true,
		JetStreamMaxStore: cfg.MaxBytes + cfg.MaxBytes/4, JetStreamMaxMemory: 16 << 20,
		MaxPayload: MaxPayload, MaxPending: 256 << 20,
	})
	if err != nil {
		return nil, fault.New(fault.Config, "start journal", "folder "+cfg.Dir).WithCause(err)
	}
	go s.Start()
	if !s.ReadyForConnections(2 * time.Minute) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fault.Newf(fault.Unavailable, "start journal", "the embedded journal in %s did not become ready in 2 minutes", cfg.Dir).
			WithHint("the disk may be full or very slow; free space and start again")
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fault.Newf(fault.Full, "start journal", "the embedded journal in %s refused to start", cfg.Dir).
			WithHint("check free space and permissions of the data folder")
	}
	return s, nil
}

func (j *Journal) openStream(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := j.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = j.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: streamName, Subjects: []string{subject}, Description: "batches of collected records",
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
			MaxBytes: cfg.MaxBytes, Duplicates: 10 * time.Minute, FirstSeq: max(cfg.FirstSeq, 1),
			Metadata: map[string]string{idKey: uuid.NewString()},
		})
		j.created = err == nil
	}
	if err != nil {
		return fault.New(fault.Unavailable, "open journal stream", streamName).WithCause(err)
	}
	j.stream = stream
	j.streamID = stream.CachedInfo().Config.Metadata[idKey]
	if j.streamID == "" {
		return fault.Newf(fault.Config, "open journal stream", "stream %s was not made by Sluice", streamName).
			WithHint("use a NATS account of its own for Sluice")
	}
	return nil
}

// StreamID is the identity of the stream. It changes only when the journal is lost or replaced.
func (j *Journal) StreamID() string { return j.streamID }

// Created reports whether this Open made a new stream.
func (j *Journal) Created() bool { return j.created }

// Bounds returns the first and last sequence of the stream. When it is empty, first is last + 1.
func (j *Journal) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := j.stream.Info(ctx)
	if err != nil {
		return 0, 0, fault.Wrap(fault.Unavailable, "read journal state", err)
	}
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, info.State.LastSeq, nil
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// Usage returns the bytes that the stream holds and its budget.
func (j *Journal) Usage(ctx context.Context) (used, budget int64, err error) {
	info, err := j.stream.Info(ctx)
	if err != nil {
		return 0, 0, fault.Wrap(fault.Unavailable, "read journal state", err)
	}
	return int64(min(info.State.Bytes, 1<<62)), info.Config.MaxBytes, nil
}

// Ack tells where a message is.
type Ack struct {
	Seq       uint64
	Duplicate bool // the journal had it already
}

// MessageID is the id under which a batch is published. It is never used again.
func MessageID(epoch string, number int64) string { return fmt.Sprintf("%s-%d", epoch, number) }

// Publish appends an encoded batch that must come right after sequence after. Errors: fault.Full when the journal's
// budget is used up, fault.Conflict when the message of another publisher came first, fault.Unavailable when the
// outcome is unknown and the same bytes must be sent again with the same after.
func (j *Journal) Publish(ctx context.Context, epoch string, number int64, data []byte, after uint64) (Ack, error) {
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		headerKind: {kindBatch}, headerEpoch: {epoch}, headerBatch: {fmt.Sprint(number)},
	}}
	ack, err := j.publish(ctx, msg, MessageID(epoch, number), after)
	if fault.Is(err, fault.Conflict) {
		// JetStream compares the expected sequence before it looks for a duplicate: an earlier try that did succeed
		// is found at the place that it must have.
		if ours, findErr := j.Find(ctx, after+1, epoch, number); findErr == nil && ours {
			return Ack{Seq: after + 1, Duplicate: true}, nil
		}
	}
	return ack, err
}

// Fence appends a message that carries no records, so that publishes of an earlier term fail from now on.
func (j *Journal) Fence(ctx context.Context, epoch string, after uint64) (Ack, error) {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{headerKind: {kindFence}, headerEpoch: {epoch}}}
	return j.publish(ctx, msg, epoch+"-fence", after)
}

func (j *Journal) publish(ctx context.Context, msg *nats.Msg, id string, after uint64) (Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ack, err := j.js.PublishMsg(ctx, msg, jetstream.WithMsgID(id), jetstream.WithExpectLastSequence(after),
		jetstream.WithRetryAttempts(0))
	if err == nil {
		return Ack{Seq: ack.Sequence, Duplicate: ack.Duplicate}, nil
	}
	const op = "write journal"
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return Ack{}, fault.New(fault.Conflict, op, "another message came first").WithCause(err)
	case errors.As(err, &api) && (strings.Contains(api.Description, "maximum bytes exceeded") || api.Code == 507 || strings.Contains(api.Description, "resource")):
		return Ack{}, fault.New(fault.Full, op, "the journal is full").WithCause(err).
			WithHint("collecting waits until the lake has caught up; if it lasts, free disk space")
	}
	return Ack{}, fault.New(fault.Unavailable, op, "outcome unknown").WithCause(err)
}

// Find tells whether the message at sequence seq is the batch with the given epoch and number.
func (j *Journal) Find(ctx context.Context, seq uint64, epoch string, number int64) (bool, error) {
	msg, err := j.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap(fault.Unavailable, "read journal", err)
	}
	return msg.Header.Get(headerEpoch) == epoch && msg.Header.Get(headerBatch) == fmt.Sprint(number), nil
}

// Trim removes every message up to and including seq.
func (j *Journal) Trim(ctx context.Context, seq uint64) error {
	if err := j.stream.Purge(ctx, jetstream.WithPurgeSequence(seq+1)); err != nil {
		return fault.Wrap(fault.Unavailable, "trim journal", err)
	}
	return nil
}

// Close stops the journal. It is safe on a journal whose Open failed half-way and may be called twice.
func (j *Journal) Close() {
	if j.conn != nil {
		j.conn.Close()
		j.conn = nil
	}
	if j.server != nil {
		j.server.Shutdown()
		j.server.WaitForShutdown()
		j.server = nil
	}
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
