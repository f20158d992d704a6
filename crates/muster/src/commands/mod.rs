//! One file a command.

pub mod admin;
pub mod audit;
pub mod canary;
pub mod clean;
pub mod doctor;
pub mod dump;
pub mod fetch;
pub mod folder;
pub mod image;
pub mod instances;
pub mod login;
pub mod models;
pub mod nodes;
pub mod oversight;
pub mod plan;
pub mod push;
pub mod requests;
pub mod run;
pub mod serve;
pub mod settings;
pub mod stats;
pub mod users;
