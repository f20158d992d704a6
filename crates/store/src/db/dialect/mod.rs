//! The statements that must differ between the databases, side by side, each with its reason.

mod clearing;
mod columns;
mod oversight;
mod statistics;

pub(crate) use clearing::clearing;
pub(crate) use columns::{ended_columns, instance_state, mark, record, request_columns};
pub(crate) use oversight::{Walk, oversight, walks};
pub(crate) use statistics::{LOCK_FOLDS_POSTGRES, VACUUM_POSTGRES, begin_snapshot, statistics};

/// The texts of a JSON array: each database unfolds it in its own way.
macro_rules! texts {
    (sqlite, $list:literal) => {
        concat!("(SELECT value FROM json_each(", $list, "))")
    };
    (postgres, $list:literal) => {
        concat!("(SELECT json_array_elements_text(", $list, "::json))")
    };
}
use texts;

/// True of any number, but PostgreSQL does not know. It takes a list in JSON for 100 rows, would rather read all of a
/// table that is still small than look up 100 keys, and keeps that plan while the table grows. Of a range of which it
/// knows nothing it expects 0.5 % (`DEFAULT_RANGE_INEQ_SEL`), one row then, and looks up its key, unless the table
/// had only a few dozen rows.
macro_rules! few {
    ($number:literal) => {
        concat!($number, " BETWEEN -9223372036854775807 AND 9223372036854775807")
    };
}
use few;

macro_rules! requests {
    ($database:ident) => {
        concat!(
            "SELECT ",
            request_columns!(),
            " FROM request WHERE principal_id = $1 AND ($2 IS NULL OR id < $2) \
             AND ($3 IS NULL OR model_id IN ",
            texts!($database, "$3"),
            ") AND ($4 IS NULL OR phase IN ",
            texts!($database, "$4"),
            ") AND ($5 IS NULL OR submitted_at >= $5) AND ($6 IS NULL OR submitted_at <= $6) \
             AND ($7 IS NULL OR id = $7) \
             AND (($8 IS NULL AND $9 IS NULL) OR label_key LIKE $8 ESCAPE '!' OR id = $9) \
             ORDER BY id DESC LIMIT $10"
        )
    };
}

/// A person's requests.
pub(crate) fn requests(postgres: bool) -> &'static str {
    if postgres { requests!(postgres) } else { requests!(sqlite) }
}

macro_rules! user_figures {
    ($ids:literal) => {
        concat!(
            "SELECT a.principal_id, \
             (SELECT MAX(seen_at) FROM session WHERE principal_id = a.principal_id), \
             COALESCE(s.requests, 0) + COALESCE(e.requests, 0) + COALESCE(o.requests, 0) \
             FROM account a \
             LEFT JOIN person_seen s ON s.auth_type = 'account' AND s.principal_id = a.principal_id \
             LEFT JOIN (SELECT principal_id, COUNT(*) AS requests FROM ended GROUP BY principal_id) e \
             ON e.principal_id = a.principal_id \
             LEFT JOIN (SELECT principal_id, COUNT(*) AS requests FROM request \
             WHERE ended_at IS NULL GROUP BY principal_id) o ON o.principal_id = a.principal_id \
             WHERE a.principal_id IN ",
            $ids
        )
    };
}

/// When accounts were used last, and how many requests they ever had: rolled up, ended since, open. Their
/// ids come as JSON. One statement, so that each request is counted once.
pub(crate) fn user_figures(postgres: bool) -> &'static str {
    if postgres {
        user_figures!("(SELECT json_array_elements_text($1::json)::uuid)")
    } else {
        user_figures!("(SELECT unhex(value) FROM json_each($1))")
    }
}

macro_rules! listed {
    ($database:ident, $which:literal, $cause:literal) => {
        concat!(
            record!(),
            "WHERE ",
            $which,
            " AND ($1 IS NULL OR i.model_id IN ",
            texts!($database, "$1"),
            ") AND ($2 IS NULL OR ",
            instance_state!(),
            " IN ",
            texts!($database, "$2"),
            " OR s.pod_status IN ",
            texts!($database, "$2"),
            ") AND ($3 IS NULL OR ",
            $cause,
            " IN ",
            texts!($database, "$3"),
            ") AND i.launched_at >= $4 AND (i.launched_at, i.id) < ($5, $6) \
             ORDER BY i.launched_at DESC, i.id DESC LIMIT $7"
        )
    };
}

/// Instances that run, or that have ended. Each has an index of its own, so the state is not a value.
pub(crate) fn list_instances(postgres: bool, ended: bool) -> &'static str {
    match (postgres, ended) {
        (false, false) => listed!(sqlite, "i.state <> 'ended'", "i.end_cause ->> 'cause'"),
        (false, true) => listed!(sqlite, "i.state = 'ended'", "i.end_cause ->> 'cause'"),
        (true, false) => listed!(postgres, "i.state <> 'ended'", "i.end_cause::json ->> 'cause'"),
        (true, true) => listed!(postgres, "i.state = 'ended'", "i.end_cause::json ->> 'cause'"),
    }
}

/// What instances work on now: their ids come as JSON.
pub(crate) fn at_work(postgres: bool) -> &'static str {
    if postgres {
        "SELECT DISTINCT instance_id, request_id FROM task WHERE state = 'leased' AND instance_id = \
         ANY (ARRAY(SELECT j::uuid FROM json_array_elements_text($1::json) AS j))"
    } else {
        "SELECT DISTINCT t.instance_id, t.request_id FROM jsonb_each($1) AS j \
         CROSS JOIN task t WHERE t.state = 'leased' AND t.instance_id = unhex(j.value)"
    }
}

/// What an instance did for requests, which come as JSON (see [`Batches`]).
pub(crate) fn note_served(postgres: bool) -> &'static str {
    if postgres {
        "INSERT INTO instance_request (instance_id, request_id, jobs, inputs, first_at, last_at) \
         SELECT $1, j_request, j_jobs, j_inputs, \
         timestamptz 'epoch' + j_first * interval '1 microsecond', \
         timestamptz 'epoch' + j_last * interval '1 microsecond' \
         FROM json_to_recordset($2::json) AS j(j_request uuid, j_jobs bigint, j_inputs bigint, \
         j_first bigint, j_last bigint) \
         ON CONFLICT (instance_id, request_id) DO UPDATE SET \
         jobs = instance_request.jobs + excluded.jobs, \
         inputs = instance_request.inputs + excluded.inputs, last_at = excluded.last_at"
    } else {
        "INSERT INTO instance_request (instance_id, request_id, jobs, inputs, first_at, last_at) \
         SELECT $1, unhex(value ->> 'j_request'), value ->> 'j_jobs', value ->> 'j_inputs', \
         value ->> 'j_first', value ->> 'j_last' FROM jsonb_each($2) WHERE true \
         ON CONFLICT (instance_id, request_id) DO UPDATE SET \
         jobs = instance_request.jobs + excluded.jobs, \
         inputs = instance_request.inputs + excluded.inputs, last_at = excluded.last_at"
    }
}

/// The most memory that an instance of each of these versions had; they come as JSON (see [`Batches`]).
pub(crate) fn memory_peaks(postgres: bool) -> &'static str {
    if postgres {
        "SELECT j_model, j_version, (SELECT MAX(memory_peak) FROM instance_seen \
         WHERE model_id = j_model AND model_version = j_version) \
         FROM json_to_recordset($1::json) AS j(j_model text, j_version text)"
    } else {
        "SELECT value ->> 'j_model', value ->> 'j_version', (SELECT MAX(memory_peak) FROM instance_seen \
         WHERE model_id = value ->> 'j_model' AND model_version = value ->> 'j_version') \
         FROM jsonb_each($1)"
    }
}

/// A server lives. Also says how many are dead: hardly ever any, and an idle hub asks for little else; and
/// what the machines of the others are that live: on SQLite there are none. And which nodes get nothing new.
pub(crate) fn seen(postgres: bool) -> &'static str {
    macro_rules! seen {
        ($others:literal) => {
            concat!(
                "INSERT INTO server (id, started_at, seen_at, node) VALUES ($1, $2, $2, $5) \
                 ON CONFLICT (id) DO UPDATE SET seen_at = $2, node = COALESCE($5, server.node) \
                 RETURNING (SELECT COUNT(*) FROM server WHERE id <> $1 AND ($3 OR seen_at < $4)), ",
                $others
            )
        };
    }
    if postgres {
        seen!(
            "(SELECT CAST(json_agg(json_build_object('server', id, 'node', CAST(node AS json)) \
             ORDER BY started_at DESC) AS TEXT) \
             FROM server WHERE id <> $1 AND seen_at >= $4 AND node IS NOT NULL), \
             (SELECT CAST(json_agg(json_build_object('node', node, 'kind', kind, 'ours', ours, \
             'since', CAST(EXTRACT(EPOCH FROM since) * 1000000 AS BIGINT), 'why', why)) AS TEXT) \
             FROM node_mark)"
        )
    } else {
        seen!(
            "NULL, (SELECT CASE WHEN COUNT(*) > 0 THEN json_group_array(json_object('node', node, \
             'kind', kind, 'ours', json(CASE WHEN ours THEN 'true' ELSE 'false' END), \
             'since', since, 'why', why)) END FROM node_mark)"
        )
    }
}

pub(crate) const HAS_SCHEMA_POSTGRES: &str =
    "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";

/// Each database keeps its own list of tables.
pub(crate) fn has_table(postgres: bool) -> &'static str {
    if postgres { HAS_TABLE_POSTGRES } else { HAS_TABLE_SQLITE }
}

const HAS_TABLE_SQLITE: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1)";

const HAS_TABLE_POSTGRES: &str = "SELECT to_regclass($1) IS NOT NULL";

/// Keeps the row of a server without standing in the way of its heartbeats. On SQLite there is one server, and
/// no such lock.
pub(crate) const SERVER_POSTGRES: &str =
    "SELECT CAST(1 AS BIGINT) FROM server WHERE id = $1 FOR KEY SHARE";

/// One planner at a time; answers how often the plan changed hands. SQLite has one server, so nobody contends.
pub(crate) const LEAD_POSTGRES: &str = "INSERT INTO leader (duty, server_id, epoch, until) \
     VALUES ('plan', $1, 1, $2) \
     ON CONFLICT (duty) DO UPDATE SET server_id = $1, until = $2, \
     epoch = leader.epoch + CASE WHEN leader.server_id = $1 THEN 0 ELSE 1 END \
     WHERE leader.server_id = $1 OR leader.until < $3 RETURNING epoch";

/// Statements over many rows, which come as JSON (`batch.rs`): SQLite reads it with `jsonb_each`,
/// PostgreSQL with `json_to_recordset`. Names of its columns begin with `j_`, so that they are not
/// those of the table.
///
/// What belongs together is one text, one trip to the thread or the process that runs it: several
/// statements on SQLite, one statement with several parts on PostgreSQL. On PostgreSQL the parts see the
/// database as it was before all of them. A task is found by its key there: `state = ..` beside it would
/// let the planner walk the small index of queued or leased tasks for each row.
pub(crate) struct Batches {
    /// Requests, and the tasks of those that were not there; answers which were not. Only for models as
    /// they are now: a version that another server put in place meanwhile is not known here yet.
    pub submit: &'static str,
    pub backlog: &'static str,
    /// Leases the next tasks of a model up to a number of inputs (at least one task), starts their
    /// requests and notes that the instance works. Answers the tasks, and in a row without a task
    /// when the model may have more, with a 1 if the instance is to get nothing any more, and a 2 if it is a
    /// pod that works for another server: it works for one at a time. PostgreSQL has several writers: what another one is just taking is passed over, and if another one stops the
    /// instance at this moment, that is waited for (`busy`) and nothing is leased.
    pub claim: &'static str,
    pub done: Done,
    pub keep: &'static str,
}

/// Tasks are done, and what their requests gained; the instance may have become idle.
#[derive(Clone, Copy)]
pub(crate) enum Done {
    /// SQLite does not change two tables in one statement. The second one says what the first one found.
    Apart { tasks: &'static str, requests: &'static str },
    /// On PostgreSQL a statement is a trip to another process. It answers each task's request as it is
    /// then, and the task's position.
    Together(&'static str),
}

pub(crate) fn batches(postgres: bool) -> &'static Batches {
    if postgres { &BATCHES_POSTGRES } else { &BATCHES_SQLITE }
}

const BATCHES_SQLITE: Batches = Batches {
    submit: "INSERT INTO request (id, principal_id, model_id, model_version, phase, submitted_at, \
         ended_at, inputs, done, failed, cached, open_tasks, reading, input_object, input_sha, \
         idempotency_key, body_hash, version, input_bytes, result_bytes, label, label_key) \
         SELECT unhex(value ->> 'j_id'), unhex(value ->> 'j_principal'), value ->> 'j_model', \
         value ->> 'j_version', value ->> 'j_phase', $2, \
         CASE WHEN value ->> 'j_phase' = 'completed' THEN $2 END, value ->> 'j_inputs', \
         value ->> 'j_done', 0, value ->> 'j_done', value ->> 'j_open', value ->> 'j_reading', \
         value ->> 'j_object', unhex(value ->> 'j_sha'), value ->> 'j_key', \
         unhex(value ->> 'j_body'), 1, value ->> 'j_input_bytes', value ->> 'j_result_bytes', \
         value ->> 'j_label', value ->> 'j_label_key' \
         FROM jsonb_each($1) WHERE EXISTS (SELECT 1 FROM model m WHERE m.id = value ->> 'j_model' \
         AND m.version = value ->> 'j_version' AND m.enabled AND m.disabled IS NULL) \
         ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING id; \
         INSERT INTO task (request_id, position, model_id, model_version, principal_id, state, \
         inputs, rank, rank_end, not_before, attempt, failures, use_cache, input, input_at, \
         input_len, records, records_at, records_len, result, result_columns) \
         SELECT unhex(value ->> 'j_request'), value ->> 'j_position', value ->> 'j_model', \
         value ->> 'j_version', unhex(value ->> 'j_principal'), value ->> 'j_state', \
         value ->> 'j_inputs', value ->> 'j_rank', value ->> 'j_rank_end', $2, 0, 0, \
         value ->> 'j_use_cache', unhex(value ->> 'j_input'), value ->> 'j_input_at', \
         value ->> 'j_input_len', unhex(value ->> 'j_records'), value ->> 'j_records_at', \
         value ->> 'j_records_len', unhex(value ->> 'j_result'), value ->> 'j_columns' \
         FROM jsonb_each($3) \
         WHERE EXISTS (SELECT 1 FROM request WHERE id = unhex(value ->> 'j_request'))",
    backlog: "SELECT (SELECT MAX(rank_end) FROM task \
         WHERE principal_id = unhex(j.value ->> 'j_principal') \
         AND model_id = j.value ->> 'j_model' AND state = 'queued') FROM jsonb_each($1) AS j \
         ORDER BY j.key",
    claim: "UPDATE task SET state = 'leased', attempt = attempt + 1, server_id = $5, \
         instance_id = $6, lease_until = $7 FROM (SELECT j_request, j_position FROM \
         (SELECT j_request, j_position, inputs, SUM(inputs) OVER \
         (ORDER BY rank, j_request, j_position ROWS UNBOUNDED PRECEDING) AS total FROM \
         (SELECT request_id AS j_request, position AS j_position, inputs, rank FROM task \
         WHERE model_id = $1 AND state = 'queued' AND model_version = $2 AND NOT EXISTS \
         (SELECT 1 FROM instance WHERE id = $6 AND state IN ('draining', 'ended')) AND not_before <= $3 \
         ORDER BY rank, request_id, position LIMIT $8)) \
         WHERE total <= $4 OR total = inputs) \
         WHERE request_id = j_request AND position = j_position AND state = 'queued' \
         RETURNING request_id, position, inputs, attempt, failures, use_cache, input, input_at, \
         input_len, principal_id, rank; \
         UPDATE instance SET idle_since = NULL, jobs = jobs + 1 WHERE id = $6 AND changes() > 0; \
         UPDATE request SET phase = 'running', started_at = $3, version = version + 1 \
         WHERE phase = 'waiting' AND id IN (SELECT request_id FROM task \
         WHERE instance_id = $6 AND state = 'leased' AND lease_until = $7); \
         SELECT NULL, (SELECT 1 FROM instance WHERE id = $6 AND state IN ('draining', 'ended')), \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN EXISTS (SELECT 1 FROM task \
         WHERE model_id = $1 AND state = 'queued' AND model_version = $2 AND not_before <= $3) \
         THEN $3 ELSE (SELECT MIN(not_before) FROM task \
         WHERE model_id = $1 AND state = 'queued' AND model_version = $2) END",
    done: Done::Apart {
        tasks: "UPDATE task SET state = 'done', lease_until = NULL, \
         result = unhex(j.value ->> 'j_result'), result_object = j.value ->> 'j_object', \
         result_sha = unhex(j.value ->> 'j_sha'), result_columns = j.value ->> 'j_columns' \
         FROM jsonb_each($1) AS j WHERE task.request_id = unhex(j.value ->> 'j_request') \
         AND task.position = j.value ->> 'j_position' AND task.attempt = j.value ->> 'j_attempt' \
         AND task.state = 'leased' RETURNING request_id, position, instance_id",
        requests: concat!(
            "UPDATE request SET done = done + (j.value ->> 'j_done'), \
         failed = failed + (j.value ->> 'j_failed'), cached = cached + (j.value ->> 'j_cached'), \
         open_tasks = open_tasks - (j.value ->> 'j_tasks'), version = version + 1, \
         result_bytes = result_bytes + (j.value ->> 'j_bytes'), \
         phase = CASE WHEN open_tasks = j.value ->> 'j_tasks' THEN 'completed' ELSE phase END, \
         ended_at = CASE WHEN open_tasks = j.value ->> 'j_tasks' THEN $2 ELSE ended_at END \
         FROM jsonb_each($1) AS j WHERE request.id = unhex(j.value ->> 'j_request') \
         AND request.phase IN ('waiting', 'running') RETURNING ",
            request_columns!(),
            "; UPDATE instance SET idle_since = $2 WHERE id = $3 AND NOT EXISTS \
         (SELECT 1 FROM task WHERE instance_id = $3 AND state = 'leased')"
        ),
    },
    keep: "INSERT INTO prediction (model_id, model_version, input_hash, part, created_at) \
         SELECT value ->> 'j_model', value ->> 'j_version', unhex(value ->> 'j_hash'), \
         unhex(value ->> 'j_part'), $2 FROM jsonb_each($1) WHERE true \
         ON CONFLICT (model_id, model_version, input_hash) DO NOTHING",
};

const BATCHES_POSTGRES: Batches = Batches {
    // Not EXISTS: that may read all requests to hash them.
    submit: "WITH made AS (INSERT INTO request (id, principal_id, model_id, model_version, phase, submitted_at, \
         ended_at, inputs, done, failed, cached, open_tasks, reading, input_object, input_sha, \
         idempotency_key, body_hash, version, input_bytes, result_bytes, label, label_key) \
         SELECT j_id, j_principal, j_model, j_version, j_phase, $2, \
         CASE WHEN j_phase = 'completed' THEN $2 END, j_inputs, j_done, 0, j_done, j_open, \
         j_reading, j_object, decode(j_sha, 'hex'), j_key, decode(j_body, 'hex'), 1, \
         j_input_bytes, j_result_bytes, j_label, j_label_key \
         FROM json_to_recordset($1::json) AS j(j_id uuid, j_principal uuid, j_model text, \
         j_version text, j_phase text, j_inputs bigint, j_done bigint, j_open bigint, \
         j_reading text, j_object text, j_sha text, j_key text, j_body text, \
         j_input_bytes bigint, j_result_bytes bigint, j_label text, j_label_key text) \
         WHERE EXISTS (SELECT 1 FROM model m WHERE m.id = j_model AND m.version = j_version \
         AND m.enabled AND m.disabled IS NULL) \
         ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING id), \
         sliced AS (INSERT INTO task (request_id, position, model_id, model_version, principal_id, state, \
         inputs, rank, rank_end, not_before, attempt, failures, use_cache, input, input_at, \
         input_len, records, records_at, records_len, result, result_columns) \
         SELECT j_request, j_position, j_model, j_version, j_principal, j_state, j_inputs, \
         timestamptz 'epoch' + j_rank * interval '1 microsecond', \
         timestamptz 'epoch' + j_rank_end * interval '1 microsecond', $2, 0, 0, j_use_cache, \
         decode(j_input, 'hex'), j_input_at, j_input_len, decode(j_records, 'hex'), \
         j_records_at, j_records_len, decode(j_result, 'hex'), j_columns \
         FROM json_to_recordset($3::json) AS j(j_request uuid, j_position bigint, j_model text, \
         j_version text, j_principal uuid, j_state text, j_inputs bigint, j_rank bigint, \
         j_rank_end bigint, j_use_cache boolean, j_input text, j_input_at bigint, \
         j_input_len bigint, j_records text, j_records_at bigint, j_records_len bigint, \
         j_result text, j_columns text) WHERE j_request IN (SELECT id FROM made) \
         OR (SELECT true FROM request WHERE id = j_request)) SELECT id FROM made",
    backlog: "SELECT (SELECT MAX(rank_end) FROM task WHERE principal_id = j_principal \
         AND model_id = j_model AND state = 'queued') \
         FROM ROWS FROM (json_to_recordset($1::json) AS (j_principal uuid, j_model text)) \
         WITH ORDINALITY AS j(j_principal, j_model, j_place) ORDER BY j_place",
    claim: "WITH found AS MATERIALIZED (SELECT request_id AS j_request, position AS j_position, \
         inputs AS j_inputs, rank AS j_rank, attempt AS j_attempt FROM task \
         WHERE model_id = $1 AND state = 'queued' AND model_version = $2 AND not_before <= $3 \
         AND NOT EXISTS (SELECT 1 FROM instance WHERE id = $6 AND (state IN ('draining', 'ended') \
         OR runs = 'pod' AND caller <> $5 AND (caller_until >= $3 OR EXISTS (SELECT 1 FROM task t \
         WHERE t.instance_id = $6 AND t.state = 'leased' AND t.server_id <> $5)))) \
         ORDER BY rank, request_id, position LIMIT $8 FOR UPDATE SKIP LOCKED), \
         ours AS MATERIALIZED (SELECT * FROM (SELECT *, SUM(j_inputs) OVER \
         (ORDER BY j_rank, j_request, j_position ROWS UNBOUNDED PRECEDING) AS total FROM found) f \
         WHERE total <= $4 OR total = j_inputs), \
         busy AS (UPDATE instance SET idle_since = NULL, jobs = jobs + 1, \
         caller = CASE runs WHEN 'pod' THEN $5 END, \
         caller_until = CASE runs WHEN 'pod' THEN $7 END \
         WHERE id = $6 AND state NOT IN ('draining', 'ended') AND EXISTS (SELECT 1 FROM ours) \
         AND (runs <> 'pod' OR caller IS NULL OR caller = $5 OR caller_until < $3 \
         AND NOT EXISTS (SELECT 1 FROM task WHERE task.instance_id = $6 AND task.state = 'leased' \
         AND task.server_id <> $5)) RETURNING id), \
         leased AS (UPDATE task SET state = 'leased', attempt = attempt + 1, server_id = $5, \
         instance_id = $6, lease_until = $7 FROM ours \
         WHERE request_id = j_request AND position = j_position AND attempt = j_attempt \
         AND (EXISTS (SELECT 1 FROM busy) OR NOT EXISTS (SELECT 1 FROM instance WHERE id = $6)) \
         RETURNING request_id, position, inputs, attempt, failures, use_cache, input, input_at, \
         input_len, principal_id, rank), \
         started AS (UPDATE request SET phase = 'running', started_at = $3, version = version + 1 \
         WHERE phase = 'waiting' AND id IN (SELECT request_id FROM leased)) \
         SELECT * FROM leased UNION ALL \
         SELECT NULL, (SELECT CAST(CASE WHEN state IN ('draining', 'ended') THEN 1 ELSE 2 END AS BIGINT) \
         FROM instance WHERE id = $6 AND (state IN ('draining', 'ended') OR runs = 'pod' AND caller <> $5)), \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         CASE WHEN (SELECT COUNT(*) FROM found) > LEAST((SELECT COUNT(*) FROM ours), $8 - 1) \
         THEN $3 ELSE (SELECT MIN(not_before) FROM task WHERE model_id = $1 AND state = 'queued' \
         AND model_version = $2 AND not_before > $3) END",
    // Requests in the order of their ids, as everybody locks them. The tasks that are done here still look
    // leased to it.
    done: Done::Together(concat!(
        "WITH ours AS (UPDATE task SET state = 'done', lease_until = NULL, \
         result = decode(j_result, 'hex'), result_object = j_object, \
         result_sha = decode(j_sha, 'hex'), result_columns = j_columns \
         FROM json_to_recordset($1::json) AS j(j_request uuid, j_position bigint, \
         j_attempt bigint, j_result text, j_object text, j_sha text, j_columns text, \
         j_done bigint, j_failed bigint, j_cached bigint, j_bytes bigint) \
         WHERE request_id = j_request AND position = j_position AND attempt = j_attempt \
         AND lease_until IS NOT NULL AND ",
        few!("j_position"),
        " RETURNING request_id AS o_request, position AS o_position, instance_id AS o_instance, \
         j_done, j_failed, j_cached, j_bytes), \
         gained AS MATERIALIZED (SELECT o_request, CAST(SUM(j_done) AS BIGINT) AS g_done, \
         CAST(SUM(j_failed) AS BIGINT) AS g_failed, CAST(SUM(j_cached) AS BIGINT) AS g_cached, \
         CAST(SUM(j_bytes) AS BIGINT) AS g_bytes, COUNT(*) AS g_tasks \
         FROM ours GROUP BY o_request ORDER BY o_request), \
         idle AS (UPDATE instance SET idle_since = $2, caller = NULL, caller_until = NULL \
         WHERE id = (SELECT o_instance FROM ours WHERE o_instance IS NOT NULL LIMIT 1) \
         AND NOT EXISTS (SELECT 1 FROM task WHERE instance_id = instance.id AND state = 'leased' \
         AND (request_id, position) NOT IN (SELECT o_request, o_position FROM ours))), \
         further AS (UPDATE request SET done = done + g_done, failed = failed + g_failed, \
         cached = cached + g_cached, open_tasks = open_tasks - g_tasks, version = version + 1, \
         result_bytes = result_bytes + g_bytes, \
         phase = CASE WHEN open_tasks = g_tasks THEN 'completed' ELSE phase END, \
         ended_at = CASE WHEN open_tasks = g_tasks THEN $2 ELSE ended_at END \
         FROM gained WHERE id = o_request AND phase IN ('waiting', 'running') AND ",
        few!("g_tasks"),
        " RETURNING ",
        request_columns!(),
        ") SELECT further.*, o_position FROM ours JOIN further ON id = o_request"
    )),
    keep: "INSERT INTO prediction (model_id, model_version, input_hash, part, created_at) \
         SELECT j_model, j_version, decode(j_hash, 'hex'), decode(j_part, 'hex'), $2 \
         FROM json_to_recordset($1::json) \
         AS j(j_model text, j_version text, j_hash text, j_part text) \
         ON CONFLICT (model_id, model_version, input_hash) DO NOTHING",
};
