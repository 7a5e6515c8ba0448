-- To which tenant a connector belongs, also after it was deleted.
CREATE TABLE connector_tenants (
  connector_id TEXT    NOT NULL PRIMARY KEY,
  tenant_name  TEXT    NOT NULL
) STRICT;
CREATE INDEX connector_tenants_name ON connector_tenants (tenant_name);
INSERT INTO connector_tenants (connector_id, tenant_name) SELECT id, tenant_name FROM connectors;

-- Tenants whose data were erased: rows of the lake that came with messages of the journal up to seq. pending: 1 while the
-- lake may still have such rows.
CREATE TABLE erasures (
  tenant_name  TEXT    NOT NULL PRIMARY KEY,
  generation   INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  pending      INTEGER NOT NULL
) STRICT;
