package main

import (
	"context"
	"fmt"
	"time"

	"sluice/internal/api"
)

// happen makes an event happen.
func (u *run) happen(ctx context.Context, e Event) error {
	u.report.happened(string(e.Kind))
	switch e.Kind {
	case Kill, Stop:
		u.halt(e, e.Kind == Stop)
		return u.begin(ctx)
	case FailPoint:
		u.halt(Event{}, true)
		u.armed = e
		return u.begin(ctx)
	case DiskFloor, DiskFull:
		u.full = true
		left := int64(diskFloor - 64<<20)
		if e.Kind == DiskFull {
			left = 0
		}
		u.later(time.Duration(e.For), "disk is free again", func(context.Context) error { return u.disk.free() })
		return u.disk.leave(left)
	case Backfill:
		_, err := u.proc.client.Collect(ctx, e.Name, api.CollectRange{Since: "6d"})
		u.tolerate("back-fill", err)
	case Pause:
		u.tolerate("pause", u.proc.client.SetPaused(ctx, api.Connectors, e.Name, true))
		u.later(time.Duration(e.For), "resume "+e.Name, func(ctx context.Context) error { return u.resume(ctx, e.Name) })
	case Disconnect:
		return u.database.disconnect(ctx)
	case DatabaseDown:
		u.down = true
		u.later(time.Duration(e.For), "the database is back", func(ctx context.Context) error { return u.database.open(ctx) })
		return u.database.close(ctx)
	}
	return nil
}

// diskFloor is the free space below which the program pauses.
const diskFloor = 512 << 20

// tolerate notes that an operator's command failed: the program may have ended under it.
func (u *run) tolerate(what string, err error) {
	if err != nil {
		u.report.note("%s: %v", what, err)
	}
}

// resume insists, since a connector that stays paused is not collected.
func (u *run) resume(ctx context.Context, name string) error {
	return u.insist(ctx, "resume "+name, func(ctx context.Context) error {
		return u.proc.client.SetPaused(ctx, api.Connectors, name, false)
	})
}

// insistFor bounds how long a command is repeated, of wall time.
const insistFor = 2 * time.Minute

// insist repeats a command until it succeeds; the program may end under it.
func (u *run) insist(ctx context.Context, what string, do func(context.Context) error) error {
	if u.database != nil { // it may be closed, and nothing opens it meanwhile
		if err := u.database.open(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(insistFor)
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-u.proc.exited:
			if err := u.revive(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
