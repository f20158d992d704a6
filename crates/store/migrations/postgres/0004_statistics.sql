-- The twin of ../sqlite/0004_statistics.sql.

CREATE TABLE ended (
    request_id    UUID PRIMARY KEY,
    model_id      TEXT NOT NULL,
    principal_id  UUID NOT NULL,
    auth_type     TEXT NOT NULL CHECK (auth_type IN ('anonymous', 'account')),
    phase         TEXT NOT NULL CHECK (phase IN ('completed', 'failed', 'cancelled')),
    inputs        BIGINT NOT NULL,
    failed        BIGINT NOT NULL,
    cached        BIGINT NOT NULL,
    submitted_at  TIMESTAMPTZ NOT NULL,
    started_at    TIMESTAMPTZ,
    ended_at      TIMESTAMPTZ NOT NULL
);

CREATE TABLE model_statistic (
    grain         TEXT NOT NULL CHECK (grain IN ('day', 'month', 'year')),
    period        BIGINT NOT NULL,
    model_id      TEXT NOT NULL,
    total         BYTEA NOT NULL,
    detail        BYTEA NOT NULL,
    requests      BIGINT NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (grain, period, model_id)
);

CREATE TABLE person_statistic (
    grain         TEXT NOT NULL CHECK (grain IN ('month', 'year', 'ever')),
    period        BIGINT NOT NULL,
    principal_id  UUID NOT NULL,
    auth_type     TEXT NOT NULL CHECK (auth_type IN ('anonymous', 'account')),
    total         BYTEA NOT NULL,
    detail        BYTEA NOT NULL,
    requests      BIGINT NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (grain, period, principal_id)
);
-- What there is to filter by is read from here alone.
CREATE INDEX person_statistic_choice ON person_statistic (auth_type, principal_id)
    INCLUDE (requests, last_at)
    WHERE grain = 'ever';
CREATE INDEX person_statistic_by_principal ON person_statistic (principal_id, grain, period);
-- A person's own statistics are also those of the sessions that they claimed.
CREATE INDEX principal_by_claim ON principal (claimed_by) WHERE claimed_by IS NOT NULL;

INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, cached,
    submitted_at, started_at, ended_at)
SELECT r.id, r.model_id, r.principal_id, p.kind, r.phase, r.inputs, r.failed, r.cached,
    r.submitted_at, r.started_at, r.ended_at
FROM request r JOIN principal p ON p.id = r.principal_id WHERE r.ended_at IS NOT NULL;

CREATE OR REPLACE FUNCTION note_submitted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    SELECT id, version, phase, submitted_at FROM now_there;
    INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, cached,
        submitted_at, started_at, ended_at)
    SELECT n.id, n.model_id, n.principal_id, p.kind, n.phase, n.inputs, n.failed, n.cached,
        n.submitted_at, n.started_at, n.ended_at
    FROM now_there n JOIN principal p ON p.id = n.principal_id WHERE n.ended_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION note_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    VALUES (new.id, new.version, new.phase, new.ended_at);
    INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, cached,
        submitted_at, started_at, ended_at)
    SELECT new.id, new.model_id, new.principal_id, kind, new.phase, new.inputs, new.failed,
        new.cached, new.submitted_at, new.started_at, new.ended_at
    FROM principal WHERE id = new.principal_id;
    RETURN NULL;
END $$;
