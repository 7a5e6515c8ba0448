-- A published batch stays until the lake has it. States: 0 open, 1 void, 2 published; stream and seq are its place in
-- the journal. A batch that is not here is in the lake.
ALTER TABLE batches RENAME COLUMN void TO state;
ALTER TABLE batches ADD COLUMN stream TEXT NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
CREATE INDEX batches_state ON batches (state, number);

-- What open and published batches hold of units. A unit cannot land while an open batch has a row here.
ALTER TABLE batch_units ADD COLUMN id_sum INTEGER NOT NULL DEFAULT 0;

ALTER TABLE units ADD COLUMN id_sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN ask_lake INTEGER NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN look_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN looks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE feeds ADD COLUMN retrying INTEGER NOT NULL DEFAULT 0;
UPDATE feeds SET retrying = (SELECT COUNT(*) FROM units WHERE units.feed = feeds.id AND units.state = 1);
CREATE INDEX units_created ON units (feed, created, id);
CREATE INDEX units_look ON units (feed, look_at, id) WHERE look_at > 0;

-- Sums of landed units that were deleted, by the hour of their creation. newest is the greatest created of them.
CREATE TABLE unit_hours (
  feed         INTEGER NOT NULL REFERENCES feeds (id),
  hour         INTEGER NOT NULL,
  units        INTEGER NOT NULL,
  records      INTEGER NOT NULL,
  duplicates   INTEGER NOT NULL,
  filtered     INTEGER NOT NULL,
  malformed    INTEGER NOT NULL,
  bytes        INTEGER NOT NULL,
  id_sum       INTEGER NOT NULL,
  newest       INTEGER NOT NULL,
  PRIMARY KEY (feed, hour)
) STRICT;

-- The last place of a subject in the journal up to which the lake has everything.
CREATE TABLE settled (
  subject      TEXT    NOT NULL PRIMARY KEY,
  stream       TEXT    NOT NULL,
  seq          INTEGER NOT NULL
) STRICT;

-- Times that only rise. ids_floor (Unix seconds): ids of earlier events are not kept. dropped_before (microseconds):
-- the lake's retention removed earlier events.
CREATE TABLE floors (
  name         TEXT    NOT NULL PRIMARY KEY,
  value        INTEGER NOT NULL
) STRICT;
INSERT INTO floors (name, value) VALUES ('ids_floor', 0), ('dropped_before', 0);

CREATE TABLE gaps (
  connector_id TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  reason       TEXT    NOT NULL,
  from_at      INTEGER NOT NULL,
  to_at        INTEGER NOT NULL,
  noticed_at   INTEGER NOT NULL,
  PRIMARY KEY (connector_id, content_type, reason, from_at)
) STRICT;

CREATE TABLE feed_marks (
  connector_id TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  listed_until INTEGER NOT NULL,
  swept_day    INTEGER NOT NULL,
  swept_all    INTEGER NOT NULL,
  looks_grew   INTEGER NOT NULL,
  PRIMARY KEY (connector_id, content_type)
) STRICT;
