//! People: accounts, sessions and their secrets, what they may do, and what administrators did.

pub mod accounts;
pub mod audit;
pub mod chosen_secret;
pub mod logins;
pub mod ownership;
pub mod quota;
pub mod sessions;
pub mod users;
