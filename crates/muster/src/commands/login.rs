//! `muster login` and `muster logout`.

use crate::arguments::Login;
use crate::failure::Failure;
use crate::hub::Hub;
use crate::{password, table};

pub async fn log_in(hub: &Hub, arguments: &Login) -> Result<(), Failure> {
    let password = password::read(arguments.password_file.as_deref(), false)?;
    hub.log_in(&arguments.name, &password).await?;
    table::print(&format!("logged in at {} as {}", hub.url, arguments.name))
}

pub async fn log_out(hub: &Hub) -> Result<(), Failure> {
    match hub.log_out().await? {
        Some(name) => table::print(&format!("{name} is logged out at {}", hub.url)),
        None => table::print(&format!("nobody is logged in at {}", hub.url)),
    }
}
