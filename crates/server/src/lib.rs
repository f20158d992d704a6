//! The door: the HTTP API.
