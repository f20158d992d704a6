//! Pods of a hub against a served API of Kubernetes. The tests play the scheduler and the kubelets, so that each
//! state comes when they say so.

mod buffers;
mod faults;
mod hands;
mod life;
mod marks;
mod own;
mod rights;
mod survey;
mod world;
