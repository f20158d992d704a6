-- The twin of ../sqlite/0010_successors.sql.
ALTER TABLE token ADD COLUMN salt BYTEA;
