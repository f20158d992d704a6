-- A secret that replaces another one is made of that and of this: whoever presents the old one twice gets the
-- same successor. Nobody makes it of the two alone, for secrets are not stored.
ALTER TABLE token ADD COLUMN salt BLOB;
