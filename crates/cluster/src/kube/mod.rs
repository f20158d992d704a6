//! A cluster of Kubernetes.

pub mod read;
