//! The engine over a real store, with model servers that run inside the test.

mod behaviour;
#[path = "../../../store/tests/all/cluster.rs"]
#[expect(dead_code, reason = "only the store's own tests break it")]
mod cluster;
mod faults;
mod groups;
mod hub;
mod room;
mod saving;
mod several;
mod starting;
mod stopping;
mod versions;
