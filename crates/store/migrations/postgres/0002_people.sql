-- The twin of ../sqlite/0002_people.sql.
-- Accounts, and sessions whose id is not their secret.

ALTER TABLE principal ADD COLUMN changed_at TIMESTAMPTZ;
ALTER TABLE principal ADD COLUMN claimed_by UUID;
-- What servers look at to forget the sessions they remember.
CREATE INDEX principal_by_change ON principal (changed_at) WHERE changed_at IS NOT NULL;

CREATE TABLE account (
    principal_id  UUID PRIMARY KEY REFERENCES principal (id),
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL,
    verified_at   TIMESTAMPTZ,
    password      TEXT NOT NULL,
    permissions   TEXT NOT NULL,
    disabled_at   TIMESTAMPTZ,
    version       BIGINT NOT NULL
);
CREATE INDEX account_by_email ON account (email_key);

ALTER TABLE session RENAME TO session_before;
CREATE TABLE session (
    id            UUID PRIMARY KEY,
    principal_id  UUID NOT NULL REFERENCES principal (id),
    kind          TEXT NOT NULL CHECK (kind IN ('bearer', 'cookie', 'token')),
    name          TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,
    ended_at      TIMESTAMPTZ,
    end_reason    TEXT,
    permissions_version BIGINT NOT NULL,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX session_by_principal ON session (principal_id, created_at);
CREATE INDEX session_by_end ON session (expires_at);

-- All secrets a session had, as hashes. One that was replaced stays good for a moment.
CREATE TABLE token (
    hash          BYTEA PRIMARY KEY,
    session_id    UUID NOT NULL REFERENCES session (id),
    replaced_at   TIMESTAMPTZ
);
CREATE INDEX token_by_session ON token (session_id);

-- Sessions that there are get an id.
CREATE TABLE session_id (token_hash BYTEA PRIMARY KEY, id UUID NOT NULL);
INSERT INTO session_id SELECT token_hash, gen_random_uuid() FROM session_before;
INSERT INTO session (id, principal_id, kind, name, scopes, created_at, seen_at, expires_at,
    permissions_version)
SELECT i.id, b.principal_id, 'bearer', '', '', b.created_at, b.created_at, b.expires_at, 0
FROM session_before b JOIN session_id i ON i.token_hash = b.token_hash;
INSERT INTO token (hash, session_id) SELECT token_hash, id FROM session_id;
DROP TABLE session_id;
DROP TABLE session_before;

-- Links that work once: to set a password, or to show that mail arrives.
CREATE TABLE link (
    hash          BYTEA PRIMARY KEY,
    principal_id  UUID NOT NULL REFERENCES principal (id),
    purpose       TEXT NOT NULL CHECK (purpose IN ('password', 'email')),
    email         TEXT NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL
);
CREATE INDEX link_by_principal ON link (principal_id);

CREATE TABLE login_failure (
    subject       TEXT PRIMARY KEY,
    failures      BIGINT NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL,
    next_at       TIMESTAMPTZ NOT NULL
);
CREATE INDEX login_failure_by_age ON login_failure (last_at);

-- What admins did. `actor` is absent for commands on the server's machine; `subject` may be gone.
CREATE TABLE audit (
    id            UUID PRIMARY KEY,
    at            TIMESTAMPTZ NOT NULL,
    actor         UUID,
    action        TEXT NOT NULL,
    subject       UUID,
    detail        TEXT NOT NULL
);

-- A request that ended does not change, but it may get another owner: when an anonymous session's
-- requests are claimed.
DROP TRIGGER request_is_final ON request;
CREATE TRIGGER request_is_final BEFORE UPDATE OF id, model_id, model_version, phase, submitted_at,
started_at, ended_at, reason, inputs, done, failed, cached, open_tasks, reading, input_object,
input_sha, body_hash, version ON request
FOR EACH ROW WHEN (old.ended_at IS NOT NULL)
EXECUTE FUNCTION refuse('a request that ended does not change');
