//! Statements that clear what is over.

use super::{few, mark};

/// Statements of clearing. `$1` are ids as hex digits, or paths, in a JSON array.
pub(crate) struct Clearing {
    /// Those of the requests that ended until $2, if they are of anonymous sessions, or until $3.
    pub over: &'static str,
    /// Their objects are to be removed; answers where they are.
    pub mark: &'static str,
    pub tasks: &'static str,
    pub transitions: &'static str,
    pub requests: &'static str,
    pub unmark: &'static str,
    /// Predictions were used on the day $2.
    pub used: &'static str,
}

pub(crate) fn clearing(postgres: bool) -> &'static Clearing {
    if postgres { &CLEARING_POSTGRES } else { &CLEARING_SQLITE }
}

macro_rules! statements {
    (ids: $ids:literal, texts: $texts:literal, used: $used:expr) => {
        Clearing {
            over: concat!(
                "SELECT id FROM request WHERE id ",
                $ids,
                " AND ended_at <= CASE (SELECT kind FROM principal WHERE id = request.principal_id) \
                 WHEN 'anonymous' THEN $2 WHEN 'account' THEN $3 END"
            ),
            mark: concat!(
                mark!(
                    "SELECT input_object, $2 FROM request WHERE input_object IS NOT NULL AND id ",
                    $ids,
                    " UNION ALL SELECT result_object, $2 FROM task \
                     WHERE result_object IS NOT NULL AND request_id ",
                    $ids,
                ),
                " RETURNING path"
            ),
            tasks: concat!("DELETE FROM task WHERE request_id ", $ids),
            transitions: concat!("DELETE FROM transition WHERE request_id ", $ids),
            requests: concat!("DELETE FROM request WHERE ended_at IS NOT NULL AND id ", $ids),
            unmark: concat!("DELETE FROM object_removal WHERE path ", $texts),
            used: concat!("UPDATE prediction SET used_on = $2 FROM ", $used, " AND used_on < $2"),
        }
    };
}

/// SQLite unfolds a list into rows, PostgreSQL into an array: only then it looks up each by the key.
const CLEARING_SQLITE: Clearing = statements!(
    ids: "IN (SELECT unhex(value) FROM json_each($1))",
    texts: "IN (SELECT value FROM json_each($1))",
    used: "jsonb_each($1) AS j WHERE model_id = j.value ->> 'j_model' \
         AND model_version = j.value ->> 'j_version' AND input_hash = unhex(j.value ->> 'j_hash')"
);

const CLEARING_POSTGRES: Clearing = statements!(
    ids: "= ANY (ARRAY(SELECT j::uuid FROM json_array_elements_text($1::json) AS j))",
    texts: "= ANY (ARRAY(SELECT j FROM json_array_elements_text($1::json) AS j))",
    used: concat!(
        "ROWS FROM (json_to_recordset($1::json) AS (j_model text, j_version text, j_hash text)) \
         WITH ORDINALITY AS j(j_model, j_version, j_hash, j_place) \
         WHERE model_id = j_model AND model_version = j_version \
         AND input_hash = decode(j_hash, 'hex') AND ",
        few!("j_place")
    )
);
