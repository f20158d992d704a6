//! The memory: the only crate that knows SQL and object storage.
