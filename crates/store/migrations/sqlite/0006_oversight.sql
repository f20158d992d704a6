-- What administrators see of everybody's requests.

-- Why a request did not complete, in a word without anybody's text; `reason` is for its owner.
ALTER TABLE request ADD COLUMN cause TEXT;
UPDATE request SET cause = CASE
    WHEN phase = 'cancelled' THEN 'cancelled_by_owner'
    WHEN reason LIKE 'The model could not be started: %' THEN 'not_started'
    WHEN reason LIKE 'The model stopped while it worked on these inputs: %' THEN 'instance_ended'
    WHEN reason LIKE 'The connection to the model broke while it worked.%' THEN 'disconnected'
    WHEN reason LIKE 'The model did not answer within its time limit of %' THEN 'timed_out'
    WHEN reason LIKE 'The model''s answer cannot be used: %' THEN 'bad_answer'
    WHEN reason LIKE 'The inputs could not be read from the hub''s storage: %' THEN 'storage'
    WHEN reason LIKE 'The model refused the inputs: %' THEN 'refused'
    ELSE 'model_error' END
WHERE phase IN ('failed', 'cancelled');
-- The failed request whose inputs an administrator had tried again with this one.
ALTER TABLE request ADD COLUMN requeued_from BLOB;
CREATE UNIQUE INDEX request_requeued ON request (requeued_from) WHERE requeued_from IS NOT NULL;

-- Ids grow with time: all lists are in their order. Requests that did not complete are few, and so
-- are those that are open; their columns do not change between, which keeps updates cheap.
CREATE INDEX request_by_model ON request (model_id, id);
CREATE INDEX request_unfinished ON request (id) WHERE reason IS NOT NULL;
CREATE INDEX request_unfinished_by_model ON request (model_id, id) WHERE reason IS NOT NULL;
DROP INDEX request_open;
CREATE INDEX request_open ON request (model_id, id) WHERE ended_at IS NULL;
CREATE INDEX task_tried_again ON task (request_id, attempt) WHERE attempt > 1;

DROP TRIGGER request_is_final;
CREATE TRIGGER request_is_final BEFORE UPDATE OF id, model_id, model_version, phase, submitted_at,
started_at, ended_at, reason, cause, inputs, done, failed, cached, open_tasks, reading, input_object,
input_sha, body_hash, version ON request
WHEN old.ended_at IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'a request that ended does not change');
END;
