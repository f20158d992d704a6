-- The twin of ../sqlite/0015_room.sql.

-- What an instance was launched with: the amounts it asks for, as JSON, and the node and devices (a JSON array)
-- that were chosen for it.
ALTER TABLE instance ADD COLUMN asked TEXT;
ALTER TABLE instance ADD COLUMN node TEXT;
ALTER TABLE instance ADD COLUMN devices TEXT;

-- A device belongs to one instance at a time, until that has ended.
CREATE TABLE instance_device (
    node          TEXT NOT NULL,
    device        TEXT NOT NULL,
    instance_id   UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    PRIMARY KEY (node, device)
);
CREATE INDEX instance_device_by_instance ON instance_device (instance_id);
CREATE FUNCTION free_devices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM instance_device WHERE instance_id = new.id;
    RETURN NULL;
END $$;
CREATE TRIGGER instance_frees_devices AFTER UPDATE OF state ON instance
FOR EACH ROW WHEN (new.state = 'ended') EXECUTE FUNCTION free_devices();

-- So that the largest memory of a model's version is found without its instances.
ALTER TABLE instance_seen ADD COLUMN model_id TEXT NOT NULL DEFAULT '';
ALTER TABLE instance_seen ADD COLUMN model_version TEXT NOT NULL DEFAULT '';
UPDATE instance_seen SET model_id = i.model_id, model_version = i.model_version
    FROM instance i WHERE i.id = instance_seen.instance_id;
CREATE INDEX instance_seen_peak ON instance_seen (model_id, model_version, memory_peak);
