package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/source"
)

// deliverMost bounds one delivery.
const deliverMost = time.Minute

// Settings are what a Notifier needs. All are required but Server and Routes.
type Settings struct {
	Routes []Route
	Store  Store
	Clock  clock.Clock
	Log    *slog.Logger
	Server string // how this server is called in messages
}

// Notifier tells targets what changes. All methods may be called concurrently; Run is called once.
type Notifier struct {
	s       Settings
	streams []*stream
}

// TargetStatus is how a target does.
type TargetStatus struct {
	Name      string
	Open      int       // problems that the target knows of
	Outbox    int       // messages that wait to be delivered
	Dropped   int64     // messages that were given up, ever
	Sent      int64     // messages that were delivered since the start
	Failed    int64     // attempts to deliver that failed since the start
	Delivered time.Time // when one was last delivered since the start
	Failures  int       // in a row
	Error     error     // of the last delivery, nil when it worked
	NextTry   time.Time // after a failure
}

// New makes a notifier and reads what the store has of its targets. Call Reconcile before the first Changes.
func New(ctx context.Context, s Settings) (*Notifier, error) {
	n := &Notifier{s: s}
	for _, r := range s.Routes {
		name := r.Target.Name()
		if slices.ContainsFunc(n.streams, func(s *stream) bool { return s.Target.Name() == name }) {
			return nil, fault.New(fault.Config, "set up notifications", fmt.Sprintf("two are called %q", name))
		}
		st := newStream(r, s.Server, uuid.NewString)
		value, err := s.Store.Load(ctx, name)
		if err != nil {
			return nil, err
		}
		if value != nil {
			if err := st.restore(value); err != nil {
				s.Log.Warn("what a notification target was told is damaged; it is told again", "target", name, "error", err.Error())
			}
		}
		n.streams = append(n.streams, st)
	}
	return n, nil
}

// Changes brings in transitions. It does not block.
func (n *Notifier) Changes(changes []health.Change) {
	if len(changes) == 0 {
		return
	}
	for _, s := range n.streams {
		s.take(changes)
	}
}

// Reconcile compares what the targets know with everything that is bad now (health.Monitor.Open): what they do not know
// is told, what is no longer bad is resolved. Call it at start; it does no harm at other times.
func (n *Notifier) Reconcile(open []health.Change) {
	now := n.s.Clock.Now()
	for _, s := range n.streams {
		s.reconcile(open, now)
	}
}

// Run delivers until ctx ends. What is not delivered by then waits in the store.
func (n *Notifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range n.streams {
		wg.Go(func() { n.work(ctx, s) })
	}
	<-ctx.Done() // also without targets
	wg.Wait()
	return nil
}

// work is the worker of one target.
func (n *Notifier) work(ctx context.Context, s *stream) {
	log := n.s.Log.With("target", s.Target.Name())
	for ctx.Err() == nil {
		n.prepare(ctx, s, log)
		if n.deliver(ctx, s, log) {
			continue
		}
		now := n.s.Clock.Now()
		s.mu.Lock()
		at, ok := s.next(now)
		s.mu.Unlock()
		var timer <-chan time.Time
		if ok {
			timer = n.s.Clock.After(at.Sub(now))
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer:
		}
	}
	// A last note of what was delivered, which must outlive ctx.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	n.save(ctx, s, log)
}

// prepare fills the outbox and stores it.
func (n *Notifier) prepare(ctx context.Context, s *stream, log *slog.Logger) {
	now := n.s.Clock.Now()
	s.mu.Lock()
	gone := s.expire(now)
	s.flush(now)
	gone += s.expire(now)
	save := s.dirty && !s.saveAt.After(now)
	s.mu.Unlock()
	if gone > 0 {
		log.Error("notifications were given up", "messages", gone)
	}
	if save {
		n.save(ctx, s, log)
	}
}

func (n *Notifier) save(ctx context.Context, s *stream, log *slog.Logger) {
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return
	}
	value, err := json.Marshal(s.kept)
	s.dirty = false
	s.mu.Unlock()
	if err == nil {
		err = n.s.Store.Save(ctx, s.Target.Name(), value)
	}
	if err != nil {
		log.Warn("storing notifications failed; after a crash now some may be told twice", "error", err.Error())
		s.mu.Lock()
		s.dirty, s.saveAt = true, n.s.Clock.Now().Add(saveAgain)
		s.mu.Unlock()
	}
}

// deliver sends the head of the outbox and reports whether there may be more to do at once.
func (n *Notifier) deliver(ctx context.Context, s *stream, log *slog.Logger) bool {
	s.mu.Lock()
	m, ok := s.head(n.s.Clock.Now())
	s.mu.Unlock()
	if !ok {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, deliverMost)
	defer cancel()
	err := s.Target.Deliver(limited, m)
	if err != nil && ctx.Err() != nil {
		return false // the program ends: that is no failure of the target
	}
	s.mu.Lock()
	failures := s.status.Failures
	s.delivered(m.ID, err, n.s.Clock.Now())
	s.mu.Unlock()
	switch {
	case err == nil && failures > 0:
		log.Info("notifications are delivered again", "failures", failures)
	case err != nil && failures == 0:
		log.Warn("a notification could not be delivered; it is tried again", "kind", string(fault.KindOf(err)), "error", err.Error(), "hint", fault.HintOf(err))
	}
	return true
}

// Status tells how the targets do, in the order of the routes.
func (n *Notifier) Status() []TargetStatus {
	list := make([]TargetStatus, 0, len(n.streams))
	for _, s := range n.streams {
		s.mu.Lock()
		st := s.status
		st.Name, st.Open, st.Outbox, st.Dropped = s.Target.Name(), len(s.kept.Told), len(s.kept.Outbox), s.kept.Dropped
		if st.Failures > 0 {
			st.NextTry = s.tryAt
		}
		s.mu.Unlock()
		list = append(list, st)
	}
	return list
}

// Test tries a target out; a target that does not exist is an error of kind fault.NotFound. A passed delivery also makes
// the outbox of the target be tried at once.
func (n *Notifier) Test(ctx context.Context, name string) (iter.Seq[source.Check], error) {
	i := slices.IndexFunc(n.streams, func(s *stream) bool { return s.Target.Name() == name })
	if i < 0 {
		return nil, fault.Newf(fault.NotFound, "test notification", "there is no notification target %q", name)
	}
	s := n.streams[i]
	return func(yield func(source.Check) bool) {
		passed := true
		for c := range s.Target.Test(ctx) {
			passed = passed && c.Status != source.Failed
			if !yield(c) {
				return
			}
		}
		if passed {
			s.mu.Lock()
			s.tryAt = time.Time{}
			s.mu.Unlock()
			s.signal()
		}
	}, nil
}
