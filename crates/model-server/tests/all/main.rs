//! Model servers as a client meets them: folders as they are in the wild, real processes, real HTTP.

mod archives;
mod batches;
mod checking;
mod commands;
mod content;
mod contract;
mod encodings;
mod environments;
mod jobs;
mod predictors;
mod support;
mod template;
mod wild;
