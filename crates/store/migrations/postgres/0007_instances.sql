-- The twin of ../sqlite/0007_instances.sql.
-- Instances as administrators see them.

-- An administrator wants it to stop: who, why, since when, what becomes of its work, and until when.
ALTER TABLE instance ADD COLUMN stop_work TEXT CHECK (stop_work IN ('requeue', 'fail', 'drain'));
ALTER TABLE instance ADD COLUMN stop_reason TEXT;
ALTER TABLE instance ADD COLUMN stop_actor UUID;
ALTER TABLE instance ADD COLUMN stop_asked_at TIMESTAMPTZ;
ALTER TABLE instance ADD COLUMN stop_until TIMESTAMPTZ;
CREATE INDEX instance_live ON instance (launched_at, id) WHERE state <> 'ended';
CREATE INDEX instance_history ON instance (launched_at, id) WHERE state = 'ended';
CREATE INDEX instance_by_end ON instance (ended_at) WHERE ended_at IS NOT NULL;

-- What was seen of it. Apart from `instance`, whose rows change with every job.
-- `pod` is what the cluster says, as JSON. Times are microseconds, CPU thousandths of a core, memory
-- bytes; a sum is over all samples. `log_object` holds the log from its byte `log_at` on.
CREATE TABLE instance_seen (
    instance_id   UUID PRIMARY KEY REFERENCES instance (id) ON DELETE CASCADE,
    node          TEXT,
    pod_status    TEXT,
    pod           TEXT,
    busy          BIGINT NOT NULL,
    samples       BIGINT NOT NULL,
    cpu_now       BIGINT NOT NULL,
    cpu_peak      BIGINT NOT NULL,
    cpu_sum       BIGINT NOT NULL,
    memory_now    BIGINT NOT NULL,
    memory_peak   BIGINT NOT NULL,
    memory_sum    BIGINT NOT NULL,
    log_object    TEXT,
    log_at        BIGINT
);

-- The newest requests that it worked on.
CREATE TABLE instance_request (
    instance_id   UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    request_id    UUID NOT NULL,
    jobs          BIGINT NOT NULL,
    inputs        BIGINT NOT NULL,
    first_at      TIMESTAMPTZ NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (instance_id, request_id)
);

-- The end of its log while it runs; `position` counts bytes. When it has ended that is an object.
CREATE TABLE instance_log (
    instance_id   UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    position      BIGINT NOT NULL,
    bytes         BYTEA NOT NULL,
    PRIMARY KEY (instance_id, position)
);

-- What happens again is the same event, with a higher count.
DROP INDEX instance_event_by_instance;
ALTER TABLE instance_event RENAME TO instance_event_before;
CREATE TABLE instance_event (
    instance_id   UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    source        TEXT NOT NULL,
    uid           TEXT NOT NULL,
    kind          TEXT NOT NULL,
    level         TEXT NOT NULL CHECK (level IN ('normal', 'warning')),
    message       TEXT NOT NULL,
    count         BIGINT NOT NULL,
    first_at      TIMESTAMPTZ NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL,
    raw           TEXT,
    PRIMARY KEY (instance_id, source, uid)
);
CREATE INDEX instance_event_by_time ON instance_event (instance_id, last_at, source, uid);
INSERT INTO instance_event (instance_id, source, uid, kind, level, message, count, first_at, last_at)
SELECT instance_id, 'hub', kind, kind, 'normal', CASE kind WHEN 'launched' THEN MIN(detail) ELSE '' END,
    COUNT(*), MIN(at), MAX(at)
FROM instance_event_before WHERE instance_id IN (SELECT id FROM instance) GROUP BY instance_id, kind;
DROP TABLE instance_event_before;
