package state

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/google/uuid"

	"sluice/internal/fault"
)

const connectorColumns = `id, name, tenant_name, type, directory_id, spec, owner, paused, created, updated`

// CreateConnector stores a new connector and returns it with ID, Created and Updated. A taken name is a
// fault.Conflict; a directory id that belongs to another tenant name a fault.Config.
func (s *Store) CreateConnector(ctx context.Context, c Connector, actor string) (Connector, error) {
	if c.ID == "" {
		c.ID = uuid.NewString()
	}
	now := s.clock.Now()
	c.Created, c.Updated = fromMicros(micros(now)), fromMicros(micros(now))
	c.DirectoryID = strings.ToLower(c.DirectoryID)
	op := "create connector " + c.Name
	err := s.write(ctx, op, func(t *tx) error {
		if err := t.bind(c.DirectoryID, c.TenantName); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO connectors (`+connectorColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.ID, c.Name, c.TenantName, c.Type, c.DirectoryID, blob(c.Spec), c.Owner, flag(c.Paused), micros(now), micros(now))
		if isUnique(err) {
			return fault.New(fault.Conflict, "", "a connector with this name exists").WithHint("choose another name, or change that connector")
		}
		if err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO connector_tenants (connector_id, tenant_name) VALUES (?, ?)`, c.ID, c.TenantName); err != nil {
			return err
		}
		return t.change(c.Name, actor, "created", "")
	})
	return c, err
}

// UpdateConnector stores the new Spec, Owner and DirectoryID of the connector named c.Name. detail goes into the
// history: the names of the changed options, never values. Paused is left as it is, see SetPaused. Another ID, type or
// tenant name than the stored one is a fault.Config, because they are fixed; empty ones are not looked at.
func (s *Store) UpdateConnector(ctx context.Context, c Connector, actor, detail string) error {
	c.DirectoryID = strings.ToLower(c.DirectoryID)
	return s.write(ctx, "update connector "+c.Name, func(t *tx) error {
		var old Connector
		ok, err := t.one(`SELECT id, tenant_name, type FROM connectors WHERE name = ? {lock}`, []any{c.Name},
			&old.ID, &old.TenantName, &old.Type)
		if err != nil {
			return err
		}
		if !ok {
			return unknownConnector(c.Name)
		}
		for _, f := range []struct{ option, is, want string }{
			{"id", old.ID, c.ID}, {"tenant_name", old.TenantName, c.TenantName}, {"type", old.Type, c.Type},
		} {
			if f.want != "" && f.want != f.is {
				return fault.Newf(fault.Config, "", "%s is fixed after creation: it is %q, not %q", f.option, f.is, f.want).
					WithHint("make a new connector under another name")
			}
		}
		if err := t.bind(c.DirectoryID, old.TenantName); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE connectors SET directory_id = ?, spec = ?, owner = ?, updated = ? WHERE name = ?`,
			c.DirectoryID, blob(c.Spec), c.Owner, micros(s.clock.Now()), c.Name); err != nil {
			return err
		}
		return t.change(c.Name, actor, "updated", detail)
	})
}

// DeleteConnector forgets a connector. Its ledger, its data, its history and the binding of its directory id stay, see
// BeginErasure; the name can be used again.
func (s *Store) DeleteConnector(ctx context.Context, name, actor string) error {
	return s.write(ctx, "delete connector "+name, func(t *tx) error {
		n, err := t.exec(`DELETE FROM connectors WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n == 0 {
			return unknownConnector(name)
		}
		return t.change(name, actor, changeDeleted, "")
	})
}

// SetPaused pauses or resumes a connector. Setting what is set already leaves no trace in the history.
func (s *Store) SetPaused(ctx context.Context, name string, paused bool, actor string) error {
	what := "resumed"
	if paused {
		what = "paused"
	}
	return s.write(ctx, "change connector "+name, func(t *tx) error {
		n, err := t.exec(`UPDATE connectors SET paused = ?, updated = ? WHERE name = ? AND paused <> ?`,
			flag(paused), micros(s.clock.Now()), name, flag(paused))
		if err != nil {
			return err
		}
		if n == 0 {
			var id string
			if ok, err := t.one(`SELECT id FROM connectors WHERE name = ?`, []any{name}, &id); err != nil || ok {
				return err
			}
			return unknownConnector(name)
		}
		return t.change(name, actor, what, "")
	})
}

// Connector returns the connector with the given name, or a fault.NotFound.
func (s *Store) Connector(ctx context.Context, name string) (Connector, error) {
	list, err := s.connectors(ctx, `SELECT `+connectorColumns+` FROM connectors WHERE name = ?`, name)
	if err == nil && len(list) == 0 {
		err = unknownConnector(name)
	}
	if err != nil {
		return Connector{}, classify("read connector "+name, err)
	}
	return list[0], nil
}

// Connectors returns all connectors in the order of their names.
func (s *Store) Connectors(ctx context.Context) ([]Connector, error) {
	list, err := s.connectors(ctx, `SELECT `+connectorColumns+` FROM connectors`)
	slices.SortFunc(list, func(a, b Connector) int { return strings.Compare(a.Name, b.Name) }) // engines collate differently
	return list, classify("read connectors", err)
}

func (s *Store) connectors(ctx context.Context, query string, args ...any) ([]Connector, error) {
	var list []Connector
	err := s.rows(ctx, query, args, func(r *sql.Rows) error {
		var c Connector
		var paused, created, updated int64
		err := r.Scan(&c.ID, &c.Name, &c.TenantName, &c.Type, &c.DirectoryID, &c.Spec, &c.Owner, &paused, &created, &updated)
		c.Paused, c.Created, c.Updated = paused != 0, fromMicros(created), fromMicros(updated)
		list = append(list, c)
		return err
	})
	return list, err
}

// History returns what happened to connectors of the given name, oldest first. It outlives the connector, see TrimHistory.
func (s *Store) History(ctx context.Context, name string) ([]Change, error) {
	return s.history(ctx, kindConnector, name)
}

func (s *Store) history(ctx context.Context, kind, name string) ([]Change, error) {
	var list []Change
	err := s.rows(ctx, `SELECT at, actor, what, detail FROM changes WHERE name = ? AND kind = ? ORDER BY seq`, []any{name, kind},
		func(r *sql.Rows) error {
			var c Change
			var at int64
			err := r.Scan(&at, &c.Actor, &c.What, &c.Detail)
			c.At = fromMicros(at)
			list = append(list, c)
			return err
		})
	return list, classify("read history of "+name, err)
}

// BindDirectory makes a Microsoft directory id belong to a tenant name, until the tenant's data are erased. It is a fault.Config when it belongs
// to another tenant name already. CreateConnector and UpdateConnector do it themselves.
func (s *Store) BindDirectory(ctx context.Context, directoryID, tenantName string) error {
	return s.write(ctx, "bind directory", func(t *tx) error { return t.bind(strings.ToLower(directoryID), tenantName) })
}

func (t *tx) bind(directoryID, tenantName string) error {
	if directoryID == "" {
		return nil
	}
	if _, err := t.exec(`INSERT INTO directories (directory_id, tenant_name) VALUES (?, ?) ON CONFLICT DO NOTHING`,
		directoryID, tenantName); err != nil {
		return err
	}
	var owner string
	if _, err := t.one(`SELECT tenant_name FROM directories WHERE directory_id = ?`, []any{directoryID}, &owner); err != nil {
		return err
	}
	if owner != tenantName {
		return fault.Newf(fault.Config, "", "directory %s belongs to the tenant name %q, not %q", directoryID, owner, tenantName).
			WithHint("use tenant_name " + owner + ", or correct directory_id")
	}
	return nil
}

func (t *tx) change(name, actor, what, detail string) error {
	return t.changeOf(kindConnector, name, actor, what, detail)
}

func (t *tx) changeOf(kind, name, actor, what, detail string) error {
	_, err := t.exec(`INSERT INTO changes (kind, name, at, actor, what, detail) VALUES (?, ?, ?, ?, ?, ?)`,
		kind, name, micros(t.s.clock.Now()), clean(actor), what, clean(detail))
	return err
}

func unknownConnector(name string) error {
	return fault.Newf(fault.NotFound, "", "there is no connector named %q", name).WithHint("`sluice get connectors` lists them")
}

// blob makes an absent value an empty one: no column of the schema is NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
