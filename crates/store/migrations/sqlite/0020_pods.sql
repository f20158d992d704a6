-- Where an instance runs: a process of its server, elsewhere, or a pod.
ALTER TABLE instance ADD COLUMN runs TEXT NOT NULL DEFAULT 'process' CHECK (runs IN ('process', 'elsewhere', 'pod'));
UPDATE instance SET runs = 'elsewhere' WHERE NOT is_local;
ALTER TABLE instance DROP COLUMN is_local;

-- All servers call a pod, one at a time: this one, as long as it works there, and at least until then.
ALTER TABLE instance ADD COLUMN caller BLOB;
ALTER TABLE instance ADD COLUMN caller_until INTEGER;

-- What the first pod of a version showed as its image. Another one under the same tag is other content.
CREATE TABLE model_image (
    model_id      TEXT NOT NULL,
    model_version TEXT NOT NULL,
    image_id      TEXT NOT NULL,
    other_id      TEXT,
    PRIMARY KEY (model_id, model_version)
);

-- By which name the hub's pods know it. All hubs on this database are one.
CREATE TABLE hub (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    id  TEXT NOT NULL
);
