-- What goes after a while.

-- Objects that no row points to any more. Written in the transaction that deletes the rows, deleted
-- when the object is gone.
CREATE TABLE object_removal (
    path          TEXT PRIMARY KEY,
    marked_at     INTEGER NOT NULL
) WITHOUT ROWID;

-- When a server last cleared by itself. Without an end it is under way, or its server died.
CREATE TABLE clearing (
    name          TEXT PRIMARY KEY CHECK (name = 'schedule'),
    began_at      INTEGER NOT NULL,
    ended_at      INTEGER
) WITHOUT ROWID;

-- The last day it answered an input, in days since 1970; 0: none since it is counted.
ALTER TABLE prediction ADD COLUMN used_on BIGINT NOT NULL DEFAULT 0;
