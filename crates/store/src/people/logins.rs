//! Failed logins, counted over all servers. A try counts as failed before its password is looked
//! at, and is taken back when the password was right: many tries at once are not more tries.

use std::time::Duration;

use futures::FutureExt;
use muster_core::lockout::{Counted, WINDOW};
use muster_core::person::key;

use crate::db::Ts;
use crate::db::statement::{row, run};
use crate::writer::{Tx, work};
use crate::{Error, Store};

const TRY: &str = "INSERT INTO login_failure (subject, failures, last_at, next_at) \
     VALUES ($1, 1, $2, $2) ON CONFLICT (subject) DO UPDATE SET last_at = $2, \
     failures = CASE WHEN login_failure.last_at <= $3 THEN 1 ELSE login_failure.failures + 1 END \
     WHERE login_failure.next_at <= $2 RETURNING failures";

const NEXT: &str = "SELECT next_at FROM login_failure WHERE subject = $1";

const WAIT: &str = "UPDATE login_failure SET next_at = $2 WHERE subject = $1";

const FORGIVE_ONE: &str = "UPDATE login_failure SET failures = failures - 1, next_at = last_at \
     WHERE subject = $1 AND failures > 0";

const FORGIVE_ALL: &str = "DELETE FROM login_failure WHERE subject = $1";

const FORGET: &str = "DELETE FROM login_failure WHERE last_at < $1 AND next_at < $1";

/// Whose try it is: the account's name, which may not exist, and the network it comes from.
#[derive(Clone, Debug)]
pub struct LoginTry {
    pub name: String,
    pub network: String,
}

pub(crate) fn account_subject(name: &str) -> String {
    format!("account {}", key(name))
}

impl LoginTry {
    fn subjects(&self) -> [(String, Counted); 2] {
        [
            (format!("network {}", self.network), Counted::Network),
            (account_subject(&self.name), Counted::Account),
        ]
    }
}

impl Store {
    /// Counts a try; how long to wait if it comes too early.
    pub async fn try_login(&self, who: LoginTry) -> Result<Option<Duration>, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let subjects = who.subjects();
            async move {
                for (subject, counted) in &subjects {
                    if let Some(wait) = try_one(tx, subject, *counted).await? {
                        return Ok(Some(wait));
                    }
                }
                Ok(None)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Takes back one try: its password was not looked at. Others of the account still count.
    pub async fn withdraw_login(&self, who: LoginTry) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let subjects = who.subjects();
            async move {
                for (subject, _) in &subjects {
                    run!(&mut tx.conn, FORGIVE_ONE, subject);
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// The password was right: takes the try back, and forgets the account's failures.
    pub async fn forgive_login(&self, who: LoginTry) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let [(network, _), (account, _)] = who.subjects();
            async move {
                run!(&mut tx.conn, FORGIVE_ONE, &network);
                run!(&mut tx.conn, FORGIVE_ALL, &account);
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Forgets failures that count no more.
    pub async fn clean_logins(&self) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let before = Ts(tx.now - WINDOW);
                run!(&mut tx.conn, FORGET, before);
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}

async fn try_one(tx: &mut Tx, subject: &str, counted: Counted) -> Result<Option<Duration>, Error> {
    let now = tx.now;
    let taken: Option<(i64,)> = row!(&mut tx.conn, TRY, subject, Ts(now), Ts(now - WINDOW));
    let Some((failures,)) = taken else {
        let next: Option<(Ts,)> = row!(&mut tx.conn, NEXT, subject);
        return Ok(Some(next.map_or(Duration::ZERO, |(next,)| next.0.since(now))));
    };
    let wait = counted.wait(u32::try_from(failures).unwrap_or(u32::MAX));
    if !wait.is_zero() {
        run!(&mut tx.conn, WAIT, subject, Ts(now + wait));
    }
    Ok(None)
}
