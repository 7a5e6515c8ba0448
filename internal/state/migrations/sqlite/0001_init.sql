-- Times are Unix microseconds, 0 for "none". States of units: 0 listed, 1 retrying, 2 landed, 3 lost, 4 interrupted.

CREATE TABLE connectors (
  id           TEXT    NOT NULL PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  tenant_name  TEXT    NOT NULL,
  type         TEXT    NOT NULL,
  directory_id TEXT    NOT NULL,
  spec         BLOB    NOT NULL,
  owner        TEXT    NOT NULL,
  paused       INTEGER NOT NULL,
  created      INTEGER NOT NULL,
  updated      INTEGER NOT NULL
) STRICT;

-- The history of connectors, by name: it outlives the connector.
CREATE TABLE changes (
  seq    INTEGER PRIMARY KEY,
  name   TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  actor  TEXT    NOT NULL,
  what   TEXT    NOT NULL,
  detail TEXT    NOT NULL
) STRICT;
CREATE INDEX changes_name ON changes (name, seq);

CREATE TABLE directories (
  directory_id TEXT NOT NULL PRIMARY KEY,
  tenant_name  TEXT NOT NULL
) STRICT;

CREATE TABLE terms (
  subject TEXT    NOT NULL PRIMARY KEY,
  epoch   TEXT    NOT NULL, -- '' when released
  holder  TEXT    NOT NULL,
  expires INTEGER NOT NULL
) STRICT;

-- A feed is one connector and content type, with the sums over its units.
CREATE TABLE feeds (
  id           INTEGER PRIMARY KEY,
  connector_id TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  listed       INTEGER NOT NULL DEFAULT 0,
  landed       INTEGER NOT NULL DEFAULT 0,
  pending      INTEGER NOT NULL DEFAULT 0,
  lost         INTEGER NOT NULL DEFAULT 0,
  records      INTEGER NOT NULL DEFAULT 0,
  duplicates   INTEGER NOT NULL DEFAULT 0,
  filtered     INTEGER NOT NULL DEFAULT 0,
  malformed    INTEGER NOT NULL DEFAULT 0,
  bytes        INTEGER NOT NULL DEFAULT 0,
  newest       INTEGER NOT NULL DEFAULT 0,
  last_landed  INTEGER NOT NULL DEFAULT 0,
  UNIQUE (connector_id, content_type)
) STRICT;

-- The ledger.
CREATE TABLE units (
  row        INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE,
  feed       INTEGER NOT NULL REFERENCES feeds (id),
  unit_key   TEXT    NOT NULL,
  content_id TEXT    NOT NULL,
  uri        TEXT    NOT NULL,
  created    INTEGER NOT NULL,
  expires    INTEGER NOT NULL,
  state      INTEGER NOT NULL DEFAULT 0,
  complete   INTEGER NOT NULL DEFAULT 0, -- 1: all of a valid body is in batches, nothing is left to fetch
  attempt    INTEGER NOT NULL DEFAULT 0,
  next_try   INTEGER NOT NULL DEFAULT 0,
  error_kind TEXT    NOT NULL DEFAULT '',
  error_text TEXT    NOT NULL DEFAULT '',
  bytes      INTEGER NOT NULL DEFAULT 0,
  records    INTEGER NOT NULL DEFAULT 0,
  duplicates INTEGER NOT NULL DEFAULT 0,
  filtered   INTEGER NOT NULL DEFAULT 0,
  malformed  INTEGER NOT NULL DEFAULT 0,
  listed_at  INTEGER NOT NULL,
  landed_at  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX units_feed ON units (feed, state, created, id);
CREATE INDEX units_retry ON units (feed, next_try, created, id) WHERE state = 1 AND complete = 0;

CREATE TABLE batch_number (last INTEGER NOT NULL) STRICT;
INSERT INTO batch_number (last) VALUES (0);

-- Open and void batches. A batch that is not here was published.
CREATE TABLE batches (
  number  INTEGER NOT NULL PRIMARY KEY,
  subject TEXT    NOT NULL,
  epoch   TEXT    NOT NULL,
  void    INTEGER NOT NULL -- 0 open, 1 void
) STRICT;

-- What open batches hold of units: a unit cannot land while it has a row here.
CREATE TABLE batch_units (
  batch      INTEGER NOT NULL REFERENCES batches (number),
  unit       BLOB    NOT NULL,
  bytes      INTEGER NOT NULL,
  records    INTEGER NOT NULL,
  duplicates INTEGER NOT NULL,
  filtered   INTEGER NOT NULL,
  malformed  INTEGER NOT NULL,
  newest     INTEGER NOT NULL,
  PRIMARY KEY (batch, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_units_unit ON batch_units (unit);

-- Which batch holds a record's identity. The key is the event's second (4 bytes, big endian) and a hash (16 bytes).
CREATE TABLE ids (
  key     BLOB    NOT NULL PRIMARY KEY,
  content BLOB    NOT NULL,
  batch   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- 0 to 1023: claims are unpacked from one parameter with it.
CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT;
WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 1023)
INSERT INTO numbers (n) SELECT n FROM c;

-- The last confirmed place of a subject in the journal.
CREATE TABLE positions (
  subject TEXT    NOT NULL PRIMARY KEY,
  stream  TEXT    NOT NULL,
  seq     INTEGER NOT NULL
) STRICT;

CREATE TABLE import_jobs (
  id      TEXT    NOT NULL PRIMARY KEY,
  started INTEGER NOT NULL,
  job     BLOB    NOT NULL
) STRICT;
CREATE INDEX import_jobs_started ON import_jobs (started);

CREATE TABLE state_values (
  name  TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;
