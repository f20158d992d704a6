//! Column lists and beginnings of statements that the statements of several files share.

/// The columns of a request.
macro_rules! request_columns {
    () => {
        "id, principal_id, model_id, model_version, phase, submitted_at, started_at, ended_at, \
         reason, inputs, done, failed, cached, reading, label"
    };
}

/// The word for an instance's state. That its environment is being made stands beside it: SQLite cannot
/// widen a check.
macro_rules! instance_state {
    () => {
        "CASE WHEN i.state = 'starting' AND i.is_preparing THEN 'preparing' ELSE i.state END"
    };
}

/// An instance with what was seen of it.
macro_rules! record {
    () => {
        concat!(
        "SELECT i.id, i.model_id, i.model_version, i.slot, i.runs, i.server_id, ",
            $crate::db::dialect::instance_state!(),
            ", i.why, \
         i.launched_at, i.ready_at, i.idle_since, i.ended_at, i.end_cause, i.jobs, i.stop_work, \
         i.stop_reason, i.stop_actor, i.stop_asked_at, i.stop_until, COALESCE(s.node, i.node), i.asked, i.devices, s.pod_status, s.pod_message, s.pod, \
         s.busy, s.samples, s.cpu_now, s.cpu_peak, s.cpu_sum, s.memory_now, s.memory_peak, \
         s.memory_sum, s.log_object IS NOT NULL, \
         (SELECT name FROM account WHERE principal_id = i.stop_actor) \
         FROM instance i LEFT JOIN instance_seen s ON s.instance_id = i.id "
        )
    };
}

/// A row of `ended`, without its request.
macro_rules! ended_columns {
    () => {
        "model_id, principal_id, auth_type, phase, inputs, failed, cached, submitted_at, \
         started_at, ended_at"
    };
}

/// A statement that marks what a query finds: paths, and the moment.
macro_rules! mark {
    ($($found:literal),+ $(,)?) => {
        concat!(
            "INSERT INTO object_removal (path, marked_at) ",
            $($found,)+
            " ON CONFLICT (path) DO NOTHING"
        )
    };
}

pub(crate) use {ended_columns, instance_state, mark, record, request_columns};
