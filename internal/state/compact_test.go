package state_test

import (
	"path/filepath"
	"testing"

	"sluice/internal/state"
	"sluice/internal/vault/vaulttest"
)

func TestCompactLeavesNothingOfEarlierVersions(t *testing.T) {
	t.Parallel()
	const old = "pl4nted~earlier+8Qx/7uZ"
	dir := t.TempDir()
	s, err := state.Open(t.Context(), filepath.Join(dir, "state.db"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close does nothing
	c, err := s.CreateConnector(t.Context(), state.Connector{Name: "a", TenantName: "Contoso", Type: "office365", Spec: []byte(`{"k":"` + old + `"}`)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	c.Spec = []byte(`{"k":"sealed"}`)
	if err := s.UpdateConnector(t.Context(), c, "test", "k"); err != nil {
		t.Fatal(err)
	}
	if hits, _, err := vaulttest.Find(dir, old); err != nil || len(hits) == 0 {
		t.Fatalf("the test is blind: %v", err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	vaulttest.Grep(t, dir, old)
	if got, err := s.Connector(t.Context(), "a"); err != nil || string(got.Spec) != string(c.Spec) {
		t.Errorf("after compacting: %s, %v", got.Spec, err)
	}
	if _, err := s.CreateConnector(t.Context(), state.Connector{Name: "b", TenantName: "Contoso", Type: "office365", Spec: []byte(`{}`)}, "test"); err != nil {
		t.Errorf("writing after compacting: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	vaulttest.Grep(t, dir, old)
	if err := s.Compact(t.Context()); err == nil {
		t.Error("a closed database was compacted")
	}
}

func TestCompactOnEveryEngine(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		if err := s.Compact(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
