-- A version of a pushed model that is being tried is a model of its own, which only its example is run with.
ALTER TABLE model ADD COLUMN trial BOOLEAN NOT NULL DEFAULT FALSE;

-- What was pushed: folders, kept as objects by the hash of their archive (`content`).
CREATE TABLE model_version (
    model_id      TEXT NOT NULL,
    version       TEXT NOT NULL,
    content       TEXT NOT NULL,
    bytes         BIGINT NOT NULL,
    files         BIGINT NOT NULL,
    spec          TEXT NOT NULL,
    notes         TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('trying', 'good', 'failed')),
    reason        TEXT,
    pushed_at     INTEGER NOT NULL,
    pushed_by     BLOB NOT NULL,
    -- The idempotency key of its example's request, and that request.
    try_id        BLOB NOT NULL,
    request_id    BLOB,
    ended_at      INTEGER,
    PRIMARY KEY (model_id, version)
) WITHOUT ROWID;

CREATE INDEX model_version_content ON model_version (content);
