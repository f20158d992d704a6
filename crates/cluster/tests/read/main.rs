//! Objects of Kubernetes as they are recorded, and what is read of them.

mod autoscalers;
mod dumps;
mod objects;
mod states;
