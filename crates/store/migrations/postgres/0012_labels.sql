-- What its owner calls a request, and the same for searching: in lower case. Nobody else reads it.
ALTER TABLE request ADD COLUMN label TEXT;
ALTER TABLE request ADD COLUMN label_key TEXT;
