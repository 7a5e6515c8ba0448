package vault

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/secret"
)

// The timing of a Resolver.
const (
	// LookInterval is how often Run looks whether a secret in use has changed.
	LookInterval = time.Minute
	// VaultInterval is how long an answer of Azure Key Vault is kept.
	VaultInterval = 5 * time.Minute
	// failureHold is how long a failure of Azure Key Vault is kept, if the vault does not ask for longer.
	failureHold = 20 * time.Second
	// refusedHold is the shortest time between two looks into Azure Key Vault because of refused sign-ins.
	refusedHold = 30 * time.Second
)

// maxReferenced is the largest file, in bytes, that ${file:PATH} reads.
const maxReferenced = 64 << 10

// ExpiryNotice is how long before its end a secret should be replaced.
const ExpiryNotice = 30 * 24 * time.Hour

// Value is what a reference stands for at the moment.
type Value struct {
	Secret      secret.Secret
	Expires     time.Time // of a secret in Azure Key Vault, UTC; zero when it is not known
	ContentType string    // of a secret in Azure Key Vault, such as application/x-pkcs12
	Version     string    // of a secret in Azure Key Vault
	From        string    // for people: "environment variable M365_SECRET"; never the secret
}

// ExpiresSoon reports whether the end of the secret is known and less than ExpiryNotice away, or past.
func (v Value) ExpiresSoon(now time.Time) bool {
	return !v.Expires.IsZero() && v.Expires.Sub(now) < ExpiryNotice
}

// ResolverConfig is what a Resolver is made from.
type ResolverConfig struct {
	Sealer   *Sealer                     // nil: sealed secrets cannot be opened
	Env      func(string) (string, bool) // nil: os.LookupEnv
	KeyVault KeyVaultConfig
	Clock    clock.Clock  // nil: the wall clock
	Logger   *slog.Logger // nil: no log
}

// Resolver finds the present values of secrets. It is safe for concurrent use.
type Resolver struct {
	sealer *Sealer
	env    func(string) (string, bool)
	vaults *vaults
	clock  clock.Clock
	log    *slog.Logger
	key    [sha256.Size]byte // of fingerprints, made anew in each process
	wake   chan struct{}     // one waiting look of Run is enough

	mu      sync.Mutex
	answers map[KeyVaultSecret]*answer
	uses    map[string]*Uses // kept, by owner
}

// NewResolver returns a Resolver. Nothing is sent.
func NewResolver(cfg ResolverConfig) *Resolver {
	r := &Resolver{
		sealer: cfg.Sealer, env: cfg.Env, clock: cfg.Clock, log: cfg.Logger, vaults: newVaults(cfg.KeyVault),
		wake: make(chan struct{}, 1), answers: map[KeyVaultSecret]*answer{}, uses: map[string]*Uses{},
	}
	if r.env == nil {
		r.env = os.LookupEnv
	}
	if r.clock == nil {
		r.clock = clock.Real{}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	_, _ = rand.Read(r.key[:]) // never fails: it would end the program
	return r
}

// Resolve looks up what text stands for: a sealed secret of owner's option name, references, or the secret itself. An
// empty text is an empty Value. Trailing line ends are left out, as editors and `echo` put them there. An error is a
// *fault.Error that says which place was looked at and why it has no value: fault.Config for a variable or file, and
// fault.Auth, Permission, NotFound, Throttled or Unavailable for Azure Key Vault. It never quotes a secret.
func (r *Resolver) Resolve(ctx context.Context, owner, name, text string) (Value, error) {
	v, err := r.resolve(ctx, owner, name, text)
	if err != nil {
		return Value{}, fault.Wrap("", "look up the secret "+name, err)
	}
	return v, nil
}

func (r *Resolver) resolve(ctx context.Context, owner, name, text string) (Value, error) {
	from := "stored in the entry"
	if option.IsSealed(text) {
		if r.sealer == nil {
			return Value{}, fault.New(fault.Config, "", "it is sealed, and there is no key to open it with").WithHint(again)
		}
		opened, err := r.sealer.Open(ctx, owner, name, text)
		if err != nil {
			return Value{}, err
		}
		text, from = opened.Reveal(), "stored in the entry, sealed"
	}
	parts, err := option.ParseReferences(text)
	if err != nil {
		return Value{}, fault.New(fault.Config, "", err.Error())
	}
	var all strings.Builder
	var places []string
	for _, p := range parts {
		switch p.Kind {
		case option.VaultRef: // always the whole text
			s, err := ParseKeyVaultSecret(p.Text)
			if err != nil {
				return Value{}, fault.New(fault.Config, "", err.Error())
			}
			return r.ask(ctx, s)
		case option.EnvRef:
			value, err := r.variable(p.Text)
			if err != nil {
				return Value{}, err
			}
			all.WriteString(value)
			places = append(places, "environment variable "+p.Text)
		case option.FileRef:
			value, err := readSecret(p.Text)
			if err != nil {
				return Value{}, fault.New(fault.Config, "", err.Error()).
					WithHint("the file is read on the server, as the user that runs Sluice")
			}
			all.WriteString(value)
			places = append(places, "file "+p.Text)
		default:
			all.WriteString(p.Text)
		}
	}
	if len(places) > 0 {
		from = strings.Join(places, ", ")
	}
	return Value{Secret: secret.New(all.String()), From: from}, nil
}

func (r *Resolver) variable(name string) (string, error) {
	value, found := r.env(name)
	if value = trim(value); value == "" {
		what := "is not set"
		if found {
			what = "is empty"
		}
		return "", fault.Newf(fault.Config, "", "environment variable %s %s", name, what).
			WithHint("the variable is looked up in the environment of the server, not of the command line; set it there and restart the server")
	}
	return value, nil
}

// readSecret reads a small text file without its trailing line ends. The error names the path and the reason.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxReferenced+1))
	if err != nil {
		return "", err
	}
	text := trim(string(data))
	switch {
	case len(data) > maxReferenced:
		return "", fmt.Errorf("file %s is too large: more than %d bytes", path, maxReferenced)
	case text == "":
		return "", fmt.Errorf("file %s is empty", path)
	}
	return text, nil
}

// fingerprint tells values apart without keeping them. It means nothing outside of this process.
func (r *Resolver) fingerprint(value string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, r.key[:])
	mac.Write([]byte(value))
	return [sha256.Size]byte(mac.Sum(nil))
}

// answer is what Azure Key Vault last said of a secret.
type answer struct {
	turn chan struct{} // one place; whoever has put something in may ask and write

	value  Value // last good one; zero when there was none
	asked  time.Time
	until  time.Time // until when value or err answers
	err    error     // of the last look
	warned bool      // that value is used although the vault does not answer
}

// ask returns the kept answer or asks the vault, one caller at a time for each secret.
func (r *Resolver) ask(ctx context.Context, s KeyVaultSecret) (Value, error) {
	a := r.answer(s)
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return Value{}, fault.Wrap("", "", ctx.Err())
	}
	defer func() { <-a.turn }()
	if r.clock.Now().Before(a.until) {
		return a.usable()
	}
	value, err := r.vaults.get(ctx, s)
	if err != nil && ctx.Err() != nil {
		return Value{}, fault.Wrap("", "ask Azure Key Vault for "+s.String(), err) // the caller gave up: nothing was learnt
	}
	now := r.clock.Now()
	a.asked, a.err = now, fault.Wrap("", "ask Azure Key Vault for "+s.String(), err)
	if err != nil {
		a.until = now.Add(max(failureHold, fault.RetryAfterOf(err)))
		value, err := a.usable()
		if err == nil && !a.warned {
			a.warned = true
			r.log.WarnContext(ctx, "Azure Key Vault does not answer; the secret is used as it was", "secret", s.String(), "error", a.err.Error())
		}
		return value, err
	}
	value.From = "Azure Key Vault " + s.String()
	a.value, a.until, a.warned = value, now.Add(VaultInterval), false
	return value, nil
}

func (r *Resolver) answer(s KeyVaultSecret) *answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.answers[s]
	if a == nil {
		a = &answer{turn: make(chan struct{}, 1)}
		r.answers[s] = a
	}
	return a
}

// usable is the last good value while the vault is only out of reach, and else the error.
func (a *answer) usable() (Value, error) {
	switch fault.KindOf(a.err) {
	case "":
		return a.value, nil
	case fault.Unavailable, fault.Throttled:
		if !a.value.Secret.Empty() {
			return a.value, nil
		}
	default: // the vault said no: a secret that was disabled is not used any more
	}
	return Value{}, a.err
}

// forget makes the next look ask the vault, unless it was asked just now.
func (r *Resolver) forget(ctx context.Context, s KeyVaultSecret) {
	a := r.answer(s)
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-a.turn }()
	if earliest := a.asked.Add(refusedHold); earliest.Before(a.until) {
		a.until = earliest
	}
}
