//! HTTP itself: connections, their pace, what is taken from a request and how it is answered.
//! Knows no `App`.

pub mod answer;
pub mod cookie;
pub mod counts;
pub mod csv;
pub mod door;
pub mod extract;
pub mod listen;
pub mod network;
pub mod pace;
pub mod problem;
pub mod range;
mod refusals;
pub mod share;
pub mod whole;
