//! `/api/v1/accounts`: signing up.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::person::SignUp;
use muster_store::{Account, NewAccount};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::links;
use crate::api::people::view::AccountView;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::problem::{At, Kind, Problem};
use crate::identity::peer::Network;
use crate::reading::small::Json;

/// Who you are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignUp, example = json!({"name": "ada", "first_name": "Ada", "last_name": "Lovelace",
    "email": "ada@example.org", "password": "tangible orchard 42 sings"}))]
pub struct NewPerson {
    /// Upper and lower case are the same.
    #[schema(value_type = String, required = true, min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    name: Option<String>,
    #[schema(value_type = String, required = true, min_length = 1, max_length = 100)]
    first_name: Option<String>,
    #[schema(value_type = String, required = true, min_length = 1, max_length = 100)]
    last_name: Option<String>,
    #[schema(value_type = String, required = true, max_length = 254, format = "email")]
    email: Option<String>,
    /// At most 1,024 bytes, any characters. Common ones are refused.
    #[schema(value_type = String, required = true, min_length = 15, max_length = 1024, format = Password)]
    password: Option<String>,
}

/// Sign up
///
/// All values that break a rule are reported together. If the hub sends mail, the address has to be
/// confirmed before the first login.
#[utoipa::path(
    post, path = "/api/v1/accounts", operation_id = "sign_up", tag = "people",
    request_body(content((NewPerson = "application/json"))),
    responses((status = 201, description = "The account", body = AccountView)),
)]
pub async fn sign_up(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Json(person): Json<NewPerson>,
) -> Result<Response, Problem> {
    let values = SignUp {
        name: person.name.as_deref(),
        first_name: person.first_name.as_deref(),
        last_name: person.last_name.as_deref(),
        email: person.email.as_deref(),
        password: person.password.as_deref(),
    };
    let broken = values.broken();
    if !broken.is_empty() {
        return Err(Problem::values(broken));
    }
    app.rates.admit(network.clone())?;
    let password = person.password.unwrap_or_default();
    let new = NewAccount {
        name: person.name.unwrap_or_default(),
        first_name: person.first_name.unwrap_or_default(),
        last_name: person.last_name.unwrap_or_default(),
        email: person.email.unwrap_or_default(),
        password: String::new(),
        permissions: Vec::new(),
    };
    let account = to_the_end(async move { add(&app, network, new, password).await }).await?;
    json(StatusCode::CREATED, &AccountView::from(account))
}

async fn add(
    app: &App,
    network: String,
    new: NewAccount,
    password: String,
) -> Result<Account, Problem> {
    let taken = || {
        let detail = "Somebody has this user name already. Choose another one.";
        Problem::new(Kind::NameTaken, detail).at(At::Pointer("/name".into()))
    };
    if app.store.find_account_named(&new.name).await?.is_some() {
        return Err(taken());
    }
    links::admit_verification(app, network, &new.email)?;
    let password = app.passwords.hash(password).await?;
    let added = app.store.add_account(NewAccount { password, ..new }).await?;
    let account = added.ok_or_else(taken)?;
    links::mail_verification(app, &account, &account.email).await?;
    Ok(account)
}
