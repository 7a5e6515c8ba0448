package vault

import (
	"context"
	"crypto/sha256"
	"os"
	"slices"
	"sync"
	"time"

	"sluice/internal/option"
)

// Uses are the secrets that an owner works with, such as a connector's. Make them, ask them for each secret, and keep
// them when the owner starts to work with what they answered; Uses that are not kept (of a connection test) are simply
// dropped. They are safe for concurrent use; nothing is added after Keep.
type Uses struct {
	resolver *Resolver
	owner    string

	mu    sync.Mutex
	list  []use
	again bool // the owner's sign-in was refused
}

// use is one place that was looked at.
type use struct {
	name, text string // of an option; name is empty for a file
	path       string // of a file that is no secret option
	known      bool   // whether there was a value
	print      [sha256.Size]byte
	expires    time.Time // zero when it is not known
	from       string
}

// Expiry is the known end of a secret.
type Expiry struct {
	Name string    // of the option
	What string    // for people: where the secret is
	At   time.Time // UTC
}

// Uses returns an empty list for owner, the id of a connector.
func (r *Resolver) Uses(owner string) *Uses { return &Uses{resolver: r, owner: owner} }

// Secret is Resolve, remembered.
func (u *Uses) Secret(ctx context.Context, name, text string) (Value, error) {
	v, err := u.resolver.Resolve(ctx, u.owner, name, text)
	if text == "" {
		return v, err
	}
	x := use{name: name, text: text}
	if err == nil {
		x.learn(u.resolver, v)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, x)
	return v, err
}

// learn takes in a present value.
func (x *use) learn(r *Resolver, v Value) {
	x.known, x.print, x.expires, x.from = true, r.fingerprint(v.Secret.Reveal()), v.Expires, v.From
}

// File remembers the content of a file that the owner reads itself, such as a certificate. Call it before the owner
// reads the file: then a change in between is noticed. A file that cannot be read is waited for.
func (u *Uses) File(path string) {
	if path == "" {
		return
	}
	use := use{path: path}
	use.print, use.known = u.resolver.filePrint(path)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, use)
}

// Expiries are the known ends of the secrets, soonest first.
func (u *Uses) Expiries() []Expiry {
	u.mu.Lock()
	defer u.mu.Unlock()
	var ends []Expiry
	for _, x := range u.list {
		if !x.expires.IsZero() {
			ends = append(ends, Expiry{Name: x.name, What: x.from, At: x.expires})
		}
	}
	slices.SortStableFunc(ends, func(a, b Expiry) int { return a.At.Compare(b.At) })
	return ends
}

// Keep makes these the owner's uses, in the place of earlier ones.
func (u *Uses) Keep() {
	u.resolver.mu.Lock()
	defer u.resolver.mu.Unlock()
	u.resolver.uses[u.owner] = u
}

// Forget drops the uses of an owner that is gone.
func (r *Resolver) Forget(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uses, owner)
}

// Expiries are the known ends of the secrets that owner uses, soonest first, as Run last saw them.
func (r *Resolver) Expiries(owner string) []Expiry {
	r.mu.Lock()
	u := r.uses[owner]
	r.mu.Unlock()
	if u == nil {
		return nil
	}
	return u.Expiries()
}

// Refused says that a sign-in with the secrets of owner was refused: they may have been rotated. Run then looks at once
// at them and at those of every owner that shares one of their values, because owners with the same secret also share
// the sign-in. Azure Key Vault is asked past the cache, but at most every 30 seconds for each secret. It does not block.
func (r *Resolver) Refused(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := r.uses[owner]
	if refused == nil {
		return
	}
	refused.mark()
	prints := refused.prints()
	for _, u := range r.uses {
		if slices.ContainsFunc(u.prints(), func(p [sha256.Size]byte) bool { return slices.Contains(prints, p) }) {
			u.mark()
		}
	}
	select {
	case r.wake <- struct{}{}:
	default: // a look is waiting already
	}
}

func (u *Uses) mark() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.again = true
}

func (u *Uses) prints() (prints [][sha256.Size]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, x := range u.list {
		if x.known {
			prints = append(prints, x.print)
		}
	}
	return prints
}

// Run looks at the kept uses every LookInterval, and at once after Refused, until ctx ends; then it returns nil. It
// calls changed, from its own goroutine and once for each change, with every owner for whom a secret or file has another
// value than at Keep, or has a value now and had none. changed should make the owner start over: with new Uses. What
// cannot be looked up at the moment counts as not changed, because the owner works with what it has.
func (r *Resolver) Run(ctx context.Context, changed func(ctx context.Context, owner string)) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-r.clock.After(LookInterval):
		}
		for _, u := range r.kept() {
			if ctx.Err() == nil && u.look(ctx) {
				r.log.InfoContext(ctx, "a secret has changed", "owner", u.owner)
				changed(ctx, u.owner)
			}
		}
	}
	return nil
}

// kept lists the uses in the order of their owners.
func (r *Resolver) kept() []*Uses {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Uses, 0, len(r.uses))
	for _, u := range r.uses {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *Uses) int {
		if a.owner < b.owner {
			return -1
		}
		return 1
	})
	return list
}

// look compares the present values with the remembered ones and remembers the present ones.
func (u *Uses) look(ctx context.Context) (changed bool) {
	u.mu.Lock()
	list, again := slices.Clone(u.list), u.again
	u.again = false
	u.mu.Unlock()
	for i := range list {
		x := &list[i]
		before := *x
		u.refresh(ctx, x, again)
		changed = changed || x.known && (!before.known || x.print != before.print)
	}
	u.mu.Lock()
	u.list = list
	u.mu.Unlock()
	return changed
}

// refresh looks at one place. What cannot be looked up stays as it was.
func (u *Uses) refresh(ctx context.Context, x *use, again bool) {
	if x.path != "" {
		if print, known := u.resolver.filePrint(x.path); known {
			x.print, x.known = print, true
		}
		return
	}
	if again {
		u.resolver.forgetAnswer(ctx, x.text)
	}
	if v, err := u.resolver.Resolve(ctx, u.owner, x.name, x.text); err == nil {
		x.learn(u.resolver, v)
	}
}

func (r *Resolver) forgetAnswer(ctx context.Context, text string) {
	parts, err := option.ParseReferences(text)
	if err != nil || len(parts) != 1 || parts[0].Kind != option.VaultRef {
		return
	}
	if s, err := ParseKeyVaultSecret(parts[0].Text); err == nil {
		r.forget(ctx, s)
	}
}

// filePrint is the fingerprint of a file's content; known is false when it cannot be read.
func (r *Resolver) filePrint(path string) (print [sha256.Size]byte, known bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return print, false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return print, false
	}
	return r.fingerprint(string(data)), true
}
