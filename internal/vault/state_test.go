package vault_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/state"
	"sluice/internal/vault"
	"sluice/internal/vault/vaulttest"
)

// TestTheDataFolderHoldsNoSecret stores connectors as the server does, in a real state database, and greps the folder
// while the database is open (with its write-ahead log) and when it is closed.
func TestTheDataFolderHoldsNoSecret(t *testing.T) {
	t.Parallel()
	const first, second, local = "pl4nted~first+8Qx/7uZ", "pl4nted~second+3Wv/1aB", "bG9jYWw+pl4nted+key"
	dir := t.TempDir()
	keepers, err := vault.KeyFile(filepath.Join(dir, vault.KeyFileName), true)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := vault.NewSealer(keepers...)
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(t.Context(), filepath.Join(dir, "state.db"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // a second Close does nothing
	options := []option.Option{{Name: "api_access_key", Secret: true}, {Name: "url", Secret: true}}
	seal := func(id, value string) []byte {
		spec, err := sealer.SealSpec(t.Context(), id, options, []byte(`{"name":"a","api_access_key":"`+value+`","url":"${env:URL}"}`))
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	c, err := store.CreateConnector(t.Context(), state.Connector{
		ID: "11111111-2222-3333-4444-555555555555", Name: "a", TenantName: "Contoso", Type: "office365",
		Spec: seal("11111111-2222-3333-4444-555555555555", first),
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	c.Spec = seal(c.ID, second)
	if err := store.UpdateConnector(t.Context(), c, "test", "api_access_key"); err != nil {
		t.Fatal(err)
	}
	vaulttest.Grep(t, dir, first, second, local)

	stored, err := store.Connector(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := sealer.OpenSpec(t.Context(), stored.ID, options, stored.Spec)
	if err != nil || string(opened) != `{"name":"a","api_access_key":"`+second+`","url":"${env:URL}"}` {
		t.Errorf("the stored entry opens as %d bytes, %v", len(opened), err)
	}
	r := vault.NewResolver(vault.ResolverConfig{Sealer: sealer})
	var text struct{ sealed string }
	if text.sealed, err = sealer.Seal(t.Context(), stored.ID, "api_access_key", secret.New(local)); err != nil {
		t.Fatal(err)
	}
	if v, err := r.Resolve(t.Context(), stored.ID, "api_access_key", text.sealed); err != nil || v.Secret.Reveal() != local {
		t.Errorf("Resolve: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	vaulttest.Grep(t, dir, first, second, local)
}

// TestARewrappedDatabase is the way of a database of a version that did not seal. SQLite may leave the old text in the free
// space of a page until it is vacuumed.
func TestARewrappedDatabase(t *testing.T) {
	t.Parallel()
	const old = "pl4nted~old+8Qx/7uZ"
	dir := t.TempDir()
	keepers, err := vault.KeyFile(filepath.Join(dir, vault.KeyFileName), true)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := vault.NewSealer(keepers...)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	store, err := state.Open(t.Context(), path, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // a second Close does nothing
	options := []option.Option{{Name: "api_access_key", Secret: true}}
	c, err := store.CreateConnector(t.Context(), state.Connector{
		Name: "a", TenantName: "Contoso", Type: "office365", Spec: []byte(`{"api_access_key":"` + old + `"}`),
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if hits, _, err := vaulttest.Find(dir, old); err != nil || len(hits) == 0 {
		t.Fatalf("the test is blind: %v", err)
	}
	next, changed, err := sealer.RewrapSpec(t.Context(), c.ID, options, c.Spec)
	if err != nil || !changed {
		t.Fatalf("RewrapSpec: %t, %v", changed, err)
	}
	c.Spec = next
	if err := store.UpdateConnector(t.Context(), c, "upgrade", "secrets sealed"); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	vaulttest.Grep(t, dir, old)
}
