-- Log filters, as connectors refer to them.
CREATE TABLE filters (
  name    TEXT    NOT NULL PRIMARY KEY,
  spec    BYTEA   NOT NULL,
  owner   TEXT    NOT NULL,
  created BIGINT  NOT NULL,
  updated BIGINT  NOT NULL
);

-- What the change was made to: connector, filter.
ALTER TABLE changes ADD COLUMN kind TEXT NOT NULL DEFAULT 'connector';

-- How many records of a feed each filter dropped. Names outlive the filter.
CREATE TABLE filter_counts (
  feed    BIGINT  NOT NULL REFERENCES feeds (id),
  name    TEXT    NOT NULL,
  records BIGINT  NOT NULL,
  PRIMARY KEY (feed, name)
);

-- The part of filter_counts that open and published batches hold: it is taken back when one becomes void.
CREATE TABLE batch_filters (
  batch   BIGINT  NOT NULL REFERENCES batches (number),
  feed    BIGINT  NOT NULL REFERENCES feeds (id),
  name    TEXT    NOT NULL,
  records BIGINT  NOT NULL,
  PRIMARY KEY (batch, feed, name)
);
