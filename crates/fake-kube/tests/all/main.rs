//! The served API, as clients see it that know nothing of it.

mod client;
mod contract;
mod ending;
mod faults;
mod reading;
mod rights;
mod workloads;
mod writing;
