//! `/api/v1/password-resets` and `/api/v1/email-verifications`: links that are mailed and work
//! once. Whoever asks for one learns nothing about who has an account.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::password;
use muster_core::person::{Broken, SignUp};
use muster_store::{Account, NewLink, Purpose};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::view::DoneView;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::problem::{At, Kind, Problem};
use crate::identity::mail::{EMAIL_PAGE, PASSWORD_PAGE, link};
use crate::identity::peer::Network;
use crate::identity::secret::Secret;
use crate::reading::small::Json;

/// How long mailed links work.
const RESET: Duration = Duration::from_secs(3600);
const VERIFY: Duration = Duration::from_secs(24 * 3600);

/// Whose account it is: a user name or an address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountHint, example = json!({"email": "ada@example.org"}))]
pub struct Hint {
    name: Option<String>,
    email: Option<String>,
}

/// What stood in the link, and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordReset, example = json!({"token": "0f1e2d3c..", "password": "tangible orchard 42 sings"}))]
pub struct Reset {
    token: String,
    #[schema(min_length = 15, max_length = 1024, format = Password)]
    password: String,
}

/// What stood in the link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmailVerification, example = json!({"token": "0f1e2d3c.."}))]
pub struct Verify {
    token: String,
}

/// Ask for a link to set a forgotten password
///
/// The answer is the same whether there is such an account or not.
#[utoipa::path(
    post, path = "/api/v1/password-resets", operation_id = "ask_password_reset", tag = "people",
    request_body(content((Hint = "application/json"))),
    responses((status = 200, description = "Mail is sent if there is such an account", body = DoneView)),
)]
pub async fn ask_password_reset(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Json(hint): Json<Hint>,
) -> Result<Response, Problem> {
    ask(app, network, hint, Purpose::Password)
}

/// Ask for another link to confirm an address
///
/// The answer is the same whether there is such an account or not.
#[utoipa::path(
    post, path = "/api/v1/email-verifications", operation_id = "ask_email_verification",
    tag = "people",
    request_body(content((Hint = "application/json"))),
    responses((status = 200, description = "Mail is sent if there is such an account", body = DoneView)),
)]
pub async fn ask_email_verification(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Json(hint): Json<Hint>,
) -> Result<Response, Problem> {
    ask(app, network, hint, Purpose::Email)
}

fn ask(app: Arc<App>, network: String, hint: Hint, purpose: Purpose) -> Result<Response, Problem> {
    let whose = match (hint.name, hint.email) {
        (Some(name), None) => Whose::Name(name),
        (None, Some(email)) => Whose::Email(email),
        _ => {
            let problem = Problem::new(Kind::BadJson, "Send either `name` or `email`.");
            return Err(problem.at(At::Pointer(String::new())));
        }
    };
    if app.config.mail.is_none() {
        let detail = "This hub sends no mail. An administrator can make a link for you.";
        return Err(Problem::new(Kind::NoMail, detail));
    }
    app.rates.admit(network.clone())?;
    app.mails.admit_network(network)?;
    // Aside: that there is an account is not to be seen from how long the answer takes.
    tokio::spawn(async move {
        if let Err(problem) = mail_links(&app, whose, purpose).await {
            tracing::warn!(problem.detail, "a link is not mailed");
        }
    });
    json(StatusCode::OK, &DoneView { detail: "If there is such an account, mail is on its way." })
}

/// Whose account a link is for.
enum Whose {
    Name(String),
    Email(String),
}

async fn mail_links(app: &App, whose: Whose, purpose: Purpose) -> Result<(), Problem> {
    let accounts = match whose {
        Whose::Name(name) => Vec::from_iter(app.store.find_account_named(&name).await?),
        Whose::Email(email) => app.store.find_accounts_of(&email).await?,
    };
    for account in accounts.into_iter().filter(|account| account.disabled_at.is_none()) {
        if purpose == Purpose::Email && account.verified_at.is_some() {
            continue;
        }
        // Before there is a new link: the one that was mailed last goes on working.
        app.mails.admit_address(purpose, &account.email)?;
        match purpose {
            Purpose::Password => mail_reset(app, &account).await?,
            Purpose::Email => mail_verification(app, &account, &account.email).await?,
        }
    }
    Ok(())
}

async fn mail_reset(app: &App, account: &Account) -> Result<(), Problem> {
    let Some(mail) = &app.config.mail else { return Ok(()) };
    let secret = new_link(app, account, Purpose::Password, &account.email).await?;
    mail.reset(account, &link(app.config.public_url.as_deref(), PASSWORD_PAGE, &secret));
    Ok(())
}

/// May a mail to this address be sent, because somebody in this network wants it? Yes if the hub sends
/// none.
pub fn admit_verification(app: &App, network: String, email: &str) -> Result<(), Problem> {
    if app.config.mail.is_none() {
        return Ok(());
    }
    app.mails.admit_network(network)?;
    app.mails.admit_address(Purpose::Email, email)
}

/// Mails a link that shows that `email` is the account's, if the hub sends mail.
pub async fn mail_verification(app: &App, account: &Account, email: &str) -> Result<(), Problem> {
    let Some(mail) = &app.config.mail else { return Ok(()) };
    let secret = new_link(app, account, Purpose::Email, email).await?;
    mail.verify(email, &link(app.config.public_url.as_deref(), EMAIL_PAGE, &secret));
    Ok(())
}

async fn new_link(
    app: &App,
    account: &Account,
    purpose: Purpose,
    email: &str,
) -> Result<Secret, Problem> {
    let secret = Secret::new()?;
    let lifetime = if purpose == Purpose::Email { VERIFY } else { RESET };
    let (token_hash, principal, email) = (secret.hash(), account.id, email.to_owned());
    app.store.add_link(NewLink { token_hash, principal, purpose, email, lifetime }).await?;
    Ok(secret)
}

/// Set a forgotten password
///
/// With what stood in the link, which works once. All sessions and API tokens of the account end.
#[utoipa::path(
    post, path = "/api/v1/password-resets/complete", operation_id = "reset_password", tag = "people",
    request_body(content((Reset = "application/json"))),
    responses((status = 200, description = "Log in with the new password", body = DoneView)),
)]
pub async fn reset_password(
    State(app): State<Arc<App>>,
    Json(reset): Json<Reset>,
) -> Result<Response, Problem> {
    let secret = Secret::read(&reset.token).ok_or_else(bad_link)?;
    let account = app.store.find_link(secret.hash()).await?.ok_or_else(bad_link)?;
    let new = check_password(&account, &reset.password, "password")?;
    to_the_end(async move {
        let hashed = app.passwords.hash(new).await?;
        let of = app.store.reset_password(secret.hash(), hashed).await?.ok_or_else(bad_link)?;
        app.forget(&[of]);
        Ok(())
    })
    .await?;
    json(StatusCode::OK, &DoneView { detail: "The password is set. Log in with it." })
}

/// Confirm an address
#[utoipa::path(
    post, path = "/api/v1/email-verifications/complete", operation_id = "verify_email",
    tag = "people",
    request_body(content((Verify = "application/json"))),
    responses((status = 200, description = "The address is confirmed", body = DoneView)),
)]
pub async fn verify_email(
    State(app): State<Arc<App>>,
    Json(verify): Json<Verify>,
) -> Result<Response, Problem> {
    let secret = Secret::read(&verify.token).ok_or_else(bad_link)?;
    to_the_end(async move {
        let of = app.store.verify_email(secret.hash()).await?.ok_or_else(bad_link)?;
        app.forget(&[of]);
        Ok(())
    })
    .await?;
    json(StatusCode::OK, &DoneView { detail: "The address is confirmed." })
}

fn bad_link() -> Problem {
    let detail = "It was used already, it is too old, or a newer one was sent. Ask for another.";
    Problem::new(Kind::BadLink, detail)
}

/// A new password of an account, if it breaks no rule.
pub fn check_password(
    account: &Account,
    new: &str,
    field: &'static str,
) -> Result<String, Problem> {
    let person = SignUp {
        name: Some(&account.name),
        first_name: Some(&account.first_name),
        last_name: Some(&account.last_name),
        email: Some(&account.email),
        password: None,
    };
    match password::check(new, person.names()) {
        Some(rule) => Err(Problem::values(vec![Broken { field, rule }])),
        None => Ok(new.to_owned()),
    }
}
