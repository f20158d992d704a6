//! `muster admin`: people, administered on the hub's machine. It works on the hub's database, and a
//! hub that runs notices.

use std::time::Duration;

use muster_core::Permission;
use muster_core::person::SignUp;
use muster_server::{PASSWORD_PAGE, Secret, hash_password, link};
use muster_store::{AdminAct, Administered, NewAccount, Store};

use crate::arguments::{CreateAdmin, ResetLink};
use crate::config::Environment;
use crate::failure::Failure;
use crate::store::{open_beside, store_failure};
use crate::{password, table};

/// How long a link works.
const LINK: Duration = Duration::from_secs(24 * 3600);

pub async fn create(arguments: &CreateAdmin, environment: &Environment) -> Result<(), Failure> {
    let password = password::read(arguments.password_file.as_deref(), true)?;
    let values = SignUp {
        name: Some(&arguments.name),
        first_name: Some(&arguments.first_name),
        last_name: Some(&arguments.last_name),
        email: Some(&arguments.email),
        password: Some(&password),
    };
    let broken: Vec<String> = values
        .broken()
        .iter()
        .map(|broken| format!("{}: {}", broken.field, broken.rule.words()))
        .collect();
    if !broken.is_empty() {
        return Err(Failure::usage("these values cannot be used").advice(broken.join("\n")));
    }
    let (_, store) = open_beside(&arguments.store, environment).await?;
    let new = NewAccount {
        name: arguments.name.clone(),
        first_name: arguments.first_name.clone(),
        last_name: arguments.last_name.clone(),
        email: arguments.email.clone(),
        password: hash_password(&password).map_err(Failure::failed)?,
        permissions: vec![Permission::Admin],
    };
    let added = store.add_account_here(new).await;
    store.close().await;
    match added.map_err(|error| store_failure(&error))? {
        Some(account) => table::print(&format!("{} administers this hub", account.name)),
        None => Err(Failure::usage(format!("the user name {} is taken", arguments.name))),
    }
}

pub async fn reset_link(arguments: &ResetLink, environment: &Environment) -> Result<(), Failure> {
    let (serve, store) = open_beside(&arguments.store, environment).await?;
    let made = make_link(&store, &arguments.name).await;
    store.close().await;
    let secret = made?;
    let link = link(serve.public_url.as_deref(), PASSWORD_PAGE, &secret);
    table::print(&format!("{link}\nIt works once, within a day. Hand it to {}.", arguments.name))
}

async fn make_link(store: &Store, name: &str) -> Result<Secret, Failure> {
    let found = store.find_account_named(name).await.map_err(|error| store_failure(&error))?;
    let unknown = || Failure::usage(format!("there is no user {name}"));
    let account = found.ok_or_else(unknown)?;
    let secret = Secret::new().map_err(|_| Failure::failed("no random bytes"))?;
    let act = AdminAct::ResetLink { token_hash: secret.hash(), lifetime: LINK };
    let done = store.administer(None, account.id, act).await;
    match done.map_err(|error| store_failure(&error))? {
        Administered::Done(_) => Ok(secret),
        Administered::Unknown | Administered::LastAdmin => Err(unknown()),
    }
}
