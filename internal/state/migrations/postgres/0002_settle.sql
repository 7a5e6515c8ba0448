-- A published batch stays until the lake has it. States: 0 open, 1 void, 2 published; stream and seq are its place in
-- the journal. A batch that is not here is in the lake.
ALTER TABLE batches RENAME COLUMN void TO state;
ALTER TABLE batches ADD COLUMN stream TEXT NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX batches_state ON batches (state, number);

-- What open and published batches hold of units. A unit cannot land while an open batch has a row here.
ALTER TABLE batch_units ADD COLUMN id_sum BIGINT NOT NULL DEFAULT 0;

ALTER TABLE units ADD COLUMN id_sum BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN ask_lake BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN look_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN looks BIGINT NOT NULL DEFAULT 0;
ALTER TABLE feeds ADD COLUMN retrying BIGINT NOT NULL DEFAULT 0;
UPDATE feeds SET retrying = (SELECT COUNT(*) FROM units WHERE units.feed = feeds.id AND units.state = 1);
CREATE INDEX units_created ON units (feed, created, id);
CREATE INDEX units_look ON units (feed, look_at, id) WHERE look_at > 0;

-- Sums of landed units that were deleted, by the hour of their creation. newest is the greatest created of them.
CREATE TABLE unit_hours (
  feed         BIGINT NOT NULL REFERENCES feeds (id),
  hour         BIGINT NOT NULL,
  units        BIGINT NOT NULL,
  records      BIGINT NOT NULL,
  duplicates   BIGINT NOT NULL,
  filtered     BIGINT NOT NULL,
  malformed    BIGINT NOT NULL,
  bytes        BIGINT NOT NULL,
  id_sum       BIGINT NOT NULL,
  newest       BIGINT NOT NULL,
  PRIMARY KEY (feed, hour)
);

-- The last place of a subject in the journal up to which the lake has everything.
CREATE TABLE settled (
  subject      TEXT   NOT NULL PRIMARY KEY,
  stream       TEXT   NOT NULL,
  seq          BIGINT NOT NULL
);

-- Times that only rise. ids_floor (Unix seconds): ids of earlier events are not kept. dropped_before (microseconds):
-- the lake's retention removed earlier events.
CREATE TABLE floors (
  name         TEXT   NOT NULL PRIMARY KEY,
  value        BIGINT NOT NULL
);
INSERT INTO floors (name, value) VALUES ('ids_floor', 0), ('dropped_before', 0);

CREATE TABLE gaps (
  connector_id TEXT   NOT NULL,
  content_type TEXT   NOT NULL,
  reason       TEXT   NOT NULL,
  from_at      BIGINT NOT NULL,
  to_at        BIGINT NOT NULL,
  noticed_at   BIGINT NOT NULL,
  PRIMARY KEY (connector_id, content_type, reason, from_at)
);

CREATE TABLE feed_marks (
  connector_id TEXT   NOT NULL,
  content_type TEXT   NOT NULL,
  listed_until BIGINT NOT NULL,
  swept_day    BIGINT NOT NULL,
  swept_all    BIGINT NOT NULL,
  looks_grew   BIGINT NOT NULL,
  PRIMARY KEY (connector_id, content_type)
);
