-- Rows of a unit, or of the units of an hour, that the lake's retention removed, and the XOR over their ids.
ALTER TABLE units ADD COLUMN dropped BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN dropped_sum BIGINT NOT NULL DEFAULT 0;
ALTER TABLE unit_hours ADD COLUMN dropped BIGINT NOT NULL DEFAULT 0;
ALTER TABLE unit_hours ADD COLUMN dropped_sum BIGINT NOT NULL DEFAULT 0;

-- Up to which sequence of the journal the rows of events before dropped_before were counted as dropped. What an earlier
-- version dropped was not counted.
INSERT INTO floors (name, value) VALUES ('dropped_seq', 0);
