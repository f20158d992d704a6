//! `muster admin users` and `muster admin user`: accounts, over the API.

use std::time::Duration;

use muster_core::Timestamp;
use muster_store::Clock;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::arguments::{DeleteUser, OneUser, UserVerb, Users};
use crate::commands::requests::FACTS;
use crate::failure::Failure;
use crate::hub::{Hub, parse};
use crate::list::List;
use crate::path::{parameter, segment};
use crate::{human, table};

const ALL: &str = "/api/v1/users";
/// Accounts whose name has a part in common, of which one is looked for.
const MOST: usize = 1000;

#[derive(Deserialize)]
struct User {
    id: String,
    name: String,
    first_name: String,
    last_name: String,
    email: String,
    email_verified: bool,
    permissions: Vec<String>,
    disabled: bool,
    created_at: Timestamp,
    /// Not in what an act answers.
    #[serde(default)]
    last_used_at: Option<Timestamp>,
    #[serde(default)]
    requests: Option<u64>,
}

#[derive(Deserialize)]
struct Session {
    kind: String,
    #[serde(default)]
    name: Option<String>,
    created_at: Timestamp,
    seen_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Link {
    link: String,
    valid_seconds: u64,
}

pub async fn users(hub: &Hub, arguments: &Users) -> Result<(), Failure> {
    let mut path = ALL.to_owned();
    parameter(&mut path, "search", &arguments.search);
    parameter(&mut path, "permission", &arguments.permission);
    parameter(&mut path, "disabled", arguments.disabled.then_some("true"));
    let (limit, json) = (arguments.limit, arguments.json);
    let list = List { path: &path, limit, json, none: "no such accounts", see: "--limit" };
    list.print(hub, |users| listed(users, Clock::system().now())).await
}

fn listed(users: Vec<User>, now: Timestamp) -> String {
    let rows = users.into_iter().map(|user| {
        let used = user.last_used_at.map_or_else(|| "-".to_owned(), |at| human::ago(at, now));
        let requests = user.requests.map_or_else(|| "-".to_owned(), human::count);
        let state = if user.disabled { "disabled" } else { "" };
        let may = user.permissions.join(" ");
        vec![user.name, user.email, may, state.to_owned(), used, requests]
    });
    let header = ["name", "email", "permissions", "state", "last used", "requests"];
    table::table(&header, rows.collect(), &[5])
}

pub async fn user(hub: &Hub, verb: &UserVerb) -> Result<(), Failure> {
    let (one, act, body) = match verb {
        UserVerb::Show(one) => (one, None, None),
        UserVerb::Grant(of) => (&of.user, Some("grant"), Some(&of.permission)),
        UserVerb::Revoke(of) => (&of.user, Some("revoke"), Some(&of.permission)),
        UserVerb::Disable(one) => (one, Some("disable"), None),
        UserVerb::Enable(one) => (one, Some("enable"), None),
        UserVerb::EndSessions(one) => (one, Some("end-sessions"), None),
        UserVerb::Sessions(one) => return sessions(hub, one).await,
        UserVerb::ResetLink(one) => return reset_link(hub, one).await,
        UserVerb::Delete(of) => return delete(hub, of).await,
    };
    let path = format!("{ALL}/{}", segment(&id_of(hub, &one.user).await?));
    let answer = match (act, body) {
        (None, _) => hub.get(&path).await?,
        (Some(act), None) => hub.post(&format!("{path}/{act}"), |post| post).await?,
        (Some(act), Some(permission)) => {
            let body = json!({ "permission": permission });
            hub.post_json(&format!("{path}/{act}"), &body).await?
        }
    };
    if one.json {
        return table::print_json(&answer);
    }
    table::print(described(&parse(&answer)?, Clock::system().now()).trim_end())
}

async fn sessions(hub: &Hub, one: &OneUser) -> Result<(), Failure> {
    let path = format!("{ALL}/{}/sessions", segment(&id_of(hub, &one.user).await?));
    let list =
        List { path: &path, limit: MOST, json: one.json, none: "no sessions", see: "--json" };
    let now = Clock::system().now();
    let shown = |sessions: Vec<Session>| {
        let rows = sessions.into_iter().map(|session| {
            let [made, used] = [session.created_at, session.seen_at].map(|at| human::ago(at, now));
            let name = session.name.unwrap_or_else(|| "-".to_owned());
            vec![session.kind, name, made, used, human::ahead(session.expires_at, now)]
        });
        table::table(&["kind", "name", "made", "last used", "ends"], rows.collect(), &[])
    };
    list.print(hub, shown).await
}

async fn reset_link(hub: &Hub, one: &OneUser) -> Result<(), Failure> {
    let path = format!("{ALL}/{}/reset-link", segment(&id_of(hub, &one.user).await?));
    let answer = hub.post(&path, |post| post).await?;
    if one.json {
        return table::print_json(&answer);
    }
    let Link { link, valid_seconds } = parse(&answer)?;
    let valid = human::duration(Duration::from_secs(valid_seconds));
    table::print(&format!("{link}\nIt works once, within {valid}. Hand it to {}.", one.user))
}

async fn delete(hub: &Hub, DeleteUser { user: one, yes }: &DeleteUser) -> Result<(), Failure> {
    let path = format!("{ALL}/{}", segment(&id_of(hub, &one.user).await?));
    let user: User = parse(&hub.get(&path).await?)?;
    if !yes {
        let requests = human::counted(user.requests.unwrap_or_default(), "request");
        let what = format!(
            "the account {} ({}) would be gone, with its {requests}; nothing was done",
            user.name, user.email
        );
        return Err(Failure::usage(what).advice("It cannot be taken back. Add --yes to do it."));
    }
    let answer = hub.post(&format!("{path}/delete"), |post| post).await?;
    if one.json {
        return table::print_json(&answer);
    }
    table::print(&format!("the account {} is deleted", user.name))
}

/// The id of the account of this name; what looks like an id is one.
pub async fn id_of(hub: &Hub, user: &str) -> Result<String, Failure> {
    if user.parse::<muster_core::PrincipalId>().is_ok() {
        return Ok(user.to_owned());
    }
    let mut path = ALL.to_owned();
    parameter(&mut path, "search", [user]);
    let (found, _): (Vec<Box<RawValue>>, bool) = hub.list(&path, MOST, false).await?;
    for one in &found {
        let one: User = parse(one.get().as_bytes())?;
        // Upper and lower case are the same in user names.
        if one.name.to_lowercase() == user.to_lowercase() {
            return Ok(one.id);
        }
    }
    let what = format!("there is no account {user:?}");
    Err(Failure::usage(what).advice("See `muster admin users`."))
}

fn described(user: &User, now: Timestamp) -> String {
    let verified = if user.email_verified { "" } else { " (not confirmed)" };
    let may = if user.permissions.is_empty() { "-".to_owned() } else { user.permissions.join(" ") };
    let mut facts = vec![
        ("User", user.name.clone()),
        ("Id", user.id.clone()),
        ("Name", format!("{} {}", user.first_name, user.last_name)),
        ("Email", format!("{}{verified}", user.email)),
        ("May", may),
        ("State", if user.disabled { "disabled" } else { "enabled" }.to_owned()),
        ("Since", format!("{} ({})", user.created_at, human::ago(user.created_at, now))),
    ];
    facts.extend(user.last_used_at.map(|at| ("Last used", human::ago(at, now))));
    facts.extend(user.requests.map(|number| ("Requests", human::count(number))));
    table::facts(FACTS, facts)
}
