//! One file a command.

pub mod folder;
pub mod models;
pub mod requests;
pub mod run;
pub mod serve;
pub mod settings;
