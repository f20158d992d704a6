-- The twin of ../sqlite/0001_first.sql in PostgreSQL's own types.

CREATE TABLE model (
    id            TEXT PRIMARY KEY,
    version       TEXT NOT NULL,
    spec          TEXT NOT NULL,
    enabled       BOOLEAN NOT NULL,
    held          TEXT,
    updated_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE server (
    id            UUID PRIMARY KEY,
    started_at    TIMESTAMPTZ NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL
);

CREATE TABLE leader (
    duty          TEXT PRIMARY KEY,
    server_id     UUID NOT NULL,
    epoch         BIGINT NOT NULL,
    until         TIMESTAMPTZ NOT NULL
);

CREATE TABLE principal (
    id            UUID PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('anonymous', 'account')),
    created_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE session (
    token_hash    BYTEA PRIMARY KEY,
    principal_id  UUID NOT NULL REFERENCES principal (id),
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE request (
    id            UUID PRIMARY KEY,
    principal_id  UUID NOT NULL REFERENCES principal (id),
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    phase         TEXT NOT NULL CHECK (phase IN ('waiting', 'running', 'completed', 'failed', 'cancelled')),
    submitted_at  TIMESTAMPTZ NOT NULL,
    started_at    TIMESTAMPTZ,
    ended_at      TIMESTAMPTZ,
    reason        TEXT,
    inputs        BIGINT NOT NULL CHECK (inputs > 0),
    done          BIGINT NOT NULL CHECK (done BETWEEN 0 AND inputs),
    failed        BIGINT NOT NULL CHECK (failed BETWEEN 0 AND done),
    cached        BIGINT NOT NULL CHECK (cached BETWEEN 0 AND done),
    open_tasks    BIGINT NOT NULL CHECK (open_tasks >= 0),
    reading       TEXT NOT NULL,
    input_object  TEXT,
    input_sha     BYTEA,
    idempotency_key TEXT,
    body_hash     BYTEA NOT NULL,
    version       BIGINT NOT NULL,
    CHECK ((phase IN ('waiting', 'running')) = (ended_at IS NULL)),
    UNIQUE (principal_id, idempotency_key)
);
CREATE INDEX request_by_principal ON request (principal_id, id);
CREATE INDEX request_open ON request (model_id) WHERE ended_at IS NULL;
CREATE INDEX request_ended_at ON request (model_id, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE task (
    request_id    UUID NOT NULL REFERENCES request (id),
    position      BIGINT NOT NULL,
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    principal_id  UUID NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dropped')),
    inputs        BIGINT NOT NULL CHECK (inputs > 0),
    rank          TIMESTAMPTZ NOT NULL,
    rank_end      TIMESTAMPTZ NOT NULL,
    not_before    TIMESTAMPTZ NOT NULL,
    attempt       BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    use_cache     BOOLEAN NOT NULL,
    server_id     UUID,
    instance_id   UUID,
    lease_until   TIMESTAMPTZ,
    remote_job    TEXT,
    input         BYTEA,
    input_at      BIGINT,
    input_len     BIGINT,
    records       BYTEA,
    records_at    BIGINT,
    records_len   BIGINT,
    result        BYTEA,
    result_object TEXT,
    result_sha    BYTEA,
    result_columns TEXT,
    CHECK ((state = 'leased') = (lease_until IS NOT NULL)),
    PRIMARY KEY (request_id, position)
);
CREATE INDEX task_queue ON task (model_id, rank, request_id, position) WHERE state = 'queued';
CREATE INDEX task_backlog ON task (principal_id, model_id, rank_end) WHERE state = 'queued';
CREATE INDEX task_lease ON task (instance_id, lease_until) WHERE state = 'leased';

-- Every phase a request was in, written by the database itself.
CREATE TABLE transition (
    request_id    UUID NOT NULL,
    version       BIGINT NOT NULL,
    phase         TEXT NOT NULL,
    at            TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (request_id, version)
);

-- Submissions come many in a statement. Ends are noted one by one: a trigger for a statement would keep
-- all rows of each update, also of those that end nothing.
CREATE FUNCTION note_submitted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    SELECT id, version, phase, submitted_at FROM now_there;
    RETURN NULL;
END $$;
CREATE FUNCTION note_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    VALUES (new.id, new.version, new.phase, new.ended_at);
    RETURN NULL;
END $$;
CREATE TRIGGER request_submitted AFTER INSERT ON request
REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION note_submitted();
CREATE TRIGGER request_ended AFTER UPDATE ON request
FOR EACH ROW WHEN (old.ended_at IS NULL AND new.ended_at IS NOT NULL)
EXECUTE FUNCTION note_ended();

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', tg_argv[0];
END $$;
CREATE TRIGGER request_is_final BEFORE UPDATE ON request
FOR EACH ROW WHEN (old.ended_at IS NOT NULL)
EXECUTE FUNCTION refuse('a request that ended does not change');
CREATE TRIGGER attempt_never_decreases BEFORE UPDATE OF attempt ON task
FOR EACH ROW WHEN (new.attempt < old.attempt)
EXECUTE FUNCTION refuse('an attempt number never decreases');

CREATE TABLE prediction (
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    input_hash    BYTEA NOT NULL,
    part          BYTEA NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (model_id, model_version, input_hash)
);

CREATE TABLE instance (
    id            UUID PRIMARY KEY,
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    slot          BIGINT NOT NULL,
    is_local      BOOLEAN NOT NULL,
    server_id     UUID NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('starting', 'ready', 'draining', 'ended')),
    address       TEXT,
    why           TEXT NOT NULL,
    launched_at   TIMESTAMPTZ NOT NULL,
    ready_at      TIMESTAMPTZ,
    idle_since    TIMESTAMPTZ,
    ended_at      TIMESTAMPTZ,
    end_cause     TEXT,
    jobs          BIGINT NOT NULL,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX instance_slot ON instance (model_id, slot) WHERE state <> 'ended';

CREATE TABLE instance_event (
    instance_id   UUID NOT NULL,
    at            TIMESTAMPTZ NOT NULL,
    kind          TEXT NOT NULL,
    detail        TEXT NOT NULL
);
CREATE INDEX instance_event_by_instance ON instance_event (instance_id, at);
