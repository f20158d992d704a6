-- Times are microseconds since 1970 (UTC). Ids are the 16 bytes of a UUID.

CREATE TABLE model (
    id            TEXT PRIMARY KEY,
    version       TEXT NOT NULL,
    spec          TEXT NOT NULL,
    enabled       BOOLEAN NOT NULL,
    held          TEXT,
    updated_at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE server (
    id            BLOB PRIMARY KEY,
    started_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE leader (
    duty          TEXT PRIMARY KEY,
    server_id     BLOB NOT NULL,
    epoch         BIGINT NOT NULL,
    until         INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE principal (
    id            BLOB PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('anonymous', 'account')),
    created_at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE session (
    token_hash    BLOB PRIMARY KEY,
    principal_id  BLOB NOT NULL REFERENCES principal (id),
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE request (
    id            BLOB PRIMARY KEY,
    principal_id  BLOB NOT NULL REFERENCES principal (id),
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    phase         TEXT NOT NULL CHECK (phase IN ('waiting', 'running', 'completed', 'failed', 'cancelled')),
    submitted_at  INTEGER NOT NULL,
    started_at    INTEGER,
    ended_at      INTEGER,
    reason        TEXT,
    inputs        BIGINT NOT NULL CHECK (inputs > 0),
    done          BIGINT NOT NULL CHECK (done BETWEEN 0 AND inputs),
    failed        BIGINT NOT NULL CHECK (failed BETWEEN 0 AND done),
    cached        BIGINT NOT NULL CHECK (cached BETWEEN 0 AND done),
    open_tasks    BIGINT NOT NULL CHECK (open_tasks >= 0),
    reading       TEXT NOT NULL,
    input_object  TEXT,
    input_sha     BLOB,
    idempotency_key TEXT,
    body_hash     BLOB NOT NULL,
    version       BIGINT NOT NULL,
    CHECK ((phase IN ('waiting', 'running')) = (ended_at IS NULL)),
    UNIQUE (principal_id, idempotency_key)
) WITHOUT ROWID;
CREATE INDEX request_by_principal ON request (principal_id, id);
CREATE INDEX request_open ON request (model_id) WHERE ended_at IS NULL;
CREATE INDEX request_ended_at ON request (model_id, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE task (
    request_id    BLOB NOT NULL REFERENCES request (id),
    position      BIGINT NOT NULL,
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    principal_id  BLOB NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dropped')),
    inputs        BIGINT NOT NULL CHECK (inputs > 0),
    rank          INTEGER NOT NULL,
    rank_end      INTEGER NOT NULL,
    not_before    INTEGER NOT NULL,
    attempt       BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    use_cache     BOOLEAN NOT NULL,
    server_id     BLOB,
    instance_id   BLOB,
    lease_until   INTEGER,
    remote_job    TEXT,
    input         BLOB,
    input_at      BIGINT,
    input_len     BIGINT,
    records       BLOB,
    records_at    BIGINT,
    records_len   BIGINT,
    result        BLOB,
    result_object TEXT,
    result_sha    BLOB,
    result_columns TEXT,
    CHECK ((state = 'leased') = (lease_until IS NOT NULL)),
    PRIMARY KEY (request_id, position)
);
CREATE INDEX task_queue ON task (model_id, rank, request_id, position) WHERE state = 'queued';
CREATE INDEX task_backlog ON task (principal_id, model_id, rank_end) WHERE state = 'queued';
CREATE INDEX task_lease ON task (instance_id, lease_until) WHERE state = 'leased';

-- Every phase a request was in, written by the database itself.
CREATE TABLE transition (
    request_id    BLOB NOT NULL,
    version       BIGINT NOT NULL,
    phase         TEXT NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (request_id, version)
) WITHOUT ROWID;

CREATE TRIGGER request_submitted AFTER INSERT ON request BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    VALUES (new.id, new.version, new.phase, new.submitted_at);
END;
CREATE TRIGGER request_ended AFTER UPDATE OF phase ON request
WHEN new.phase <> old.phase AND new.ended_at IS NOT NULL BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    VALUES (new.id, new.version, new.phase, new.ended_at);
END;
CREATE TRIGGER request_is_final BEFORE UPDATE ON request
WHEN old.ended_at IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'a request that ended does not change');
END;
CREATE TRIGGER attempt_never_decreases BEFORE UPDATE OF attempt ON task
WHEN new.attempt < old.attempt BEGIN
    SELECT RAISE(ABORT, 'an attempt number never decreases');
END;

CREATE TABLE prediction (
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    input_hash    BLOB NOT NULL,
    part          BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (model_id, model_version, input_hash)
) WITHOUT ROWID;

CREATE TABLE instance (
    id            BLOB PRIMARY KEY,
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    slot          BIGINT NOT NULL,
    is_local      BOOLEAN NOT NULL,
    server_id     BLOB NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('starting', 'ready', 'draining', 'ended')),
    address       TEXT,
    why           TEXT NOT NULL,
    launched_at   INTEGER NOT NULL,
    ready_at      INTEGER,
    idle_since    INTEGER,
    ended_at      INTEGER,
    end_cause     TEXT,
    jobs          BIGINT NOT NULL,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
) WITHOUT ROWID;
CREATE UNIQUE INDEX instance_slot ON instance (model_id, slot) WHERE state <> 'ended';

CREATE TABLE instance_event (
    instance_id   BLOB NOT NULL,
    at            INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    detail        TEXT NOT NULL
);
CREATE INDEX instance_event_by_instance ON instance_event (instance_id, at);
