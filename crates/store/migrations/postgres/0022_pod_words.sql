-- What a cluster says of a pod that waits or was ended by it: with the instance in lists as well.
ALTER TABLE instance_seen ADD COLUMN pod_message TEXT;

-- In which order a cluster wrote events whose times are the same: its clock for them has seconds.
ALTER TABLE instance_event ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
DROP INDEX instance_event_by_time;
CREATE INDEX instance_event_by_time ON instance_event (instance_id, last_at, seq, source, uid);
