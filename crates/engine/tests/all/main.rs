//! The engine over a real store, with model servers that run inside the test.

mod behaviour;
mod faults;
mod hub;
mod saving;
mod stopping;
