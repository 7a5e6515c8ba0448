package app

import (
	"context"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/secret"
	"sluice/internal/state"
	"sluice/internal/webhook"
)

// hooks is the listener for Microsoft's notifications; nil when it is off.
type hooks struct {
	*webhook.Hooks
	key      webhook.Key
	address  string // public address of the listener, "" when connectors name their own
	listener *webhook.Listener
}

// openWebhook binds the listener for notifications, when one is configured. It has to answer before connectors start:
// Microsoft validates an address while a subscription is started.
func (a *application) openWebhook(ctx context.Context) error {
	settings := a.settings.Webhook
	if settings.Listen == "" {
		return nil
	}
	key, err := webhook.LoadKey(ctx, a.svc.state)
	if err != nil {
		return err
	}
	handler := webhook.New(webhook.Settings{Key: key, Hint: a.svc.hint, Clock: a.Clock, Logger: a.log, Registerer: a.registry})
	listener, err := webhook.Listen(ctx, settings, handler, a.log)
	if err != nil {
		return err
	}
	a.onClose(func() { _ = listener.Close() })
	a.svc.hooks = &hooks{Hooks: handler, key: key, address: settings.Address, listener: listener}
	a.log.Info("listening for notifications", "address", listener.Addr().String())
	return nil
}

// hint makes a connector list a content type now.
func (s *service) hint(connectorID, contentType string) {
	if r, err := s.manager.Runner(connectorID); err == nil {
		r.PokeType(contentType)
	}
}

// hookFor returns where Microsoft shall send the notifications of a connector, and accepts them from now on; "" when the
// connector wants none.
func (s *service) hookFor(ctx context.Context, stored state.Connector, c config.Connector, secrets connectorSecrets) (address string, authID secret.Secret, err error) {
	own := c.Values.String("webhook_address")
	if own == "" && !c.Values.Bool("webhook") {
		if s.hooks != nil {
			s.hooks.Remove(stored.ID)
		}
		return "", authID, nil
	}
	if s.hooks == nil {
		return "", authID, fault.New(fault.Config, "webhook", "the server does not listen for notifications").
			WithHint("set webhook.listen and webhook.address in the server's configuration, or switch the connector's webhook off")
	}
	if own == "" {
		own = s.hooks.address
	}
	if own == "" {
		return "", authID, fault.New(fault.Config, "webhook", "the public address of the listener is not known").
			WithHint("set webhook.address in the server's configuration, or webhook_address of the connector")
	}
	if authID, err = secrets.option(ctx, "webhook_auth_id"); err != nil {
		return "", authID, err
	}
	if authID.Empty() {
		authID = s.hooks.key.AuthID(stored.ID)
	}
	s.hooks.Set(webhook.Target{
		ConnectorID: stored.ID, Connector: stored.Name, DirectoryID: stored.DirectoryID, ApplicationID: c.Values.String("application_id"),
		ContentTypes: c.ContentTypes, AuthID: authID,
	})
	return s.hooks.key.Address(own, stored.ID), authID, nil
}
