//! Mail: links with which people show that an address is theirs, or set a new password.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use muster_core::{Check, CheckState};
use muster_store::Account;

use super::secret::Secret;

/// Most for one question to the server.
const PATIENCE: Duration = Duration::from_secs(5);

/// An SMTP server, and who writes. Cheap to clone.
#[derive(Clone)]
pub struct Mail {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// The page of the web app that sets a password, and the one that confirms an address. The secret
/// follows as fragment, which browsers send to nobody.
pub const PASSWORD_PAGE: &str = "/account/password";
pub const EMAIL_PAGE: &str = "/account/email";

pub fn link(public_url: Option<&str>, page: &str, secret: &Secret) -> String {
    format!("{}{page}#{}", public_url.unwrap_or_default(), secret.text())
}

impl Mail {
    /// `url`: `smtp://` (plain), `smtp://..?tls=required` (STARTTLS) or `smtps://`, with user and
    /// password if the server wants them.
    ///
    /// # Errors
    ///
    /// What cannot be used, without repeating the URL, which may hold a password.
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| {
            "mail.url must be like smtps://user:password@mail.example.org:465".to_owned()
        })?;
        let from = from
            .parse()
            .map_err(|_| format!("mail.from = {from:?} must be like Muster <hub@example.org>"))?;
        Ok(Self { smtp: smtp.build(), from })
    }

    /// Nothing in it is anybody's choice: whoever gave the address may not be who reads the mail.
    pub fn verify(&self, email: &str, link: &str) {
        let text = format!(
            "Hello,\n\nsomebody, probably you, gave this address for an account at a Muster hub. \
             Confirm it here within 24 hours:\n\n{link}\n\nIf that was not you, there is nothing \
             to do.\n"
        );
        self.send(email, "Confirm your address", text);
    }

    /// Names stand only in mail to an address that is known to be the account's.
    pub fn reset(&self, account: &Account, link: &str) {
        let (hello, which) = match account.verified_at {
            Some(_) => {
                (format!("Hello {}", account.first_name), format!("the account {}", account.name))
            }
            None => ("Hello".to_owned(), "an account with this address".to_owned()),
        };
        let text = format!(
            "{hello},\n\nsomebody, probably you, asked for a new password of {which} at a Muster \
             hub. Set it here within an hour:\n\n{link}\n\nThe link works once. If that was not \
             you, there is nothing to do: the password stays as it is.\n"
        );
        self.send(&account.email, "Set a new password", text);
    }

    /// Asks the server whether it would take mail.
    pub async fn examine(&self) -> Check {
        let check = |state, what: String| Check::new("mail", state, what);
        match tokio::time::timeout(PATIENCE, self.smtp.test_connection()).await {
            Ok(Ok(true)) => {
                check(CheckState::Good, format!("the server takes mail of {}", self.from.email))
            }
            Ok(Ok(false)) => check(CheckState::Broken, "the server does not answer".into()),
            Ok(Err(error)) => check(CheckState::Broken, error.to_string()),
            Err(_) => check(CheckState::Broken, "no answer within 5 seconds".into()),
        }
    }

    /// Sends aside: whoever asked learns nothing from how long it takes.
    fn send(&self, to: &str, subject: &str, text: String) {
        let to = match to.parse::<Mailbox>() {
            Ok(to) => to,
            Err(error) => return tracing::warn!(%error, "mail cannot be addressed"),
        };
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text);
        let message = match message {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%error, "mail cannot be written"),
        };
        let smtp = self.smtp.clone();
        tokio::spawn(async move {
            match smtp.send(message).await {
                Ok(_) => tracing::debug!("mail was sent"),
                Err(error) => tracing::error!(%error, "mail was not sent"),
            }
        });
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("from", &self.from).finish_non_exhaustive()
    }
}
