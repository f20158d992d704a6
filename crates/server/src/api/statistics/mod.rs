//! Statistics: what was asked of the hub, by whom, and how long it took.

pub mod choices;
mod csv;
mod query;
pub mod routes;
mod table;
