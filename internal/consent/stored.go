package consent

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/option"
)

// Sealer encrypts the literal secrets of a declaration before it is stored. vault.Sealer is one and documents the methods.
type Sealer interface {
	SealSpec(ctx context.Context, owner string, options []option.Option, spec []byte) ([]byte, error)
	OpenSpec(ctx context.Context, owner string, options []option.Option, spec []byte) ([]byte, error)
	RewrapSpec(ctx context.Context, owner string, options []option.Option, spec []byte) (next []byte, changed bool, err error)
}

// stored is how an application that was made with apply is kept. The owner of its sealed secrets is its key.
type stored struct {
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
	Spec    json.RawMessage `json:"spec"`
}

// readStored reads an application with its sealed secrets open. Those of which the key is lost stay sealed, and so differ
// from all that is given: applying the application again heals them.
func (m *Manager) readStored(ctx context.Context, key string, text []byte) (Application, error) {
	op := "read " + key
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return Application{}, fault.Wrap(fault.Internal, op, err)
	}
	spec := []byte(s.Spec)
	if m.sealer != nil {
		opened, err := m.sealer.OpenSpec(ctx, key, ApplicationOptions(), spec)
		if opened == nil {
			return Application{}, fault.Wrap(fault.Internal, op, err)
		}
		spec = opened
	}
	a, err := ParseSpec(spec, m.drivers)
	a.Created, a.Updated = s.Created, s.Updated
	return a, fault.Wrap(fault.Internal, op, err)
}

func (m *Manager) keepStored(ctx context.Context, a Application) error {
	key := applicationPrefix + a.Name
	s := stored{Created: a.Created, Updated: a.Updated, Spec: a.Spec}
	if m.sealer != nil {
		var err error
		if s.Spec, err = m.sealer.SealSpec(ctx, key, ApplicationOptions(), a.Spec); err != nil {
			return err
		}
	}
	return m.put(ctx, key, s)
}

// Change is what Put does, or would do. Without Created and Changed it is nothing.
type Change struct {
	Application Application // as it will be: with the secrets that it keeps
	Created     bool
	Changed     []string // names of the options that differ from what is stored
}

// Put creates or changes an application that no file owns. Secrets that were given as config.KeptSecret stay as they are;
// other literal ones are sealed. One of a file, or the application_id of another, is fault.Conflict; what cannot be changed
// or kept is fault.Config. Errors are phrases about the application and do not name it.
func (m *Manager) Put(ctx context.Context, a Application) (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.compare(ctx, a)
	if err != nil || !c.Created && len(c.Changed) == 0 {
		return c, err
	}
	c.Application.Updated = m.clock.Now()
	if c.Created {
		c.Application.Created = c.Application.Updated
	}
	return c, m.keepStored(ctx, c.Application)
}

// Compare tells what Put would do.
func (m *Manager) Compare(ctx context.Context, a Application) (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.compare(ctx, a)
}

// compare is Compare with m.mu held.
func (m *Manager) compare(ctx context.Context, a Application) (Change, error) {
	all, err := m.applications(ctx)
	if err != nil {
		return Change{}, err
	}
	if err := m.storable(a); err != nil {
		return Change{}, err
	}
	var old *Application
	for i, other := range all {
		switch {
		case other.Name == a.Name:
			old = &all[i]
		case other.ApplicationID == a.ApplicationID:
			return Change{}, fault.Newf(fault.Conflict, "", "application_id %s belongs to %s already", a.ApplicationID, other.Name).WithHint("change that one")
		}
	}
	if old == nil {
		if kept := a.Kept(); len(kept) > 0 {
			return Change{}, nothingKept(kept[0])
		}
		return Change{Application: a, Created: true}, nil
	}
	switch {
	case old.Owner != "":
		return Change{}, fault.Newf(fault.Conflict, "", "is owned by the file %s and read-only elsewhere", old.Owner).WithHint("change it there and restart the server")
	case old.ApplicationID != a.ApplicationID:
		return Change{}, fault.Newf(fault.Config, "", "application_id cannot be changed after creation (it is %s)", old.ApplicationID).
			WithHint("create an application with another name")
	}
	next, err := a.keep(*old)
	if err != nil {
		return Change{}, err
	}
	next.Created, next.Updated = old.Created, old.Updated
	return Change{Application: next, Changed: next.diff(*old)}, nil
}

// storable demands that no secret would be stored as it is.
func (m *Manager) storable(a Application) error {
	if m.sealer == nil && len(a.Literals()) > 0 {
		return fault.Newf(fault.Config, "", "%s: a secret cannot be sealed here", a.Literals()[0]).WithHint("give it as ${env:NAME} or ${file:PATH}")
	}
	for _, t := range a.Templates {
		if name := t.literal(); name != "" {
			return fault.Newf(fault.Config, "", "%s of the template %s: a secret of a template must be a reference", name, t.Type).
				WithHint("give it as ${env:NAME} or ${file:PATH}")
		}
	}
	return nil
}

func nothingKept(name string) error {
	return fault.Newf(fault.Config, "", "%s is %s, which keeps a stored secret, and none is stored", name, config.KeptSecret).
		WithHint("give the secret, best as ${env:NAME} or ${file:PATH}")
}

// Remove forgets an application that no file owns. Tenants that consented to it stay.
func (m *Manager) Remove(ctx context.Context, name string) error {
	a, err := m.application(ctx, name)
	if err != nil {
		return err
	}
	if a.Owner != "" {
		return fault.Newf(fault.Conflict, "", "application %s is owned by the file %s", a.Name, a.Owner).WithHint("remove it there and restart the server")
	}
	return m.store.DeleteValue(ctx, applicationPrefix+a.Name)
}

// Reseal brings the sealed secrets of stored applications up to date after a change of the key. It returns how many
// applications had any; the errors of others are joined, and those stay as they are.
func (m *Manager) Reseal(ctx context.Context) (int, error) {
	if m.sealer == nil {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	values, err := m.store.Values(ctx, applicationPrefix)
	if err != nil {
		return 0, err
	}
	n := 0
	var failed error
	for key, text := range values {
		var s stored
		err := json.Unmarshal(text, &s)
		var next []byte
		changed := false
		if err == nil {
			next, changed, err = m.sealer.RewrapSpec(ctx, key, ApplicationOptions(), s.Spec)
		}
		if err == nil && changed {
			s.Spec = next
			err = m.put(ctx, key, s)
			n++
		}
		failed = errors.Join(failed, fault.Wrap("", "seal "+key, err))
	}
	return n, failed
}
