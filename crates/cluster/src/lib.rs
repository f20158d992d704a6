//! The hands: where instances run.
