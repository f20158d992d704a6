//! What a server remembers from one request to the next. Knows no routes.

pub mod examined;
pub mod overview;
pub mod streams;
pub mod uses;
