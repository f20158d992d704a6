//! People: accounts, sessions, and those who administer them.

pub mod accounts;
pub mod limits;
pub mod links;
pub mod me;
pub mod session;
pub mod tokens;
pub mod users;
pub mod view;
