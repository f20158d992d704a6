//! The statements that must differ between the databases, side by side, each with its reason.

/// The next tasks of a model. PostgreSQL has several writers: what another one is just taking is
/// passed over. SQLite has one.
pub(crate) fn candidates(postgres: bool) -> &'static str {
    if postgres { CANDIDATES_POSTGRES } else { CANDIDATES_SQLITE }
}

const CANDIDATES_SQLITE: &str = "SELECT request_id, position, inputs, attempt, failures, use_cache, \
     input, input_at, input_len, principal_id FROM task \
     WHERE model_id = $1 AND state = 'queued' AND model_version = $2 AND not_before <= $3 \
     ORDER BY rank, request_id, position LIMIT $4";

const CANDIDATES_POSTGRES: &str = "SELECT request_id, position, inputs, attempt, failures, \
     use_cache, input, input_at, input_len, principal_id FROM task \
     WHERE model_id = $1 AND state = 'queued' AND model_version = $2 AND not_before <= $3 \
     ORDER BY rank, request_id, position LIMIT $4 FOR UPDATE SKIP LOCKED";

pub(crate) const HAS_SCHEMA_POSTGRES: &str =
    "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";

/// Each database keeps its own list of tables.
pub(crate) fn has_table(postgres: bool) -> &'static str {
    if postgres { HAS_TABLE_POSTGRES } else { HAS_TABLE_SQLITE }
}

const HAS_TABLE_SQLITE: &str =
    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1)";

const HAS_TABLE_POSTGRES: &str = "SELECT to_regclass($1) IS NOT NULL";

/// One planner at a time. SQLite has one server, so nobody contends.
pub(crate) const LEAD_POSTGRES: &str = "INSERT INTO leader (duty, server_id, epoch, until) \
     VALUES ('plan', $1, 1, $2) \
     ON CONFLICT (duty) DO UPDATE SET server_id = $1, until = $2, \
     epoch = leader.epoch + CASE WHEN leader.server_id = $1 THEN 0 ELSE 1 END \
     WHERE leader.server_id = $1 OR leader.until < $3";
