//! The routes of `/api/v1` and what an operator asks, a subject a module.

pub mod catalogue;
pub mod events;
pub mod health;
pub mod hub;
pub mod instances;
pub mod metrics;
pub mod models;
pub mod nodes;
pub mod oversight;
pub mod people;
pub mod requests;
pub mod statistics;
