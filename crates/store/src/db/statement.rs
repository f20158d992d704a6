//! One statement with its bound values, the same on both databases.

/// Runs it; the number of rows it touched.
macro_rules! run {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::db::conn::on!($conn, c => {
            sqlx::query($sql)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected())?
        })
    };
}

/// Its first row, if any: a tuple, or a row with names.
macro_rules! row {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::db::conn::on!($conn, c => {
            sqlx::query_as($sql)$(.bind($bind))*.fetch_optional(c).await?
        })
    };
}

/// All its rows.
macro_rules! rows {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::db::conn::on!($conn, c => {
            sqlx::query_as($sql)$(.bind($bind))*.fetch_all(c).await?
        })
    };
}

/// A row whose columns have names: read by position, in the order of the statement.
macro_rules! named_row {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        $vis struct $name { $($vis $field: $type),* }

        impl<'r, R> sqlx::FromRow<'r, R> for $name
        where
            R: sqlx::Row,
            usize: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                let mut columns = 0_usize..;
                Ok(Self { $($field: row.try_get(columns.next().unwrap_or(usize::MAX))?),* })
            }
        }
    };
}

pub(crate) use {named_row, row, rows, run};
