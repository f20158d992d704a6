//! The rules of Muster, as functions of values: no clock, no randomness, no database, no network.
//!
//! Whatever needs the time, an id or a policy takes it as an argument, so that every decision can
//! be tested by calling a function.

pub mod answer;
pub mod bisect;
pub mod cause;
pub mod check;
pub mod clearing;
pub mod expect;
pub mod file;
pub mod hex;
pub mod id;
pub mod image;
pub mod input;
pub mod instance;
pub mod lockout;
pub mod model;
pub mod news;
pub mod password;
pub mod person;
pub mod plan;
pub mod pod;
pub mod pointer;
pub mod quota;
pub mod rank;
pub mod request;
pub mod resources;
pub mod restricted;
pub mod retry;
pub mod room;
pub mod rule;
pub mod session;
pub mod slice;
pub mod stats;
pub mod table;
pub mod time;
pub mod waits;

pub use cause::Cause;
pub use check::{Check, CheckState};
pub use clearing::{Clearing, Retention};
pub use id::{InstanceId, ModelId, PrincipalId, RequestId, ServerId, SessionId, TaskKey};
pub use instance::{Address, EndCause, Observed, ObservedState};
pub use model::{Model, Source};
pub use person::Permission;
pub use request::{Ended, Phase, PhaseName, Progress, Request};
pub use resources::{Amounts, Resources};
pub use table::{Cell, Column, ColumnKind, Direction, Part, Row};
pub use time::Timestamp;
pub use waits::Waits;
