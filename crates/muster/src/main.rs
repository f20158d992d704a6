//! Muster: one binary that serves models on demand, and its command line.
fn main() {}
