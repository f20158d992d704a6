//! `/api/v1/accounts`: signing up.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use muster_core::person::SignUp;
use muster_store::{Account, NewAccount};
use utoipa::ToSchema;

use crate::api::people::links;
use crate::api::people::view::AccountView;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::problem::{At, Kind, Problem};
use crate::identity::peer::Network;
use crate::reading::form::{Form, SECRET, Shape, TEXT};

/// Who you are.
#[derive(ToSchema)]
#[schema(as = SignUp, example = json!({"name": "ada", "first_name": "Ada", "last_name": "Lovelace",
    "email": "ada@example.org", "password": "tangible orchard 42 sings"}))]
#[expect(dead_code, reason = "it only describes what `NewPerson` reads")]
pub struct SignUpDocument {
    /// Upper and lower case are the same.
    #[schema(min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    name: String,
    #[schema(min_length = 1, max_length = 100)]
    first_name: String,
    #[schema(min_length = 1, max_length = 100)]
    last_name: String,
    #[schema(max_length = 254, format = "email")]
    email: String,
    /// At most 1,024 bytes, any characters. Common ones are refused.
    #[schema(min_length = 15, max_length = 1024)]
    password: String,
}

struct NewPerson;

impl Shape for NewPerson {
    const MEMBERS: &'static [(&'static str, &'static str)] = &[
        ("name", TEXT),
        ("first_name", TEXT),
        ("last_name", TEXT),
        ("email", TEXT),
        ("password", SECRET),
    ];
    const EXAMPLE: &'static str = r#"{"name": "ada", "first_name": "Ada", "last_name": "Lovelace",
        "email": "ada@example.org", "password": ".."}"#;
}

/// Sign up
///
/// All values that break a rule are reported together. If the hub sends mail, the address has to be
/// confirmed before the first login.
#[utoipa::path(
    post, path = "/api/v1/accounts", operation_id = "sign_up", tag = "people",
    request_body(content((SignUpDocument = "application/json"))),
    responses((status = 201, description = "The account", body = AccountView)),
)]
pub async fn sign_up(
    State(app): State<Arc<App>>,
    Network(network): Network,
    request: Request,
) -> Result<Response, Problem> {
    let form = Form::<NewPerson>::read(&app, request).await?;
    let values = SignUp {
        name: form.text("name"),
        first_name: form.text("first_name"),
        last_name: form.text("last_name"),
        email: form.text("email"),
        password: form.text("password"),
    };
    let broken = values.broken();
    if !broken.is_empty() {
        return Err(Problem::values(broken));
    }
    app.rates.admit(network.clone())?;
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let password = text(values.password);
    let new = NewAccount {
        name: text(values.name),
        first_name: text(values.first_name),
        last_name: text(values.last_name),
        email: text(values.email),
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
