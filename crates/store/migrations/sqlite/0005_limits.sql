-- Limits of what people have, and models that are administered.

-- What a request takes of its owner's space.
ALTER TABLE request ADD COLUMN input_bytes BIGINT NOT NULL DEFAULT 0 CHECK (input_bytes >= 0);
ALTER TABLE request ADD COLUMN result_bytes BIGINT NOT NULL DEFAULT 0 CHECK (result_bytes >= 0);
UPDATE request SET input_bytes = (SELECT CAST(COALESCE(SUM(COALESCE(LENGTH(input), input_len, 0)
    + COALESCE(LENGTH(records), records_len, 0)), 0) AS BIGINT) FROM task WHERE request_id = request.id),
    result_bytes = (SELECT CAST(COALESCE(SUM(COALESCE(LENGTH(result), 0)), 0) AS BIGINT)
    FROM task WHERE request_id = request.id);

-- Who describes a model: a folder on the hub's machine, or whoever uses the API. What was changed here
-- of a folder's model is a JSON merge patch over what the folder says.
ALTER TABLE model ADD COLUMN owner TEXT NOT NULL DEFAULT 'folder' CHECK (owner IN ('folder', 'api'));
ALTER TABLE model ADD COLUMN edits TEXT NOT NULL DEFAULT '{}';
-- Why it takes no new requests, if it takes none.
ALTER TABLE model ADD COLUMN disabled TEXT;
-- Grows with every change; no two changes of any model have the same one.
ALTER TABLE model ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
