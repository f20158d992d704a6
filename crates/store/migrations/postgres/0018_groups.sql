-- The twin of ../sqlite/0018_groups.sql.

-- What the hub has in its books of a group of nodes, as JSON (`GroupBooks`): the last order, what its provider
-- told, what failed. Who changes it says which version he read.
CREATE TABLE node_group (
    id            TEXT PRIMARY KEY,
    version       BIGINT NOT NULL,
    books         TEXT NOT NULL
);

-- Nodes that get nothing new: by the plan (`ours`), or because an administrator said so.
CREATE TABLE node_mark (
    node          TEXT PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('cordoned', 'drained')),
    ours          BOOLEAN NOT NULL,
    since         TIMESTAMPTZ NOT NULL,
    why           TEXT NOT NULL
);
