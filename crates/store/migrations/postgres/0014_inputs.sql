-- Inputs that the model answered in the time that it worked.
ALTER TABLE instance_seen ADD COLUMN inputs BIGINT NOT NULL DEFAULT 0;
UPDATE instance_seen SET inputs = COALESCE((SELECT SUM(inputs) FROM instance_request
    WHERE instance_request.instance_id = instance_seen.instance_id), 0);
