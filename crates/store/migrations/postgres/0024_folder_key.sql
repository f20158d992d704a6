-- With what links are signed by which pods fetch their folders: random, and the same for all hubs on this database.
ALTER TABLE hub ADD COLUMN folder_key BYTEA;
