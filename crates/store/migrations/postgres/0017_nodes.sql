-- The twin of ../sqlite/0017_nodes.sql.

-- What the machine of a server has for instances, as JSON.
ALTER TABLE server ADD COLUMN node TEXT;
