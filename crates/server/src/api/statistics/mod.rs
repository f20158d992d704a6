//! Statistics: what was asked of the hub, by whom, and how long it took.

pub mod choices;
mod csv;
pub mod query;
pub mod routes;
pub mod table;
