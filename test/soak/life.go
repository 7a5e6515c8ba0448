package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// points is the fail point of the next life as the program reads it.
func (u *run) points() string {
	if u.armed.Point == "" {
		return ""
	}
	return fmt.Sprintf("%s@%d=%s", u.armed.Point, max(u.armed.Hit, 1), cmp.Or(u.armed.Act, "kill"))
}

// begin starts the program and waits until it is up, which does not count as time of the run: a slow machine shall not
// make the run shorter. A fail point may end the program several times on the way; anything else that does is a violation, after which
// nothing is left to be tested.
func (u *run) begin(ctx context.Context) error {
	began := u.time.Now()
	defer func() { u.time.skip(began) }()
	for range 20 {
		proc, err := u.place.launch(u.time.scaled(), u.points())
		if err != nil {
			return err
		}
		u.proc = proc
		if err = u.place.waitUp(ctx, proc); err == nil {
			return nil
		}
		if !errors.Is(err, errEnded) {
			proc.kill()
			return err
		}
		if err := u.mourn(ctx); err != nil {
			return err
		}
	}
	return errors.New("the program does not come up")
}

// mourn looks at how the program ended by itself and prepares the next life. The error means that there is none.
func (u *run) mourn(ctx context.Context) error {
	proc := u.proc
	proc.close()
	switch {
	case proc.points != "" && proc.wasKilled():
		u.report.happened("fail point " + u.armed.Point)
		if u.armed.Times--; u.armed.Times <= 0 {
			u.armed = Event{}
		}
		return nil
	case u.full:
		u.report.happened("ended on a full disk")
		u.report.note("on a full disk the program ended: %v", proc.result)
		u.full = false
		return u.disk.free()
	}
	if u.down {
		u.report.happened("ended without its database")
		u.report.note("without its database the program ended: %v", proc.result)
		u.down = false
		return u.database.open(ctx)
	}
	u.report.violate(lawProcess, "the program ended by itself (%v): %s", proc.result, lastWords(u.place.text()))
	if proc.client == nil {
		return fmt.Errorf("the program ended on its way up: %w", proc.result)
	}
	return nil
}

// revive starts the program again after it ended by itself.
func (u *run) revive(ctx context.Context) error {
	if err := u.mourn(ctx); err != nil {
		return err
	}
	return u.begin(ctx)
}

// halt ends the program and lets it be away for a time.
func (u *run) halt(e Event, orderly bool) {
	u.armed = Event{}
	switch {
	case !orderly:
		u.proc.kill()
	default:
		points := u.proc.points
		if err := u.proc.stop(); err != nil && (points == "" || !u.proc.wasKilled()) && !u.full && !u.down {
			u.report.violate(lawProcess, "after SIGTERM: %v", err)
		}
	}
	if e.For > 0 {
		u.time.leap(time.Duration(e.For))
	}
}

// lastWords is the part of a log that tells why the program ended.
func lastWords(log string) string {
	if i := strings.LastIndex(log, "\npanic: "); i >= 0 {
		return head(log[i+1:], 800)
	}
	return tail(log, 800)
}

func head(text string, n int) string { return text[:min(len(text), n)] }

func tail(text string, n int) string { return text[max(0, len(text)-n):] }
