//! Times of objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use muster_core::Timestamp;

/// The same moment as the hub counts it.
pub fn of(time: &Time) -> Timestamp {
    Timestamp(time.0.as_microsecond())
}

/// The same of a time with fractions.
pub fn of_micro(time: &MicroTime) -> Timestamp {
    Timestamp(time.0.as_microsecond())
}
