-- Accounts, and sessions whose id is not their secret.

ALTER TABLE principal ADD COLUMN changed_at INTEGER;
ALTER TABLE principal ADD COLUMN claimed_by BLOB;
-- What servers look at to forget the sessions they remember.
CREATE INDEX principal_by_change ON principal (changed_at) WHERE changed_at IS NOT NULL;

CREATE TABLE account (
    principal_id  BLOB PRIMARY KEY REFERENCES principal (id),
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL,
    verified_at   INTEGER,
    password      TEXT NOT NULL,
    permissions   TEXT NOT NULL,
    disabled_at   INTEGER,
    version       BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX account_by_email ON account (email_key);

ALTER TABLE session RENAME TO session_before;
CREATE TABLE session (
    id            BLOB PRIMARY KEY,
    principal_id  BLOB NOT NULL REFERENCES principal (id),
    kind          TEXT NOT NULL CHECK (kind IN ('bearer', 'cookie', 'token')),
    name          TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    end_reason    TEXT,
    permissions_version BIGINT NOT NULL,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITHOUT ROWID;
CREATE INDEX session_by_principal ON session (principal_id, created_at);
CREATE INDEX session_by_end ON session (expires_at);

-- All secrets a session had, as hashes. One that was replaced stays good for a moment.
CREATE TABLE token (
    hash          BLOB PRIMARY KEY,
    session_id    BLOB NOT NULL REFERENCES session (id),
    replaced_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX token_by_session ON token (session_id);

-- Sessions that there are get an id.
CREATE TABLE session_id (token_hash BLOB PRIMARY KEY, id BLOB NOT NULL);
INSERT INTO session_id SELECT token_hash, randomblob(16) FROM session_before;
INSERT INTO session (id, principal_id, kind, name, scopes, created_at, seen_at, expires_at,
    permissions_version)
SELECT i.id, b.principal_id, 'bearer', '', '', b.created_at, b.created_at, b.expires_at, 0
FROM session_before b JOIN session_id i ON i.token_hash = b.token_hash;
INSERT INTO token (hash, session_id) SELECT token_hash, id FROM session_id;
DROP TABLE session_id;
DROP TABLE session_before;

-- Links that work once: to set a password, or to show that mail arrives.
CREATE TABLE link (
    hash          BLOB PRIMARY KEY,
    principal_id  BLOB NOT NULL REFERENCES principal (id),
    purpose       TEXT NOT NULL CHECK (purpose IN ('password', 'email')),
    email         TEXT NOT NULL,
    expires_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX link_by_principal ON link (principal_id);

CREATE TABLE login_failure (
    subject       TEXT PRIMARY KEY,
    failures      BIGINT NOT NULL,
    last_at       INTEGER NOT NULL,
    next_at       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX login_failure_by_age ON login_failure (last_at);

-- What admins did. `actor` is absent for commands on the server's machine; `subject` may be gone.
CREATE TABLE audit (
    id            BLOB PRIMARY KEY,
    at            INTEGER NOT NULL,
    actor         BLOB,
    action        TEXT NOT NULL,
    subject       BLOB,
    detail        TEXT NOT NULL
) WITHOUT ROWID;

-- A request that ended does not change, but it may get another owner: when an anonymous session's
-- requests are claimed.
DROP TRIGGER request_is_final;
CREATE TRIGGER request_is_final BEFORE UPDATE OF id, model_id, model_version, phase, submitted_at,
started_at, ended_at, reason, inputs, done, failed, cached, open_tasks, reading, input_object,
input_sha, body_hash, version ON request
WHEN old.ended_at IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'a request that ended does not change');
END;
