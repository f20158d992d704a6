//! A served Kubernetes API for tests: what its documentation says of what Muster uses, in memory, with faults on
//! demand. Kubelets and schedulers stand beside it, in [`actors`]: they act through [`Objects`] and [`Logs`].

pub mod actors;
mod faults;
mod logs;
pub mod objects;
mod resource;
mod status;

pub use faults::{Fault, Faults, What};
pub use logs::{Line, Logs};
pub use objects::{Change, Happened, Objects};
pub use resource::{Kind, Resource, builtin};
pub use status::{Fault as FieldFault, Status};
