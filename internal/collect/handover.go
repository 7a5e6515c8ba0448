package collect

import (
	"context"
	"time"

	"sluice/internal/fault"
)

// How fragments come from the fetchers to the publisher: under a budget of memory that all connectors share, through a
// queue, from which those that come close together are taken as one group.

// reserve takes n bytes of the memory budget, waiting for them.
func (p *Publisher) reserve(ctx context.Context, n int64) error {
	return p.memory.Acquire(ctx, min(n, p.budget))
}

// tryReserve takes n more bytes if they are there.
func (p *Publisher) tryReserve(n int64) bool { return p.memory.TryAcquire(n) }

func (p *Publisher) release(n int64) {
	if n > 0 {
		p.memory.Release(min(n, p.budget))
	}
}

// submit hands a fragment over. After an error the fragment stays with the caller.
func (p *Publisher) submit(ctx context.Context, f *fragment) error {
	select {
	case p.queue <- f:
		select {
		case <-p.stopped: // nobody reads the queue any more
			p.refuseQueued()
		default:
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.stopped:
		return fault.New(fault.Canceled, "publish", "stopped")
	}
}

// gather waits a moment for fragments that can share first's batch.
func (p *Publisher) gather(ctx context.Context, first *fragment) []*fragment {
	group := []*fragment{first}
	bytes, records := first.bytes, len(first.items)
	wait := time.NewTimer(groupFor)
	defer wait.Stop()
	for bytes < batchBytes && records < batchLimit/2 {
		select {
		case f := <-p.queue:
			group = append(group, f)
			bytes += f.bytes
			records += len(f.items)
		case <-wait.C:
			return group
		case <-ctx.Done():
			return group
		}
	}
	return group
}

func (p *Publisher) refuseQueued() {
	for {
		select {
		case f := <-p.queue:
			p.finish([]*fragment{f}, fault.New(fault.Canceled, "publish", "stopped"))
		default:
			return
		}
	}
}
