//! Walking everybody's requests in the order of their ids.
//!
//! A request is found by one of several ways, each an index in which a part (a person, a model) has its
//! requests in the order of ids. Of each way there are two statements: `edge` says where a stretch
//! ends that has at most $4 + 1 requests of each part, `scan` finds what fits in a stretch. Both look at
//! ids between $2 and $3. `scan` takes the most to find as $4 and the filter from $5 on.
//!
//! SQLite unfolds lists with `json_each`, and joins in the order that is written when it says CROSS
//! JOIN. PostgreSQL has `json_array_elements_text`, and needs to hear with LATERAL and LIMIT that a stretch
//! has at most $11 requests of each part: else it may read all that failed, of whatever model.

use super::texts;

/// One way in one direction.
pub(crate) struct Walk {
    pub edge: &'static str,
    pub scan: &'static str,
}

/// Each way: the newest first, the oldest first.
pub(crate) struct Walks {
    pub all: [Walk; 2],
    /// $1: people.
    pub people: [Walk; 2],
    /// $1: models.
    pub models: [Walk; 2],
    /// Of those that failed or were cancelled.
    pub unfinished: [Walk; 2],
    /// $1: models.
    pub unfinished_of_models: [Walk; 2],
    /// $1: models, or all.
    pub open: [Walk; 2],
}

pub(crate) fn walks(postgres: bool) -> &'static Walks {
    if postgres { &WALKS_POSTGRES } else { &WALKS_SQLITE }
}

/// Between the ids $2 and $3 of a part, or of all.
///
/// It has to be the part's own index. Where the key equals the part, the order of ids is the order of all
/// ids too, and PostgreSQL may look at every other part's requests on its way: as one of a list of one, the
/// key is still a part of the order. Key and id compared together, as for SQLite, would do as well, but
/// there PostgreSQL reads on after the second bound, to the end of the part.
macro_rules! stretch {
    ($database:ident, [], $and:literal, $low:literal, $high:literal) => {
        concat!("id ", $low, " $2 AND id ", $high, " $3", $and)
    };
    (sqlite, [$key:literal], $and:literal, $low:literal, $high:literal) => {
        concat!(
            "(",
            $key,
            ", id) ",
            $low,
            " (part, $2) AND (",
            $key,
            ", id) ",
            $high,
            " (part, $3)",
            $and
        )
    };
    (postgres, [$key:literal], $and:literal, $low:literal, $high:literal) => {
        concat!($key, " = ANY (ARRAY[part]) AND id ", $low, " $2 AND id ", $high, " $3", $and)
    };
}

macro_rules! order {
    ([], $order:literal) => {
        concat!("id ", $order)
    };
    ([$key:literal], $order:literal) => {
        concat!($key, " ", $order, ", id ", $order)
    };
}

macro_rules! edge {
    ($database:ident, $parts:literal, $key:tt, $and:literal, $low:literal, $high:literal, $order:literal) => {
        concat!(
            "WITH edges AS MATERIALIZED (SELECT (SELECT id FROM request WHERE ",
            stretch!($database, $key, $and, $low, $high),
            " ORDER BY ",
            order!($key, $order),
            " LIMIT 1 OFFSET $4) AS edge FROM (",
            $parts,
            ") AS parts) SELECT edge FROM edges WHERE edge IS NOT NULL ORDER BY edge ",
            $order,
            " LIMIT 1"
        )
    };
}

/// What `scan` takes of a stretch.
macro_rules! fits {
    ($database:ident, $people:literal, $order:literal) => {
        concat!(
            "($5 IS NULL OR model_id IN ",
            texts!($database, "$5"),
            ") AND ($6 IS NULL OR phase IN ",
            texts!($database, "$6"),
            ") AND ($7 IS NULL OR principal_id IN (",
            $people,
            ")) AND submitted_at >= $8 AND submitted_at < $9 AND ($10 IS NULL \
             OR (SELECT kind FROM principal WHERE principal.id = principal_id) = $10) \
             ORDER BY id ",
            $order,
            " LIMIT $4"
        )
    };
}

macro_rules! sqlite {
    ($parts:literal, $key:tt, $and:literal) => {
        [
            sqlite!($parts, $key, $and, ">=", "<", "DESC"),
            sqlite!($parts, $key, $and, ">", "<=", "ASC"),
        ]
    };
    ($parts:literal, $key:tt, $and:literal, $low:literal, $high:literal, $order:literal) => {
        Walk {
            edge: edge!(sqlite, $parts, $key, $and, $low, $high, $order),
            scan: concat!(
                "SELECT id FROM (",
                $parts,
                ") AS parts CROSS JOIN request WHERE ",
                stretch!(sqlite, $key, $and, $low, $high),
                " AND ",
                fits!(sqlite, "SELECT unhex(value) FROM json_each($7)", $order)
            ),
        }
    };
}

macro_rules! postgres {
    ($parts:literal, $key:tt, $and:literal) => {
        [
            postgres!($parts, $key, $and, ">=", "<", "DESC"),
            postgres!($parts, $key, $and, ">", "<=", "ASC"),
        ]
    };
    ($parts:literal, $key:tt, $and:literal, $low:literal, $high:literal, $order:literal) => {
        Walk {
            edge: edge!(postgres, $parts, $key, $and, $low, $high, $order),
            scan: concat!(
                "SELECT id FROM (",
                $parts,
                ") AS parts CROSS JOIN LATERAL (SELECT id, model_id, phase, principal_id, \
                 submitted_at FROM request WHERE ",
                stretch!(postgres, $key, $and, $low, $high),
                " ORDER BY ",
                order!($key, $order),
                " LIMIT $11) AS found WHERE ",
                fits!(postgres, "SELECT json_array_elements_text($7::json)::uuid", $order)
            ),
        }
    };
}

const WALKS_SQLITE: Walks = Walks {
    all: sqlite!("SELECT 1", [], ""),
    people: sqlite!("SELECT unhex(value) AS part FROM json_each($1)", ["principal_id"], ""),
    models: sqlite!("SELECT value AS part FROM json_each($1)", ["model_id"], ""),
    unfinished: sqlite!("SELECT 1", [], " AND reason IS NOT NULL"),
    unfinished_of_models: sqlite!(
        "SELECT value AS part FROM json_each($1)",
        ["model_id"],
        " AND reason IS NOT NULL"
    ),
    open: sqlite!(
        "SELECT id AS part FROM model \
         WHERE $1 IS NULL OR id IN (SELECT value FROM json_each($1))",
        ["model_id"],
        " AND ended_at IS NULL"
    ),
};

const WALKS_POSTGRES: Walks = Walks {
    all: postgres!("SELECT 1", [], ""),
    people: postgres!(
        "SELECT json_array_elements_text($1::json)::uuid AS part",
        ["principal_id"],
        ""
    ),
    models: postgres!("SELECT json_array_elements_text($1::json) AS part", ["model_id"], ""),
    unfinished: postgres!("SELECT 1", [], " AND reason IS NOT NULL"),
    unfinished_of_models: postgres!(
        "SELECT json_array_elements_text($1::json) AS part",
        ["model_id"],
        " AND reason IS NOT NULL"
    ),
    open: postgres!(
        "SELECT id AS part FROM model \
         WHERE $1 IS NULL OR id IN (SELECT json_array_elements_text($1::json))",
        ["model_id"],
        " AND ended_at IS NULL"
    ),
};

/// Reading requests by their ids, which come as JSON.
pub(crate) struct Oversight {
    /// Not those of $2. Counts come as JSON: a row has at most 16 columns.
    pub read: &'static str,
    /// A request, and an instance its first $2 tasks were sent to.
    pub instances: &'static str,
}

pub(crate) fn oversight(postgres: bool) -> &'static Oversight {
    if postgres { &OVERSIGHT_POSTGRES } else { &OVERSIGHT_SQLITE }
}

macro_rules! overseen {
    ($counts:literal, $from:literal) => {
        concat!(
            "SELECT r.id, r.model_id, r.model_version, r.principal_id, p.kind, a.name, r.phase, \
             r.submitted_at, r.started_at, r.ended_at, ",
            $counts,
            ", r.cause, r.reason, (SELECT MAX(attempt) FROM task WHERE request_id = r.id \
             AND attempt > 1), r.requeued_from, \
             (SELECT id FROM request WHERE requeued_from = r.id AND requeued_from IS NOT NULL) ",
            $from,
            " JOIN principal p ON p.id = r.principal_id \
             LEFT JOIN account a ON a.principal_id = r.principal_id \
             WHERE r.principal_id <> $2"
        )
    };
}

const OVERSIGHT_SQLITE: Oversight = Oversight {
    read: overseen!(
        "json_array(r.inputs, r.done, r.failed, r.cached)",
        "FROM json_each($1) AS j CROSS JOIN request r ON r.id = unhex(j.value)"
    ),
    instances: "SELECT t.request_id, t.instance_id FROM json_each($1) AS j \
         CROSS JOIN task t ON t.request_id = unhex(j.value) \
         WHERE t.position < $2 AND t.instance_id IS NOT NULL \
         GROUP BY t.request_id, t.instance_id ORDER BY MIN(t.position), t.instance_id",
};

const OVERSIGHT_POSTGRES: Oversight = Oversight {
    read: overseen!(
        "json_build_array(r.inputs, r.done, r.failed, r.cached)::text",
        "FROM (SELECT json_array_elements_text($1::json)::uuid AS wanted) AS j \
         JOIN request r ON r.id = wanted"
    ),
    instances: "SELECT t.request_id, t.instance_id \
         FROM (SELECT json_array_elements_text($1::json)::uuid AS wanted) AS j \
         JOIN task t ON t.request_id = wanted \
         WHERE t.position < $2 AND t.instance_id IS NOT NULL \
         GROUP BY t.request_id, t.instance_id ORDER BY MIN(t.position), t.instance_id",
};
