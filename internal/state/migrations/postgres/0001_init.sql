-- Times are Unix microseconds, 0 for "none". States of units: 0 listed, 1 retrying, 2 landed, 3 lost, 4 interrupted.

CREATE TABLE connectors (
  id           TEXT   NOT NULL PRIMARY KEY,
  name         TEXT   NOT NULL UNIQUE,
  tenant_name  TEXT   NOT NULL,
  type         TEXT   NOT NULL,
  directory_id TEXT   NOT NULL,
  spec         BYTEA  NOT NULL,
  owner        TEXT   NOT NULL,
  paused       BIGINT NOT NULL,
  created      BIGINT NOT NULL,
  updated      BIGINT NOT NULL
);

-- The history of connectors, by name: it outlives the connector.
CREATE TABLE changes (
  seq    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name   TEXT   NOT NULL,
  at     BIGINT NOT NULL,
  actor  TEXT   NOT NULL,
  what   TEXT   NOT NULL,
  detail TEXT   NOT NULL
);
CREATE INDEX changes_name ON changes (name, seq);

CREATE TABLE directories (
  directory_id TEXT NOT NULL PRIMARY KEY,
  tenant_name  TEXT NOT NULL
);

CREATE TABLE terms (
  subject TEXT   NOT NULL PRIMARY KEY,
  epoch   TEXT   NOT NULL, -- '' when released
  holder  TEXT   NOT NULL,
  expires BIGINT NOT NULL
);

-- A feed is one connector and content type, with the sums over its units.
CREATE TABLE feeds (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connector_id TEXT   NOT NULL,
  content_type TEXT   NOT NULL,
  listed       BIGINT NOT NULL DEFAULT 0,
  landed       BIGINT NOT NULL DEFAULT 0,
  pending      BIGINT NOT NULL DEFAULT 0,
  lost         BIGINT NOT NULL DEFAULT 0,
  records      BIGINT NOT NULL DEFAULT 0,
  duplicates   BIGINT NOT NULL DEFAULT 0,
  filtered     BIGINT NOT NULL DEFAULT 0,
  malformed    BIGINT NOT NULL DEFAULT 0,
  bytes        BIGINT NOT NULL DEFAULT 0,
  newest       BIGINT NOT NULL DEFAULT 0,
  last_landed  BIGINT NOT NULL DEFAULT 0,
  UNIQUE (connector_id, content_type)
);

-- The ledger.
CREATE TABLE units (
  id         BYTEA  NOT NULL PRIMARY KEY,
  feed       BIGINT NOT NULL REFERENCES feeds (id),
  unit_key   TEXT   NOT NULL,
  content_id TEXT   NOT NULL,
  uri        TEXT   NOT NULL,
  created    BIGINT NOT NULL,
  expires    BIGINT NOT NULL,
  state      BIGINT NOT NULL DEFAULT 0,
  complete   BIGINT NOT NULL DEFAULT 0, -- 1: all of a valid body is in batches, nothing is left to fetch
  attempt    BIGINT NOT NULL DEFAULT 0,
  next_try   BIGINT NOT NULL DEFAULT 0,
  error_kind TEXT   NOT NULL DEFAULT '',
  error_text TEXT   NOT NULL DEFAULT '',
  bytes      BIGINT NOT NULL DEFAULT 0,
  records    BIGINT NOT NULL DEFAULT 0,
  duplicates BIGINT NOT NULL DEFAULT 0,
  filtered   BIGINT NOT NULL DEFAULT 0,
  malformed  BIGINT NOT NULL DEFAULT 0,
  listed_at  BIGINT NOT NULL,
  landed_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX units_feed ON units (feed, state, created, id);
CREATE INDEX units_retry ON units (feed, next_try, created, id) WHERE state = 1 AND complete = 0;

CREATE SEQUENCE batch_number;

-- Open and void batches. A batch that is not here was published.
CREATE TABLE batches (
  number  BIGINT NOT NULL PRIMARY KEY,
  subject TEXT   NOT NULL,
  epoch   TEXT   NOT NULL,
  void    BIGINT NOT NULL -- 0 open, 1 void
);

-- What open batches hold of units: a unit cannot land while it has a row here.
CREATE TABLE batch_units (
  batch      BIGINT NOT NULL REFERENCES batches (number),
  unit       BYTEA  NOT NULL,
  bytes      BIGINT NOT NULL,
  records    BIGINT NOT NULL,
  duplicates BIGINT NOT NULL,
  filtered   BIGINT NOT NULL,
  malformed  BIGINT NOT NULL,
  newest     BIGINT NOT NULL,
  PRIMARY KEY (batch, unit)
);
CREATE INDEX batch_units_unit ON batch_units (unit);

-- Which batch holds a record's identity. The key is the event's second (4 bytes, big endian) and a hash (16 bytes).
CREATE TABLE ids (
  key     BYTEA  NOT NULL PRIMARY KEY,
  content BYTEA  NOT NULL,
  batch   BIGINT NOT NULL
);

-- The last confirmed place of a subject in the journal.
CREATE TABLE positions (
  subject TEXT   NOT NULL PRIMARY KEY,
  stream  TEXT   NOT NULL,
  seq     BIGINT NOT NULL
);

CREATE TABLE import_jobs (
  id      TEXT   NOT NULL PRIMARY KEY,
  started BIGINT NOT NULL,
  job     BYTEA  NOT NULL
);
CREATE INDEX import_jobs_started ON import_jobs (started);

CREATE TABLE state_values (
  name  TEXT NOT NULL PRIMARY KEY,
  value BYTEA NOT NULL
);
