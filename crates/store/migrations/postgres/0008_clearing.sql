-- The twin of ../sqlite/0008_clearing.sql.

CREATE TABLE object_removal (
    path          TEXT PRIMARY KEY,
    marked_at     TIMESTAMPTZ NOT NULL
);

CREATE TABLE clearing (
    name          TEXT PRIMARY KEY CHECK (name = 'schedule'),
    began_at      TIMESTAMPTZ NOT NULL,
    ended_at      TIMESTAMPTZ
);

ALTER TABLE prediction ADD COLUMN used_on BIGINT NOT NULL DEFAULT 0;
