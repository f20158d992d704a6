-- The twin of ../sqlite/0009_details.sql.
ALTER TABLE model_statistic RENAME TO old_model_statistic;
CREATE TABLE model_statistic (
    grain         TEXT NOT NULL CHECK (grain IN ('day', 'month', 'year', 'day detail', 'month detail')),
    period        BIGINT NOT NULL,
    model_id      TEXT NOT NULL,
    figures       BYTEA NOT NULL,
    PRIMARY KEY (grain, period, model_id)
);
-- Figures are dense already: trying to compress those of 2 KB and more took a third of folding.
ALTER TABLE model_statistic ALTER COLUMN figures SET STORAGE EXTERNAL;
INSERT INTO model_statistic (grain, period, model_id, figures)
SELECT grain, period, model_id, total FROM old_model_statistic
UNION ALL SELECT grain || ' detail', period, model_id, detail FROM old_model_statistic
WHERE grain <> 'year';

DROP INDEX person_statistic_choice;
DROP INDEX person_statistic_by_principal;
ALTER TABLE person_statistic RENAME TO old_person_statistic;
CREATE TABLE person_statistic (
    grain         TEXT NOT NULL CHECK (grain IN ('month', 'year', 'ever', 'month detail')),
    period        BIGINT NOT NULL,
    principal_id  UUID NOT NULL,
    auth_type     TEXT NOT NULL CHECK (auth_type IN ('anonymous', 'account')),
    figures       BYTEA NOT NULL,
    PRIMARY KEY (grain, period, principal_id)
);
ALTER TABLE person_statistic ALTER COLUMN figures SET STORAGE EXTERNAL;
INSERT INTO person_statistic (grain, period, principal_id, auth_type, figures)
SELECT grain, period, principal_id, auth_type, total FROM old_person_statistic
UNION ALL SELECT 'month detail', period, principal_id, auth_type, detail FROM old_person_statistic
WHERE grain = 'month';
CREATE INDEX person_statistic_by_principal ON person_statistic (principal_id, grain, period);

-- What there is to filter by: how many requests were folded, and when the last one ended.
CREATE TABLE model_seen (
    model_id      TEXT PRIMARY KEY,
    requests      BIGINT NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL
);
CREATE TABLE person_seen (
    auth_type     TEXT NOT NULL CHECK (auth_type IN ('anonymous', 'account')),
    principal_id  UUID NOT NULL,
    requests      BIGINT NOT NULL,
    last_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (auth_type, principal_id)
);
INSERT INTO model_seen (model_id, requests, last_at)
SELECT model_id, CAST(SUM(requests) AS BIGINT), MAX(last_at) FROM old_model_statistic
WHERE grain = 'year' GROUP BY model_id;
INSERT INTO person_seen (auth_type, principal_id, requests, last_at)
SELECT auth_type, principal_id, requests, last_at FROM old_person_statistic WHERE grain = 'ever';

DROP TABLE old_model_statistic;
DROP TABLE old_person_statistic;
