package journal

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/internal/fault"
)

// requestFor bounds the requests that open or replace the stream.
const requestFor = time.Minute

// recreateFor is how long a stream is tried to be made after a deletion.
const recreateFor = 10 * time.Second

const opOpen = "open journal stream"

// openStream finds the stream or creates it, and brings its budget up to date.
func (j *Journal) openStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	stream, err := j.js.Stream(ctx, streamName)
	created := errors.Is(err, jetstream.ErrStreamNotFound)
	if created {
		stream, err = j.createStream(ctx, j.cfg.FirstSeq)
	}
	if err == nil && j.embedded != nil {
		stream, err = j.resize(ctx, stream)
	}
	if err != nil {
		return fault.New(fault.Unavailable, opOpen, streamName).WithCause(err)
	}
	return j.adopt(stream, created)
}

func (j *Journal) createStream(ctx context.Context, first uint64) (jetstream.Stream, error) {
	return j.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subject}, Description: "batches of collected records",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		MaxBytes: j.cfg.MaxBytes, Duplicates: 10 * time.Minute, FirstSeq: max(first, 1),
		Metadata: map[string]string{idKey: uuid.NewString()},
	})
}

// resize gives the stream the budget of the configuration. A smaller one removes nothing, because the stream discards
// new messages and not old ones: it is full until it is trimmed.
func (j *Journal) resize(ctx context.Context, stream jetstream.Stream) (jetstream.Stream, error) {
	info := stream.CachedInfo()
	if info.Config.MaxBytes == j.cfg.MaxBytes {
		return stream, nil
	}
	cfg := info.Config
	cfg.MaxBytes = j.cfg.MaxBytes
	return j.js.UpdateStream(ctx, cfg)
}

// adopt makes stream the one that everybody uses.
func (j *Journal) adopt(stream jetstream.Stream, created bool) error {
	id := stream.CachedInfo().Config.Metadata[idKey]
	if id == "" {
		return fault.Newf(fault.Config, opOpen, "stream %s was not made by Sluice", streamName).
			WithHint("use a NATS account of its own for Sluice")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stream, j.id = stream, id
	j.created = j.created || created
	return nil
}

// Replace deletes the stream with everything in it and makes a new one, with a new identity, whose sequences begin at
// firstSeq or higher: above everything that the old one had, so that no sequence is used twice. It returns the first
// sequence. It is for the owner of a journal that does not continue what lake and ledger know (an older copy was
// restored), before anybody publishes: a publisher that goes on in spite of it gets fault.Conflict, readers of the old
// stream get fault.Gone. After an error in the middle there may be no stream; Replace can be called again.
func (j *Journal) Replace(ctx context.Context, firstSeq uint64) (uint64, error) {
	const op = "replace journal"
	ctx, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	_, last, err := j.Bounds(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		return 0, fault.Wrap("", op, err)
	default:
		firstSeq = max(firstSeq, last+2) // not last+1: somebody who expects last must not fit in
	}
	err = j.js.DeleteStream(ctx, streamName)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, j.unavailable(op, err)
	}
	firstSeq = max(firstSeq, 1)
	stream, err := j.recreateStream(ctx, firstSeq)
	if err != nil {
		return 0, j.unavailable(op, err)
	}
	old := j.StreamID()
	if err := j.adopt(stream, true); err != nil {
		return 0, err
	}
	if j.embedded != nil {
		if err := syncFolders(j.cfg.Dir, j.embedded.messages()); err != nil {
			return 0, diskFault(op, err)
		}
	}
	j.log.Warn("the journal was replaced by an empty one", "old", old, "new", j.StreamID(), "first_sequence", firstSeq)
	return firstSeq, nil
}

// recreateStream makes the stream after another one was deleted. A NATS server removes the folders of an account without
// streams after it has answered the deletion, and says 10049 when it takes the folder of a new stream away with them:
// that is tried again for a while.
func (j *Journal) recreateStream(ctx context.Context, first uint64) (jetstream.Stream, error) {
	const createFailed jetstream.ErrorCode = 10049
	enough, cancel := context.WithTimeout(ctx, recreateFor)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		stream, err := j.createStream(ctx, first)
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != createFailed {
			return stream, err
		}
		select {
		case <-enough.Done():
			return nil, err
		case <-again.C:
		}
	}
}

func (j *Journal) handle() jetstream.Stream {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stream
}

// StreamID is the identity of the stream. It changes only when the journal is lost or replaced.
func (j *Journal) StreamID() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.id
}

// Created reports whether this Open, or a Replace since, made a new stream.
func (j *Journal) Created() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.created
}

// Bounds returns the first and last sequence of the stream. When it is empty, first is last + 1. See the package
// comment for what the owner reads from them.
func (j *Journal) Bounds(ctx context.Context) (first, last uint64, err error) {
	ctx, cancel := j.request(ctx)
	defer cancel()
	info, err := j.handle().Info(ctx)
	if err != nil {
		return 0, 0, j.unavailable("read journal state", err)
	}
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, info.State.LastSeq, nil
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// Usage returns the bytes that the stream holds and its budget.
func (j *Journal) Usage(ctx context.Context) (used, budget int64, err error) {
	ctx, cancel := j.request(ctx)
	defer cancel()
	info, err := j.handle().Info(ctx)
	if err != nil {
		return 0, 0, j.unavailable("read journal state", err)
	}
	return int64(min(info.State.Bytes, 1<<62)), info.Config.MaxBytes, nil
}

// Trim removes every message up to and including seq. Without any space on the disk it does nothing: the embedded server
// writes while it removes, and when it cannot it waits for itself for ever (nats-server 2.15.2: fileStore.compactLocked
// holds the lock that rebuildState takes after a failed flush).
func (j *Journal) Trim(ctx context.Context, seq uint64) error {
	if j.embedded != nil {
		if err := room(j.embedded.dir); err != nil {
			return diskFault("trim journal", err)
		}
	}
	ctx, cancel := j.request(ctx)
	defer cancel()
	if err := j.handle().Purge(ctx, jetstream.WithPurgeSequence(seq+1)); err != nil {
		return j.unavailable("trim journal", err)
	}
	return nil
}
