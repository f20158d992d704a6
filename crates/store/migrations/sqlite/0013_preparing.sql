-- A starting instance whose environment is being made, and when that was done: only then its start begins.
ALTER TABLE instance ADD COLUMN is_preparing BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE instance ADD COLUMN prepared_at INTEGER;
