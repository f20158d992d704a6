//! One statement with its bound values, the same on both databases.

/// Runs it; the number of rows it touched.
macro_rules! run {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::db::conn::on!($conn, c => {
            sqlx::query($sql)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected())?
        })
    };
}

/// Its first row, if any, as a tuple.
macro_rules! row {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::db::conn::on!($conn, c => {
            sqlx::query_as($sql)$(.bind($bind))*.fetch_optional(c).await?
        })
    };
}

/// All its rows, as tuples.
macro_rules! rows {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::db::conn::on!($conn, c => {
            sqlx::query_as($sql)$(.bind($bind))*.fetch_all(c).await?
        })
    };
}

pub(crate) use {row, rows, run};
