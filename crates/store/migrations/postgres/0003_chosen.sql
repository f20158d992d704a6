-- The twin of ../sqlite/0003_chosen.sql.
-- Secrets that anonymous people chose themselves, as hashes, and who they are.

CREATE TABLE chosen_secret (
    hash          BYTEA PRIMARY KEY,
    principal_id  UUID NOT NULL REFERENCES principal (id)
);
CREATE INDEX chosen_secret_by_principal ON chosen_secret (principal_id);
