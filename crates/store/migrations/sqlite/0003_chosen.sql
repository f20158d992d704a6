-- Secrets that anonymous people chose themselves, as hashes, and who they are.

CREATE TABLE chosen_secret (
    hash          BLOB PRIMARY KEY,
    principal_id  BLOB NOT NULL REFERENCES principal (id)
) WITHOUT ROWID;
CREATE INDEX chosen_secret_by_principal ON chosen_secret (principal_id);
