//! Objects of Kubernetes as they are recorded, and what is read of them.

mod autoscalers;
mod does;
mod dumps;
mod objects;
mod states;
