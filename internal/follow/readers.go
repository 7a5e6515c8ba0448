package follow

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"

	"sluice/internal/fault"
)

// Store keeps positions. Save must be durable when it returns.
type Store interface {
	Load(ctx context.Context, name string) (position uint64, found bool, err error)
	Save(ctx context.Context, name string, position uint64) error
}

// Gauge tells how much of the journal lies behind a reader. A journal.Journal is one.
type Gauge interface {
	Bounds(ctx context.Context) (first, last uint64, err error)
	Usage(ctx context.Context) (used, budget int64, err error)
}

// Unheld is the Floor when nobody holds the journal.
const Unheld uint64 = math.MaxUint64

// Readers knows the attached readers of one journal. It is safe for concurrent use.
type Readers struct {
	store  Store
	gauge  Gauge
	budget int64
	log    *slog.Logger

	mu       sync.Mutex
	attached map[string]*Attachment
}

// NewReaders returns an empty registry. A reader that has more than budget bytes of the journal behind it is detached.
func NewReaders(store Store, gauge Gauge, budget int64, log *slog.Logger) *Readers {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Readers{store: store, gauge: gauge, budget: budget, log: log.With("component", "follow"), attached: map[string]*Attachment{}}
}

// Attachment is one reader's durable position and its hold on the journal. It is safe for concurrent use.
type Attachment struct {
	readers *Readers
	name    string
	saving  sync.Mutex // one Advance at a time, so that positions are saved in order

	// Guarded by readers.mu.
	position uint64
	behind   int64 // bytes of the journal after position, as of the last Enforce
	detached bool
}

// Status describes an attached reader.
type Status struct {
	Name     string
	Position uint64 // sequence of the journal up to which it is done
	Behind   int64  // bytes of the journal that it has not read; about, as of the last Enforce
	Detached bool   // it holds nothing and reads the lake
}

// Attach registers the reader with the given name at its stored position, at start when it has none: the sequence
// after which it wants to read. It holds the journal from now on. A second reader of the same name is refused with
// fault.Conflict.
func (r *Readers) Attach(ctx context.Context, name string, start uint64) (*Attachment, error) {
	const op = "attach reader"
	a := &Attachment{readers: r, name: name, detached: true}
	r.mu.Lock()
	_, taken := r.attached[name]
	if !taken {
		r.attached[name] = a // holds the name, not yet the journal
	}
	r.mu.Unlock()
	if taken {
		return nil, fault.Newf(fault.Conflict, op, "%s is attached already", name)
	}
	position, found, err := r.store.Load(ctx, name)
	if err == nil && !found {
		position = start
		err = r.store.Save(ctx, name, start)
	}
	if err != nil {
		a.Close()
		return nil, fault.Wrap("", op+" "+name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.position, a.detached = position, false
	return a, nil
}

// Position is the sequence up to which the reader is done.
func (a *Attachment) Position() uint64 {
	a.readers.mu.Lock()
	defer a.readers.mu.Unlock()
	return a.position
}

// Advance stores that the reader is done with everything up to seq. A smaller position than the present one is ignored.
// After an error the position is where it was.
func (a *Attachment) Advance(ctx context.Context, seq uint64) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	if seq <= a.Position() {
		return nil
	}
	if err := a.readers.store.Save(ctx, a.name, seq); err != nil {
		return fault.Wrap("", "store position of "+a.name, err)
	}
	a.readers.mu.Lock()
	defer a.readers.mu.Unlock()
	a.position = seq
	return nil
}

// Close gives up the hold on the journal. The stored position stays. It may be called twice.
func (a *Attachment) Close() {
	a.readers.mu.Lock()
	defer a.readers.mu.Unlock()
	if a.readers.attached[a.name] == a {
		delete(a.readers.attached, a.name)
	}
}

// Floor is the smallest position that holds the journal: what is after it must not be trimmed. Unheld when nobody does.
func (r *Readers) Floor() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	floor := Unheld
	for _, a := range r.attached {
		if !a.detached {
			floor = min(floor, a.position)
		}
	}
	return floor
}

// Enforce compares every reader with the journal: it detaches who is behind by more than the budget or needs what the
// journal no longer has, and attaches who is behind by less than half of the budget again. Call it before Floor when
// trimming. After an error everything is as it was.
//
// The bytes behind a reader are its share of the journal's messages, as if all were of one size.
func (r *Readers) Enforce(ctx context.Context) error {
	first, last, err := r.gauge.Bounds(ctx)
	if err != nil {
		return err
	}
	used, _, err := r.gauge.Usage(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attached {
		a.behind = behind(a.position, first, last, used)
		reaches := a.position+1 >= first
		switch {
		case !a.detached && (!reaches || a.behind > r.budget):
			a.detached = true
			r.log.Info("reader is too far behind for the journal and reads the lake", "reader", a.name,
				"position", a.position, "bytes_behind", a.behind, "budget", r.budget)
		case a.detached && reaches && a.behind <= r.budget/2:
			a.detached = false
			r.log.Info("reader has caught up with the journal", "reader", a.name, "position", a.position)
		}
	}
	return nil
}

// behind is the share of used that lies after position.
func behind(position, first, last uint64, used int64) int64 {
	if last < first || position >= last {
		return 0
	}
	if position+1 <= first {
		return used
	}
	return int64(float64(used) * float64(last-position) / float64(last-first+1))
}

// List describes the attached readers, by name.
func (r *Readers) List() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Status, 0, len(r.attached))
	for _, a := range r.attached {
		list = append(list, Status{Name: a.name, Position: a.position, Behind: a.behind, Detached: a.detached})
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list
}
