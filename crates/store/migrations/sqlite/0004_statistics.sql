-- Statistics. A request that ends leaves a row here with all that is counted of it; the planning server
-- folds these rows into the two tables below.
CREATE TABLE ended (
    request_id    BLOB PRIMARY KEY,
    model_id      TEXT NOT NULL,
    principal_id  BLOB NOT NULL,
    auth_type     TEXT NOT NULL CHECK (auth_type IN ('anonymous', 'account')),
    phase         TEXT NOT NULL CHECK (phase IN ('completed', 'failed', 'cancelled')),
    inputs        BIGINT NOT NULL,
    failed        BIGINT NOT NULL,
    cached        BIGINT NOT NULL,
    submitted_at  INTEGER NOT NULL,
    started_at    INTEGER,
    ended_at      INTEGER NOT NULL
) WITHOUT ROWID;

-- `period` is its first day, in days since 1970. `total` and `detail` are written and read by
-- `muster_core::stats`.
CREATE TABLE model_statistic (
    grain         TEXT NOT NULL CHECK (grain IN ('day', 'month', 'year')),
    period        BIGINT NOT NULL,
    model_id      TEXT NOT NULL,
    total         BLOB NOT NULL,
    detail        BLOB NOT NULL,
    requests      BIGINT NOT NULL,
    last_at       INTEGER NOT NULL,
    PRIMARY KEY (grain, period, model_id)
) WITHOUT ROWID;

CREATE TABLE person_statistic (
    grain         TEXT NOT NULL CHECK (grain IN ('month', 'year', 'ever')),
    period        BIGINT NOT NULL,
    principal_id  BLOB NOT NULL,
    auth_type     TEXT NOT NULL CHECK (auth_type IN ('anonymous', 'account')),
    total         BLOB NOT NULL,
    detail        BLOB NOT NULL,
    requests      BIGINT NOT NULL,
    last_at       INTEGER NOT NULL,
    PRIMARY KEY (grain, period, principal_id)
) WITHOUT ROWID;
-- What there is to filter by is read from here alone.
CREATE INDEX person_statistic_choice ON person_statistic (auth_type, principal_id, requests, last_at)
    WHERE grain = 'ever';
CREATE INDEX person_statistic_by_principal ON person_statistic (principal_id, grain, period);
-- A person's own statistics are also those of the sessions that they claimed.
CREATE INDEX principal_by_claim ON principal (claimed_by) WHERE claimed_by IS NOT NULL;

INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, cached,
    submitted_at, started_at, ended_at)
SELECT r.id, r.model_id, r.principal_id, p.kind, r.phase, r.inputs, r.failed, r.cached,
    r.submitted_at, r.started_at, r.ended_at
FROM request r JOIN principal p ON p.id = r.principal_id WHERE r.ended_at IS NOT NULL;

DROP TRIGGER request_submitted;
CREATE TRIGGER request_submitted AFTER INSERT ON request BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    VALUES (new.id, new.version, new.phase, new.submitted_at);
    INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, cached,
        submitted_at, started_at, ended_at)
    SELECT new.id, new.model_id, new.principal_id, kind, new.phase, new.inputs, new.failed,
        new.cached, new.submitted_at, new.started_at, new.ended_at
    FROM principal WHERE id = new.principal_id AND new.ended_at IS NOT NULL;
END;
DROP TRIGGER request_ended;
CREATE TRIGGER request_ended AFTER UPDATE OF phase ON request
WHEN new.phase <> old.phase AND new.ended_at IS NOT NULL BEGIN
    INSERT INTO transition (request_id, version, phase, at)
    VALUES (new.id, new.version, new.phase, new.ended_at);
    INSERT INTO ended (request_id, model_id, principal_id, auth_type, phase, inputs, failed, cached,
        submitted_at, started_at, ended_at)
    SELECT new.id, new.model_id, new.principal_id, kind, new.phase, new.inputs, new.failed,
        new.cached, new.submitted_at, new.started_at, new.ended_at
    FROM principal WHERE id = new.principal_id;
END;
