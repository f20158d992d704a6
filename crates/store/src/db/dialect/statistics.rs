//! Statements of the statistics: rolling up what ended, and reading.

use super::{ended_columns, few};

/// Statements of the statistics.
pub(crate) struct Statistics {
    /// Takes the first $1 requests that ended out; answers them.
    pub take: &'static str,
    /// The stored rows of these models and periods.
    pub models: &'static str,
    pub people: &'static str,
    pub put_models: &'static str,
    pub put_people: &'static str,
    /// So many more requests of them, and when the last one ended.
    pub seen_models: &'static str,
    pub seen_people: &'static str,
    /// Rows of certain people: the ids come as JSON.
    pub read_some: &'static str,
    /// Open requests that are alike; by who submitted only if $1.
    pub open: &'static str,
    /// Names of accounts.
    pub names: &'static str,
}

/// One server rolls up at a time. SQLite has one.
pub(crate) const LOCK_FOLDS_POSTGRES: &str = "SELECT pg_advisory_xact_lock(7236830)";

/// Also of the index, however little of the table it is.
pub(crate) const VACUUM_POSTGRES: &str = "VACUUM (INDEX_CLEANUP ON) ended";

/// What is read together is of one moment.
pub(crate) fn begin_snapshot(postgres: bool) -> &'static str {
    if postgres { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" }
}

pub(crate) fn statistics(postgres: bool) -> &'static Statistics {
    if postgres { &STATISTICS_POSTGRES } else { &STATISTICS_SQLITE }
}

/// PostgreSQL looks up an array by the key, and may read all of the table for a list of rows.
macro_rules! take {
    ($open:literal, $close:literal) => {
        concat!(
            "DELETE FROM ended WHERE request_id ",
            $open,
            "SELECT request_id FROM ended ORDER BY request_id LIMIT $1",
            $close,
            " RETURNING ",
            ended_columns!()
        )
    };
}

/// CROSS JOIN: SQLite looks the keys up one by one, in this order.
const STATISTICS_SQLITE: Statistics = Statistics {
    take: take!("IN (", ")"),
    models: "SELECT s.grain, s.period, s.model_id, s.figures \
         FROM jsonb_each($1) AS j CROSS JOIN model_statistic s WHERE s.grain = j.value ->> 'j_grain' \
         AND s.period = j.value ->> 'j_period' AND s.model_id = j.value ->> 'j_of'",
    people: "SELECT s.grain, s.period, s.principal_id, s.figures \
         FROM jsonb_each($1) AS j CROSS JOIN person_statistic s WHERE s.grain = j.value ->> 'j_grain' \
         AND s.period = j.value ->> 'j_period' \
         AND s.principal_id = unhex(j.value ->> 'j_of')",
    put_models: "INSERT INTO model_statistic (grain, period, model_id, figures) \
         SELECT value ->> 'j_grain', value ->> 'j_period', value ->> 'j_of', \
         unhex(value ->> 'j_figures') FROM jsonb_each($1) WHERE true \
         ON CONFLICT (grain, period, model_id) DO UPDATE SET figures = excluded.figures",
    put_people: "INSERT INTO person_statistic (grain, period, principal_id, auth_type, figures) \
         SELECT value ->> 'j_grain', value ->> 'j_period', unhex(value ->> 'j_of'), \
         value ->> 'j_auth', unhex(value ->> 'j_figures') FROM jsonb_each($1) WHERE true \
         ON CONFLICT (grain, period, principal_id) DO UPDATE SET figures = excluded.figures",
    seen_models: "INSERT INTO model_seen AS s (model_id, requests, last_at) \
         SELECT value ->> 'j_of', value ->> 'j_requests', value ->> 'j_last' \
         FROM jsonb_each($1) WHERE true ON CONFLICT (model_id) DO UPDATE SET \
         requests = s.requests + excluded.requests, last_at = MAX(s.last_at, excluded.last_at)",
    seen_people: "INSERT INTO person_seen AS s (auth_type, principal_id, requests, last_at) \
         SELECT value ->> 'j_auth', unhex(value ->> 'j_of'), value ->> 'j_requests', \
         value ->> 'j_last' FROM jsonb_each($1) WHERE true \
         ON CONFLICT (auth_type, principal_id) DO UPDATE SET \
         requests = s.requests + excluded.requests, last_at = MAX(s.last_at, excluded.last_at)",
    read_some: "SELECT s.principal_id, s.auth_type, s.period, s.figures FROM jsonb_each($4) AS j \
         CROSS JOIN person_statistic s WHERE s.principal_id = unhex(j.value) AND s.grain = $1 \
         AND s.period >= $2 AND s.period < $3",
    open: "SELECT r.model_id, CASE WHEN $1 THEN r.principal_id END, p.kind, r.phase, \
         r.submitted_at / 86400000000, \
         CASE WHEN r.inputs = 1 THEN 0 ELSE length(CAST(r.inputs - 1 AS TEXT)) END, \
         COUNT(*), SUM(r.inputs), SUM(r.failed), SUM(r.cached) \
         FROM request r JOIN principal p ON p.id = r.principal_id WHERE r.ended_at IS NULL \
         GROUP BY 1, 2, 3, 4, 5, 6",
    names: "SELECT a.principal_id, a.name FROM jsonb_each($1) AS j \
         CROSS JOIN account a WHERE a.principal_id = unhex(j.value)",
};

const STATISTICS_POSTGRES: Statistics = Statistics {
    take: take!("= ANY (ARRAY(", "))"),
    models: concat!(
        "SELECT s.grain, s.period, s.model_id, s.figures \
         FROM json_to_recordset($1::json) AS j(j_grain text, j_period bigint, j_of text) \
         JOIN model_statistic s ON s.grain = j_grain AND s.period = j_period \
         AND s.model_id = j_of AND ",
        few!("j_period")
    ),
    people: concat!(
        "SELECT s.grain, s.period, s.principal_id, s.figures \
         FROM json_to_recordset($1::json) AS j(j_grain text, j_period bigint, j_of uuid) \
         JOIN person_statistic s ON s.grain = j_grain AND s.period = j_period \
         AND s.principal_id = j_of AND ",
        few!("j_period")
    ),
    put_models: "INSERT INTO model_statistic (grain, period, model_id, figures) \
         SELECT j_grain, j_period, j_of, decode(j_figures, 'hex') \
         FROM json_to_recordset($1::json) AS j(j_grain text, j_period bigint, j_of text, \
         j_figures text) \
         ON CONFLICT (grain, period, model_id) DO UPDATE SET figures = excluded.figures",
    put_people: "INSERT INTO person_statistic (grain, period, principal_id, auth_type, figures) \
         SELECT j_grain, j_period, j_of, j_auth, decode(j_figures, 'hex') \
         FROM json_to_recordset($1::json) AS j(j_grain text, j_period bigint, j_of uuid, \
         j_auth text, j_figures text) \
         ON CONFLICT (grain, period, principal_id) DO UPDATE SET figures = excluded.figures",
    seen_models: "INSERT INTO model_seen AS s (model_id, requests, last_at) \
         SELECT j_of, j_requests, timestamptz 'epoch' + j_last * interval '1 microsecond' \
         FROM json_to_recordset($1::json) AS j(j_of text, j_requests bigint, j_last bigint) \
         ON CONFLICT (model_id) DO UPDATE SET requests = s.requests + excluded.requests, \
         last_at = GREATEST(s.last_at, excluded.last_at)",
    seen_people: "INSERT INTO person_seen AS s (auth_type, principal_id, requests, last_at) \
         SELECT j_auth, j_of, j_requests, \
         timestamptz 'epoch' + j_last * interval '1 microsecond' \
         FROM json_to_recordset($1::json) AS j(j_auth text, j_of uuid, j_requests bigint, \
         j_last bigint) ON CONFLICT (auth_type, principal_id) DO UPDATE SET \
         requests = s.requests + excluded.requests, \
         last_at = GREATEST(s.last_at, excluded.last_at)",
    read_some: "SELECT s.principal_id, s.auth_type, s.period, s.figures FROM person_statistic s \
         WHERE s.principal_id = ANY \
         (ARRAY(SELECT j::uuid FROM json_array_elements_text($4::json) AS j)) \
         AND s.grain = $1 AND s.period >= $2 AND s.period < $3",
    open: "SELECT r.model_id, CASE WHEN $1 THEN r.principal_id END, p.kind, r.phase, \
         floor(extract(epoch FROM r.submitted_at) / 86400)::bigint, \
         (CASE WHEN r.inputs = 1 THEN 0 ELSE length((r.inputs - 1)::text) END)::bigint, \
         COUNT(*), SUM(r.inputs)::bigint, SUM(r.failed)::bigint, SUM(r.cached)::bigint \
         FROM request r JOIN principal p ON p.id = r.principal_id WHERE r.ended_at IS NULL \
         GROUP BY 1, 2, 3, 4, 5, 6",
    names: "SELECT principal_id, name FROM account WHERE principal_id = ANY \
         (ARRAY(SELECT j::uuid FROM json_array_elements_text($1::json) AS j))",
};
