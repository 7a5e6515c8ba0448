package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/state"
	"sluice/internal/vault"
)

// openSecrets opens the keys that seal what is stored, and makes what looks secrets up.
func (a *application) openSecrets(ctx context.Context) error {
	vaults := vault.KeyVaultConfig{AllowedHosts: a.settings.Secrets.VaultHosts}
	keepers, err := a.keepers(ctx, vaults)
	if err != nil {
		return err
	}
	if a.sealer, err = vault.NewSealer(keepers...); err != nil {
		return err
	}
	a.onClose(func() { _ = a.sealer.Close() })
	a.secrets = vault.NewResolver(vault.ResolverConfig{Sealer: a.sealer, KeyVault: vaults, Clock: a.Clock, Logger: a.log.With("component", "secrets")})
	return nil
}

// keepers are the keys, the one that seals first. With the address of a key, a key file still opens what it sealed.
func (a *application) keepers(ctx context.Context, vaults vault.KeyVaultConfig) ([]vault.Keeper, error) {
	path, named := a.settings.Secrets.KeyFile, a.settings.Secrets.KeyFile != ""
	if !named {
		path = filepath.Join(a.dir.path, vault.KeyFileName)
	}
	if a.settings.Secrets.Key.Empty() {
		return vault.KeyFile(path, !named)
	}
	plain := vault.NewResolver(vault.ResolverConfig{KeyVault: vaults, Clock: a.Clock, Logger: a.log})
	address, err := plain.Resolve(ctx, "server", "secrets.key", a.settings.Secrets.Key.Text())
	if err != nil {
		return nil, err
	}
	first, err := vault.OpenKeeper(ctx, address.Secret, vaults)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); !named && errors.Is(err, fs.ErrNotExist) {
		return []vault.Keeper{first}, nil
	}
	older, err := vault.KeyFile(path, false)
	if err != nil {
		_ = first.Close()
		return nil, err
	}
	return append([]vault.Keeper{first}, older...), nil
}

// lookUpIn bounds the look-up of a secret for somebody who waits and cannot give up.
const lookUpIn = 30 * time.Second

// lookUp finds a secret of the server's own settings: of a notification or an application of consent.
func (a *application) lookUp(ref string) (secret.Secret, error) {
	if option.IsSealed(ref) || a.secrets == nil {
		return config.ResolveSecret(ref)
	}
	ctx, cancel := context.WithTimeout(a.svc.life, lookUpIn)
	defer cancel()
	v, err := a.secrets.Resolve(ctx, "server", "secret", ref)
	return v.Secret, err
}

// sealStored seals what an older version of Sluice stored openly, and seals again what was sealed by an older key. What
// cannot be sealed stays as it is: its connector says why when it starts.
func (a *application) sealStored(ctx context.Context) error {
	s := a.svc
	stored, err := s.state.Connectors(ctx)
	if err != nil {
		return err
	}
	sealed := 0
	for _, c := range stored {
		next, changed, err := a.sealer.RewrapSpec(ctx, c.ID, secretOptions(c), c.Spec)
		if err == nil && changed {
			c.Spec = next
			err = s.state.UpdateConnector(ctx, c, "server", "secrets sealed")
			sealed++
		}
		if err != nil {
			a.log.Error("the stored secrets of a connector cannot be sealed", "connector", c.Name, "error", err.Error(), "hint", fault.HintOf(err))
		}
	}
	applications, err := s.consent.Reseal(ctx)
	if err != nil {
		a.log.Error("the stored secrets of an application for consent cannot be sealed", "error", err.Error(), "hint", fault.HintOf(err))
	}
	if sealed += applications; sealed == 0 {
		return nil
	}
	id, place := a.sealer.Key()
	a.log.Info("stored secrets were sealed; what they were before is removed from the state database", "entries", sealed, "key", id, "in", place)
	if err := s.state.Compact(ctx); err != nil {
		a.log.Error("the state database may still hold secrets as they were before; change them where they come from", "error", err.Error(), "hint", fault.HintOf(err))
	}
	return nil
}

// secretOptions declares the options of a stored connector, nil when its type is unknown.
func secretOptions(c state.Connector) []option.Option {
	d, err := driverFor(c.Type)
	if err != nil {
		return nil
	}
	return config.ConnectorOptions(d.properties)
}

// opened reads a stored connector with its sealed secrets open, for comparing. It must not be shown or stored. Secrets of
// which the key is lost stay sealed, and so differ from all that is given: applying them again heals them.
func (s *service) opened(ctx context.Context, have state.Connector) (config.Connector, error) {
	spec, err := s.shared.sealer.OpenSpec(ctx, have.ID, secretOptions(have), have.Spec)
	if spec == nil {
		return config.Connector{}, err
	}
	return config.FromSpec(spec, s.properties)
}

// sealed is the stored form of a connector.
func (s *service) sealed(ctx context.Context, id string, c config.Connector) ([]byte, error) {
	return s.shared.sealer.SealSpec(ctx, id, c.Values.Options(), c.SpecJSON())
}

// leadsElsewhere finds, among changed options, the first with which a credential goes to another host or over a way that is
// easier to listen at. A stored secret is not sent there: who may change settings need not know it.
func leadsElsewhere(c config.Connector, changed []string) string {
	for _, o := range c.Values.Options() {
		ways := o.Type == option.URL || slices.Contains([]string{"subscription_plan", "ca_file", "disable_ssl_verification"}, o.Name)
		if ways && slices.Contains(changed, o.Name) {
			return o.Name
		}
	}
	return ""
}

// connectorSecrets finds the secrets of one connector for its driver and notes what it used.
type connectorSecrets struct {
	*vault.Uses
	values  option.Values
	refused func() // a sign-in with them was refused

	hookAddress string // where notifications are accepted, "" for nowhere
	hookAuthID  secret.Secret
}

func (s *service) secretsOf(id string, values option.Values) connectorSecrets {
	return connectorSecrets{Uses: s.shared.secrets.Uses(id), values: values, refused: func() { s.shared.secrets.Refused(id) }}
}

// option is the present value of a secret option, empty when it is not given.
func (c connectorSecrets) option(ctx context.Context, name string) (secret.Secret, error) {
	v, err := c.Secret(ctx, name, c.values.Secret(name).Text())
	return v.Secret, err
}

// secretChanged makes a connector start over with what its secrets are now.
func (s *service) secretChanged(ctx context.Context, id string) {
	connectors, err := s.state.Connectors(ctx)
	if err != nil {
		s.log.Warn("a secret has changed, but its connector cannot be started again", "connector_id", id, "error", err.Error())
		return
	}
	i := slices.IndexFunc(connectors, func(c state.Connector) bool { return c.ID == id })
	if i < 0 {
		s.shared.secrets.Forget(id)
		return
	}
	s.log.Info("a secret has changed: the connector starts over", "connector", connectors[i].Name)
	s.startAgain(ctx, connectors[i].Name)
}

// secretExpiries are the known ends of the secrets that a connector uses, soonest first.
func (s *service) secretExpiries(id string) []vault.Expiry { return s.shared.secrets.Expiries(id) }
